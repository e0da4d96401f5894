//! How a channel's socket is opened and set up: what is refused degrades, and `Detected` says so.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use libc::c_int;
use socket2::{Domain, Protocol, Socket, Type};

use crate::address::Family;
use crate::channel::Framing;
use crate::detected::{Detected, SocketMethod, StampKeying};
use crate::errors::OpenError;
use crate::features::Features;
use crate::ports::SourcePorts;
use crate::{filter, sys};

/// What is asked for: the error queue shares it, and 4 MiB keep some 5,000 pairs of stamp and reply.
const RECEIVE_BUFFER: usize = 4 << 20;

const ICMP: &str = "ICMP";
const SYN: &str = "TCP SYN";

/// A socket that is ready to send and receive.
pub(crate) struct Opened {
    pub(crate) socket: Socket,
    pub(crate) framing: Framing,
    /// The identifier or the first source port.
    pub(crate) identifier: u16,
    pub(crate) detected: Detected,
}

/// A raw ICMP socket that hears replies to `identifier` alone, else a datagram one with an identifier of the kernel's choice.
pub(crate) fn echo(family: Family, identifier: u16, features: Features) -> Result<Opened, OpenError> {
    let refused = if features.raw() {
        match open(family, Type::RAW, icmp(family)) {
            Ok(socket) => return raw_echo(socket, family, identifier, features),
            Err(error) => no_family(family, error)?,
        }
    } else {
        io::Error::other("switched off")
    };
    match open(family, Type::DGRAM, icmp(family)) {
        Ok(socket) => datagram_echo(socket, family, features),
        Err(datagram) => Err(OpenError::IcmpNotPermitted {
            family,
            raw: refused,
            datagram: no_family(family, datagram)?,
            range: ping_group_range(),
        }),
    }
}

/// A raw TCP socket that hears answers to SYNs from these ports alone.
pub(crate) fn tcp(family: Family, ports: &SourcePorts, features: Features) -> Result<Opened, OpenError> {
    if !features.syn() {
        return Err(OpenError::SwitchedOff { what: SYN, family });
    }
    let socket = match open(family, Type::RAW, Protocol::TCP) {
        Ok(socket) => socket,
        Err(error) => {
            return Err(OpenError::SynNotPermitted {
                family,
                source: no_family(family, error)?,
            });
        }
    };
    let step = |step| {
        move |source| OpenError::SetUp {
            what: SYN,
            family,
            step,
            source,
        }
    };
    let program = filter::answer_program(family == Family::V4, &ports.ports());
    sys::attach_filter(socket.as_fd(), &program).map_err(step("attach the packet filter"))?;
    if family == Family::V6 {
        // The kernel fills in and checks the checksum at this offset: only it knows the source address of the pseudo-header.
        sys::set_int(socket.as_fd(), libc::SOL_IPV6, libc::IPV6_CHECKSUM, 16)
            .map_err(step("let the kernel compute checksums"))?;
    }
    discard_queued(&socket);
    let framing = Framing::of(family, SocketMethod::Raw, libc::IPPROTO_TCP as u8);
    let detected = set_up(&socket, SYN, family, SocketMethod::Raw, features).map_err(step("set the receive buffer"))?;
    Ok(Opened {
        socket,
        framing,
        identifier: ports.ports().start,
        detected,
    })
}

fn raw_echo(socket: Socket, family: Family, identifier: u16, features: Features) -> Result<Opened, OpenError> {
    let step = |step| {
        move |source| OpenError::SetUp {
            what: ICMP,
            family,
            step,
            source,
        }
    };
    match family {
        Family::V4 => filter::only_echo_replies_v4(socket.as_fd()),
        Family::V6 => filter::only_echo_replies_v6(socket.as_fd()),
    }
    .map_err(step("filter by ICMP type"))?;
    let program = filter::echo_program(family, family == Family::V4, identifier, None);
    sys::attach_filter(socket.as_fd(), &program).map_err(step("attach the packet filter"))?;
    discard_queued(&socket);
    let framing = Framing::of(family, SocketMethod::Raw, icmp_number(family));
    let detected =
        set_up(&socket, ICMP, family, SocketMethod::Raw, features).map_err(step("set the receive buffer"))?;
    Ok(Opened {
        socket,
        framing,
        identifier,
        detected,
    })
}

fn datagram_echo(socket: Socket, family: Family, features: Features) -> Result<Opened, OpenError> {
    let step = |step| {
        move |source| OpenError::SetUp {
            what: ICMP,
            family,
            step,
            source,
        }
    };
    // The kernel calls the identifier a port and gives one that is free. By default a second ping socket may bind to the same
    // one and take our replies away: not with this off.
    socket
        .set_reuse_address(false)
        .map_err(step("keep the identifier to itself"))?;
    socket
        .bind(&SocketAddr::new(family.unspecified(), 0).into())
        .map_err(step("bind to an identifier"))?;
    let bound = socket.local_addr().map_err(step("read the identifier"))?;
    let identifier = bound.as_socket().map_or(0, |address| address.port());
    let framing = Framing::of(family, SocketMethod::Datagram, icmp_number(family));
    let detected =
        set_up(&socket, ICMP, family, SocketMethod::Datagram, features).map_err(step("set the receive buffer"))?;
    Ok(Opened {
        socket,
        framing,
        identifier,
        detected,
    })
}

/// Neither kind hears or sends the other IP version, so IPV6_V6ONLY isn't set (a raw socket would refuse it).
fn open(family: Family, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let domain = match family {
        Family::V4 => Domain::IPV4,
        Family::V6 => Domain::IPV6,
    };
    Socket::new(domain, kind.nonblocking().cloexec(), Some(protocol))
}

fn icmp(family: Family) -> Protocol {
    match family {
        Family::V4 => Protocol::ICMPV4,
        Family::V6 => Protocol::ICMPV6,
    }
}

fn icmp_number(family: Family) -> u8 {
    match family {
        Family::V4 => libc::IPPROTO_ICMP as u8,
        Family::V6 => libc::IPPROTO_ICMPV6 as u8,
    }
}

/// Gives a refusal back, unless it says that the IP version is missing altogether.
fn no_family(family: Family, error: io::Error) -> Result<io::Error, OpenError> {
    match sys::errno(&error) {
        libc::EAFNOSUPPORT | libc::EPFNOSUPPORT => Err(OpenError::NoFamily { family, source: error }),
        _ => Ok(error),
    }
}

fn ping_group_range() -> String {
    let path = "/proc/sys/net/ipv4/ping_group_range";
    std::fs::read_to_string(path).map_or_else(
        |_| "unknown".to_owned(),
        |text| format!("\"{}\"", text.split_whitespace().collect::<Vec<_>>().join(" ")),
    )
}

/// Between `socket()` and its filter, packets of others may have been queued. The filter is on, so this ends.
fn discard_queued(socket: &Socket) {
    use std::io::Read;
    let mut scratch = [0; 1];
    while (&mut &*socket).read(&mut scratch).is_ok() {}
}

/// Everything that isn't about what the channel is for.
fn set_up(
    socket: &Socket,
    purpose: &'static str,
    family: Family,
    method: SocketMethod,
    features: Features,
) -> io::Result<Detected> {
    let icmp_errors = features.errqueue() && receive_errors(socket, family).is_ok();
    let (tx_stamps, rx_stamps) = stamps(socket, features);
    let drops_counted =
        features.rxq_ovfl() && sys::set_int(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1).is_ok();
    let receive_buffer = receive_buffer(socket, features)?;
    Ok(Detected {
        purpose,
        family,
        method,
        tx_stamps,
        rx_stamps,
        card: None,
        icmp_errors,
        receive_buffer,
        drops_counted,
    })
}

fn receive_errors(socket: &Socket, family: Family) -> io::Result<()> {
    match family {
        Family::V4 => sys::set_int(socket.as_fd(), libc::SOL_IP, libc::IP_RECVERR, 1),
        Family::V6 => sys::set_int(socket.as_fd(), libc::SOL_IPV6, libc::IPV6_RECVERR, 1),
    }
}

fn receive_buffer(socket: &Socket, features: Features) -> io::Result<usize> {
    // FORCE goes beyond net.core.rmem_max and needs CAP_NET_ADMIN; the plain option takes what the limit leaves.
    let forced = features.rcvbufforce()
        && sys::set_int(
            socket.as_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            RECEIVE_BUFFER as c_int,
        )
        .is_ok();
    if !forced {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    socket.recv_buffer_size()
}

/// Asks for as many stamps as are allowed and the kernel gives.
fn stamps(socket: &Socket, features: Features) -> (Option<StampKeying>, bool) {
    let keyings: &[Option<StampKeying>] = match (features.tx_stamps(), features.ts_opt_id()) {
        (false, _) => &[None],
        (true, false) => &[Some(StampKeying::Packet), None],
        (true, true) => &[Some(StampKeying::Id), Some(StampKeying::Packet), None],
    };
    for &keying in keyings {
        if request_stamps(socket, keying, features.rx_stamps(), false).is_ok() {
            return (keying, features.rx_stamps());
        }
    }
    (None, false)
}

/// Sets which packets are stamped, by the kernel and perhaps by the network card too, and how a transmit stamp comes back.
pub(crate) fn request_stamps(socket: &Socket, keying: Option<StampKeying>, rx: bool, card: bool) -> io::Result<()> {
    let mut flags = 0;
    if rx {
        flags |= libc::SOF_TIMESTAMPING_RX_SOFTWARE;
    }
    if keying.is_some() {
        flags |= libc::SOF_TIMESTAMPING_TX_SOFTWARE | libc::SOF_TIMESTAMPING_OPT_CMSG;
    }
    if keying == Some(StampKeying::Id) {
        // The packet needn't come back: its key says whose stamp it is. The kernel's own count (OPT_ID without a key per
        // packet) would drift: a packet dropped by an output filter takes a number, one without a route doesn't.
        flags |= libc::SOF_TIMESTAMPING_OPT_ID | libc::SOF_TIMESTAMPING_OPT_TSONLY;
    }
    if flags != 0 {
        flags |= libc::SOF_TIMESTAMPING_SOFTWARE;
    }
    if card {
        // By default a packet that the card stamps gets no stamp of the kernel's (TX_SWHW: it gets both, one after the
        // other). RAW is the card's clock as it is; the kernel no longer converts it.
        flags |= libc::SOF_TIMESTAMPING_TX_HARDWARE
            | libc::SOF_TIMESTAMPING_RX_HARDWARE
            | libc::SOF_TIMESTAMPING_RAW_HARDWARE
            | libc::SOF_TIMESTAMPING_OPT_TX_SWHW;
    }
    sys::set_int(socket.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags as c_int)
}
