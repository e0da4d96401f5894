//! IP headers: taken off what a raw IPv4 socket delivers, and found in front of what a transmit stamp brings back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::Family;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// The longest link-layer header looked for in front of a packet that came back: Ethernet has 14 bytes, with tags 22,
/// wireless up to 36, InfiniBand 44.
const LONGEST_LINK_HEADER: usize = 64;

/// The transport header onward of an IPv4 packet; `None` where it isn't a whole, sound packet of `protocol`.
/// The kernel has reassembled fragments before a raw socket sees them, so a fragment here is garbage.
pub(crate) fn strip_ipv4(bytes: &[u8], protocol: u8) -> Option<&[u8]> {
    let header: &[u8; IPV4_HEADER] = bytes.first_chunk()?;
    let header_length = usize::from(header[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff;
    if header[0] >> 4 != 4 || header_length < IPV4_HEADER || fragment != 0 || header[9] != protocol {
        return None;
    }
    bytes.get(header_length..total)
}

/// Our own packet, as a transmit stamp without `OPT_TSONLY` brings it back: the network card's view, link header included.
/// Returns its destination and its bytes from the transport header on.
///
/// How long the link header is depends on the device, and nothing says so. But the IP header's own length field has to fit
/// the bytes behind it, so the first place where it does is taken; drivers may pad short frames at the end.
pub(crate) fn find_sent(bytes: &[u8], family: Family, protocol: u8) -> Option<(IpAddr, &[u8])> {
    // Ethernet first, then no header (tunnels), then anything.
    let others = (0..=LONGEST_LINK_HEADER).filter(|&length| length != 14);
    std::iter::once(14).chain(others).find_map(|link| {
        let packet = bytes.get(link..)?;
        match family {
            Family::V4 => {
                let transport = strip_ipv4(packet, protocol)?;
                let header = packet.first_chunk::<IPV4_HEADER>()?;
                let words = packet.get(..usize::from(header[0] & 0x0f) * 4)?;
                (checksum(&[words]) == 0).then(|| {
                    let destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
                    (IpAddr::V4(destination), transport)
                })
            }
            Family::V6 => {
                let header: &[u8; IPV6_HEADER] = packet.first_chunk()?;
                let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
                let transport = packet.get(IPV6_HEADER..IPV6_HEADER + length)?;
                // Without a checksum to go by, the rest of the frame may only be padding to Ethernet's 60 bytes.
                let padding = packet.len() - IPV6_HEADER - length;
                if header[0] >> 4 != 6 || header[6] != protocol || (padding > 0 && bytes.len() > 60) {
                    return None;
                }
                let destination: [u8; 16] = *header[24..].first_chunk()?;
                Some((IpAddr::V6(Ipv6Addr::from(destination)), transport))
            }
        }
    })
}

/// The Internet checksum (RFC 1071) over the parts in turn; every part but the last must be of even length.
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ipv4(options: usize, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; IPV4_HEADER + options];
        packet[0] = 0x40 | ((IPV4_HEADER + options) / 4) as u8;
        packet[2..4].copy_from_slice(&((IPV4_HEADER + options + payload.len()) as u16).to_be_bytes());
        packet[8] = 64;
        packet[9] = 1;
        packet[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        let sum = checksum(&[&packet]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(payload);
        packet
    }

    fn ipv6(payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; IPV6_HEADER];
        packet[0] = 0x60;
        packet[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
        packet[6] = 58;
        packet[39] = 9;
        packet.extend(payload);
        packet
    }

    #[test]
    fn options_go_and_padding_goes() {
        let mut packet = ipv4(8, b"transport");
        assert_eq!(strip_ipv4(&packet, 1), Some(&b"transport"[..]));
        packet.extend([0; 20]);
        assert_eq!(strip_ipv4(&packet, 1), Some(&b"transport"[..]));
    }

    #[test]
    fn unsound_headers_are_refused() {
        let sound = ipv4(0, b"transport");
        let broken: [(usize, u8); 6] = [(0, 0x65), (0, 0x44), (0, 0x4f), (6, 0x20), (7, 1), (9, 6)];
        for (at, value) in broken {
            let mut packet = sound.clone();
            packet[at] = value;
            assert_eq!(strip_ipv4(&packet, 1), None, "byte {at} = {value:#x}");
        }
        for cut in 0..sound.len() {
            assert_eq!(strip_ipv4(&sound[..cut], 1), None);
        }
    }

    #[test]
    fn our_packet_is_found_behind_any_link_header() {
        for link in 0..=LONGEST_LINK_HEADER {
            let mut frame = vec![0x08; link];
            frame.extend(ipv4(0, b"our probe"));
            assert_eq!(
                find_sent(&frame, Family::V4, 1),
                Some(("10.0.0.2".parse().unwrap(), &b"our probe"[..])),
                "{link}"
            );
            let mut frame = vec![0x86; link];
            frame.extend(ipv6(b"our probe, longer than sixty bytes in all"));
            let found = find_sent(&frame, Family::V6, 58);
            assert_eq!(found.map(|found| found.0), Some("::9".parse().unwrap()), "{link}");
        }
    }

    #[test]
    fn a_packet_within_a_packet_does_not_mislead() {
        // What we probe with may hold anything, also another packet.
        let mut frame = vec![0; 14];
        frame.extend(ipv4(0, &ipv4(0, b"inner")));
        assert_eq!(find_sent(&frame, Family::V4, 1).unwrap().1.len(), 25);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = strip_ipv4(&bytes, 1);
            let _ = find_sent(&bytes, Family::V4, 1);
            let _ = find_sent(&bytes, Family::V6, 58);
        }
    }
}
