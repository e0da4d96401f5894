//! Connection attempts: each ends once, in the way it did.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};

use common::{BOTH, firewall, in_namespace, shell, until};
use dt_kernel::{ConnectOutcome, Connected, Connector, Family};

/// Polls until as many attempts have ended.
fn ended(connector: &mut Connector, count: usize) -> HashMap<u32, Connected> {
    let mut all = HashMap::new();
    until("the attempts' end", || {
        connector
            .poll(&mut |connected| assert!(all.insert(connected.key, connected).is_none(), "told twice"))
            .unwrap();
        (all.len() >= count).then_some(())
    });
    all
}

fn listener(family: Family) -> TcpListener {
    TcpListener::bind(SocketAddr::new(family.loopback(), 0)).unwrap()
}

/// A port of a namespace of the test's own where nobody has ever listened. One where somebody did may go on listening: a
/// child process that another test starts inherits the socket until it becomes another program.
fn closed(family: Family) -> SocketAddr {
    SocketAddr::new(family.loopback(), 40_000)
}

/// The result, whether it was told at once or later.
fn result(connector: &mut Connector, key: u32, to: SocketAddr) -> ConnectOutcome {
    match connector.start(key, to) {
        Err(outcome) => outcome,
        Ok(()) => ended(connector, 1)[&key].result,
    }
}

#[test]
fn an_open_port_is_established_and_leaves_nothing_behind() {
    for family in BOTH {
        in_namespace(|| {
            let listener = listener(family);
            let mut connector = Connector::new(4).unwrap();
            connector.start(7, listener.local_addr().unwrap()).unwrap();
            let connected = ended(&mut connector, 1)[&7];
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(connected.source_port, peer.port());
            let ConnectOutcome::Established {
                rtt_ns,
                user_rtt_ns,
                retransmitted,
            } = connected.result
            else {
                panic!("{connected:?}");
            };
            assert!(
                rtt_ns <= user_rtt_ns + 1_000 && user_rtt_ns > 0 && !retransmitted,
                "{connected:?}"
            );
            assert_eq!(connector.in_flight(), 0);
            let table = if family == Family::V4 { "tcp" } else { "tcp6" };
            let connections = std::fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap();
            // State 06 is TIME_WAIT.
            assert!(
                connections
                    .lines()
                    .all(|line| line.split_whitespace().nth(3) != Some("06")),
                "{connections}"
            );
        });
    }
}

#[test]
fn a_closed_port_is_refused() {
    for family in BOTH {
        in_namespace(|| {
            let mut connector = Connector::new(4).unwrap();
            assert_eq!(result(&mut connector, 1, closed(family)), ConnectOutcome::Refused);
            assert_eq!(connector.in_flight(), 0);
        });
    }
}

#[test]
fn a_port_that_answers_itself_is_refused() {
    for family in BOTH {
        in_namespace(|| {
            // The only port to connect from is the one that is probed.
            let to = closed(family);
            let only = format!("{0} {0}", to.port());
            std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", only).unwrap();
            let mut connector = Connector::new(4).unwrap();
            assert_eq!(result(&mut connector, 1, to), ConnectOutcome::Refused);
            assert_eq!(connector.in_flight(), 0);
        });
    }
}

/// Addresses that have no route, and a wire at whose other end nobody is: this host's own stack says so after some seconds.
#[test]
fn no_route_and_no_neighbour_are_unreachable() {
    for (family, refused, no_route, wire, neighbour) in [
        (Family::V4, "203.0.113.1", "198.51.100.1", "192.0.2.1/24", "192.0.2.77"),
        (
            Family::V6,
            "2001:db8:2::1",
            "2001:db8:1::1",
            "2001:db8::1/64 nodad",
            "2001:db8::77",
        ),
    ] {
        in_namespace(|| {
            shell(&format!("ip route add unreachable {refused}"));
            let mut connector = Connector::new(4).unwrap();
            for to in [refused, no_route] {
                assert_eq!(
                    result(&mut connector, 1, to_port(to, 80)),
                    ConnectOutcome::Unreachable,
                    "{to}"
                );
            }
            shell("ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up");
            shell(&format!("ip addr add {wire} dev v0"));
            assert_eq!(
                result(&mut connector, 2, to_port(neighbour, 80)),
                ConnectOutcome::Unreachable,
                "no such neighbour, {family}"
            );
        });
    }
}

fn to_port(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

/// Each way in which a firewall says no, and what it is told as: Linux itself makes `ECONNREFUSED` of the second.
const REJECTIONS: [(&str, ConnectOutcome); 5] = [
    ("icmpx type no-route", ConnectOutcome::Unreachable),
    ("icmpx type port-unreachable", ConnectOutcome::Unreachable),
    ("icmpx type host-unreachable", ConnectOutcome::Unreachable),
    ("icmpx type admin-prohibited", ConnectOutcome::Unreachable),
    ("tcp reset", ConnectOutcome::Refused),
];

/// All of [`REJECTIONS`], on ports from 81 on, of the SYNs for which `only` says so; the others vanish.
fn rejected(hook: &str, only: &str, to: &str) {
    in_namespace(|| {
        for (port, (rejection, expected)) in (81..).zip(REJECTIONS) {
            let rules = [
                format!("tcp dport {port} {only} reject with {rejection}"),
                format!("tcp dport {port} drop"),
            ];
            shell("nft flush ruleset");
            firewall(hook, &rules.each_ref().map(String::as_str));
            let mut connector = Connector::new(4).unwrap();
            assert_eq!(
                result(&mut connector, 3, to_port(to, port)),
                expected,
                "{rejection} at {hook} from {to}"
            );
            assert_eq!(connector.in_flight(), 0);
        }
    });
}

/// The answer is back while `connect()` still holds the socket, and there is no second one.
#[test]
fn a_rejection_within_connect_is_told() {
    for to in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        for hook in ["input", "output"] {
            rejected(hook, "numgen inc mod 1000 == 0", to);
        }
    }
}

/// The first SYN vanishes; that sent again by the kernel's timer is answered while nobody holds the socket.
#[test]
fn a_rejection_after_connect_is_told() {
    for to in ["127.0.0.1", "::1"] {
        rejected("input", "numgen inc mod 1000 == 1", to);
    }
}

/// The packet that completes the handshake may be rejected as well: the peer had answered. It sets the socket's errno only
/// where nobody holds the socket, so the first SYN vanishes and the kernel's timer makes the connection.
#[test]
fn an_icmp_error_after_the_handshake_changes_nothing() {
    for family in BOTH {
        in_namespace(|| {
            let listener = listener(family);
            firewall(
                "input",
                &[
                    "tcp flags & (syn | ack) == syn numgen inc mod 1000 == 0 drop",
                    "tcp flags & (syn | ack) == ack reject with icmpx type host-unreachable",
                ],
            );
            let mut connector = Connector::new(4).unwrap();
            assert!(matches!(
                result(&mut connector, 1, listener.local_addr().unwrap()),
                ConnectOutcome::Established { .. }
            ));
        });
    }
}

#[test]
fn a_lost_syn_is_told() {
    in_namespace(|| {
        let listener = listener(Family::V4);
        // The first SYN is dropped, the second one arrives.
        firewall("input", &["tcp flags & (syn | ack) == syn numgen inc mod 2 == 0 drop"]);
        let mut connector = Connector::new(4).unwrap();
        connector.start(1, listener.local_addr().unwrap()).unwrap();
        let result = ended(&mut connector, 1)[&1].result;
        assert!(
            matches!(
                result,
                ConnectOutcome::Established {
                    retransmitted: true,
                    ..
                }
            ),
            "{result:?}"
        );
    });
}

#[test]
fn a_cancelled_attempt_is_not_told_and_its_slot_is_free() {
    in_namespace(|| {
        firewall("input", &["tcp dport 81 drop"]);
        let (silent, listener) = ("127.0.0.1:81".parse().unwrap(), listener(Family::V4));
        let mut connector = Connector::new(2).unwrap();
        connector.start(5, silent).unwrap();
        assert_eq!(
            connector.start(7, silent),
            Err(ConnectOutcome::Failed(libc::EBUSY)),
            "the same slot"
        );
        assert!(!connector.cancel(7), "not the one that has it");
        assert!(connector.cancel(5) && !connector.cancel(5));
        assert_eq!(connector.in_flight(), 0);
        connector.start(7, listener.local_addr().unwrap()).unwrap();
        assert_eq!(ended(&mut connector, 1).keys().collect::<Vec<_>>(), [&7]);
    });
}

#[test]
fn many_at_once_end_each_in_its_way() {
    in_namespace(|| {
        let (listener, closed) = (listener(Family::V4), closed(Family::V4));
        let open = listener.local_addr().unwrap();
        let drain = std::thread::scope(|scope| {
            let (stop, stopped) = std::sync::mpsc::channel::<()>();
            listener.set_nonblocking(true).unwrap();
            let drain = scope.spawn(move || {
                while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    while listener.accept().is_ok() {}
                    std::thread::yield_now();
                }
            });
            let mut connector = Connector::new(500).unwrap();
            let (mut refused, mut told) = (0, 0);
            for key in u32::MAX - 249..=u32::MAX {
                connector.start(key, open).unwrap();
                match connector.start(key.wrapping_add(250), closed) {
                    Err(outcome) => {
                        assert_eq!(outcome, ConnectOutcome::Refused);
                        refused += 1;
                    }
                    Ok(()) => told += 1,
                }
            }
            let all = ended(&mut connector, 250 + told);
            assert_eq!(refused + told, 250);
            for connected in all.values() {
                if connected.key >= 250 {
                    assert!(
                        matches!(connected.result, ConnectOutcome::Established { .. }),
                        "{connected:?}"
                    );
                } else {
                    assert_eq!(connected.result, ConnectOutcome::Refused);
                }
            }
            drop(stop);
            drain.join()
        });
        drain.unwrap();
    });
}

/// Open sockets of this network namespace.
fn sockets() -> usize {
    let stat = std::fs::read_to_string("/proc/thread-self/net/sockstat").unwrap();
    let used = stat
        .strip_prefix("sockets: used ")
        .and_then(|rest| rest.split_whitespace().next());
    used.unwrap().parse().unwrap()
}

/// A socket is used again from another port, and the connection that it was used for before is gone at its other end.
#[test]
fn a_socket_is_used_again() {
    for family in BOTH {
        in_namespace(|| {
            let listener = listener(family);
            let closed = closed(family);
            let open = listener.local_addr().unwrap();
            let mut connector = Connector::new(4).unwrap();
            let (mut ports, mut most, others) = (std::collections::HashSet::new(), 0, sockets());
            for key in 0..50 {
                connector.start(key, open).unwrap();
                let (mut accepted, peer) = listener.accept().unwrap();
                let connected = ended(&mut connector, 1)[&key];
                assert!(
                    matches!(
                        connected.result,
                        ConnectOutcome::Established {
                            retransmitted: false,
                            ..
                        }
                    ),
                    "{connected:?}"
                );
                assert_eq!(connected.source_port, peer.port());
                ports.insert(peer.port());
                let end = std::io::Read::read(&mut accepted, &mut [0]).unwrap_err();
                assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
                assert_eq!(
                    result(&mut connector, key, closed),
                    ConnectOutcome::Refused,
                    "in between"
                );
                most = most.max(sockets());
            }
            assert!(ports.len() > 10, "{ports:?}");
            // The connector's one socket, and the one accepted last.
            assert!(
                (1..=others + 2).contains(&most),
                "{most} sockets, {others} without the connector"
            );
        });
    }
}

/// A peer that resets at once had completed the handshake all the same.
#[test]
fn a_reset_after_the_handshake_is_established() {
    in_namespace(|| {
        let listener = listener(Family::V4);
        let mut connector = Connector::new(1).unwrap();
        connector.start(1, listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        socket2::SockRef::from(&accepted)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
        drop(accepted);
        assert!(matches!(
            ended(&mut connector, 1)[&1].result,
            ConnectOutcome::Established { .. }
        ));
    });
}
