//! Half-open SYNs over loopback: answers come in stamped, and the kernel itself ends what was opened.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::net::{IpAddr, SocketAddr, TcpListener};

use common::{BOTH, Log, in_namespace, send, shell, until};
use dt_kernel::{Batch, Family, Features, PacketChannel, PortsError, SendOutcome, SourcePorts};

const RST: u8 = 0x04;
const SYN_ACK: u8 = 0x12;

fn open(family: Family, count: u16) -> (PacketChannel, SourcePorts) {
    let ports = SourcePorts::reserve(count, None).unwrap();
    let mut channel = PacketChannel::tcp(family, &ports, &Features::default()).unwrap();
    assert!(
        channel.warm_up().unwrap(),
        "loopback answers with stamps: {}",
        channel.detected()
    );
    (channel, ports)
}

fn commit(batch: &mut Batch, from: u16, to: SocketAddr, key: u32) {
    let source = Family::of(to.ip()).loopback();
    let length = common::syn(batch.next_buffer(), source, from, to, key);
    assert!(batch.commit(key, to, Some(source), length));
}

/// The initial sequence number that an answer acknowledges.
fn answered(segment: &[u8]) -> u32 {
    u32::from_be_bytes(segment[8..12].try_into().unwrap()).wrapping_sub(1)
}

/// The initial sequence number of a SYN.
fn sent(segment: &[u8]) -> u32 {
    u32::from_be_bytes(segment[4..8].try_into().unwrap())
}

/// Answers by the sequence number they acknowledge, and everything else, until as many are there.
fn answers(channel: &mut PacketChannel, count: usize) -> (Vec<(u32, u8)>, Log) {
    let (mut flags, mut log) = (Vec::new(), Log::default());
    until("answers and transmit stamps", || {
        channel
            .receive(&mut |received| {
                let data_offset = usize::from(received.bytes[12] >> 4) * 4;
                assert!(
                    data_offset >= 20 && received.bytes.len() >= data_offset,
                    "from the TCP header on"
                );
                flags.push((answered(received.bytes), received.bytes[13] & (RST | SYN_ACK)));
                log.replies.insert(answered(received.bytes), received.stamp);
                log.count += 1;
            })
            .unwrap();
        let mut rest = std::mem::take(&mut log);
        rest.read_with(channel, answered, sent);
        log = rest;
        (flags.len() >= count && log.left.len() >= count).then_some(())
    });
    (flags, log)
}

/// Connections on this port that wait for the handshake's last segment.
fn half_open(port: u16) -> usize {
    let entries =
        ["tcp", "tcp6"].map(|table| std::fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap());
    let port = format!(":{port:04X}");
    // Local address, remote address, state: 03 is SYN_RECV.
    let fields = entries
        .iter()
        .flat_map(|entries| entries.lines())
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .filter(|fields| fields.len() > 3 && fields[1].ends_with(&port) && fields[3] == "03")
        .count()
}

#[test]
fn an_open_port_answers_syn_ack_and_the_kernel_resets_it() {
    for family in BOTH {
        in_namespace(|| {
            let listener = TcpListener::bind(SocketAddr::new(family.loopback(), 0)).unwrap();
            let to = listener.local_addr().unwrap();
            let (mut channel, ports) = open(family, 64);
            let mut batch = Batch::new();
            for (key, port) in ports.ports().enumerate() {
                commit(&mut batch, port, to, key as u32 * 1_000_003);
            }
            let results = send(&mut channel, &mut batch);
            assert!(results.iter().all(|(_, outcome)| *outcome == SendOutcome::Sent));
            let (flags, log) = answers(&mut channel, 64);
            assert_eq!((flags.len(), log.errors.len(), log.other), (64, 0, 0));
            assert!(flags.iter().all(|(_, flags)| *flags == SYN_ACK), "{flags:?}");
            for (key, stamp) in &log.replies {
                assert!(log.left[key] <= stamp.expect("a receive stamp").0);
            }
            // Without the reset they would stay for a minute.
            until("the half-open connections' end", || {
                (half_open(to.port()) == 0).then_some(())
            });
            listener.set_nonblocking(true).unwrap();
            assert!(listener.accept().is_err(), "nothing was opened in full");
        });
    }
}

/// The other side of the test above: from a port that isn't reserved by a bound socket the same happens, but a *listening*
/// one would take the SYN-ACK for its own. What keeps a half-open connection in the table is that no reset comes.
#[test]
fn half_open_connections_are_seen_where_the_reset_is_kept_back() {
    in_namespace(|| {
        common::firewall("output", &["tcp flags & (rst) == rst drop"]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let ports = SourcePorts::reserve(1, None).unwrap();
        let mut channel = PacketChannel::tcp(Family::V4, &ports, &Features::default()).unwrap();
        let mut batch = Batch::new();
        commit(&mut batch, ports.ports().start, to, 7);
        send(&mut channel, &mut batch);
        answers(&mut channel, 1);
        assert_eq!(half_open(to.port()), 1);
    });
}

#[test]
fn a_closed_port_answers_rst() {
    for family in BOTH {
        in_namespace(|| {
            let closed = socket2::Socket::new(
                socket2::Domain::for_address(SocketAddr::new(family.loopback(), 0)),
                socket2::Type::STREAM,
                None,
            )
            .unwrap();
            closed.bind(&SocketAddr::new(family.loopback(), 0).into()).unwrap();
            let to = closed.local_addr().unwrap().as_socket().unwrap();
            let (mut channel, ports) = open(family, 2);
            let mut batch = Batch::new();
            commit(&mut batch, ports.ports().start, to, 0xffff_ffff);
            send(&mut channel, &mut batch);
            let (flags, log) = answers(&mut channel, 1);
            assert_eq!(
                flags.iter().map(|(key, flags)| (*key, flags & RST)).collect::<Vec<_>>(),
                [(0xffff_ffff, RST)]
            );
            assert!(log.replies[&0xffff_ffff].is_some(), "stamped");
        });
    }
}

#[test]
fn one_port_is_enough_and_the_warm_up_leaves_the_socket_empty() {
    for family in BOTH {
        in_namespace(|| {
            let (mut channel, _ports) = open(family, 1);
            let mut log = Log::default();
            log.read_with(&mut channel, answered, sent);
            assert_eq!((log.count, log.left.len(), log.other), (0, 0, 0));
        });
    }
}

/// Ordinary connections of the host, also to neighbouring ports, and data of others to ours pass the channel by.
#[test]
fn foreign_segments_do_not_reach_us() {
    use std::io::{Read, Write};
    for family in BOTH {
        in_namespace(|| {
            let (mut channel, ports) = open(family, 2);
            // From just beside the block, on both sides: SYN-ACK, data and RST go there.
            for port in [ports.ports().start - 1, ports.ports().end] {
                let listener = TcpListener::bind(SocketAddr::new(family.loopback(), 0)).unwrap();
                let to = listener.local_addr().unwrap();
                let mut here = connect_from(SocketAddr::new(family.loopback(), port), to).unwrap();
                let (mut there, _) = listener.accept().unwrap();
                there.write_all(b"data").unwrap();
                here.read_exact(&mut [0; 4]).unwrap();
                // The listener ends it, so that the port is free again.
                socket2::SockRef::from(&there)
                    .set_linger(Some(std::time::Duration::ZERO))
                    .unwrap();
                drop((listener, there));
                here.read_exact(&mut [0; 1]).unwrap_err();
                drop(here);
                // Nobody has ever listened there: of the listener's port a child of another test may hold a copy.
                connect_from(
                    SocketAddr::new(family.loopback(), port),
                    SocketAddr::new(family.loopback(), 9),
                )
                .unwrap_err();
            }
            // A SYN to one of ours is neither SYN-ACK nor RST.
            std::net::TcpStream::connect(SocketAddr::new(family.loopback(), ports.ports().start)).unwrap_err();
            let mut log = Log::default();
            log.read_with(&mut channel, answered, sent);
            assert_eq!((log.count, channel.skipped()), (0, Default::default()));
        });
    }
}

fn connect_from(from: SocketAddr, to: SocketAddr) -> std::io::Result<std::net::TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(from), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&from.into())?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

#[test]
fn reserved_ports_are_nobody_elses_until_they_are_dropped() {
    in_namespace(|| {
        let ports = SourcePorts::reserve(64, None).unwrap();
        let range = ports.ports();
        assert_eq!((range.start, range.len()), (61_000, 64));
        for port in range.clone() {
            for address in ["0.0.0.0", "127.0.0.1", "::1", "::"] {
                let address: IpAddr = address.parse().unwrap();
                let error = TcpListener::bind((address, port)).unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{address} {port}");
            }
        }
        // A second block begins behind the first.
        assert_eq!(SourcePorts::reserve(64, None).unwrap().ports(), 61_064..61_128);
        drop(ports);
        TcpListener::bind(("127.0.0.1", range.start)).unwrap();
    });
}

#[test]
fn the_search_goes_round_ports_in_use_and_says_when_there_is_none() {
    in_namespace(|| {
        let busy = TcpListener::bind("127.0.0.1:61002").unwrap();
        assert_eq!(SourcePorts::reserve(4, None).unwrap().ports(), 61_003..61_007);
        assert_eq!(
            SourcePorts::reserve(2, Some(61_000..=61_001)).unwrap().ports(),
            61_000..61_002
        );
        let error = SourcePorts::reserve(3, Some(61_000..=61_004)).unwrap_err();
        assert!(matches!(error, PortsError::NoBlock { busy: 1, .. }), "{error}");
        assert!(
            error.to_string().contains("61000-61004") && error.to_string().contains("3 neighbouring"),
            "{error}"
        );
        drop(busy);
        shell("sysctl -qw net.ipv4.ip_local_port_range='20000 65535'");
        let ports = SourcePorts::reserve(4, None).unwrap().ports();
        assert!(ports.end <= 20_000, "below the range handed out: {ports:?}");
        shell("sysctl -qw net.ipv4.ip_local_port_range='30000 62000'");
        assert_eq!(SourcePorts::reserve(4, None).unwrap().ports(), 62_001..62_005);
    });
}

#[test]
fn ports_are_reserved_without_ipv6_too() {
    in_namespace(|| {
        shell("sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
        let ports = SourcePorts::reserve(2, None).unwrap().ports();
        assert_eq!(ports.len(), 2);
    });
}
