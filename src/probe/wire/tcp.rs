//! SYNs and what answers them (RFC 9293).

use std::net::{IpAddr, Ipv4Addr};

use pnet_packet::tcp::{MutableTcpPacket, TcpFlags, TcpPacket, ipv4_checksum};

/// A header with one option: the maximum segment size, without which some firewalls take a SYN for a scan.
pub(crate) const SYN_LEN: usize = 24;

/// A SYN's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Syn {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) sequence: u32,
}

/// What answered a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SYN and ACK: the port is open.
    SynAck,
    /// RST and ACK: the port is closed.
    Reset,
}

/// An answer to a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) kind: Kind,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// One more than the sequence number of the SYN it answers.
    pub(crate) acknowledgement: u32,
}

/// Writes a SYN; `None` where `buf` is too small for it. Over IPv4 the checksum is ours to compute, from both
/// addresses; over IPv6 the kernel does it (`IPV6_CHECKSUM`), and `addresses` is `None`.
pub(crate) fn write_syn(buf: &mut [u8], syn: Syn, addresses: Option<(Ipv4Addr, Ipv4Addr)>) -> Option<usize> {
    let bytes = buf.get_mut(..SYN_LEN)?;
    bytes.fill(0);
    let mut packet = MutableTcpPacket::new(bytes)?;
    packet.set_source(syn.source_port);
    packet.set_destination(syn.destination_port);
    packet.set_sequence(syn.sequence);
    packet.set_data_offset((SYN_LEN / 4) as u8);
    packet.set_flags(TcpFlags::SYN);
    packet.set_window(64_240);
    // RFC 9293, section 3.7.1: the path's packet size less 40 bytes over IPv4, less 60 over IPv6.
    let segment: u16 = if addresses.is_some() { 1460 } else { 1440 };
    let [high, low] = segment.to_be_bytes();
    packet.get_options_raw_mut().copy_from_slice(&[2, 4, high, low]);
    if let Some((source, destination)) = addresses {
        let checksum = ipv4_checksum(&packet.to_immutable(), &source, &destination);
        packet.set_checksum(checksum);
    }
    Some(SYN_LEN)
}

/// Reads an answer to a SYN. `None` for anything else, among it a reset without ACK: it can't be tied to a probe, and
/// RFC 9293, section 3.10.7.3, has it ignored. The checksum isn't looked at: on loopback and behind offloading cards
/// it isn't there yet, and an answer must match 64 bits of ports and acknowledgement anyway.
pub(crate) fn read_answer(bytes: &[u8]) -> Option<Answer> {
    let packet = TcpPacket::new(bytes)?;
    if usize::from(packet.get_data_offset()) * 4 < 20 {
        return None;
    }
    let flags = packet.get_flags();
    let kind = if flags & TcpFlags::ACK == 0 {
        return None;
    } else if flags & TcpFlags::RST != 0 {
        Kind::Reset
    } else if flags & TcpFlags::SYN != 0 {
        Kind::SynAck
    } else {
        return None;
    };
    Some(Answer {
        kind,
        source_port: packet.get_source(),
        destination_port: packet.get_destination(),
        acknowledgement: packet.get_acknowledgement(),
    })
}

/// Reads our own SYN as an ICMP error quotes it: at least the first 8 bytes (RFC 792), which hold just what is needed.
pub(crate) fn read_quoted(bytes: &[u8]) -> Option<Syn> {
    let start: &[u8; 8] = bytes.first_chunk()?;
    let [a, b, c, d, e, f, g, h] = *start;
    Some(Syn {
        source_port: u16::from_be_bytes([a, b]),
        destination_port: u16::from_be_bytes([c, d]),
        sequence: u32::from_be_bytes([e, f, g, h]),
    })
}

/// The two addresses, where both are of IPv4.
pub(crate) fn v4_pair(source: Option<IpAddr>, destination: IpAddr) -> Option<(Ipv4Addr, Ipv4Addr)> {
    match (source, destination) {
        (Some(IpAddr::V4(source)), IpAddr::V4(destination)) => Some((source, destination)),
        _ => None,
    }
}
