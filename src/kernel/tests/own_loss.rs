//! What this host loses itself is never told as the network's: a whole probe thread over real sockets, in a network that
//! loses only what the test has it lose.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;

use common::{firewall, in_namespace, shell, until};
use dt_kernel::Features;
use dt_kernel::sandbox::Sandbox;
use dt_kernel::setup::{self, Ready, Tcp, Wanted};
use dt_kernel::thread::{self, Command, Report, Scheduling, Shell};
use dt_probe::time::MILLISECOND;
use dt_probe::{Clock, Fate, Method, Mode, TargetId, TargetSpec, What};

/// What became of all probes of a run, and what the thread counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    received: u64,
    lost: u64,
    send_error: u64,
    unreachable: u64,
    skipped: u64,
    other: u64,
    /// Samples by a weaker clock.
    fallbacks: u64,
}

impl Told {
    fn add(&mut self, what: What) {
        match what {
            What::Received(sample) => {
                self.received += 1;
                self.fallbacks += u64::from(sample.fallback || sample.tx != Clock::Kernel);
            }
            What::Failed(Fate::Lost) => self.lost += 1,
            What::Failed(Fate::SendError) => self.send_error += 1,
            What::Failed(Fate::Unreachable) => self.unreachable += 1,
            What::Skipped(count) => self.skipped += u64::from(count),
            _ => self.other += 1,
        }
    }

    fn all(&self) -> u64 {
        self.received + self.lost + self.send_error + self.unreachable + self.skipped
    }
}

/// What the thread counted.
#[derive(Clone, Copy, Debug)]
struct Counted {
    drops: u64,
    overflows: u64,
    voided: u64,
}

fn wanted(mode: Mode, off: &str) -> Wanted {
    Wanted {
        mode,
        timeout_ns: 300 * MILLISECOND,
        rate: 1_000_000,
        slots: 1 << 14,
        seed: 1,
        phase_start: 0,
        features: off.parse::<Features>().unwrap(),
        card: None,
    }
}

fn counted(count: u32) -> Mode {
    Mode::Counted { count, period_ns: 0 }
}

fn icmp(mode: Mode, off: &str) -> Ready {
    setup::icmp(&wanted(mode, off), 56, dt_kernel::clock::mono()).unwrap()
}

fn syn(count: u32) -> Ready {
    let tcp = Tcp {
        method: Some(Method::Syn),
        source_ports: 64,
        range: None,
    };
    setup::tcp(&wanted(counted(count), ""), &tcp, dt_kernel::clock::mono()).unwrap()
}

/// The sockets of a lane that is ready, to be changed while it runs.
fn sockets(ready: &Ready) -> Vec<socket2::Socket> {
    let Shell::Packets { v4, v6, .. } = &ready.setup.shell else {
        return Vec::new();
    };
    let channels = [v4, v6].into_iter().flatten();
    channels
        .map(|channel| channel.as_fd().try_clone_to_owned().unwrap().into())
        .collect()
}

/// Gives receive buffers of so many bytes; the kernel has a least size.
fn shrink(sockets: &[socket2::Socket], bytes: usize) {
    for socket in sockets {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
}

/// Starts the thread, does `meanwhile`, adds the targets, waits until `probes` turns of them are accounted for, and ends it.
fn run(
    ready: Ready,
    targets: impl Iterator<Item = SocketAddr>,
    probes: u64,
    meanwhile: impl FnOnce(),
) -> (Told, Counted) {
    run_until(ready, targets, Ipv4Addr::LOCALHOST, meanwhile, |told| {
        told.all() >= probes
    })
}

fn run_until(
    ready: Ready,
    targets: impl Iterator<Item = SocketAddr>,
    source_of_syns: Ipv4Addr,
    meanwhile: impl FnOnce(),
    mut is_enough: impl FnMut(&Told) -> bool,
) -> (Told, Counted) {
    let kind = ready.setup.kind;
    let mut handle = thread::spawn(
        "probes",
        vec![ready.setup],
        1 << 16,
        Scheduling::default(),
        Sandbox::Off,
    )
    .unwrap();
    meanwhile();
    for (id, address) in (0..).map(TargetId).zip(targets) {
        let source = (address.port() > 0).then(|| source_of_syns.into());
        let spec = TargetSpec { id, address, source };
        handle.command(Command::Add(kind, spec)).unwrap();
    }
    let mut told = Told::default();
    until("the fates of enough probes", || {
        while let Some(report) = handle.report() {
            if let Report::Event(_, event) = report {
                told.add(event.what);
            }
        }
        is_enough(&told).then_some(())
    });
    let (_, books) = handle.stop()[0];
    let lane = &handle.stats().lanes[0];
    let counted = Counted {
        drops: lane.receive_drops.load(Relaxed),
        overflows: lane.stamp_overflows.load(Relaxed),
        voided: books.voided,
    };
    (told, counted)
}

fn loopback(count: u16) -> impl Iterator<Item = SocketAddr> {
    (0..count).map(|n| {
        let [high, low] = n.to_be_bytes();
        SocketAddr::new(IpAddr::from([127, 1, high, low]), 0)
    })
}

#[test]
fn answers_that_the_receive_buffer_drops_are_not_lost() {
    for off in ["", "ts-opt-id", "tx-stamps"] {
        in_namespace(|| {
            let ready = icmp(counted(20), off);
            let sockets = sockets(&ready);
            let (told, counted) = run(ready, loopback(100), 2_000, || shrink(&sockets, 1));
            assert_eq!(
                (told.lost, told.send_error, told.unreachable, told.other),
                (0, 0, 0, 0),
                "{off}: {told:?}"
            );
            assert_eq!(told.received + told.skipped, 2_000);
            assert!(told.skipped > 100, "the buffer has room for few: {told:?}");
            assert_eq!(counted.voided, told.skipped);
            assert!(counted.drops >= counted.voided, "{counted:?}");
        });
    }
}

#[test]
fn answers_to_syns_that_the_receive_buffer_drops_are_not_lost() {
    in_namespace(|| {
        let _listener = TcpListener::bind("0.0.0.0:7000").unwrap();
        let ready = syn(20);
        let sockets = sockets(&ready);
        let targets = loopback(50).map(|target| SocketAddr::new(target.ip(), 7000));
        let (told, counted) = run(ready, targets, 1_000, || shrink(&sockets, 1));
        assert_eq!((told.lost, told.send_error, told.unreachable), (0, 0, 0), "{told:?}");
        assert_eq!(told.received + told.skipped, 1_000, "{told:?}");
        assert!(
            told.skipped > 50 && counted.voided == told.skipped,
            "{told:?} {counted:?}"
        );
    });
}

/// A buffer that is small from the start is never asked to hold more than it can: no more is sent in a turn.
#[test]
fn a_small_buffer_holds_what_one_turn_sends() {
    in_namespace(|| {
        for payload in [56, 1452] {
            let ready = setup::icmp(&wanted(counted(50), ""), payload, dt_kernel::clock::mono()).unwrap();
            shrink(&sockets(&ready), 32 << 10);
            let (told, counted) = run(ready, loopback(200), 10_000, || {});
            let all = Told {
                received: 10_000,
                ..Told::default()
            };
            assert_eq!(
                (told, counted.drops, counted.voided),
                (all, 0, 0),
                "{payload}: all with both stamps"
            );
        }
    });
}

/// The error queue overflows without a word. Nothing answers, so that nothing but stamps is in the buffer.
#[test]
fn stamps_that_the_error_queue_drops_make_no_send_errors() {
    in_namespace(|| {
        firewall("input", &["icmp type echo-request drop"]);
        let ready = icmp(counted(5), "");
        let sockets = sockets(&ready);
        let (told, counted) = run(ready, loopback(200), 1_000, || shrink(&sockets, 1));
        let lost = Told {
            lost: 1_000,
            ..Told::default()
        };
        assert_eq!(told, lost);
        assert!(counted.overflows > 0, "{counted:?}");
        assert_eq!(counted.voided, 0);
    });
}

#[test]
fn what_an_output_filter_drops_never_left() {
    in_namespace(|| {
        firewall(
            "output",
            &[
                "ip daddr 127.1.0.0/31 icmp type echo-request drop",
                "tcp dport 9 tcp flags & (syn|rst) == syn drop",
            ],
        );
        let (told, _) = run(icmp(counted(10), ""), loopback(10), 100, || {});
        let some = Told {
            received: 80,
            send_error: 20,
            ..Told::default()
        };
        assert_eq!(told, some);

        let listener = TcpListener::bind("127.0.0.1:7000").unwrap();
        let ready = syn(10);
        let targets = ["127.0.0.1:7000".parse().unwrap(), "127.0.0.1:9".parse().unwrap()];
        let (told, _) = run(ready, targets.into_iter(), 20, || {});
        let some = Told {
            received: 10,
            send_error: 10,
            ..Told::default()
        };
        assert_eq!(told, some);
        drop(listener);
    });
}

/// Where no way was found a SYN has no source to make its checksum for: it must not leave, for nobody would answer it.
#[test]
fn a_syn_without_a_source_never_leaves() {
    in_namespace(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ready = syn(10);
        let target = std::iter::once(listener.local_addr().unwrap());
        let (told, _) = run_until(ready, target, Ipv4Addr::UNSPECIFIED, || {}, |told| told.all() >= 10);
        let some = Told {
            unreachable: 10,
            ..Told::default()
        };
        assert_eq!(told, some);
    });
}

/// Two interfaces of this namespace that are joined, with a queue of the test's choice on the one that probes leave by.
/// Nobody answers on the other side: what really leaves is lost.
fn queue(commands: &[&str]) {
    shell(
        "ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; ip addr add 192.0.2.1/24 dev v0; \
         ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev v0",
    );
    for command in commands {
        shell(&format!("tc qdisc add dev v0 {command}"));
    }
}

/// How many packets left by the interface.
fn left() -> u64 {
    let text = shell("cat /proc/net/dev");
    let line = text.lines().find_map(|line| line.trim().strip_prefix("v0:")).unwrap();
    line.split_whitespace().nth(9).unwrap().parse().unwrap()
}

fn beyond() -> impl Iterator<Item = SocketAddr> {
    std::iter::once("192.0.2.9:0".parse().unwrap())
}

/// The queue's refusal (`ENOBUFS`) is each packet's own: it never left.
#[test]
fn what_a_full_queue_refuses_never_left() {
    in_namespace(|| {
        queue(&["root tbf rate 32kbit burst 1600 limit 300"]);
        let ready = icmp(
            Mode::Continuous {
                period_ns: 10 * MILLISECOND,
            },
            "",
        );
        let before = left();
        // Turns that this host comes too late for are skipped, and refused by nobody.
        let (told, _) = run_until(ready, beyond(), Ipv4Addr::LOCALHOST, || {}, |told| told.send_error > 50);
        assert_eq!((told.received, told.unreachable), (0, 0), "{told:?}");
        assert!(told.lost <= left() - before, "only what has left is lost: {told:?}");
    });
}

/// The socket's own send buffer is full of packets that wait in a slow queue: the probe is tried again, and skipped when it
/// has become too late for that.
#[test]
fn what_finds_no_room_in_the_send_buffer_is_skipped() {
    in_namespace(|| {
        queue(&["root tbf rate 8kbit burst 1600 limit 10000000"]);
        let ready = icmp(
            Mode::Continuous {
                period_ns: 10 * MILLISECOND,
            },
            "",
        );
        for socket in sockets(&ready) {
            socket.set_send_buffer_size(1).unwrap();
        }
        let before = left();
        let (told, _) = run(ready, beyond(), 200, || {});
        assert!(told.skipped > 50, "{told:?}");
        assert_eq!((told.received, told.unreachable), (0, 0), "{told:?}");
        assert!(told.lost <= left() - before, "only what has left is lost: {told:?}");
    });
}

/// A policy that lets nothing to one target out of the device: the others' probes leave as ever, and the run ends.
#[test]
fn what_a_policy_at_the_device_drops_never_left() {
    in_namespace(|| {
        queue(&[]);
        shell(
            "nft 'table netdev t { chain c { type filter hook egress device v0 priority 0; ip protocol icmp drop; }; }'",
        );
        let (told, _) = run(icmp(counted(10), ""), beyond().chain(loopback(9)), 100, || {});
        let some = Told {
            received: 90,
            send_error: 10,
            ..Told::default()
        };
        assert_eq!(told, some);
    });
}

/// A queue that drops what waited longest and tells nobody: such a probe has no transmit stamp.
#[test]
fn what_a_queue_drops_without_a_word_never_left() {
    in_namespace(|| {
        queue(&[
            "root handle 1: tbf rate 80kbit burst 1600 limit 100000",
            "parent 1:1 pfifo_head_drop limit 4",
        ]);
        let before = left();
        let (told, _) = run(icmp(counted(100), ""), beyond(), 100, || {});
        // The last ones may leave after their time-out.
        until("an empty queue", || {
            shell("tc -s qdisc show dev v0").contains("backlog 0b 0p").then_some(())
        });
        let left = left() - before;
        assert!(told.send_error > 50, "{told:?}");
        assert_eq!((told.received, told.skipped, told.unreachable), (0, 0, 0), "{told:?}");
        assert!(told.lost <= left, "{told:?}, {left} left");
        assert_eq!(told.lost + told.send_error, 100);
    });
}
