//! The prober as a whole: reuse, reconnection, bounds, and each ping's fate told exactly once.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use common::{PATIENCE, Probe, Running, config, eventually, listener, target};
use dt_probe::{Fate, TargetId, What};
use dt_rpc::{ProberConfig, ServerOptions};
use dt_serve::Limits;
use tokio::time::Instant;

#[tokio::test]
async fn many_pings_share_one_connection() {
    let running = Running::start().await;
    let mut probe = Probe::of(running.address, config(30_000, 10));
    for _ in 0..50 {
        probe.received().await;
    }
    assert_eq!(running.server.door().stats().accepted.load(SeqCst), 1);
    assert!(running.server.stats().pings.load(SeqCst) >= 50);
}

#[tokio::test]
async fn without_room_for_a_connection_each_ping_dials_and_closes() {
    let running = Running::start().await;
    let mut probe = Probe::of(
        running.address,
        ProberConfig {
            max_connections: 0,
            ..config(30_000, 10)
        },
    );
    for _ in 0..10 {
        probe.received().await;
    }
    assert!(running.server.door().stats().accepted.load(SeqCst) >= 10);
    probe.prober.set_enabled(false);
    eventually("the connections are closed", || {
        while probe.events.try_recv().is_ok() {}
        running.server.door().stats().open.load(SeqCst) == 0
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_restarts_is_found_again() {
    let running = Running::start().await;
    let address = running.address;
    let mut probe = Probe::of(address, config(30_000, 20));
    probe.received().await;
    running.stop().await;
    while probe.fate().await != Fate::Refused {}
    let again = Running::with(&address.to_string(), ServerOptions::default()).await;
    while probe.fate().await != Fate::Received {}
    assert_eq!(again.server.door().stats().accepted.load(SeqCst), 1);
}

#[tokio::test]
async fn overlap_is_bounded_and_what_is_beyond_is_skipped() {
    let address = silent().await;
    let mut probe = Probe::of(
        address,
        ProberConfig {
            max_overlap: 2,
            ..config(60_000, 10)
        },
    );
    for _ in 0..5 {
        let event = probe.next().await;
        assert!(matches!(event.event.what, What::Skipped(_)), "{event:?}");
        assert_eq!(event.trace, None);
    }
    assert_eq!(probe.prober.in_flight(), 2);
}

#[tokio::test]
async fn dials_beyond_their_bound_are_skipped_not_lost() {
    let dead = silent().await;
    let mut probe = Probe::start(ProberConfig {
        max_dials: 1,
        ..config(300, 20)
    });
    for id in 0..3 {
        assert!(probe.prober.add(TargetId(id), target(dead)));
    }
    let (mut lost, mut skipped) = (0, 0);
    while lost < 2 || skipped < 2 {
        match probe.next().await.event.what {
            What::Failed(Fate::Lost) => lost += 1,
            What::Skipped(_) => skipped += 1,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_removed_target_gets_its_last_fate_and_then_gone() {
    let mut probe = Probe::of(silent().await, config(500, 10));
    eventually("a ping is in flight", || probe.prober.in_flight() > 0).await;
    probe.prober.remove(TargetId(0));
    let mut fates = 0;
    loop {
        match probe.next().await.event.what {
            What::Failed(Fate::Lost) => fates += 1,
            What::Skipped(_) => {}
            What::Gone => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(fates >= 1);
    assert_eq!(probe.prober.in_flight(), 0);
    // The id is free again, and nothing of the old one comes.
    let running = Running::start().await;
    assert!(probe.prober.add(TargetId(0), target(running.address)));
    assert!(!probe.prober.add(TargetId(0), target(running.address)), "taken");
    assert_eq!(probe.fate().await, Fate::Received);
}

#[tokio::test]
async fn the_kill_switch_stops_pings_and_skips_nothing() {
    let running = Running::start().await;
    let mut probe = Probe::of(running.address, config(30_000, 10));
    probe.received().await;
    probe.prober.set_enabled(false);
    eventually("nothing is in flight", || probe.prober.in_flight() == 0).await;
    while probe.events.try_recv().is_ok() {}
    let before = running.server.stats().pings.load(SeqCst);
    let quiet = tokio::time::timeout(Duration::from_millis(500), probe.events.recv()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    assert_eq!(running.server.stats().pings.load(SeqCst), before);
    let resumed = Instant::now();
    probe.prober.set_enabled(true);
    let mut skipped = 0;
    while let What::Skipped(turns) = probe.next().await.event.what {
        skipped += u128::from(turns);
    }
    // A slow machine may have skipped turns since, but none of the 50 that passed while it was off.
    assert!(skipped <= resumed.elapsed().as_millis() / 10 + 1, "{skipped}");
}

#[tokio::test]
async fn drain_waits_for_answers_and_counts_what_it_gives_up() {
    let mut probe = Probe::of(
        silent().await,
        ProberConfig {
            max_overlap: 1,
            ..config(60_000, 10)
        },
    );
    eventually("a ping is in flight", || probe.prober.in_flight() == 1).await;
    let abandoned = probe.prober.drain(Instant::now() + Duration::from_millis(200)).await;
    assert_eq!(abandoned, 1);
    while let Ok(event) = probe.events.try_recv() {
        assert!(matches!(event.event.what, What::Skipped(_)), "{event:?}");
    }

    let running = Running::start().await;
    let mut probe = Probe::of(running.address, config(30_000, 10));
    probe.received().await;
    assert_eq!(probe.prober.drain(Instant::now() + PATIENCE).await, 0);
    assert_eq!(probe.prober.in_flight(), 0);
    eventually("its connection is closed", || {
        running.server.door().stats().open.load(SeqCst) == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_peers_get_each_fate_exactly_once() {
    const PEERS: u32 = 1000;
    // All of them are at one address, which is not what its share is for.
    let limits = Limits {
        arriving: PEERS as usize,
        open: PEERS as usize,
        per_source: PEERS as usize,
    };
    let options = ServerOptions {
        limits,
        ..ServerOptions::default()
    };
    let running = Running::with("127.0.0.1:0", options).await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let mut probe = Probe::start(config(30_000, 3000));
    for id in 0..PEERS {
        let address = if id % 10 == 0 { closed } else { running.address };
        assert!(probe.prober.add(TargetId(id), target(address)));
    }
    let (mut received, mut refused) = (HashMap::<u32, u64>::new(), HashMap::<u32, u64>::new());
    let mut traces = 0;
    let mut count = |event: dt_rpc::GrpcEvent| {
        traces += usize::from(event.trace.is_some());
        match event.event.what {
            What::Received(_) => *received.entry(event.event.target.0).or_default() += 1,
            What::Failed(Fate::Refused) => *refused.entry(event.event.target.0).or_default() += 1,
            What::Skipped(_) => return received.len() + refused.len(),
            other => panic!("{other:?}"),
        }
        received.len() + refused.len()
    };
    while count(probe.next().await) < PEERS as usize {}
    // Those in flight are decided while it drains; the channel has room for them.
    let draining = probe.prober.drain(Instant::now() + PATIENCE);
    let mut draining = std::pin::pin!(draining);
    let abandoned = loop {
        tokio::select! {
            biased;
            event = probe.events.recv() => { count(event.unwrap()); }
            abandoned = &mut draining => break abandoned,
        }
    };
    while let Ok(event) = probe.events.try_recv() {
        count(event);
    }
    assert_eq!(abandoned, 0);
    assert!(received.keys().all(|id| id % 10 != 0) && refused.keys().all(|id| id % 10 == 0));
    let answered: u64 = received.values().sum();
    assert_eq!(
        answered,
        running.server.stats().pings.load(SeqCst),
        "every answer of the server is one event"
    );
    assert_eq!(
        running.server.door().stats().accepted.load(SeqCst),
        900,
        "one connection a peer"
    );
    let fates = answered + refused.values().sum::<u64>();
    assert_eq!(traces as u64, fates);
    let counters = probe.prober.counters();
    let count = |counter: &AtomicU64| counter.load(SeqCst);
    assert_eq!(
        (count(&counters.begun), count(&counters.abandoned)),
        (fates + count(&counters.voided), 0)
    );
}

async fn silent() -> SocketAddr {
    listener(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await
}

#[tokio::test]
async fn a_stranger_who_answers_is_pinged_as_any_other() {
    let running = Running::start().await;
    let mut probe = Probe::start(config(30_000, 10));
    assert!(probe.prober.add_stranger(TargetId(0), target(running.address)));
    assert_eq!(probe.prober.strangers(), 1);
    probe.received().await;
    assert_eq!(probe.prober.strangers(), 0);
    for _ in 0..20 {
        probe.received().await;
    }
    assert_eq!(
        running.server.door().stats().accepted.load(SeqCst),
        1,
        "over one connection"
    );
}

#[tokio::test]
async fn where_nobody_is_pinged_strangers_are_asked_once() {
    let running = Running::start().await;
    let mut probe = Probe::start(ProberConfig {
        pings: false,
        ..config(30_000, 10)
    });
    for n in 0..3 {
        assert!(probe.prober.add_stranger(TargetId(n), target(running.address)));
        probe.received().await;
        assert_eq!(running.server.stats().pings.load(SeqCst), u64::from(n) + 1);
    }
    assert_eq!((probe.prober.strangers(), probe.prober.in_flight()), (0, 0));
    probe.prober.remove(TargetId(0));
    probe.until(What::Gone).await;
}

#[tokio::test]
async fn a_stranger_is_dialled_once_for_a_ping_and_not_soon_again() {
    let dials = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&dials);
    let address = listener(move |stream| {
        counted.fetch_add(1, SeqCst);
        async move { drop(stream) }
    })
    .await;
    let mut probe = Probe::start(config(30_000, 10));
    // A friend elsewhere shows that time goes by.
    let running = Running::with("127.0.0.2:0", ServerOptions::default()).await;
    assert!(probe.prober.add_stranger(TargetId(0), target(address)));
    assert!(probe.prober.add_stranger(TargetId(1), target(address)));
    assert_eq!(probe.fate().await, Fate::Refused);
    assert!(probe.prober.add(TargetId(2), target(running.address)));
    for _ in 0..50 {
        probe.received().await;
    }
    assert_eq!((dials.load(SeqCst), probe.prober.strangers()), (1, 2));
}
