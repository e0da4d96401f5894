//! ICMP echoes over loopback: every one comes back, stamped by the kernel on both sides, and nobody else's does.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::net::IpAddr;

use common::{BOTH, Log, commit_echo, in_namespace, send, until};
use dt_kernel::{Batch, Clocks, Family, Features, PacketChannel, SendOutcome, SocketMethod, StampKeying};
use dt_probe::Clock;

fn open(family: Family) -> PacketChannel {
    let mut channel = PacketChannel::echo(family, 0x7a31, &Features::default()).unwrap();
    assert!(
        channel.warm_up().unwrap(),
        "loopback answers with stamps: {}",
        channel.detected()
    );
    channel
}

/// A thousand targets where the family has them on loopback.
fn target(family: Family, number: u32) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from((0x7f01_0000 + number).to_be_bytes()),
        Family::V6 => family.loopback(),
    }
}

#[test]
fn every_probe_is_stamped_on_both_sides_from_the_first_on() {
    for family in BOTH {
        in_namespace(|| {
            let mut channel = open(family);
            assert_eq!(channel.detected().method, SocketMethod::Raw);
            assert_eq!(
                (channel.detected().tx_stamps.is_some(), channel.detected().rx_stamps),
                (true, true)
            );
            let (mut batch, mut log, mut clocks) = (Batch::new(), Log::default(), Clocks::new());
            let before = clocks.read();
            let keys: Vec<u32> = (0..1_000u32)
                .map(|number| (u32::MAX - 300).wrapping_add(7 * number))
                .collect();
            for chunk in keys.chunks(64) {
                for (number, &key) in chunk.iter().enumerate() {
                    commit_echo(&mut batch, &channel, target(family, number as u32 + 1), key);
                }
                let results = send(&mut channel, &mut batch);
                assert_eq!(
                    results,
                    chunk.iter().map(|&key| (key, SendOutcome::Sent)).collect::<Vec<_>>()
                );
                log.read(&mut channel);
            }
            until("all replies and stamps", || {
                log.read(&mut channel);
                (log.replies.len() == 1_000 && log.left.len() == 1_000).then_some(())
            });
            let after = clocks.read();
            assert_eq!(before.epoch, after.epoch, "the clock was stepped during the test");
            assert_eq!(
                (log.count, log.by_packet, log.other, log.errors.len()),
                (1_000, 0, 0, 0)
            );
            for (index, key) in keys.into_iter().enumerate() {
                assert_eq!(log.from[&key], target(family, index as u32 % 64 + 1));
                let (rx, clock) = log.replies[&key].expect("a receive stamp");
                let tx = log.left[&key];
                assert_eq!(clock, Clock::Kernel);
                assert!(
                    before.wall <= tx && tx <= rx && rx <= after.wall,
                    "{before:?} {tx:?} {rx:?} {after:?}"
                );
            }
            assert_eq!((channel.drops(), channel.skipped()), (0, Default::default()));
        });
    }
}

#[test]
fn keys_of_any_value_come_back() {
    in_namespace(|| {
        let mut channel = open(Family::V4);
        assert_eq!(
            channel.detected().tx_stamps,
            Some(StampKeying::Id),
            "a kernel since 6.13"
        );
        let (mut batch, mut log) = (Batch::new(), Log::default());
        let keys = [0, 1, u32::MAX, 0x8000_0000, 0x1234_5678];
        for key in keys {
            commit_echo(&mut batch, &channel, target(Family::V4, 1), key);
        }
        send(&mut channel, &mut batch);
        until("all stamps", || {
            log.read(&mut channel);
            (log.left.len() == keys.len() && log.replies.len() == keys.len()).then_some(())
        });
        assert!(
            keys.iter()
                .all(|key| log.left.contains_key(key) && log.replies.contains_key(key))
        );
    });
}

#[test]
fn the_warm_up_leaves_the_socket_empty() {
    for family in BOTH {
        in_namespace(|| {
            let mut channel = open(family);
            let mut log = Log::default();
            log.read(&mut channel);
            assert_eq!((log.count, log.left.len(), log.other), (0, 0, 0));
            assert_eq!(channel.memory().unwrap().0, 0, "nothing in the receive buffer");
        });
    }
}

#[test]
fn without_loopback_the_warm_up_says_so_and_nothing_is_given_up() {
    in_namespace(|| {
        common::shell("ip link set lo down");
        let mut channel = PacketChannel::echo(Family::V4, 77, &Features::default()).unwrap();
        assert!(!channel.warm_up().unwrap());
        assert_eq!(
            (channel.detected().tx_stamps, channel.detected().rx_stamps),
            (Some(StampKeying::Id), true)
        );
    });
}

/// Replies to others' requests cost a raw socket nothing: two filters keep them out, also out of its buffer.
#[test]
fn a_flood_of_foreign_replies_does_not_reach_us() {
    for family in BOTH {
        in_namespace(|| {
            let mut ours = open(family);
            let mut other = PacketChannel::echo(family, 0x7a32, &Features::default()).unwrap();
            let (mut batch, mut log, mut foreign) = (Batch::new(), Log::default(), Log::default());
            for round in 0..100 {
                for key in 0..64 {
                    commit_echo(&mut batch, &other, target(family, 1), round * 64 + key);
                }
                send(&mut other, &mut batch);
                foreign.read(&mut other);
            }
            commit_echo(&mut batch, &ours, target(family, 1), 1);
            send(&mut ours, &mut batch);
            until("our reply", || {
                log.read(&mut ours);
                (log.count > 0).then_some(())
            });
            until("all foreign replies", || {
                foreign.read(&mut other);
                (foreign.count == 6_400).then_some(())
            });
            log.read(&mut ours);
            assert_eq!((log.count, ours.drops(), ours.skipped()), (1, 0, Default::default()));
        });
    }
}

/// Somebody else asks this host for replies with our identifier, as another `ping` may by chance and a forger on purpose.
#[test]
fn replies_to_our_identifier_without_our_mark_cost_nothing() {
    use socket2::{Domain, Protocol, SockRef, Socket, Type};
    const MARK: u32 = 0x6d61_726b;
    for (family, off) in BOTH.into_iter().flat_map(|family| [(family, ""), (family, "raw")]) {
        in_namespace(|| {
            common::shell("sysctl -qw net.ipv4.ping_group_range='0 2147483647'");
            let mut ours = PacketChannel::echo(family, 0x7a31, &off.parse().unwrap()).unwrap();
            ours.warm_up().unwrap();
            // A single packet too much would be dropped and counted.
            SockRef::from(&ours).set_recv_buffer_size(1).unwrap();
            let (domain, protocol) = match family {
                Family::V4 => (Domain::IPV4, Protocol::ICMPV4),
                Family::V6 => (Domain::IPV6, Protocol::ICMPV6),
            };
            let asker = Socket::new(domain, Type::RAW, Some(protocol)).unwrap();
            let to = std::net::SocketAddr::new(target(family, 1), 0).into();
            let identifier = ours.identifier();
            let flood = |marks: std::ops::Range<u32>| {
                for mark in marks {
                    let mut packet = [0; 64];
                    let length = common::echo_request(&mut packet, family, identifier, mark, 56);
                    asker.send_to(&packet[..length], &to).unwrap();
                }
            };
            ours.only_marked(MARK).unwrap();
            flood(0..5_000);
            assert_eq!(ours.memory().unwrap().0, 0, "{family} {off:?}");
            let (mut batch, mut log) = (Batch::new(), Log::default());
            commit_echo(&mut batch, &ours, target(family, 1), MARK);
            send(&mut ours, &mut batch);
            until("our reply", || {
                log.read(&mut ours);
                log.replies.contains_key(&MARK).then_some(())
            });
            assert_eq!((log.count, ours.drops(), ours.skipped()), (1, 0, Default::default()));
            // What is told apart is the mark and nothing else.
            flood(MARK..MARK + 1);
            until("a reply with the mark", || {
                log.read(&mut ours);
                (log.count == 2).then_some(())
            });
        });
    }
}

/// A raw socket hears everything from the moment it is made, and its filter comes a moment later.
#[test]
fn what_came_in_before_the_filter_is_thrown_away() {
    in_namespace(|| {
        let mut other = open(Family::V4);
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut batch = Batch::new();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    while !batch.is_full() {
                        commit_echo(&mut batch, &other, target(Family::V4, 1), 1);
                    }
                    other.send(&mut batch, &mut |_| {});
                }
            });
            // Without transmit stamps nothing is sent and read on opening.
            let features: Features = "tx-stamps".parse().unwrap();
            let heard = (0..500).find(|_| {
                let mut channel = PacketChannel::echo(Family::V4, 0x7a33, &features).unwrap();
                channel.receive(&mut |_| {}).unwrap() > 0
            });
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(heard, None, "a channel heard a foreign reply");
        });
    });
}

#[test]
fn what_the_receive_buffer_drops_is_counted() {
    in_namespace(|| {
        let mut channel = open(Family::V4);
        let (mut batch, mut log) = (Batch::new(), Log::default());
        const SENT: usize = 320 * 64;
        for key in 0..SENT as u32 {
            commit_echo(&mut batch, &channel, target(Family::V4, 1), key);
            if batch.is_full() {
                send(&mut channel, &mut batch);
            }
        }
        let (used, limit) = channel.memory().unwrap();
        assert!(used > limit / 2, "the buffer should be full: {used} of {limit}");
        let known = channel.drops();
        assert!(known > 0, "told by memory() before a packet is read");
        log.read(&mut channel);
        assert!(log.left.len() < SENT, "stamps are dropped too, and not counted");
        // On loopback each reply is there or dropped by the time its request was sent. A full raw socket counts what its
        // filter would have kept out as well: here the requests, which come by on their way in.
        let lost = (SENT - log.count) as u64;
        assert!(
            (lost..=2 * lost).contains(&channel.drops()),
            "{lost} {}",
            channel.drops()
        );
        // The count stays when packets go through again.
        commit_echo(&mut batch, &channel, target(Family::V4, 1), 1);
        send(&mut channel, &mut batch);
        until("a reply after the overflow", || {
            let mut after = Log::default();
            after.read(&mut channel);
            (after.count > 0).then_some(())
        });
        assert_eq!(channel.drops(), known);
    });
}

#[test]
fn a_source_address_is_used() {
    in_namespace(|| {
        for address in ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"] {
            common::add_address(address.parse().unwrap());
        }
        for (family, to, from) in [
            (Family::V4, "192.0.2.1", "192.0.2.2"),
            (Family::V6, "2001:db8::1", "2001:db8::2"),
        ] {
            let mut channel = open(family);
            let mut batch = Batch::new();
            let (to, from): (IpAddr, IpAddr) = (to.parse().unwrap(), from.parse().unwrap());
            let identifier = channel.identifier();
            for (key, source) in [(1, Some(from)), (2, Some("198.51.100.1".parse().unwrap()))] {
                let source = if key == 2 && family == Family::V6 {
                    Some("2001:db8::99".parse().unwrap())
                } else {
                    source
                };
                let length = common::echo_request(batch.next_buffer(), family, identifier, key, 56);
                batch.commit(key, std::net::SocketAddr::new(to, 0), source, length);
            }
            let listener = capture(family);
            let results = send(&mut channel, &mut batch);
            assert_eq!(results[0], (1, SendOutcome::Sent));
            // Kernels differ in which errno tells that the source isn't ours.
            let refused = matches!(
                results[1],
                (2, SendOutcome::Failed(libc::EINVAL) | SendOutcome::NoRoute)
            );
            assert!(refused, "not our address: {results:?}");
            assert_eq!(until("the request", &listener), from);
        }
    });
}

/// A raw socket of the test's own that tells the sources of echo requests.
fn capture(family: Family) -> impl Fn() -> Option<IpAddr> {
    use socket2::{Domain, Protocol, Socket, Type};
    let (domain, protocol, request, header) = match family {
        Family::V4 => (Domain::IPV4, Protocol::ICMPV4, 8, 20),
        Family::V6 => (Domain::IPV6, Protocol::ICMPV6, 128, 0),
    };
    let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(protocol)).unwrap();
    move || {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 200];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // SAFETY: recv_from initialised the first `length` bytes, of which this is one.
            if length > header && unsafe { buffer[header].assume_init() } == request {
                return from.as_socket().map(|address| address.ip());
            }
        }
        None
    }
}

#[test]
fn a_packet_longer_than_is_kept_is_skipped_and_counted() {
    in_namespace(|| {
        let mut channel = open(Family::V4);
        // The longest packet we send is shorter than what is kept, so somebody else asks for a long reply with our identifier.
        let asker = socket2::Socket::new(
            socket2::Domain::IPV4,
            socket2::Type::RAW,
            Some(socket2::Protocol::ICMPV4),
        )
        .unwrap();
        let mut packet = vec![0; 4_000];
        common::echo_request(&mut packet, Family::V4, channel.identifier(), 5, 3_992);
        let to: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
        asker.send_to(&packet, &to.into()).unwrap();
        let mut log = Log::default();
        until("the skipped packet", || {
            log.read(&mut channel);
            (channel.skipped().truncated == 1).then_some(())
        });
        assert_eq!(log.count, 0);
    });
}

#[test]
fn a_batch_that_the_device_has_no_room_for_is_told_newest_first() {
    in_namespace(|| {
        common::shell(
            "ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; ip addr add 192.0.2.1/24 dev v0",
        );
        common::shell("ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev v0");
        common::shell("tc qdisc add dev v0 root tbf rate 8kbit burst 1600 limit 10000000");
        let mut channel = open(Family::V4);
        let (mut batch, mut results) = (Batch::new(), Vec::new());
        // The queue is slow and long: packets wait in it until the socket's own send buffer is full.
        for round in 0..100u32 {
            for key in 0..64 {
                commit_echo(&mut batch, &channel, "192.0.2.9".parse().unwrap(), round * 64 + key);
            }
            results = send(&mut channel, &mut batch);
            if results.iter().any(|(_, outcome)| *outcome != SendOutcome::Sent) {
                break;
            }
        }
        let first = results
            .iter()
            .position(|(_, outcome)| *outcome == SendOutcome::WouldBlock)
            .expect("a full send buffer");
        assert!(
            results[..first]
                .iter()
                .all(|(_, outcome)| *outcome == SendOutcome::Sent),
            "{results:?}"
        );
        let blocked: Vec<u32> = results[first..].iter().map(|(key, _)| *key % 64).collect();
        assert_eq!(blocked, (first as u32..64).rev().collect::<Vec<_>>());
        assert!(
            results[first..]
                .iter()
                .all(|(_, outcome)| *outcome == SendOutcome::WouldBlock)
        );
        // A short queue refuses what it has no room for, each packet for itself.
        common::shell("tc qdisc del dev v0 root; tc qdisc add dev v0 root tbf rate 8kbit burst 1600 limit 3000");
        let results = until("the queue's refusal", || {
            for key in 0..64 {
                commit_echo(&mut batch, &channel, "192.0.2.9".parse().unwrap(), key);
            }
            let results = send(&mut channel, &mut batch);
            results
                .iter()
                .any(|(_, outcome)| *outcome != SendOutcome::Sent)
                .then_some(results)
        });
        let told = [
            SendOutcome::Sent,
            SendOutcome::Failed(libc::ENOBUFS),
            SendOutcome::WouldBlock,
        ];
        assert!(results.iter().all(|(_, outcome)| told.contains(outcome)), "{results:?}");
        assert!(results.iter().any(|(_, outcome)| *outcome == told[1]), "{results:?}");
    });
}

/// A packet filter at the device says the same as a full queue. It is about one target only.
#[test]
fn a_refusal_at_the_device_is_about_that_packet_alone() {
    in_namespace(|| {
        common::shell(
            "ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; ip addr add 192.0.2.1/24 dev v0; \
             ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev v0; \
             nft 'table netdev t { chain c { type filter hook egress device v0 priority 0; ip protocol icmp drop; }; }'",
        );
        let mut channel = open(Family::V4);
        let (mut batch, mut log) = (Batch::new(), Log::default());
        for key in 0..64 {
            let to = if key % 2 == 0 { "192.0.2.9" } else { "127.0.0.1" };
            commit_echo(&mut batch, &channel, to.parse().unwrap(), key);
        }
        for (key, outcome) in send(&mut channel, &mut batch) {
            let expected = if key % 2 == 0 {
                SendOutcome::Failed(libc::ENOBUFS)
            } else {
                SendOutcome::Sent
            };
            assert_eq!(outcome, expected, "{key}");
        }
        until("the replies of the others", || {
            log.read(&mut channel);
            (log.count == 32).then_some(())
        });
    });
}
