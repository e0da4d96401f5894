//! Agents on a real ZooKeeper: they see one another and whoever else registers, in the original's format.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation fails the test"
)]

mod common;

use std::time::Duration;

use common::{
    MEMBERS, agent, client, config, entry, eventually, keys, original, registered, registration, sees, server, until,
};
use dt_membership::zookeeper::{ZooKeeperConfig, start, start_as_with_old_server};
use dt_membership::{Labels, Registration, State};

#[tokio::test(flavor = "multi_thread")]
async fn agents_see_each_other_and_leave_at_once() {
    let server = server();
    let (one, two, three) = (agent(&server, 1), agent(&server, 2), agent(&server, 3));
    sees(&one, &["node-2", "node-3"]).await;
    sees(&two, &["node-1", "node-3"]).await;
    sees(&three, &["node-1", "node-2"]).await;
    let path = registered(&three).await;
    assert!(three.deregister(Duration::from_secs(60)).await);
    assert!(!three.status.borrow().registered);
    let outside = client(&server).await;
    assert_eq!(
        outside.check_stat(&path).await.unwrap(),
        None,
        "the entry is gone when deregister returns"
    );
    sees(&one, &["node-2"]).await;
    sees(&three, &["node-1", "node-2"]).await;
    // A closed handle takes its session with it; a dropped one does, too.
    let session = two.status.borrow().session;
    two.close().await;
    sees(&one, &[]).await;
    let sessions = server.command("dump").unwrap();
    assert!(!sessions.contains(&format!("{:#x}", session.unwrap())), "{sessions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chroot_that_is_missing_is_made() {
    let server = server();
    let one = start(config(&format!("{}/site/dt", server.servers()), registration(1)));
    let two = start(config(&format!("{}/site/dt", server.servers()), registration(2)));
    sees(&one, &["node-2"]).await;
    sees(&two, &["node-1"]).await;
    let outside = client(&server).await;
    let members = outside.list_children(&format!("/site/dt{MEMBERS}")).await.unwrap();
    assert_eq!(members.len(), 2);
    assert!(outside.check_stat("/distributed_trace").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_entry_is_what_an_original_agent_reads() {
    let server = server();
    let one = agent(&server, 1);
    let path = registered(&one).await;
    let name = path
        .strip_prefix(&format!("{MEMBERS}/_c_"))
        .expect("the original's path and mark");
    let (mark, rest) = name.split_at(32);
    assert!(mark.chars().all(|c| c.is_ascii_hexdigit()), "{name}");
    let sequence = rest.strip_prefix("-127.1.0.1:4000").expect("address and port");
    assert!(
        sequence.len() == 10 && sequence.chars().all(|c| c.is_ascii_digit()),
        "{name}"
    );
    let outside = client(&server).await;
    let (data, stat) = outside.get_data(&path).await.unwrap();
    assert_eq!(Some(stat.ephemeral_owner), one.status.borrow().session);
    let json: serde_json::Value = serde_json::from_slice(&data).unwrap();
    assert_eq!(json["My_address"], "127.1.0.1");
    assert_eq!(json["My_port"], 4000);
    assert_eq!(json["Poll_timeout"], 5000);
    assert_eq!(json["Poll_interval"], 10000);
    for parent in ["/distributed_trace", MEMBERS] {
        let stat = outside
            .check_stat(parent)
            .await
            .unwrap()
            .expect("the parents are there");
        assert_eq!(stat.ephemeral_owner, 0, "{parent} is permanent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_original_agent_is_a_member() {
    let server = server();
    let outside = client(&server).await;
    entry(&outside, "go-host:4100", &original("go-host", 4100)).await;
    let one = agent(&server, 1);
    let view = until("the original", &one.view, |view| !view.members.is_empty()).await;
    let member = &view.members[0];
    assert_eq!(
        (
            member.node.as_str(),
            member.address.as_str(),
            member.port,
            member.tcp_port,
            member.original
        ),
        ("go-host:4100", "go-host", 4100, 4100, true)
    );
    entry(&outside, "x", &original("second", 4100)).await;
    sees(&one, &["go-host:4100", "second:4100"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_members_are_skipped_and_counted_once() {
    let server = server();
    let outside = client(&server).await;
    let huge = format!(r#"{{"My_address":"huge","My_port":1,"x":"{}"}}"#, "x".repeat(1_000_000));
    let bad: [&[u8]; 9] = [
        b"",
        b"not json",
        b"[]",
        &[0xff, 0x00, 0xfe],
        br#"{"My_address":"a","My_port":0}"#,
        br#"{"My_address":"a","My_port":70000}"#,
        br#"{"My_address":"","My_port":1}"#,
        br#"{"My_address":7,"My_port":"x"}"#,
        huge.as_bytes(),
    ];
    for (i, data) in bad.iter().take(5).enumerate() {
        entry(&outside, &format!("bad{i}:1"), data).await;
    }
    entry(&outside, "good:1", &original("good", 1)).await;
    let one = agent(&server, 1);
    sees(&one, &["good:1"]).await;
    assert_eq!(one.stats().malformed, 5);
    // While it runs, too.
    for (i, data) in bad.iter().skip(5).enumerate() {
        entry(&outside, &format!("worse{i}:1"), data).await;
    }
    entry(&outside, "better:1", &original("better", 1)).await;
    sees(&one, &["better:1", "good:1"]).await;
    // The last ones may be read after the good one.
    eventually("all nine are counted", || one.stats().malformed >= 9).await;
    assert_eq!(one.stats().malformed, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_data_counts_never_the_name() {
    let server = server();
    let outside = client(&server).await;
    entry(&outside, "", &original("plain", 1)).await;
    entry(&outside, "10.0.0.1:99999999999999", &original("digits", 2)).await;
    let one = agent(&server, 1);
    sees(&one, &["digits:2", "plain:1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ones_own_former_lives_are_no_peers_and_twins_count_once() {
    let server = server();
    let outside = client(&server).await;
    // Left by a killed process; its session has not expired yet.
    let former = r#"{"My_address":"127.1.0.1","My_port":4000,"node":"old-name","boot_id":"former"}"#;
    entry(&outside, "former:1", former.as_bytes()).await;
    let renumbered = r#"{"My_address":"127.9.9.9","My_port":4000,"node":"node-1","boot_id":"former"}"#;
    entry(&outside, "renumbered:1", renumbered.as_bytes()).await;
    let old = entry(
        &outside,
        "twin:1",
        br#"{"My_address":"Twin","My_port":1,"node":"t","boot_id":"1"}"#,
    )
    .await;
    let new = entry(
        &outside,
        "twin:1",
        br#"{"My_address":"twin","My_port":1,"node":"t","boot_id":"2"}"#,
    )
    .await;
    let one = agent(&server, 1);
    let view = until("one twin", &one.view, |view| keys(view) == ["t"]).await;
    assert_eq!(view.members[0].boot_id, "2", "the newer one counts");
    outside.delete(&new, None).await.unwrap();
    until("the other twin", &one.view, |view| {
        view.members.len() == 1 && view.members[0].boot_id == "1"
    })
    .await;
    outside.delete(&old, None).await.unwrap();
    sees(&one, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_state_is_seen_by_others() {
    let server = server();
    let starting = Registration {
        state: State::Starting,
        ..registration(1)
    };
    let one = start(config(&server.servers(), starting));
    let two = agent(&server, 2);
    let shows = |state| {
        move |view: &std::sync::Arc<dt_membership::View>| view.members.len() == 1 && view.members[0].state == state
    };
    until("starting", &two.view, shows(State::Starting)).await;
    one.set_state(State::Serving).await;
    until("serving", &two.view, shows(State::Serving)).await;
    one.set_state(State::Draining).await;
    until("draining", &two.view, shows(State::Draining)).await;
    assert_eq!(two.stats().malformed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_come_to_be_known_later_are_seen_by_others() {
    let server = server();
    let unlabelled = Registration {
        zone: String::new(),
        rack: String::new(),
        ..registration(1)
    };
    let one = start(config(&server.servers(), unlabelled));
    let two = agent(&server, 2);
    sees(&two, &["node-1"]).await;
    let path = registered(&one).await;
    one.set_labels(Labels {
        zone: "z9".into(),
        rack: "r9".into(),
        region: "g9".into(),
    });
    until("the labels", &two.view, |view| {
        let one = &view.members[0];
        (one.zone.as_str(), one.rack.as_str(), one.region.as_str()) == ("z9", "r9", "g9")
    })
    .await;
    assert_eq!(registered(&one).await, path, "the entry is the same");
    // What changes afterwards keeps them.
    one.set_state(State::Draining).await;
    until("draining", &two.view, |view| {
        view.members[0].state == State::Draining && view.members[0].zone == "z9"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_paths_and_a_chroot_work() {
    let server = server();
    let deep = |n, servers: String| {
        start(ZooKeeperConfig {
            root: "/a/b/c/".into(),
            heart_beat: "d/e".into(),
            ..config(&servers, registration(n))
        })
    };
    let one = deep(1, server.servers());
    assert!(registered(&one).await.starts_with("/a/b/c/d/e/_c_"));
    let two = deep(2, server.servers());
    sees(&one, &["node-2"]).await;
    sees(&two, &["node-1"]).await;
    let outside = client(&server).await;
    assert_eq!(outside.list_children("/a/b/c/d/e").await.unwrap().len(), 2);
    // The chroot must exist; /a does.
    let three = deep(3, format!("{}/a", server.servers()));
    registered(&three).await;
    assert_eq!(outside.list_children("/a/a/b/c/d/e").await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_members_join_and_go() {
    let server = server();
    let outside = client(&server).await;
    let one = agent(&server, 1);
    registered(&one).await;
    let early: Vec<String> = futures::future::join_all((0..500).map(|n| {
        let outside = &outside;
        async move { entry(outside, "m", &original(&format!("m{n}"), 1)).await }
    }))
    .await;
    until("500 members", &one.view, |view| view.members.len() == 500).await;
    for n in 500..1000 {
        entry(&outside, "m", &original(&format!("m{n}"), 1)).await;
    }
    until("1,000 members", &one.view, |view| view.members.len() == 1000).await;
    let stats = one.stats();
    assert!(stats.reads <= 1003, "each entry is read once: {stats:?}");
    // A late comer reads them from the list.
    let two = agent(&server, 2);
    until("all and the other agent", &two.view, |view| view.members.len() == 1001).await;
    outside.delete(&early[0], None).await.unwrap();
    until("one less", &two.view, |view| view.members.len() == 1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ways_of_old_servers_do_as_well() {
    let mut server = server();
    let one = start_as_with_old_server(config(&server.servers(), registration(1)));
    registered(&one).await;
    let two = agent(&server, 2);
    sees(&one, &["node-2"]).await;
    let three = agent(&server, 3);
    sees(&one, &["node-2", "node-3"]).await;
    three.close().await;
    sees(&one, &["node-2"]).await;
    server.restart().unwrap();
    let four = agent(&server, 4);
    sees(&one, &["node-2", "node-4"]).await;
    four.close().await;
    sees(&one, &["node-2"]).await;
    sees(&two, &["node-1"]).await;
}
