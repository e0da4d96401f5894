//! What the tests against a real ZooKeeper share.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of this module")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation fails the test"
)]

// The lab's own file: as a package the lab would bring Kafka along.
#[path = "../../../../tests/lab/ensemble.rs"]
pub mod ensemble;
#[path = "../../../../tests/lab/zookeeper.rs"]
pub mod zookeeper;

use std::time::Duration;

use dt_membership::zookeeper::{Access, ZooKeeperConfig, start};
use dt_membership::{Handle, Registration, State, View};
use tokio::sync::watch;
use zookeeper::ZooKeeper;
use zookeeper_client::{Acls, Client, CreateMode};

/// How long a condition may take to come true on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const MEMBERS: &str = "/distributed_trace/heart_beat_nodes";

pub fn server() -> ZooKeeper {
    ZooKeeper::start().expect("a real ZooKeeper is needed for this test")
}

pub fn registration(n: u16) -> Registration {
    Registration {
        node: format!("node-{n}"),
        address: format!("127.1.{}.{}", n >> 8, n & 0xff),
        port: 4000,
        tcp_port: 4000,
        zone: "z".into(),
        rack: "r".into(),
        region: String::new(),
        version: "0.1.0".into(),
        boot_id: format!("boot-{n}"),
        state: State::Serving,
        poll_timeout_ms: 5000,
        poll_interval_ms: 10000,
    }
}

pub fn config(servers: &str, own: Registration) -> ZooKeeperConfig {
    ZooKeeperConfig {
        servers: servers.into(),
        root: "distributed_trace".into(),
        heart_beat: "heart_beat_nodes".into(),
        session_timeout: Duration::from_secs(4),
        login: None,
        access: Access::Open,
        repair: false,
        own,
    }
}

pub fn agent(server: &ZooKeeper, n: u16) -> Handle {
    start(config(&server.servers(), registration(n)))
}

/// Another client of the service, for what members do that are not ours.
pub async fn client(server: &ZooKeeper) -> Client {
    Client::connector()
        .with_session_timeout(Duration::from_secs(30))
        .connect(&server.servers())
        .await
        .expect("the test's own connection")
}

/// An entry with any data, named as the original's library names it.
pub async fn entry(client: &Client, name: &str, data: &[u8]) -> String {
    let options = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
    client
        .mkdir(MEMBERS, &CreateMode::Persistent.with_acls(Acls::anyone_all()))
        .await
        .unwrap();
    let prefix = format!("{MEMBERS}/_c_{}-{name}", "0123456789abcdef".repeat(2));
    let (_, sequence) = client.create(&prefix, data, &options).await.unwrap();
    format!("{prefix}{sequence}")
}

/// The data of an agent of the Go original, byte for byte.
pub fn original(address: &str, port: u16) -> Vec<u8> {
    format!(r#"{{"My_address":"{address}","My_port":{port},"Poll_timeout":5000,"Poll_interval":10000}}"#).into_bytes()
}

/// Waits until the watched value fulfils the condition; fails with the value where it never does.
pub async fn until<T: Clone + std::fmt::Debug>(
    what: &str,
    receiver: &watch::Receiver<T>,
    condition: impl FnMut(&T) -> bool,
) -> T {
    let mut receiver = receiver.clone();
    let last = receiver.clone();
    match tokio::time::timeout(PATIENCE, receiver.wait_for(condition)).await {
        Ok(Ok(value)) => value.clone(),
        Ok(Err(_)) => panic!("{what}: the membership ended; last {:?}", last.borrow()),
        Err(_) => panic!("{what}: never came true; last {:?}", last.borrow()),
    }
}

/// Waits until the condition holds, for what no channel tells of.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let held = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let held = tokio::time::timeout(PATIENCE, held).await;
    assert!(held.is_ok(), "{what}: never came true");
}

/// The keys of a view.
pub fn keys(view: &View) -> Vec<&str> {
    view.members.iter().map(|member| member.key()).collect()
}

/// Waits until the handle's view has exactly these members.
pub async fn sees(handle: &Handle, expected: &[&str]) {
    let what = format!("view is {expected:?}");
    until(&what, &handle.view, |view| keys(view) == expected).await;
}

/// Waits until the handle's own entry is there, and returns its path.
pub async fn registered(handle: &Handle) -> String {
    until("registered", &handle.status, |status| status.registered)
        .await
        .path
        .expect("a registered path")
}
