//! Echo requests and replies of ICMP (RFC 792) and ICMPv6 (RFC 4443, section 4): the same layout, other type numbers.
//!
//! The payload begins with the mark of this run and the low half of the probe's number, 4 bytes each, and the cookie, 8
//! bytes, all big-endian; then it counts up as `ping` does. The mark stands first so that a socket filter can tell from it
//! at what is none of ours, also where it bears our identifier.

use pnet_packet::Packet;
use pnet_packet::icmp::echo_request::{EchoRequestPacket, MutableEchoRequestPacket};
use pnet_packet::icmp::{IcmpCode, IcmpType};
use pnet_packet::util;

/// Type, code, checksum, identifier, sequence number.
pub(crate) const HEADER: usize = 8;
/// The mark, the probe's number and its cookie.
pub(crate) const MIN_PAYLOAD: u16 = 16;
/// What fits into 1,500 bytes behind an IPv6 header: larger ones would be fragmented on an ordinary path.
pub(crate) const MAX_PAYLOAD: u16 = 1500 - 40 - HEADER as u16;

/// What follows the cookie: 16, 17 and so on to 255, again and again.
static COUNTING: [u8; (MAX_PAYLOAD - MIN_PAYLOAD) as usize] = {
    let mut bytes = [0; (MAX_PAYLOAD - MIN_PAYLOAD) as usize];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = (16 + at % 240) as u8;
        at += 1;
    }
    bytes
};

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
    pub(crate) mark: u32,
    /// The low half of the probe's number.
    pub(crate) sequence: u32,
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
    let len = HEADER + usize::from(payload_bytes.clamp(MIN_PAYLOAD, MAX_PAYLOAD));
    let bytes = buf.get_mut(..len)?;
    let (header, payload) = bytes.split_at_mut(HEADER);
    payload[..4].copy_from_slice(&echo.mark.to_be_bytes());
    payload[4..8].copy_from_slice(&echo.sequence.to_be_bytes());
    payload[8..16].copy_from_slice(&echo.cookie.to_be_bytes());
    let rest = &mut payload[MIN_PAYLOAD as usize..];
    rest.copy_from_slice(&COUNTING[..rest.len()]);
    header.fill(0);
    let mut packet = MutableEchoRequestPacket::new(bytes)?;
    packet.set_icmp_type(IcmpType(version.request()));
    packet.set_icmp_code(IcmpCode(0));
    packet.set_identifier(echo.identifier);
    // The low 16 bits: what `ping`, captures and firewalls see.
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
    let mark = u32::from_be_bytes(*bytes.get(HEADER..)?.first_chunk()?);
    let sequence = u32::from_be_bytes(*bytes.get(HEADER + 4..)?.first_chunk()?);
    let cookie = u64::from_be_bytes(*bytes.get(HEADER + 8..)?.first_chunk()?);
    (header.sequence == sequence as u16).then_some(Echo {
        identifier: header.identifier,
        mark,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `ping -c1 -s16 -p 0` with identifier 0x1234, as tcpdump shows it, its payload replaced by number and cookie.
    const REQUEST: [u8; 24] = [
        0x08, 0x00, 0x8e, 0x4b, 0x12, 0x34, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc,
        0xba, 0x98, 0x76, 0x54, 0x32, 0x10,
    ];
    const ECHO: Echo = Echo {
        identifier: 0x1234,
        mark: 0x0123_4567,
        sequence: 0x89ab_cdef,
        cookie: 0xfedc_ba98_7654_3210,
    };

    /// RFC 1071, section 4.1, written out: the independent one.
    fn ones_complement_sum(bytes: &[u8]) -> u16 {
        let sum = bytes.chunks(2).fold(0_u64, |sum, pair| {
            sum + u64::from(pair[0]) * 256 + u64::from(pair.get(1).copied().unwrap_or(0))
        });
        let mut sum = sum;
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        sum as u16
    }

    fn written(version: Version, echo: Echo, payload: u16) -> Vec<u8> {
        let mut buf = vec![0xaa; 1500];
        let len = write_request(&mut buf, version, echo, payload).unwrap();
        buf.truncate(len);
        buf
    }

    #[test]
    fn a_request_is_as_it_stands_in_the_rfc() {
        let bytes = written(Version::V4, ECHO, 16);
        assert_eq!(bytes[..2], REQUEST[..2]);
        assert_eq!(bytes[4..], REQUEST[4..]);
        assert_eq!(ones_complement_sum(&bytes), 0xffff);
        let bytes = written(Version::V6, ECHO, 16);
        assert_eq!(bytes[..4], [128, 0, 0, 0], "the kernel writes the checksum of ICMPv6");
    }

    #[test]
    fn a_buffer_too_small_takes_nothing() {
        assert_eq!(write_request(&mut [0; 63], Version::V4, ECHO, 56), None);
        assert_eq!(write_request(&mut [0; 64], Version::V4, ECHO, 56), Some(64));
    }

    #[test]
    fn both_forms_of_a_zero_checksum_are_right() {
        // RFC 1624: a sum that comes to zero may stand as 0x0000 or 0xffff.
        let mut bytes = vec![0; 24];
        for checksum in [[0, 0], [0xff, 0xff]] {
            // The words of this reply add up to 0xffff without the checksum.
            bytes[4..6].copy_from_slice(&[0xff, 0xff]);
            bytes[2..4].copy_from_slice(&checksum);
            assert!(read(&bytes, Version::V4, Direction::Reply).is_some(), "{checksum:?}");
        }
        bytes[2..4].copy_from_slice(&[0, 1]);
        assert_eq!(read(&bytes, Version::V4, Direction::Reply), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(identifier: u16, mark: u32, sequence: u32, cookie: u64, payload in 16..=MAX_PAYLOAD, v6: bool) {
            let version = if v6 { Version::V6 } else { Version::V4 };
            let echo = Echo { identifier, mark, sequence, cookie };
            let bytes = written(version, echo, payload);
            prop_assert_eq!(bytes.len(), HEADER + usize::from(payload));
            prop_assert_eq!(read(&bytes, version, Direction::Request), Some(echo));
            prop_assert_eq!(read(&bytes, version, Direction::Reply), None);
            prop_assert!(v6 || ones_complement_sum(&bytes) == 0xffff);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, v6: bool) {
            let version = if v6 { Version::V6 } else { Version::V4 };
            for direction in [Direction::Request, Direction::Reply] {
                let whole = read(&bytes, version, direction);
                prop_assert!(whole.is_none() || bytes.len() >= 24);
                let header = read_header(&bytes, version, direction);
                prop_assert!(header.is_none() || bytes.len() >= 8);
            }
        }

        #[test]
        fn a_flipped_bit_is_noticed(sequence: u32, cookie: u64, bit in 0..64_usize * 8) {
            let mut bytes = written(Version::V4, Echo { identifier: 7, mark: 1, sequence, cookie }, 56);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(read(&bytes, Version::V4, Direction::Request), None);
        }

        #[test]
        fn a_cut_packet_is_read_as_far_as_it_goes(len in 0..64_usize) {
            let bytes = written(Version::V6, ECHO, 56);
            let cut = &bytes[..len];
            prop_assert_eq!(read(cut, Version::V6, Direction::Request).is_some(), len >= 24);
            prop_assert_eq!(read_header(cut, Version::V6, Direction::Request).is_some(), len >= 8);
        }
    }
}
