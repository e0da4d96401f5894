//! Agents with a credential on a real ZooKeeper: what strangers, agents of the original, and agents with another credential
//! or none can do there, and what they can't.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation fails the test"
)]

mod common;

use std::path::Path;
use std::time::Duration;

use common::zookeeper::ZooKeeper;
use common::{
    MEMBERS, agent, client, config, entry, eventually, original, registered, registration, sees, server, until,
};
use dt_membership::Handle;
use dt_membership::zookeeper::{Access, Login, Scheme, Source, ZooKeeperConfig, start};
use zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Error, Permission, SaslOptions};

const SWITCH: &str = "/distributed_trace/control/probing";
const CONTROL: &str = "/distributed_trace/control";

fn login(scheme: Scheme, credential: &str) -> Option<Login> {
    let source = Source::Given(credential.parse().unwrap());
    Some(Login { scheme, source })
}

fn with(server: &ZooKeeper, n: u16, access: Access, login: Option<Login>) -> Handle {
    start(ZooKeeperConfig {
        access,
        login,
        ..config(&server.servers(), registration(n))
    })
}

fn ours(server: &ZooKeeper, n: u16, access: Access) -> Handle {
    with(server, n, access, login(Scheme::Digest, "dt:secret"))
}

async fn operator(server: &ZooKeeper) -> Client {
    let connector = Client::connector().with_auth("digest", b"dt:secret");
    connector.connect(&server.servers()).await.unwrap()
}

/// Waits until the nodes that all agents share were looked at: the kill switch's is made then.
async fn surveyed(client: &Client) {
    let deadline = tokio::time::Instant::now() + common::PATIENCE;
    while client.check_stat(SWITCH).await.unwrap().is_none() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the kill switch's node never came"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Everything that would harm an agent or the mesh is refused.
async fn is_harmless(stranger: &Client, path: &str) {
    let data = br#"{"My_address":"192.0.2.1","My_port":1,"Poll_timeout":5000,"Poll_interval":10000}"#;
    let open = Acls::anyone_all();
    let options = CreateMode::Persistent.with_acls(open);
    for (what, refused) in [
        ("delete an entry", stranger.delete(path, None).await),
        ("change an entry", stranger.set_data(path, data, None).await.map(drop)),
        (
            "take an entry over",
            stranger.set_acl(path, &open, None).await.map(drop),
        ),
        (
            "use the switch",
            stranger.set_data(SWITCH, br#"{"enabled":false}"#, None).await.map(drop),
        ),
        ("remove the switch", stranger.delete(SWITCH, None).await),
        (
            "take the switch over",
            stranger.set_acl(SWITCH, &open, None).await.map(drop),
        ),
        (
            "create beside the switch",
            stranger.create(&format!("{CONTROL}/x"), b"", &options).await.map(drop),
        ),
        (
            "take the parent over",
            stranger.set_acl(MEMBERS, &open, None).await.map(drop),
        ),
    ] {
        assert_eq!(refused, Err(Error::NoAuth), "a stranger may {what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_reads_and_joins_and_changes_nothing() {
    let server = server();
    let (one, two) = (ours(&server, 1, Access::Read), ours(&server, 2, Access::Read));
    let path = registered(&one).await;
    sees(&one, &["node-2"]).await;
    let stranger = client(&server).await;
    surveyed(&stranger).await;
    is_harmless(&stranger, &path).await;
    assert!(stranger.get_data(&path).await.is_ok() && stranger.list_children(MEMBERS).await.is_ok());
    assert!(*one.probing_enabled.borrow(), "an empty switch says nothing");
    // An agent of the original makes the parents, taking "exists" for success, and its entry; both see it.
    for parent in ["/distributed_trace", MEMBERS] {
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        let made = stranger.create(parent, b"", &options).await.map(drop);
        assert_eq!(made, Err(Error::NodeExists), "{parent}");
    }
    entry(&stranger, "o", &original("10.0.0.9", 4000)).await;
    sees(&one, &["10.0.0.9:4000", "node-2"]).await;
    sees(&two, &["10.0.0.9:4000", "node-1"]).await;
    // So does an agent of ours that has no credential; it goes at once when it is to, though it may delete nothing.
    let bare = agent(&server, 3);
    sees(&one, &["10.0.0.9:4000", "node-2", "node-3"]).await;
    assert!(bare.deregister(Duration::from_secs(30)).await);
    sees(&one, &["10.0.0.9:4000", "node-2"]).await;
    assert_eq!(bare.stats().denied, 1);
    sees(&bare, &["10.0.0.9:4000", "node-1", "node-2"]).await;
    // The operator has the credential.
    let operator = operator(&server).await;
    operator.set_data(SWITCH, br#"{"enabled":false}"#, None).await.unwrap();
    until("off", &one.probing_enabled, |on| !on).await;
    until("off", &bare.probing_enabled, |on| !on).await;
    for handle in [&one, &two] {
        let stats = handle.stats();
        assert_eq!((stats.nodes_exposed, stats.nodes_foreign, stats.denied), (0, 0, 0));
    }
    assert!(two.deregister(Duration::from_secs(30)).await);
    assert_eq!((two.stats().sessions, two.stats().denied), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_private_a_stranger_sees_nothing() {
    let server = server();
    let (one, two) = (ours(&server, 1, Access::Private), ours(&server, 2, Access::Private));
    let path = registered(&one).await;
    sees(&one, &["node-2"]).await;
    let stranger = client(&server).await;
    surveyed(&stranger).await;
    is_harmless(&stranger, &path).await;
    assert_eq!(stranger.list_children(MEMBERS).await, Err(Error::NoAuth));
    assert!(stranger.get_data(&path).await.is_err() && stranger.get_data(SWITCH).await.is_err());
    let options = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
    let name = format!("{MEMBERS}/x");
    let joined = stranger.create(&name, &original("a", 1), &options).await;
    assert_eq!(joined.map(drop), Err(Error::NoAuth), "an original can't join");
    // No credential, or another: not registered, and it is said why.
    for (n, login) in [(3, None), (4, login(Scheme::Digest, "dt:guessed"))] {
        let access = if login.is_some() { Access::Private } else { Access::Open };
        let other = with(&server, n, access, login);
        let status = until("a reason", &other.status, |status| status.last_error.is_some()).await;
        assert!(status.last_error.unwrap().contains("zookeeper.auth_file"));
        eventually("counted", || other.stats().denied >= 2).await;
        assert!(!other.status.borrow().registered && other.view.borrow().members.is_empty());
        other.close().await;
    }
    sees(&two, &["node-1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_password_is_noticed_where_everybody_may_join() {
    let server = server();
    let one = ours(&server, 1, Access::Read);
    surveyed(&operator(&server).await).await;
    let other = with(&server, 2, Access::Read, login(Scheme::Digest, "dt:guessed"));
    sees(&one, &["node-2"]).await;
    sees(&other, &["node-1"]).await;
    // Root, members, control and switch are the others'.
    eventually("noticed", || other.stats().nodes_foreign == 4).await;
    assert!(
        other.deregister(Duration::from_secs(30)).await,
        "its session ends instead"
    );
    sees(&one, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_goes_wrong_costs_no_known_peer_and_is_followed_when_it_is_mended() {
    let mut server = server();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("auth");
    std::fs::write(&file, "dt:secret\n").unwrap();
    let from = |file: &Path| {
        Some(Login {
            scheme: Scheme::Digest,
            source: Source::File(file.to_owned()),
        })
    };
    let two = ours(&server, 2, Access::Private);
    sees(&two, &[]).await;
    let one = with(&server, 1, Access::Private, from(&file));
    sees(&one, &["node-2"]).await;
    let first = one.status.borrow().session;
    std::fs::write(&file, "dt:wrong\n").unwrap();
    server.pause().unwrap();
    until("given up", &one.status, |status| status.session != first).await;
    server.resume().unwrap();
    until("denied", &one.status, |status| {
        let last = status.last_error.as_deref();
        status.session.is_some() && last.is_some_and(|last| last.contains("another credential"))
    })
    .await;
    assert_eq!(common::keys(&one.view.borrow()), ["node-2"], "known peers stay");
    std::fs::write(&file, "dt:secret\n").unwrap();
    registered(&one).await;
    sees(&two, &["node-1"]).await;
    sees(&one, &["node-2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_were_there_before_are_told_of_and_changed_only_where_that_is_asked_for() {
    let server = server();
    let before = client(&server).await;
    entry(&before, "o", &original("10.0.0.9", 4000)).await;
    let auditor = Acl::new(Permission::READ, AuthId::new("digest", "audit:x"));
    let list = [Acl::new(Permission::ALL, AuthId::anyone()), auditor.clone()];
    before.set_acl(MEMBERS, &list, None).await.unwrap();
    let one = ours(&server, 1, Access::Read);
    // Root and members; the switch's are made in time.
    eventually("told", || one.stats().nodes_exposed == 2).await;
    let (now, _) = before.get_acl(MEMBERS).await.unwrap();
    assert_eq!(now, list, "left as it was");
    let two = start(ZooKeeperConfig {
        access: Access::Read,
        login: login(Scheme::Digest, "dt:secret"),
        repair: true,
        ..config(&server.servers(), registration(2))
    });
    let path = registered(&two).await;
    surveyed(&before).await;
    let deadline = tokio::time::Instant::now() + common::PATIENCE;
    while before.delete(&path, None).await != Err(Error::NoAuth) {
        assert!(tokio::time::Instant::now() < deadline, "never repaired");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eventually("nothing is left", || two.stats().nodes_exposed == 0).await;
    // One of the attempts may have taken the entry: then there is another soon.
    let mut path = registered(&two).await;
    while before.get_data(&path).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "never registered again");
        tokio::time::sleep(Duration::from_millis(20)).await;
        path = registered(&two).await;
    }
    is_harmless(&before, &path).await;
    let (now, _) = operator(&server).await.get_acl(MEMBERS).await.unwrap();
    assert!(now.contains(&auditor), "others' rights are kept: {now:?}");
    sees(&one, &["10.0.0.9:4000", "node-2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sasl_needs_a_user_that_the_servers_know() {
    let server = ZooKeeper::with_users(&[("dt", "secret")]).unwrap();
    let sasl = |credential| login(Scheme::Sasl, credential);
    let one = with(&server, 1, Access::Read, sasl("dt:secret"));
    let two = with(&server, 2, Access::Read, sasl("dt:secret"));
    let path = registered(&one).await;
    sees(&one, &["node-2"]).await;
    sees(&two, &["node-1"]).await;
    let stranger = client(&server).await;
    surveyed(&stranger).await;
    is_harmless(&stranger, &path).await;
    let (list, _) = stranger.get_acl(&path).await.unwrap();
    assert!(
        list.contains(&Acl::new(Permission::ALL, AuthId::new("sasl", "dt"))),
        "{list:?}"
    );
    let wrong = with(&server, 3, Access::Read, sasl("dt:guessed"));
    let refused = until("refused", &wrong.status, |status| status.last_error.is_some()).await;
    assert!(refused.last_error.unwrap().contains("refuses the login"));
    assert!(wrong.stats().denied > 0 && wrong.stats().sessions == 0);
    let connector = Client::connector().with_sasl(SaslOptions::digest_md5("dt", "secret"));
    let operator = connector.connect(&server.servers()).await.unwrap();
    operator.set_data(SWITCH, br#"{"enabled":false}"#, None).await.unwrap();
    until("off", &one.probing_enabled, |on| !on).await;
}
