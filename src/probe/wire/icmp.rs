//! Echo requests and replies of ICMP (RFC 792) and ICMPv6 (RFC 4443, section 4): the same layout, other type numbers.
//!
//! The payload begins with the probe's number and its cookie, 8 bytes each, big-endian, then counts up as `ping` does.

use pnet_packet::Packet;
use pnet_packet::icmp::echo_request::{EchoRequestPacket, MutableEchoRequestPacket};
use pnet_packet::icmp::{IcmpCode, IcmpType};
use pnet_packet::util;

/// Type, code, checksum, identifier, sequence number.
pub(crate) const HEADER: usize = 8;
/// The probe's number and its cookie.
pub(crate) const MIN_PAYLOAD: u16 = 16;
/// What fits into 1,500 bytes behind an IPv6 header: larger ones would be fragmented on an ordinary path.
pub(crate) const MAX_PAYLOAD: u16 = 1500 - 40 - HEADER as u16;

/// The versions differ in their type numbers, and in who computes the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// RFC 792.
    V4,
    /// RFC 4443. The checksum covers addresses that only the kernel knows, so the kernel writes and checks it.
    V6,
}

impl Version {
    const fn request(self) -> u8 {
        match self {
            Version::V4 => 8,
            Version::V6 => 128,
        }
    }

    const fn reply(self) -> u8 {
        match self {
            Version::V4 => 0,
            Version::V6 => 129,
        }
    }
}

/// Which of the two an echo message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Request,
    Reply,
}

/// An echo message of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Echo {
    pub(crate) identifier: u16,
    pub(crate) sequence: u64,
    pub(crate) cookie: u64,
}

/// What is readable of a quoted request that was cut after its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) identifier: u16,
    pub(crate) sequence: u16,
}

/// Writes a request with `payload_bytes` of payload; `None` where `buf` is too small for it.
pub(crate) fn write_request(buf: &mut [u8], version: Version, echo: Echo, payload_bytes: u16) -> Option<usize> {
    let len = HEADER + usize::from(payload_bytes.max(MIN_PAYLOAD));
    let bytes = buf.get_mut(..len)?;
    let (header, payload) = bytes.split_at_mut(HEADER);
    payload[..8].copy_from_slice(&echo.sequence.to_be_bytes());
    payload[8..16].copy_from_slice(&echo.cookie.to_be_bytes());
    for (place, byte) in (16..=u8::MAX).cycle().zip(&mut payload[16..]) {
        *byte = place;
    }
    header.fill(0);
    let mut packet = MutableEchoRequestPacket::new(bytes)?;
    packet.set_icmp_type(IcmpType(version.request()));
    packet.set_icmp_code(IcmpCode(0));
    packet.set_identifier(echo.identifier);
    // The low 16 bits: what `ping`, captures and firewalls see. The whole number is in the payload.
    packet.set_sequence_number(echo.sequence as u16);
    if version == Version::V4 {
        let checksum = util::checksum(packet.packet(), 1);
        packet.set_checksum(checksum);
    }
    Some(len)
}

/// Reads an echo message that carries a probe's number and cookie. `None` for anything else, also where the checksum
/// is wrong: a raw socket is given packets before anybody checked it. A shortened payload is accepted (some hosts cut
/// it), as long as number and cookie are whole.
pub(crate) fn read(bytes: &[u8], version: Version, direction: Direction) -> Option<Echo> {
    // `usize::MAX`: no word is left out, so an intact message sums up to zero in both representations of zero.
    if version == Version::V4 && util::checksum(bytes, usize::MAX) != 0 {
        return None;
    }
    read_unchecked(bytes, version, direction)
}

/// As [`read`], of a packet whose checksum may not have been computed yet or covers bytes that were cut off.
pub(crate) fn read_unchecked(bytes: &[u8], version: Version, direction: Direction) -> Option<Echo> {
    let header = read_header(bytes, version, direction)?;
    let sequence = u64::from_be_bytes(*bytes.get(HEADER..)?.first_chunk()?);
    let cookie = u64::from_be_bytes(*bytes.get(HEADER + 8..)?.first_chunk()?);
    (header.sequence == sequence as u16).then_some(Echo {
        identifier: header.identifier,
        sequence,
        cookie,
    })
}

/// Reads only the header of an echo message.
pub(crate) fn read_header(bytes: &[u8], version: Version, direction: Direction) -> Option<Header> {
    let packet = EchoRequestPacket::new(bytes)?;
    let expected = match direction {
        Direction::Request => version.request(),
        Direction::Reply => version.reply(),
    };
    (packet.get_icmp_type() == IcmpType(expected) && packet.get_icmp_code() == IcmpCode(0)).then(|| Header {
        identifier: packet.get_identifier(),
        sequence: packet.get_sequence_number(),
    })
}
