//! What only a network can say: no route, ICMP errors, silence. Each test makes a network namespace of its own for its
//! thread, so it needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN), iproute2 and nftables, and fails where it lacks them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::future::Future;
use std::process::Command;

use common::{Probe, Running, config};
use dt_probe::Fate;
use nix::sched::{CloneFlags, unshare};

/// Runs `test` on a thread in a fresh network namespace with `lo` up.
fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let inside = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: this test needs root (CAP_SYS_ADMIN)");
        run("ip link set lo up");
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(test());
    };
    std::thread::spawn(inside).join().expect("the test in the namespace");
}

/// A child takes the namespace of the thread that starts it.
fn run(command: &str) {
    let words: Vec<_> = command.split_whitespace().collect();
    let status = Command::new(words[0]).args(&words[1..]).status();
    let status = status.unwrap_or_else(|error| panic!("{command}: {error}; install iproute2 and nftables"));
    assert!(
        status.success(),
        "{command}: {status}; this test needs root (CAP_NET_ADMIN)"
    );
}

#[test]
fn no_route_is_unreachable() {
    in_namespace(|| async {
        for address in ["10.9.9.9:4000", "[2001:db8::9]:4000"] {
            let mut probe = Probe::of(address.parse().unwrap(), config(30_000, 20));
            assert_eq!(probe.fate().await, Fate::Unreachable, "{address}");
        }
        for kind in ["unreachable", "prohibit"] {
            run(&format!("ip route replace {kind} 10.9.9.9/32"));
            let mut probe = Probe::of("10.9.9.9:4000".parse().unwrap(), config(30_000, 20));
            assert_eq!(probe.fate().await, Fate::Unreachable, "{kind}");
        }
    });
}

#[test]
fn silence_while_dialling_is_lost() {
    in_namespace(|| async {
        let running = Running::start().await;
        drop_all(running.address.port(), "drop");
        assert_eq!(Probe::of(running.address, config(300, 20)).fate().await, Fate::Lost);
    });
}

#[test]
fn an_icmp_error_is_unreachable_while_dialling_and_on_a_connection_that_stands() {
    in_namespace(|| async {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let running = Running::with(address, common::options()).await;
            let mut standing = Probe::of(running.address, config(30_000, 20));
            assert_eq!(standing.fate().await, Fate::Received);
            drop_all(running.address.port(), "reject with icmpx admin-prohibited");
            while standing.fate().await == Fate::Received {}
            assert_eq!(standing.fate().await, Fate::Unreachable, "{address}");
            let mut dialling = Probe::of(running.address, config(30_000, 20));
            assert_eq!(dialling.fate().await, Fate::Unreachable, "{address}");
            // And it recovers by itself.
            run("nft flush ruleset");
            while standing.fate().await != Fate::Received {}
        }
    });
}

#[test]
fn a_peer_that_vanishes_is_lost_then_dialled_anew_when_it_is_back() {
    in_namespace(|| async {
        let running = Running::start().await;
        let mut probe = Probe::of(running.address, config(500, 50));
        while probe.fate().await != Fate::Received {}
        drop_all(running.address.port(), "drop");
        while probe.fate().await != Fate::Lost {}
        // Long enough for the kernel to give the connection up: no answer comes over it again.
        for _ in 0..20 {
            probe.fate().await;
        }
        run("nft flush ruleset");
        while probe.fate().await != Fate::Received {}
        assert!(
            running
                .server
                .door()
                .stats()
                .accepted
                .load(std::sync::atomic::Ordering::SeqCst)
                >= 2
        );
    });
}

fn drop_all(port: u16, verdict: &str) {
    run("nft add table inet t");
    run("nft add chain inet t input { type filter hook input priority 0 ; }");
    run(&format!("nft add rule inet t input tcp dport {port} {verdict}"));
}
