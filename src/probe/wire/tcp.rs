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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SYN: Syn = Syn {
        source_port: 61_001,
        destination_port: 4000,
        sequence: 0xcafe_babe,
    };

    #[test]
    fn a_syn_is_as_it_stands_in_the_rfc() {
        let (source, destination) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let mut buf = [0xaa; 24];
        assert_eq!(write_syn(&mut buf, SYN, Some((source, destination))), Some(24));
        let expected = [
            0xee, 0x49, 0x0f, 0xa0, 0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 0, 0x60, 0x02, 0xfa, 0xf0, buf[16], buf[17], 0, 0,
            2, 4, 0x05, 0xb4,
        ];
        assert_eq!(buf, expected);
        // The pseudo-header of RFC 9293, section 3.1: addresses, zero, protocol, length.
        let mut covered = vec![10, 0, 0, 1, 10, 0, 0, 2, 0, 6, 0, 24];
        covered.extend(buf);
        let sum: u32 = covered
            .chunks(2)
            .map(|pair| u32::from(pair[0]) * 256 + u32::from(pair[1]))
            .sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }

    #[test]
    fn over_ipv6_the_kernel_computes_the_checksum() {
        let mut buf = [0xaa; 24];
        assert_eq!(write_syn(&mut buf, SYN, None), Some(24));
        assert_eq!((&buf[16..18], &buf[20..]), (&[0, 0][..], &[2, 4, 0x05, 0xa0][..]));
    }

    #[test]
    fn a_buffer_too_small_takes_nothing() {
        assert_eq!(write_syn(&mut [0; 23], SYN, None), None);
    }

    fn answer(flags: u8, offset: u8) -> Option<Kind> {
        let mut bytes = [0; 40];
        (bytes[12], bytes[13]) = (offset << 4, flags);
        read_answer(&bytes).map(|answer| answer.kind)
    }

    #[test]
    fn only_what_acknowledges_a_syn_is_an_answer() {
        assert_eq!(answer(0x12, 5), Some(Kind::SynAck));
        assert_eq!(answer(0x52, 10), Some(Kind::SynAck), "with ECE");
        assert_eq!(answer(0x14, 5), Some(Kind::Reset));
        assert_eq!(
            answer(0x16, 5),
            Some(Kind::Reset),
            "a reset is a reset whatever else it says"
        );
        for flags in [0x00, 0x02, 0x04, 0x10, 0x11, 0x18] {
            assert_eq!(answer(flags, 5), None, "{flags:#04x}");
        }
        assert_eq!(answer(0x12, 4), None, "a header shorter than a header");
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_what_was_written(source_port: u16, destination_port: u16, sequence: u32, cut in 8..=24_usize) {
            let syn = Syn { source_port, destination_port, sequence };
            let mut buf = [0; 24];
            prop_assert_eq!(write_syn(&mut buf, syn, None), Some(24));
            prop_assert_eq!(read_quoted(&buf[..cut]), Some(syn));
            prop_assert_eq!(read_quoted(&buf[..7]), None);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            prop_assert!(read_answer(&bytes).is_none() || bytes.len() >= 20);
            prop_assert_eq!(read_quoted(&bytes).is_some(), bytes.len() >= 8);
        }
    }
}
