//! Control messages as the kernel lays them out, read and written as bytes: `size_t` length, `int` level, `int` type, data,
//! each message padded to `size_t` [linux/socket.h]. Reading is total: a length that makes no sense ends it.

use std::mem::size_of;
use std::net::IpAddr;

use dt_probe::{Phc, Wall};
use libc::c_int;

use crate::address;
use crate::sys;

const HEADER: usize = size_of::<usize>() + 2 * size_of::<c_int>();

const fn align(length: usize) -> usize {
    (length + size_of::<usize>() - 1) & !(size_of::<usize>() - 1)
}

/// Where a message's data starts (`CMSG_DATA`).
const DATA: usize = align(HEADER);

/// The room a message with this much data takes (`CMSG_SPACE`).
pub(crate) const fn space(data: usize) -> usize {
    DATA + align(data)
}

/// One control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) level: c_int,
    pub(crate) kind: c_int,
    pub(crate) data: &'a [u8],
}

/// The messages in what a call left in its control buffer.
pub(crate) fn messages(mut rest: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first_chunk()?;
        let (level, tail) = tail.split_first_chunk()?;
        let (kind, _) = tail.split_first_chunk()?;
        let length = usize::from_ne_bytes(*length);
        // A length below the header's or beyond the buffer: what follows can't be found any more.
        let data = rest.get(DATA..length)?;
        let message = Message {
            level: c_int::from_ne_bytes(*level),
            kind: c_int::from_ne_bytes(*kind),
            data,
        };
        rest = rest.get(align(length)..).unwrap_or(&[]);
        Some(message)
    })
}

/// Writes one message; returns the room it took. `buffer` must have [`space`] for it.
pub(crate) fn write(buffer: &mut [u8], level: c_int, kind: c_int, data: &[u8]) -> usize {
    let length = DATA + data.len();
    buffer[..size_of::<usize>()].copy_from_slice(&length.to_ne_bytes());
    buffer[size_of::<usize>()..][..size_of::<c_int>()].copy_from_slice(&level.to_ne_bytes());
    buffer[size_of::<usize>() + size_of::<c_int>()..][..size_of::<c_int>()].copy_from_slice(&kind.to_ne_bytes());
    buffer[DATA..length].copy_from_slice(data);
    space(data.len())
}

/// `struct sock_extended_err` [linux/errqueue.h] and the offender's address behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExtendedError {
    pub(crate) errno: u32,
    pub(crate) origin: u8,
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) info: u32,
    pub(crate) data: u32,
    pub(crate) offender: Option<IpAddr>,
}

/// What one received message's control data says, of the things a channel asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// The kernel's software stamp.
    pub(crate) stamp: Option<Wall>,
    /// The network card's stamp, by its own clock.
    pub(crate) card: Option<Phc>,
    /// The socket's drop counter as it was when this packet was queued; absent until the first drop.
    pub(crate) drops: Option<u32>,
    /// What the error queue says about the entry.
    pub(crate) error: Option<ExtendedError>,
}

impl Control {
    pub(crate) fn read(control: &[u8]) -> Control {
        let mut read = Control::default();
        for message in messages(control) {
            match (message.level, message.kind) {
                (libc::SOL_SOCKET, libc::SO_TIMESTAMPING) => {
                    read.stamp = stamp(message.data, SOFTWARE).map(Wall);
                    read.card = stamp(message.data, RAW_HARDWARE).map(Phc);
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    read.drops = message.data.first_chunk().map(|count| u32::from_ne_bytes(*count));
                }
                (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR) => {
                    read.error = extended_error(message.data);
                }
                _ => {}
            }
        }
        read
    }
}

/// The places of the three times of `struct scm_timestamping` [linux/errqueue.h]. The second is no longer in use.
const SOFTWARE: usize = 0;
const RAW_HARDWARE: usize = 2;

/// One of the three times. `None` where it is unset, as on a packet that came before the kernel had begun to stamp.
fn stamp(data: &[u8], place: usize) -> Option<u64> {
    // Two longs a time: 32-bit kernels without 64-bit time give three pairs of 4 bytes.
    let (seconds, nanos) = if data.len() >= 48 {
        let time = data.get(16 * place..)?;
        (
            i64::from_ne_bytes(*time.first_chunk()?),
            i64::from_ne_bytes(*time.get(8..)?.first_chunk()?),
        )
    } else {
        let time = data.get(8 * place..)?;
        let seconds = i32::from_ne_bytes(*time.first_chunk()?);
        let nanos = i32::from_ne_bytes(*time.get(4..)?.first_chunk()?);
        (i64::from(seconds), i64::from(nanos))
    };
    let (seconds, nanos) = (u64::try_from(seconds).ok()?, u64::try_from(nanos).ok()?);
    if nanos >= 1_000_000_000 || (seconds, nanos) == (0, 0) {
        return None;
    }
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

fn extended_error(data: &[u8]) -> Option<ExtendedError> {
    let (fixed, offender) = data.split_first_chunk::<16>()?;
    let word = |at: usize| u32::from_ne_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    Some(ExtendedError {
        errno: word(0),
        origin: fixed[4],
        kind: fixed[5],
        code: fixed[6],
        info: word(8),
        data: word(12),
        offender: address::read(offender),
    })
}

/// Room for the messages a packet is sent with: its key, then its source address.
pub(crate) const KEY_SPACE: usize = space(size_of::<u32>());
/// Room for `struct in_pktinfo` or `struct in6_pktinfo`.
pub(crate) const SOURCE_SPACE: usize = space(20);

/// Writes the key of a packet's transmit stamp.
pub(crate) fn write_key(buffer: &mut [u8], key: u32) -> usize {
    write(buffer, libc::SOL_SOCKET, sys::SCM_TS_OPT_ID, &key.to_ne_bytes())
}

/// Writes the address to send from.
pub(crate) fn write_source(buffer: &mut [u8], source: IpAddr) -> usize {
    match source {
        // struct in_pktinfo [linux/in.h]: interface index, local address (ipi_spec_dst), destination.
        IpAddr::V4(source) => {
            let mut info = [0; 12];
            info[4..8].copy_from_slice(&source.octets());
            write(buffer, libc::SOL_IP, libc::IP_PKTINFO, &info)
        }
        // struct in6_pktinfo [linux/ipv6.h]: address, interface index.
        IpAddr::V6(source) => {
            let mut info = [0; 20];
            info[..16].copy_from_slice(&source.octets());
            write(buffer, libc::SOL_IPV6, libc::IPV6_PKTINFO, &info)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(level: c_int, kind: c_int, data: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0; space(data.len())];
        write(&mut buffer, level, kind, data);
        buffer
    }

    fn stamp(seconds: i64, nanos: i64) -> Vec<u8> {
        stamps([seconds, nanos], [7, 7])
    }

    fn stamps(software: [i64; 2], card: [i64; 2]) -> Vec<u8> {
        let mut data = Vec::new();
        for word in software.into_iter().chain([9, 9]).chain(card) {
            data.extend(word.to_ne_bytes());
        }
        one(libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &data)
    }

    /// A transmit stamp's error-queue entry, laid out by hand as Linux 6.18 does on x86-64 and aarch64.
    #[test]
    #[cfg(all(target_pointer_width = "64", target_endian = "little"))]
    fn golden_bytes_of_a_transmit_stamp() {
        #[rustfmt::skip]
        let bytes = [
            // cmsg_len 64, SOL_SOCKET, SCM_TIMESTAMPING, 1 s + 2 ns, no others
            64, 0, 0, 0, 0, 0, 0, 0,  1, 0, 0, 0,  37, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 0, 0,  2, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,
            // cmsg_len 48, SOL_IP, IP_RECVERR, ENOMSG, origin 4, type, code, pad, info, data = key, an empty offender
            48, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0,  11, 0, 0, 0,
            42, 0, 0, 0,  4, 0, 0, 0,  0, 0, 0, 0,  0xef, 0xbe, 0xad, 0xde,
            0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let control = Control::read(&bytes);
        assert_eq!(control.stamp, Some(Wall(1_000_000_002)));
        let error = control.error.unwrap();
        assert_eq!(
            (error.errno, error.origin, error.info, error.data),
            (42, 4, 0, 0xdead_beef)
        );
        assert_eq!(error.offender, None);
        assert_eq!(control.drops, None);
    }

    /// As the kernel hands on what a card has stamped (`put_cmsg_scm_timestamping`, `__skb_tstamp_tx`): a received packet
    /// bears both times in one message, a sent one comes twice, each time with one of them.
    #[test]
    #[cfg(all(target_pointer_width = "64", target_endian = "little"))]
    fn golden_bytes_of_a_cards_stamps() {
        #[rustfmt::skip]
        let received = [
            // cmsg_len 64, SOL_SOCKET, SCM_TIMESTAMPING; 1 s + 2 ns by the kernel, nothing, 3 s + 4 ns by the card
            64, 0, 0, 0, 0, 0, 0, 0,  1, 0, 0, 0,  37, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 0, 0,  2, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,  3, 0, 0, 0, 0, 0, 0, 0,  4, 0, 0, 0, 0, 0, 0, 0,
        ];
        let control = Control::read(&received);
        assert_eq!(
            (control.stamp, control.card),
            (Some(Wall(1_000_000_002)), Some(Phc(3_000_000_004)))
        );
        let mut sent = received;
        sent[16..32].fill(0);
        let control = Control::read(&sent);
        assert_eq!((control.stamp, control.card), (None, Some(Phc(3_000_000_004))));
        sent[48..].fill(0);
        assert_eq!(Control::read(&sent), Control::default());
    }

    #[test]
    fn each_stamp_stands_for_itself() {
        for (seconds, nanos) in [(0, 0), (-1, 5), (5, 1_000_000_000), (i64::MAX, 5)] {
            let control = Control::read(&stamps([5, 6], [seconds, nanos]));
            assert_eq!((control.stamp, control.card), (Some(Wall(5_000_000_006)), None));
            let control = Control::read(&stamps([seconds, nanos], [5, 6]));
            assert_eq!((control.stamp, control.card), (None, Some(Phc(5_000_000_006))));
        }
    }

    #[test]
    fn an_offender_is_read() {
        let mut data = vec![0; 16];
        data[4] = 2;
        let mut raw = address::RawAddress::EMPTY;
        let length = raw.write(&"192.0.2.1:0".parse().unwrap()) as usize;
        data.extend(&raw.0[..length]);
        let error = Control::read(&one(libc::SOL_IP, libc::IP_RECVERR, &data))
            .error
            .unwrap();
        assert_eq!(error.offender, Some("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn absurd_stamps_are_none() {
        assert_eq!(Control::read(&stamp(5, 6)).stamp, Some(Wall(5_000_000_006)));
        for (seconds, nanos) in [
            (0, 0),
            (-1, 5),
            (5, -1),
            (5, 1_000_000_000),
            (i64::MAX, 5),
            (i64::MIN, i64::MIN),
        ] {
            assert_eq!(Control::read(&stamp(seconds, nanos)).stamp, None, "{seconds} {nanos}");
        }
    }

    #[test]
    fn stamps_of_32_bit_kernels_are_read() {
        let mut data = Vec::new();
        for word in [5i32, 6, 0, 0, 7, 8] {
            data.extend(word.to_ne_bytes());
        }
        let control = Control::read(&one(libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &data));
        assert_eq!(
            (control.stamp, control.card),
            (Some(Wall(5_000_000_006)), Some(Phc(7_000_000_008)))
        );
    }

    #[test]
    fn a_hostile_length_ends_the_reading_after_what_was_sound() {
        for length in [0usize, 1, HEADER - 1, 1_000, usize::MAX, usize::MAX - 3] {
            let mut bytes = one(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &7u32.to_ne_bytes());
            let mut bad = one(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &9u32.to_ne_bytes());
            bad[..size_of::<usize>()].copy_from_slice(&length.to_ne_bytes());
            bytes.extend(bad);
            assert_eq!(messages(&bytes).count(), 1, "{length}");
            assert_eq!(Control::read(&bytes).drops, Some(7));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic_or_an_endless_loop(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(messages(&bytes).count() <= bytes.len() / HEADER + 1);
            let _ = Control::read(&bytes);
        }

        #[test]
        fn damaged_messages_are_read_without_a_panic(at in 0usize..112, value: u8, cut in 0usize..113) {
            let mut bytes = stamp(5, 6);
            let mut error = vec![0; 32];
            error[4] = 4;
            bytes.extend(one(libc::SOL_IP, libc::IP_RECVERR, &error));
            bytes[at] = value;
            let _ = Control::read(&bytes[..cut.min(bytes.len())]);
        }

        #[test]
        fn what_is_written_is_read(list in proptest::collection::vec((any::<i32>(), any::<i32>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..5)) {
            let bytes: Vec<u8> = list.iter().flat_map(|(level, kind, data)| one(*level, *kind, data)).collect();
            let read: Vec<_> = messages(&bytes).map(|m| (m.level, m.kind, m.data.to_vec())).collect();
            prop_assert_eq!(read, list);
        }
    }

    /// The layout is libc's.
    #[test]
    fn lengths_agree_with_the_c_macros() {
        for data in 0..64u32 {
            // SAFETY: CMSG_SPACE and CMSG_LEN only compute.
            let (c_space, c_length) = unsafe { (libc::CMSG_SPACE(data), libc::CMSG_LEN(data)) };
            assert_eq!(space(data as usize), c_space as usize);
            assert_eq!(DATA + data as usize, c_length as usize);
        }
    }
}
