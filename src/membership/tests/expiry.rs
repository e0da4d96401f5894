//! A hundred agents that lose their sessions together: nobody is forgotten meanwhile, everybody is back once, and the
//! service isn't overrun.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation fails the test"
)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{MEMBERS, client, config, eventually, registration, server, until};
use dt_membership::Handle;
use dt_membership::zookeeper::{ZooKeeperConfig, start};

const AGENTS: u16 = 100;
/// Long enough for all to come back within two of them on a slow machine: so long their entries are kept.
const SESSION: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_expired_agents_are_back_once_and_without_a_stampede() {
    let mut server = server();
    let handles: Vec<Handle> = (0..AGENTS)
        .map(|n| {
            start(ZooKeeperConfig {
                session_timeout: SESSION,
                ..config(&server.servers(), registration(n))
            })
        })
        .collect();
    let others = usize::from(AGENTS) - 1;
    for handle in &handles {
        until("all others", &handle.view, |view| view.members.len() == others).await;
    }
    let before: Vec<_> = handles.iter().map(Handle::stats).collect();
    let sessions: Vec<_> = handles.iter().map(|handle| handle.status.borrow().session).collect();
    let requests = |server: &common::zookeeper::ZooKeeper| {
        let said = server.command("srvr").unwrap();
        let received = said.lines().find_map(|line| line.strip_prefix("Received: ")).unwrap();
        received.parse::<u64>().unwrap()
    };
    let asked = requests(&server);
    // The smallest view that anybody has in the meantime.
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let watchers: Vec<_> = handles
        .iter()
        .map(|handle| {
            let (mut view, mut stopped) = (handle.view.clone(), stopped.clone());
            tokio::spawn(async move {
                let mut least = view.borrow().members.len();
                loop {
                    tokio::select! {
                        _ = stopped.changed() => return least,
                        _ = view.changed() => least = least.min(view.borrow_and_update().members.len()),
                    }
                }
            })
        })
        .collect();

    server.pause().unwrap();
    tokio::time::sleep(2 * SESSION).await;
    server.resume().unwrap();
    for (handle, session) in handles.iter().zip(&sessions) {
        until("a new session, registered", &handle.status, |status| {
            status.registered && status.session != *session
        })
        .await;
    }
    let outside = client(&server).await;
    let mut names = Vec::new();
    for _ in 0..600 {
        names = outside.list_children(MEMBERS).await.unwrap();
        if names.len() == usize::from(AGENTS) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(names.len(), usize::from(AGENTS), "each once: {names:?}");
    let addresses: BTreeSet<_> = names
        .iter()
        .map(|name| name.split('-').nth(1).unwrap().split(':').next().unwrap().to_owned())
        .collect();
    assert_eq!(addresses.len(), usize::from(AGENTS), "each once: {addresses:?}");
    // All others by their new entries, and nobody kept for having vanished.
    for handle in &handles {
        until("all others", &handle.view, |view| view.members.len() == others).await;
        eventually("nobody is kept any more", || handle.stats().members_kept == 0).await;
    }
    let asked = requests(&server) - asked;
    stop.send(true).unwrap();
    for watcher in watchers {
        let least = watcher.await.unwrap();
        assert_eq!(least, others, "somebody was forgotten meanwhile");
    }
    let mut sums = [0; 4];
    for (handle, before) in handles.iter().zip(before) {
        let stats = handle.stats();
        let since = [
            stats.sessions - before.sessions,
            stats.connect_failures - before.connect_failures,
            stats.reads - before.reads,
            stats.relists - before.relists,
        ];
        // One session is enough, and a second where the first was lost while everybody came back.
        assert!(
            (1..=2).contains(&since[0]),
            "sessions, failures, reads, lists: {since:?}"
        );
        // An attempt takes at least the pause before it, which grows.
        assert!(since[1] <= 10, "sessions, failures, reads, lists: {since:?}");
        // The entries of all others changed once, and once more where two sessions were needed.
        assert!(
            since[2] <= 2 * u64::from(AGENTS),
            "sessions, failures, reads, lists: {since:?}"
        );
        assert!(since[3] <= 8, "sessions, failures, reads, lists: {since:?}");
        (0..4).for_each(|i| sums[i] += since[i]);
    }
    let each = |sum: u64| sum as f64 / f64::from(AGENTS);
    println!(
        "for each of {AGENTS} agents: {:.1} sessions, {:.1} attempts that failed, {:.1} entries and {:.1} lists read; {:.0} requests of any kind",
        each(sums[0]),
        each(sums[1]),
        each(sums[2]),
        each(sums[3]),
        each(asked)
    );
}
