//! Entries of a socket's error queue: transmit stamps and ICMP errors, told apart by who put them there.

use std::net::IpAddr;

use dt_probe::{Clock, Phc, Wall};

use crate::address::{self, Family};
use crate::cmsg::Control;
use crate::mailbox::RawMessage;
use crate::packet;

/// One entry of the error queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued<'a> {
    /// A packet of ours left this host.
    TxStamp {
        /// Which packet.
        key: StampKey<'a>,
        /// When the kernel handed it to the device.
        stamp: Wall,
        /// Who stamped it.
        clock: Clock,
    },
    /// The network card told when a packet of ours left it. The kernel's own stamp of the same packet comes by itself.
    CardStamp {
        /// Which packet.
        key: StampKey<'a>,
        /// When it left, by the card's clock.
        stamp: Phc,
    },
    /// An ICMP error about a packet of ours, or, on a raw socket, about anybody's on this host: match its bytes.
    IcmpError {
        /// The packet as the error quotes it, from its transport header on. Whoever sent the error wrote it, often 8 bytes only.
        bytes: &'a [u8],
        /// Where the packet was going.
        destination: IpAddr,
        /// Who sent the error.
        offender: Option<IpAddr>,
        /// ICMP type.
        kind: u8,
        /// ICMP code.
        code: u8,
        /// What the kernel makes of it.
        errno: i32,
    },
    /// Anything else: an error of this host's own stack, or an entry that couldn't be read.
    Other,
}

/// Whose transmit stamp it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampKey<'a> {
    /// The key it was committed with.
    Id(u32),
    /// The packet itself, on kernels that take no key.
    Packet {
        /// Its bytes from the transport header on.
        bytes: &'a [u8],
        /// Where it went.
        destination: IpAddr,
    },
}

/// Which moment of a packet's way out a stamp is of (`SCM_TSTAMP_SND` [linux/errqueue.h]): the driver, or the card, has it.
const LEFT: u32 = 0;

/// Reads one message of the error queue. `keyed` as the socket was set up.
pub(crate) fn read<'a>(message: &RawMessage<'a>, family: Family, protocol: u8, keyed: bool) -> Queued<'a> {
    let control = Control::read(message.control);
    let Some(error) = control.error else {
        return Queued::Other;
    };
    match error.origin {
        libc::SO_EE_ORIGIN_TIMESTAMPING if error.info == LEFT => {
            let key = if keyed {
                Some(StampKey::Id(error.data))
            } else {
                packet::find_sent(message.bytes, family, protocol)
                    .map(|(destination, bytes)| StampKey::Packet { bytes, destination })
            };
            match (key, control.stamp, control.card) {
                (Some(key), Some(stamp), _) => Queued::TxStamp {
                    key,
                    stamp,
                    clock: Clock::Kernel,
                },
                (Some(key), None, Some(stamp)) => Queued::CardStamp { key, stamp },
                _ => Queued::Other,
            }
        }
        libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6 => match address::read(message.name) {
            Some(destination) => Queued::IcmpError {
                bytes: message.bytes,
                destination,
                offender: error.offender,
                kind: error.kind,
                code: error.code,
                errno: error.errno as i32,
            },
            None => Queued::Other,
        },
        _ => Queued::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmsg;
    use proptest::prelude::*;

    /// An entry's control data: an optional stamp of 5 s and an extended error.
    fn control(stamped: bool, origin: u8, data: u32) -> Vec<u8> {
        control_of(stamped.then_some([5, 0, 0, 0, 0, 0]), origin, 0, data)
    }

    fn control_of(times: Option<[i64; 6]>, origin: u8, info: u32, data: u32) -> Vec<u8> {
        let mut bytes = vec![0; 200];
        let mut at = 0;
        if let Some(times) = times {
            let words: Vec<u8> = times.iter().flat_map(|word| word.to_ne_bytes()).collect();
            at = cmsg::write(&mut bytes, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &words);
        }
        let mut error = vec![0; 16];
        error[0..4].copy_from_slice(&113u32.to_ne_bytes());
        (error[4], error[5], error[6]) = (origin, 3, 1);
        error[8..12].copy_from_slice(&info.to_ne_bytes());
        error[12..].copy_from_slice(&data.to_ne_bytes());
        at += cmsg::write(&mut bytes[at..], libc::SOL_IP, libc::IP_RECVERR, &error);
        bytes.truncate(at);
        bytes
    }

    fn name() -> [u8; 16] {
        let mut name = [0; 16];
        name[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        name[4..8].copy_from_slice(&[192, 0, 2, 1]);
        name
    }

    fn read_with(control: &[u8], name: &[u8], bytes: &[u8], keyed: bool) -> String {
        let message = RawMessage {
            bytes,
            name,
            control,
            truncated: false,
        };
        format!("{:?}", read(&message, Family::V4, 1, keyed))
    }

    #[test]
    fn entries_are_told_apart_by_their_origin() {
        let keyed = read_with(&control(true, 4, 77), &[], &[], true);
        assert_eq!(keyed, "TxStamp { key: Id(77), stamp: Wall(5000000000), clock: Kernel }");
        let icmp = read_with(&control(false, 2, 0), &name(), b"8 bytes.", true);
        assert!(
            icmp.contains("destination: 192.0.2.1") && icmp.contains("kind: 3, code: 1, errno: 113"),
            "{icmp}"
        );
        for origin in [0, 1, 5, 6, 255] {
            assert_eq!(
                read_with(&control(true, origin, 0), &name(), b"8 bytes.", true),
                "Other"
            );
        }
    }

    #[test]
    fn a_cards_stamp_is_told_from_the_kernels() {
        let card = control_of(Some([0, 0, 0, 0, 6, 7]), 4, 0, 77);
        assert_eq!(
            read_with(&card, &[], &[], true),
            "CardStamp { key: Id(77), stamp: Phc(6000000007) }"
        );
        // When the packet was queued, sent a second time, or acknowledged: not asked for, and not when it left.
        for info in [1, 2, 3] {
            let earlier = control_of(Some([5, 0, 0, 0, 0, 0]), 4, info, 77);
            assert_eq!(read_with(&earlier, &[], &[], true), "Other");
        }
    }

    #[test]
    fn entries_that_lack_something_are_other() {
        assert_eq!(read_with(&control(false, 4, 77), &[], &[], true), "Other", "no stamp");
        assert_eq!(read_with(&control(true, 4, 77), &[], b"not our packet", false), "Other");
        assert_eq!(
            read_with(&control(false, 2, 0), &[], b"8 bytes.", true),
            "Other",
            "no destination"
        );
        assert_eq!(read_with(&[], &name(), b"8 bytes.", true), "Other");
    }

    proptest! {
        #[test]
        fn any_entry_is_read_without_a_panic(
            control in proptest::collection::vec(any::<u8>(), 0..200),
            name in proptest::collection::vec(any::<u8>(), 0..28),
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            origin: u8, keyed: bool,
        ) {
            read_with(&control, &name, &bytes, keyed);
            read_with(&self::control(true, origin, 1), &name, &bytes, keyed);
        }
    }
}
