//! One target's trouble is its own: ICMP errors and failing sends in the middle of a batch.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::net::IpAddr;
use std::os::fd::AsRawFd;

use common::{BOTH, Log, commit_echo, echo_key, firewall, in_namespace, send, shell, until};
use dt_kernel::{Batch, Family, Features, PacketChannel, SendOutcome, SourcePorts};

fn open(family: Family) -> PacketChannel {
    let mut channel = PacketChannel::echo(family, 4_321, &Features::default()).unwrap();
    assert!(channel.warm_up().unwrap());
    channel
}

/// Addresses of a target that answers and one that doesn't, both on this host.
fn pair(family: Family) -> (IpAddr, IpAddr) {
    let texts = match family {
        Family::V4 => ["192.0.2.1", "192.0.2.2"],
        Family::V6 => ["2001:db8::1", "2001:db8::2"],
    };
    for text in texts {
        common::add_address(text.parse().unwrap());
    }
    (texts[0].parse().unwrap(), texts[1].parse().unwrap())
}

/// By default a host sends few ICMP errors to one address.
fn unlimited_errors() {
    shell("sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0");
}

/// Answers echo requests to an address with an ICMP error.
fn reject(address: IpAddr, v4: &str, v6: &str) {
    let rule = match Family::of(address) {
        Family::V4 => format!("ip daddr {address} icmp type echo-request reject with icmp type {v4}"),
        Family::V6 => format!("ip6 daddr {address} icmpv6 type echo-request reject with icmpv6 type {v6}"),
    };
    firewall("input", &[&rule]);
}

/// Every other packet is rejected, and the ICMP error is back before the next packet of the batch is sent: its errno is pending
/// on the socket when that one's turn comes.
#[test]
fn an_icmp_error_is_queued_and_poisons_no_other_send() {
    for family in BOTH {
        in_namespace(|| {
            let (good, bad) = pair(family);
            let mut channel = open(family);
            reject(bad, "admin-prohibited", "admin-prohibited");
            unlimited_errors();
            let (mut batch, mut log) = (Batch::new(), Log::default());
            for key in 0..64 {
                commit_echo(&mut batch, &channel, if key % 2 == 0 { bad } else { good }, key);
            }
            let results = send(&mut channel, &mut batch);
            assert_eq!(results, (0..64).map(|key| (key, SendOutcome::Sent)).collect::<Vec<_>>());
            until("replies, stamps and errors", || {
                log.read(&mut channel);
                (log.replies.len() == 32 && log.left.len() == 64 && log.errors.len() == 32).then_some(())
            });
            assert!(log.replies.keys().all(|key| key % 2 == 1));
            let mut keys: Vec<u32> = log.errors.iter().map(|error| echo_key(&error.5)).collect();
            keys.sort_unstable();
            assert_eq!(keys, (0..64).step_by(2).collect::<Vec<_>>());
            for (destination, offender, kind, code, errno, _) in &log.errors {
                let expected = if family == Family::V4 {
                    (3, 13, libc::EHOSTUNREACH)
                } else {
                    (1, 1, libc::EACCES)
                };
                assert_eq!((*destination, (*kind, *code, *errno)), (bad, expected));
                assert!(offender.is_some());
            }
        });
    }
}

/// An error that waits on the socket when the next call is made is cleared, not handed to a packet that has nothing to do with
/// it, and keeps no reply from being read. Raw sockets don't look at it on sending, datagram sockets do; both do on receiving.
#[test]
fn a_pending_error_is_nobody_elses() {
    for family in BOTH {
        for off in ["", "raw"] {
            in_namespace(|| {
                shell("sysctl -qw net.ipv4.ping_group_range='0 2147483647'");
                let (good, bad) = pair(family);
                let mut channel = PacketChannel::echo(family, 4_321, &off.parse().unwrap()).unwrap();
                assert!(channel.warm_up().unwrap());
                reject(bad, "host-unreachable", "addr-unreachable");
                unlimited_errors();
                let (mut batch, mut log) = (Batch::new(), Log::default());
                for key in (0..30).step_by(3) {
                    for (key, to) in [(key, bad), (key + 1, good), (key + 2, bad)] {
                        commit_echo(&mut batch, &channel, to, key);
                        assert_eq!(send(&mut channel, &mut batch), [(key, SendOutcome::Sent)]);
                    }
                    until("a reply to be there", || readable(&channel).then_some(()));
                    // One call gives it, though the third packet's error is pending.
                    let mut replies = Vec::new();
                    channel
                        .receive(&mut |received| replies.push(echo_key(received.bytes)))
                        .unwrap();
                    assert_eq!(replies, [key + 1]);
                    until("the errors", || {
                        log.read(&mut channel);
                        (log.errors.len() as u32 == 2 * (key / 3 + 1)).then_some(())
                    });
                }
                assert_eq!(log.left.len(), 30);
            });
        }
    }
}

/// Whether a packet waits to be received; errors and stamps don't count.
fn readable(channel: &PacketChannel) -> bool {
    let mut poll = libc::pollfd {
        fd: channel.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one pollfd, exclusively borrowed; no waiting.
    let count = unsafe { libc::poll(&raw mut poll, 1, 0) };
    count == 1 && poll.revents & libc::POLLIN != 0
}

#[test]
fn a_failing_packet_in_the_middle_of_a_batch_is_its_own_failure() {
    for family in BOTH {
        in_namespace(|| {
            let (good, bad) = pair(family);
            // TEST-NET-2 and its like: no route, and one that is there to say no.
            let (no_route, unreachable): (IpAddr, IpAddr) = match family {
                Family::V4 => ("198.51.100.1".parse().unwrap(), "203.0.113.1".parse().unwrap()),
                Family::V6 => ("2001:db8:1::1".parse().unwrap(), "2001:db8:2::1".parse().unwrap()),
            };
            shell(&format!("ip route add unreachable {unreachable}"));
            let word = if family == Family::V4 { "ip" } else { "ip6" };
            firewall("output", &[&format!("{word} daddr {bad} drop")]);
            let mut channel = open(family);
            let (mut batch, mut log) = (Batch::new(), Log::default());
            let target = |key: u32| [good, bad, no_route, unreachable, good][key as usize % 5];
            for key in 0..64 {
                commit_echo(&mut batch, &channel, target(key), key);
            }
            let results = send(&mut channel, &mut batch);
            for (position, (key, outcome)) in results.iter().enumerate() {
                assert_eq!(position as u32, *key, "in order");
                let expected = match key % 5 {
                    1 => SendOutcome::Failed(libc::EPERM),
                    2 | 3 => SendOutcome::NoRoute,
                    _ => SendOutcome::Sent,
                };
                assert_eq!(*outcome, expected, "{key}");
            }
            let sent: Vec<u32> = (0..64).filter(|key| matches!(key % 5, 0 | 4)).collect();
            until("replies and stamps", || {
                log.read(&mut channel);
                (log.replies.len() == sent.len() && log.left.len() == sent.len()).then_some(())
            });
            // The keys still say whose stamp is whose: the kernel's own count would have drifted by the dropped ones.
            assert!(
                sent.iter()
                    .all(|key| log.replies.contains_key(key) && log.left.contains_key(key))
            );
        });
    }
}

#[test]
fn addresses_of_the_other_family_and_too_long_packets_fail_alone() {
    in_namespace(|| {
        let mut channel = open(Family::V4);
        shell("ip link set lo mtu 1000");
        let mut batch = Batch::new();
        for (key, to) in [(1, "127.0.0.1"), (2, "::1"), (3, "127.0.0.1"), (4, "127.0.0.1")] {
            let payload = if key == 3 { 1_400 } else { 56 };
            let length = common::echo_request(batch.next_buffer(), Family::V4, channel.identifier(), key, payload);
            batch.commit(key, std::net::SocketAddr::new(to.parse().unwrap(), 0), None, length);
        }
        let results = send(&mut channel, &mut batch);
        assert_eq!((results[0].1, results[3].1), (SendOutcome::Sent, SendOutcome::Sent));
        assert!(matches!(results[1].1, SendOutcome::Failed(_)), "{results:?}");
        let mut log = Log::default();
        until("replies", || {
            log.read(&mut channel);
            (log.replies.contains_key(&1) && log.replies.contains_key(&4)).then_some(())
        });
    });
}

#[test]
fn icmp_errors_about_syns_are_queued() {
    in_namespace(|| {
        let (_, bad) = pair(Family::V4);
        firewall(
            "input",
            &[&format!(
                "ip daddr {bad} tcp dport 80 reject with icmpx type port-unreachable"
            )],
        );
        let ports = SourcePorts::reserve(2, None).unwrap();
        let mut channel = PacketChannel::tcp(Family::V4, &ports, &Features::default()).unwrap();
        assert!(channel.warm_up().unwrap());
        let mut batch = Batch::new();
        let to = std::net::SocketAddr::new(bad, 80);
        let length = common::syn(batch.next_buffer(), bad, ports.ports().start, to, 99);
        batch.commit(99, to, Some(bad), length);
        assert_eq!(send(&mut channel, &mut batch), [(99, SendOutcome::Sent)]);
        let mut log = Log::default();
        until("the error and the stamp", || {
            log.read_with(&mut channel, |_| 0, |_| 0);
            (log.errors.len() == 1 && log.left.len() == 1).then_some(())
        });
        let (destination, _, kind, code, errno, quoted) = &log.errors[0];
        assert_eq!((*destination, *kind, *code, *errno), (bad, 3, 3, libc::ECONNREFUSED));
        assert_eq!(
            (&quoted[..2], &quoted[4..8]),
            (&ports.ports().start.to_be_bytes()[..], &99u32.to_be_bytes()[..])
        );
    });
}

/// Nobody at the other end of a wire: the neighbour isn't found, and this host's own stack says so after some seconds.
#[test]
fn a_neighbour_that_is_not_there_is_an_icmp_error() {
    in_namespace(|| {
        shell(
            "ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; ip addr add 192.0.2.1/24 dev v0",
        );
        let mut channel = open(Family::V4);
        let mut batch = Batch::new();
        commit_echo(&mut batch, &channel, "192.0.2.77".parse().unwrap(), 5);
        assert_eq!(send(&mut channel, &mut batch), [(5, SendOutcome::Sent)]);
        let mut log = Log::default();
        until("host unreachable", || {
            log.read(&mut channel);
            (!log.errors.is_empty()).then_some(())
        });
        let (destination, _, kind, code, errno, quoted) = &log.errors[0];
        assert_eq!(
            (destination.to_string().as_str(), *kind, *code, *errno),
            ("192.0.2.77", 3, 1, libc::EHOSTUNREACH)
        );
        assert_eq!(echo_key(quoted), 5);
        assert!(log.left.is_empty(), "it never left this host");
    });
}
