//! Each kernel feature turned off, and each right taken away: what is left still works and says what it is.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{BOTH, Log, commit_echo, echo_key, in_namespace, send, shell, until};
use dt_kernel::{Batch, Family, Features, OpenError, PacketChannel, SocketMethod, SourcePorts, StampKeying, rights};

/// A thousand echoes; all come back whatever is off. Returns the channel and what it gave.
fn round_trips(family: Family, off: &str) -> (PacketChannel, Log) {
    let features: Features = off.parse().unwrap();
    let mut channel = PacketChannel::echo(family, 600, &features).unwrap();
    assert!(channel.warm_up().unwrap(), "{off:?}: {}", channel.detected());
    let (mut batch, mut log) = (Batch::new(), Log::default());
    for key in 0..1_000 {
        commit_echo(&mut batch, &channel, family.loopback(), key);
        if batch.is_full() || key == 999 {
            send(&mut channel, &mut batch);
            log.read_with(&mut channel, echo_key, echo_key);
        }
    }
    let stamps = if channel.detected().tx_stamps.is_some() {
        1_000
    } else {
        0
    };
    until("replies and stamps", || {
        log.read(&mut channel);
        (log.replies.len() == 1_000 && log.left.len() == stamps).then_some(())
    });
    assert_eq!(log.count, 1_000);
    (channel, log)
}

#[test]
fn without_keys_the_packet_itself_comes_back() {
    for family in BOTH {
        in_namespace(|| {
            let (channel, log) = round_trips(family, "ts-opt-id");
            assert_eq!(channel.detected().tx_stamps, Some(StampKeying::Packet));
            assert_eq!((log.by_packet, log.by_id), (1_000, 0));
            for key in 0..1_000 {
                assert!(log.left[&key] <= log.replies[&key].unwrap().0);
            }
        });
    }
}

#[test]
fn without_transmit_stamps() {
    for family in BOTH {
        in_namespace(|| {
            let (channel, log) = round_trips(family, "tx-stamps");
            assert_eq!(
                (channel.detected().tx_stamps, channel.detected().rx_stamps),
                (None, true)
            );
            assert!(log.replies.values().all(Option::is_some));
        });
    }
}

#[test]
fn without_receive_stamps() {
    for family in BOTH {
        in_namespace(|| {
            let (channel, log) = round_trips(family, "rx-stamps");
            assert_eq!(
                (channel.detected().tx_stamps, channel.detected().rx_stamps),
                (Some(StampKeying::Id), false)
            );
            assert!(log.replies.values().all(Option::is_none));
        });
    }
}

#[test]
fn without_any_of_them() {
    for family in BOTH {
        in_namespace(|| {
            let (channel, _) = round_trips(family, "tx-stamps,rx-stamps,errqueue,rcvbufforce,rxq-ovfl");
            let detected = *channel.detected();
            assert!(!detected.icmp_errors && !detected.drops_counted, "{detected}");
            assert_eq!((detected.tx_stamps, detected.rx_stamps), (None, false));
        });
    }
}

#[test]
fn without_the_error_queue_icmp_errors_are_not_seen() {
    in_namespace(|| {
        let (mut channel, _) = round_trips(Family::V4, "errqueue");
        assert!(!channel.detected().icmp_errors && channel.detected().tx_stamps.is_some());
        common::firewall(
            "input",
            &["icmp type echo-request ip daddr 127.0.0.2 reject with icmpx type admin-prohibited"],
        );
        let (mut batch, mut log) = (Batch::new(), Log::default());
        commit_echo(&mut batch, &channel, "127.0.0.2".parse().unwrap(), 1);
        commit_echo(&mut batch, &channel, "127.0.0.1".parse().unwrap(), 2);
        send(&mut channel, &mut batch);
        until("the other reply", || {
            log.read(&mut channel);
            (log.replies.len() == 1 && log.left.len() == 2).then_some(())
        });
        assert_eq!(log.errors.len(), 0);
    });
}

#[test]
fn without_the_drop_counter() {
    in_namespace(|| {
        let (mut channel, _) = round_trips(Family::V4, "rxq-ovfl");
        assert!(!channel.detected().drops_counted);
        assert!(channel.memory().is_some());
        assert_eq!(channel.drops(), 0);
    });
}

#[test]
fn without_rcvbufforce_the_limit_is_rmem_max() {
    in_namespace(|| {
        let limit: usize = std::fs::read_to_string("/proc/sys/net/core/rmem_max")
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let (channel, _) = round_trips(Family::V4, "rcvbufforce");
        // The kernel doubles what is asked for, to pay for its own bookkeeping.
        assert_eq!(channel.detected().receive_buffer, 2 * limit.min(4 << 20));
        let (channel, _) = round_trips(Family::V4, "");
        assert_eq!(channel.detected().receive_buffer, 2 * (4 << 20));
    });
}

#[test]
fn datagram_sockets_do_the_same_with_an_identifier_of_the_kernels() {
    for family in BOTH {
        for also_off in ["", ",ts-opt-id", ",tx-stamps", ",rx-stamps", ",errqueue"] {
            in_namespace(|| {
                shell("sysctl -qw net.ipv4.ping_group_range='0 2147483647'");
                let (channel, log) = round_trips(family, &format!("raw{also_off}"));
                assert_eq!(channel.detected().method, SocketMethod::Datagram);
                assert_eq!(log.by_packet > 0, also_off == ",ts-opt-id");
                // Another gets another identifier, and nobody can bind to ours and take the replies.
                let (second, _) = round_trips(family, "raw");
                assert_ne!(second.identifier(), channel.identifier());
                let thief = ping_socket(family);
                thief.set_reuse_address(true).unwrap();
                let ours = std::net::SocketAddr::new(family.loopback(), channel.identifier());
                assert_eq!(
                    thief.bind(&ours.into()).unwrap_err().kind(),
                    std::io::ErrorKind::AddrInUse
                );
            });
        }
    }
}

fn ping_socket(family: Family) -> socket2::Socket {
    let (domain, protocol) = match family {
        Family::V4 => (socket2::Domain::IPV4, socket2::Protocol::ICMPV4),
        Family::V6 => (socket2::Domain::IPV6, socket2::Protocol::ICMPV6),
    };
    socket2::Socket::new(domain, socket2::Type::DGRAM, Some(protocol)).unwrap()
}

/// Takes this thread's privileges away, as an ordinary user has none.
fn become_nobody() {
    // SAFETY: the bare system call changes the calling thread alone (libc's wrapper would change all); it takes three numbers.
    let code = unsafe { libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534) };
    assert_eq!(code, 0, "this test gives up its user id, which needs root");
}

#[test]
fn without_any_right_the_error_says_what_to_do() {
    for family in BOTH {
        in_namespace(|| {
            assert!(rights::has_net_raw());
            let ports = SourcePorts::reserve(1, None).unwrap();
            become_nobody();
            assert!(!rights::has_net_raw());
            let error = PacketChannel::echo(family, 1, &Features::default()).unwrap_err();
            assert!(matches!(error, OpenError::IcmpNotPermitted { .. }));
            let text = error.to_string();
            for part in [
                "CAP_NET_RAW",
                "net.ipv4.ping_group_range",
                "\"1 0\"",
                "setcap",
                "sysctl",
                &family.to_string(),
            ] {
                assert!(text.contains(part), "{part} in {text}");
            }
            let error = PacketChannel::tcp(family, &ports, &Features::default()).unwrap_err();
            assert!(matches!(error, OpenError::SynNotPermitted { .. }));
            assert!(
                error.to_string().contains("CAP_NET_RAW") && error.to_string().contains("connect"),
                "{error}"
            );
        });
    }
}

#[test]
fn an_ordinary_user_in_the_group_range_gets_datagram_sockets() {
    for family in BOTH {
        in_namespace(|| {
            shell("sysctl -qw net.ipv4.ping_group_range='0 2147483647'");
            become_nobody();
            let (channel, log) = round_trips(family, "");
            assert_eq!(channel.detected().method, SocketMethod::Datagram);
            assert_eq!(
                (log.by_id, channel.detected().rx_stamps),
                (1_000, true),
                "{}",
                channel.detected()
            );
            let limit: usize = std::fs::read_to_string("/proc/sys/net/core/rmem_max")
                .unwrap()
                .trim()
                .parse()
                .unwrap();
            assert_eq!(
                channel.detected().receive_buffer,
                2 * limit.min(4 << 20),
                "SO_RCVBUFFORCE is refused"
            );
        });
    }
}

#[test]
fn raw_tcp_can_be_switched_off() {
    in_namespace(|| {
        let ports = SourcePorts::reserve(1, None).unwrap();
        let error = PacketChannel::tcp(Family::V4, &ports, &"syn".parse().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "TCP SYN over IPv4 is switched off");
        for off in ["ts-opt-id", "tx-stamps", "rx-stamps", "errqueue"] {
            let mut channel = PacketChannel::tcp(Family::V4, &ports, &off.parse().unwrap()).unwrap();
            assert!(channel.warm_up().unwrap(), "{off}: {}", channel.detected());
        }
    });
}

/// No card here stamps anything: asked for all the same, its stamps don't come, and the kernel's come as ever.
#[test]
fn a_cards_stamps_that_do_not_come_change_nothing() {
    for (family, off) in BOTH.into_iter().flat_map(|f| [(f, ""), (f, "ts-opt-id")]) {
        in_namespace(|| {
            let mut channel = PacketChannel::echo(family, 600, &off.parse().unwrap()).unwrap();
            assert!(channel.warm_up().unwrap());
            assert!(channel.use_card(7), "this kernel knows the option");
            assert!(
                channel
                    .detected()
                    .to_string()
                    .contains("the network card's stamps by its clock phc7")
            );
            let (mut batch, mut log) = (Batch::new(), Log::default());
            for key in 0..64 {
                commit_echo(&mut batch, &channel, family.loopback(), key);
            }
            send(&mut channel, &mut batch);
            until("replies and stamps", || {
                channel
                    .receive(&mut |received| assert_eq!((received.card, received.stamp.is_some()), (None, true)))
                    .unwrap();
                log.read(&mut channel);
                (log.left.len() == 64).then_some(())
            });
        });
    }
    in_namespace(|| {
        let mut channel = PacketChannel::echo(Family::V4, 600, &"tx-stamps".parse().unwrap()).unwrap();
        assert!(!channel.use_card(7), "not without the kernel's own");
        assert_eq!(channel.detected().card, None);
    });
}

#[test]
fn interfaces_without_a_clock_are_found_out_and_said() {
    use dt_kernel::card::{CardStamps, Found, find};
    in_namespace(|| {
        let note = |wanted| match find(wanted) {
            Found {
                phc: None,
                note: Some(note),
            } => note,
            found => panic!("{found:?}"),
        };
        let none = "the network card's time stamps can't be used: none of the 0 interfaces that are up";
        assert!(note(CardStamps::Use).starts_with(none), "{}", note(CardStamps::Use));
        shell(
            "ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; ip link add v2 type bridge",
        );
        for wanted in [CardStamps::Use, CardStamps::Configure] {
            let none = "the network card's time stamps can't be used: none of the 2 interfaces that are up can stamp every packet";
            assert_eq!(note(wanted), none);
        }
    });
}

#[test]
fn what_was_detected_is_one_readable_line() {
    in_namespace(|| {
        let channel = PacketChannel::echo(Family::V4, 1, &"ts-opt-id,errqueue".parse().unwrap()).unwrap();
        let line = channel.detected().to_string();
        assert_eq!(
            line,
            "ICMP over IPv4: raw socket, kernel transmit stamps by returned packet, kernel receive stamps, \
             ICMP errors not seen, receive buffer 8388608 bytes, drops counted"
        );
    });
}
