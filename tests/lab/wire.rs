//! Just enough of the packet formats to tell probes and answers apart in a capture, and to finish checksums.

use pnet_packet::Packet;
use pnet_packet::ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket};
use pnet_packet::icmp::{IcmpPacket, IcmpTypes, echo_request};
use pnet_packet::icmpv6::{Icmpv6Packet, Icmpv6Types};
use pnet_packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;
use pnet_packet::tcp::{MutableTcpPacket, TcpFlags, TcpPacket, ipv4_checksum, ipv6_checksum};
use std::net::IpAddr;

/// A probe or its answer, as far as these tests care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// An echo request.
    Request(Echo),
    /// An echo reply; the same value as its request's.
    Reply(Echo),
    /// A SYN without ACK.
    Syn(Flow),
    /// A SYN-ACK, with the flow and the sequence number of the SYN it answers.
    SynAck(Flow),
    /// A RST that acknowledges a SYN, likewise.
    Rst(Flow),
}

/// What an echo request and its reply have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Echo {
    /// The node that is probed.
    pub target: IpAddr,
    /// The identifier.
    pub identifier: u16,
    /// The sequence number.
    pub sequence: u16,
}

/// What a SYN and its answer have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The node that is probed.
    pub target: IpAddr,
    /// The probing side's port.
    pub source_port: u16,
    /// The probed port.
    pub port: u16,
    /// The SYN's sequence number.
    pub sequence: u32,
}

/// What a frame is; `None` for everything else.
#[must_use]
pub fn see(frame: &[u8]) -> Option<Seen> {
    let ethernet = EthernetPacket::new(frame)?;
    match ethernet.get_ethertype() {
        EtherTypes::Ipv4 => {
            let ip = Ipv4Packet::new(ethernet.payload())?;
            let (from, to) = (ip.get_source().into(), ip.get_destination().into());
            transport(ip.get_next_level_protocol(), ip.payload(), from, to)
        }
        EtherTypes::Ipv6 => {
            let ip = Ipv6Packet::new(ethernet.payload())?;
            let (from, to) = (ip.get_source().into(), ip.get_destination().into());
            transport(ip.get_next_header(), ip.payload(), from, to)
        }
        _ => None,
    }
}

fn transport(protocol: IpNextHeaderProtocol, bytes: &[u8], from: IpAddr, to: IpAddr) -> Option<Seen> {
    let echo = |target| {
        // Identifier and sequence stand at the same place in both versions (RFC 792, RFC 4443).
        let header = echo_request::EchoRequestPacket::new(bytes)?;
        Some(Echo {
            target,
            identifier: header.get_identifier(),
            sequence: header.get_sequence_number(),
        })
    };
    match protocol {
        IpNextHeaderProtocols::Icmp => match IcmpPacket::new(bytes)?.get_icmp_type() {
            IcmpTypes::EchoRequest => echo(to).map(Seen::Request),
            IcmpTypes::EchoReply => echo(from).map(Seen::Reply),
            _ => None,
        },
        IpNextHeaderProtocols::Icmpv6 => match Icmpv6Packet::new(bytes)?.get_icmpv6_type() {
            Icmpv6Types::EchoRequest => echo(to).map(Seen::Request),
            Icmpv6Types::EchoReply => echo(from).map(Seen::Reply),
            _ => None,
        },
        IpNextHeaderProtocols::Tcp => {
            let tcp = TcpPacket::new(bytes)?;
            let (source, destination) = (tcp.get_source(), tcp.get_destination());
            let answer = Flow {
                target: from,
                source_port: destination,
                port: source,
                sequence: tcp.get_acknowledgement().wrapping_sub(1),
            };
            match tcp.get_flags() & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST) {
                TcpFlags::SYN => {
                    let sequence = tcp.get_sequence();
                    Some(Seen::Syn(Flow {
                        target: to,
                        source_port: source,
                        port: destination,
                        sequence,
                    }))
                }
                flags if flags == TcpFlags::SYN | TcpFlags::ACK => Some(Seen::SynAck(answer)),
                flags if flags == TcpFlags::RST | TcpFlags::ACK => Some(Seen::Rst(answer)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Writes the checksum of a TCP segment. A veth sender leaves it to its device, which never computes it: whoever takes
/// such a frame off the link and sends it on has to.
pub fn finish_checksum(frame: &mut [u8]) {
    let Some(mut ethernet) = MutableEthernetPacket::new(frame) else {
        return;
    };
    let kind = ethernet.get_ethertype();
    let payload = pnet_packet::MutablePacket::payload_mut(&mut ethernet);
    // Addresses first, since the segment is then borrowed mutably.
    let (start, end, addresses) = match kind {
        EtherTypes::Ipv4 => {
            let Some(ip) = Ipv4Packet::new(payload) else { return };
            if ip.get_next_level_protocol() != IpNextHeaderProtocols::Tcp {
                return;
            }
            let start = usize::from(ip.get_header_length()) * 4;
            (
                start,
                usize::from(ip.get_total_length()),
                Ok((ip.get_source(), ip.get_destination())),
            )
        }
        EtherTypes::Ipv6 => {
            let Some(ip) = Ipv6Packet::new(payload) else { return };
            if ip.get_next_header() != IpNextHeaderProtocols::Tcp {
                return;
            }
            let end = 40 + usize::from(ip.get_payload_length());
            (40, end, Err((ip.get_source(), ip.get_destination())))
        }
        _ => return,
    };
    let Some(mut tcp) = payload.get_mut(start..end).and_then(MutableTcpPacket::new) else {
        return;
    };
    tcp.set_checksum(0);
    let sum = match addresses {
        Ok((from, to)) => ipv4_checksum(&tcp.to_immutable(), &from, &to),
        Err((from, to)) => ipv6_checksum(&tcp.to_immutable(), &from, &to),
    };
    tcp.set_checksum(sum);
}

/// Bytes of the Ethernet and the IPv4 header.
pub const HEADERS: usize = 34;

/// The checksum of RFC 1071 over these bytes.
pub(crate) fn sum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Puts right what the receiving kernel checks, so that a forgery reaches the program: IPv4's and ICMP's checksums.
pub fn seal(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let header = sum(&frame[14..HEADERS]);
    frame[24..26].copy_from_slice(&header.to_be_bytes());
    if frame[23] == 1 && frame.len() >= HEADERS + 4 {
        frame[36..38].fill(0);
        let icmp = sum(&frame[HEADERS..]);
        frame[36..38].copy_from_slice(&icmp.to_be_bytes());
    } else {
        finish_checksum(frame);
    }
}

/// An echo reply to `request` with another identifier or payload than it asks for.
#[must_use]
pub fn reply_with(request: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut reply = request.to_vec();
    reply[..6].copy_from_slice(&request[6..12]);
    reply[6..12].copy_from_slice(&request[..6]);
    reply[26..30].copy_from_slice(&request[30..34]);
    reply[30..34].copy_from_slice(&request[26..30]);
    reply[HEADERS] = 0;
    change(&mut reply[HEADERS..]);
    seal(&mut reply);
    reply
}
