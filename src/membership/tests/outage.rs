//! Agents on a real ZooKeeper that fails: sessions end, servers go and come, members vanish in numbers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation fails the test"
)]

mod common;

use std::time::Duration;

use common::zookeeper::ZooKeeper;
use common::{
    MEMBERS, agent, client, config, entry, eventually, keys, original, registered, registration, sees, server, until,
};
use dt_membership::zookeeper::{ZooKeeperConfig, start};
use zookeeper_client::{Acls, Client, CreateMode};

async fn entries(client: &Client) -> usize {
    client.list_children(MEMBERS).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_at_the_start_is_waited_for() {
    let mut server = ZooKeeper::stopped().unwrap();
    let one = agent(&server, 1);
    until("a failure is shown", &one.status, |status| status.last_error.is_some()).await;
    assert_eq!((one.view.borrow().generation, *one.probing_enabled.borrow()), (0, true));
    assert!(one.deregister(Duration::from_millis(1)).await, "nothing is registered");
    let two = agent(&server, 2);
    let three = agent(&server, 3);
    server.restart().unwrap();
    sees(&two, &["node-3"]).await;
    sees(&three, &["node-2"]).await;
    sees(&one, &["node-2", "node-3"]).await;
    assert!(!one.status.borrow().registered, "deregistered before it could register");
    until("no error is left", &two.status, |status| {
        status.registered && status.last_error.is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_changes_nothing() {
    let mut server = server();
    // Their sessions outlast a slow start.
    let agent = |server: &ZooKeeper, n| {
        start(ZooKeeperConfig {
            session_timeout: Duration::from_secs(30),
            ..config(&server.servers(), registration(n))
        })
    };
    let (one, two) = (agent(&server, 1), agent(&server, 2));
    sees(&one, &["node-2"]).await;
    sees(&two, &["node-1"]).await;
    registered(&one).await;
    let session = one.status.borrow().session;
    let generation = one.view.borrow().generation;
    server.kill().unwrap();
    let status = until("disconnected", &one.status, |status| !status.connected).await;
    assert_eq!(
        keys(&one.view.borrow()),
        ["node-2"],
        "a lost connection never empties the view"
    );
    assert!(
        status.registered,
        "the entry is there until the session ends: {status:?}"
    );
    server.restart().unwrap();
    until("connected", &one.status, |status| status.connected).await;
    assert_eq!(one.status.borrow().session, session);
    let three = agent(&server, 3);
    sees(&one, &["node-2", "node-3"]).await;
    sees(&three, &["node-1", "node-2"]).await;
    assert!(one.view.borrow().generation > generation);
    // By notification: the list after the reconnection is read, and the next one is minutes away.
    let four = agent(&server, 4);
    sees(&one, &["node-2", "node-3", "node-4"]).await;
    sees(&two, &["node-1", "node-3", "node-4"]).await;
    four.close().await;
    sees(&one, &["node-2", "node-3"]).await;
    assert_eq!(entries(&client(&server).await).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_session_is_replaced_and_registered_once() {
    let mut server = server();
    let (one, two) = (agent(&server, 1), agent(&server, 2));
    sees(&one, &["node-2"]).await;
    sees(&two, &["node-1"]).await;
    let (old, first) = (registered(&one).await, one.status.borrow().session);
    server.pause().unwrap();
    // The client gives its session up after a while without an answer.
    until("given up", &one.status, |status| status.session != first).await;
    until("given up", &two.status, |status| !status.connected).await;
    assert_eq!(keys(&one.view.borrow()), ["node-2"]);
    server.resume().unwrap();
    let path = until("registered again", &one.status, |status| {
        status.registered && status.session != first
    })
    .await
    .path
    .unwrap();
    assert_ne!(path, old);
    assert!(one.stats().expirations >= 1);
    registered(&two).await;
    // The entries of the former sessions go when the server notices that these are over.
    let outside = client(&server).await;
    let deadline = tokio::time::Instant::now() + common::PATIENCE;
    while entries(&outside).await != 2 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{:?}",
            outside.list_children(MEMBERS).await
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sees(&one, &["node-2"]).await;
    sees(&two, &["node-1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_somebody_deletes_is_registered_again() {
    let server = server();
    let one = agent(&server, 1);
    let path = registered(&one).await;
    let first = one.status.borrow().session;
    let outside = client(&server).await;
    // An operator deletes the entry: it is registered again in the same session.
    outside.delete(&path, None).await.unwrap();
    let again = until("registered again", &one.status, |status| {
        status.path.as_ref().is_some_and(|now| *now != path)
    })
    .await;
    assert_eq!(again.session, first);
    assert_eq!(entries(&outside).await, 1);
    assert_eq!(one.stats().registrations, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kill_switch_is_followed_and_remembered() {
    let server = server();
    let outside = client(&server).await;
    let one = agent(&server, 1);
    registered(&one).await;
    assert!(*one.probing_enabled.borrow(), "on where it is missing");
    let switch = "/distributed_trace/control/probing";
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    outside.mkdir("/distributed_trace/control", &options).await.unwrap();
    outside.create(switch, br#"{"enabled":false}"#, &options).await.unwrap();
    until("off", &one.probing_enabled, |on| !on).await;
    // A new agent finds it off; malformed content and deletion leave it so.
    let two = agent(&server, 2);
    until("off", &two.probing_enabled, |on| !on).await;
    for malformed in [&b"nonsense"[..], b"", br#"{"enabled":1}"#] {
        let events = one.stats().events;
        outside.set_data(switch, malformed, None).await.unwrap();
        // A change that comes before the watch is set again brings no event of its own: it is read with the one before.
        for _ in 0..100 {
            if one.stats().events != events {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!*one.probing_enabled.borrow(), "{malformed:?} switched it");
    }
    assert!(!*one.probing_enabled.borrow());
    outside.set_data(switch, br#"{"enabled":true}"#, None).await.unwrap();
    until("on", &one.probing_enabled, |on| *on).await;
    outside.set_data(switch, br#"{"enabled":false}"#, None).await.unwrap();
    until("off", &one.probing_enabled, |on| !on).await;
    outside.delete(switch, None).await.unwrap();
    outside
        .create(switch, br#"{"enabled":false,"why":"maintenance"}"#, &options)
        .await
        .unwrap();
    outside.set_data(switch, br#"{"enabled":true}"#, None).await.unwrap();
    until("on", &one.probing_enabled, |on| *on).await;
    assert_eq!(one.view.borrow().members.len(), 1, "the switch is no member");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_vanish_together_are_kept_for_a_while() {
    let server = server();
    let (loyal, fickle) = (client(&server).await, client(&server).await);
    let one = agent(&server, 1);
    let stay = entry(&loyal, "s", &original("stay", 1)).await;
    for n in 0..3 {
        entry(&fickle, "m", &original(&format!("m{n}"), 1)).await;
    }
    let all = ["m0:1", "m1:1", "m2:1", "stay:1"];
    sees(&one, &all).await;
    // One transaction takes three of four.
    drop(fickle);
    eventually("a mass vanish is recognized", || one.stats().mass_vanishes > 0).await;
    assert_eq!(keys(&one.view.borrow()), all, "still probed");
    // Two session timeouts of 4 s later they are gone.
    sees(&one, &["stay:1"]).await;
    assert_eq!((one.stats().mass_vanishes, one.stats().members_kept), (1, 0));
    // The last one is a single one.
    loyal.delete(&stay, None).await.unwrap();
    sees(&one, &[]).await;
    assert_eq!(one.stats().mass_vanishes, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_handle_ends_its_session() {
    let server = server();
    let one = agent(&server, 1);
    let two = agent(&server, 2);
    sees(&one, &["node-2"]).await;
    drop(two);
    sees(&one, &[]).await;
    let outside = client(&server).await;
    assert_eq!(entries(&outside).await, 1);
    let silent = start(config("127.0.0.1:1", registration(9)));
    silent.close().await;
}

/// A way to the server that can be cut.
struct Way {
    address: String,
    open: tokio::sync::watch::Sender<bool>,
}

impl Way {
    async fn to(server: &ZooKeeper) -> Way {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (open, is_open) = tokio::sync::watch::channel(true);
        let server = server.address();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut is_open = is_open.clone();
                if !*is_open.borrow() {
                    continue;
                }
                tokio::spawn(async move {
                    let mut far = tokio::net::TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = is_open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Way { address, open }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_while_the_connection_was_lost_is_read_again() {
    let server = server();
    let way = Way::to(&server).await;
    let one = start(ZooKeeperConfig {
        session_timeout: Duration::from_secs(30),
        ..config(&way.address, registration(1))
    });
    let other = client(&server).await;
    let path = entry(&other, "m", &original("before", 1)).await;
    sees(&one, &["before:1"]).await;
    let session = one.status.borrow().session;
    way.open.send_replace(false);
    until("disconnected", &one.status, |status| !status.connected).await;
    other.set_data(&path, &original("after", 1), None).await.unwrap();
    way.open.send_replace(true);
    // No notification tells of it, and the entry's name in the list is the same.
    sees(&one, &["after:1"]).await;
    assert_eq!(one.status.borrow().session, session);
}

/// However an answer and the notification of the next change meet.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_many_changes_is_seen() {
    let server = server();
    let one = agent(&server, 1);
    let other = client(&server).await;
    let path = entry(&other, "m", &original("first", 1)).await;
    sees(&one, &["first:1"]).await;
    for round in 0..50 {
        for n in 0..10 {
            let data = original(&format!("{round}-{n}"), 1);
            other.set_data(&path, &data, None).await.unwrap();
        }
        // Names that vanish so fast are kept for a while beside it.
        let last = format!("{round}-9:1");
        until(&last, &one.view, |view| keys(view).contains(&last.as_str())).await;
    }
}
