//! Packets waiting for one `sendmmsg`, in memory allocated once.

use std::net::{IpAddr, SocketAddr};

use libc::c_int;

use crate::address::RawAddress;
use crate::cmsg;

/// The most packets one system call carries. Beyond 64 a batch costs no less per packet.
pub const BATCH: usize = 64;
/// The longest packet, in bytes from its transport header: an Ethernet frame's worth.
pub const LONGEST_PACKET: usize = 1_500;

const CONTROL: usize = cmsg::KEY_SPACE + cmsg::SOURCE_SPACE;

/// Up to 64 packets to be sent together.
///
/// Call order: [`clear`](Batch::clear), then for each packet [`next_buffer`](Batch::next_buffer), write into it, and
/// [`commit`](Batch::commit); then hand the batch to [`PacketChannel::send`](crate::PacketChannel::send).
#[derive(Debug)]
pub struct Batch {
    bytes: Box<[u8]>,
    slots: Box<[Slot]>,
    length: usize,
}

/// What is known of a packet beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) key: u32,
    /// Bytes of the packet.
    pub(crate) length: usize,
    pub(crate) address: RawAddress,
    pub(crate) address_length: u32,
    control: Control,
    source_length: usize,
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
struct Control([u8; CONTROL]);

impl Slot {
    const EMPTY: Slot = Slot {
        key: 0,
        length: 0,
        address: RawAddress::EMPTY,
        address_length: 0,
        control: Control([0; CONTROL]),
        source_length: 0,
    };

    /// The control messages to send with the packet: its key where the kernel takes one, its source where it was given.
    pub(crate) fn control(&self, keyed: bool) -> &[u8] {
        let from = if keyed { 0 } else { cmsg::KEY_SPACE };
        &self.control.0[from..cmsg::KEY_SPACE + self.source_length]
    }
}

impl Default for Batch {
    fn default() -> Batch {
        Batch::new()
    }
}

impl Batch {
    /// Room for 64 packets (about 110 KB).
    #[must_use]
    pub fn new() -> Batch {
        Batch::with_capacity(BATCH)
    }

    /// Room for `packets`, clamped to 1..=64.
    #[must_use]
    pub fn with_capacity(packets: usize) -> Batch {
        let packets = packets.clamp(1, BATCH);
        Batch {
            bytes: vec![0; packets * LONGEST_PACKET].into_boxed_slice(),
            slots: vec![Slot::EMPTY; packets].into_boxed_slice(),
            length: 0,
        }
    }

    /// Forgets what is in it.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Packets in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether no further packet fits.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.length == self.slots.len()
    }

    /// Where the next packet's bytes go, from its transport header on: 1,500 bytes with anything in them; none where the batch is full.
    pub fn next_buffer(&mut self) -> &mut [u8] {
        let start = self.length * LONGEST_PACKET;
        self.bytes.get_mut(start..start + LONGEST_PACKET).unwrap_or_default()
    }

    /// Makes the first `length` bytes of [`next_buffer`](Batch::next_buffer) a packet to `destination` (whose port isn't used:
    /// the packet holds it), sent from `source` where that is given. Its outcome, stamp and errors carry `key`.
    ///
    /// Returns whether it was taken: false where the batch is full or `length` is beyond 1,500.
    pub fn commit(&mut self, key: u32, destination: SocketAddr, source: Option<IpAddr>, length: usize) -> bool {
        let Some(slot) = self.slots.get_mut(self.length).filter(|_| length <= LONGEST_PACKET) else {
            return false;
        };
        slot.key = key;
        slot.length = length;
        slot.address_length = slot.address.write(&destination);
        cmsg::write_key(&mut slot.control.0, key);
        slot.source_length = source.map_or(0, |source| {
            cmsg::write_source(&mut slot.control.0[cmsg::KEY_SPACE..], source)
        });
        self.length += 1;
        true
    }

    /// The packets with their bytes, in order.
    pub(crate) fn packets(&self) -> impl Iterator<Item = (&Slot, &[u8])> {
        let buffers = self.bytes.chunks_exact(LONGEST_PACKET);
        self.slots
            .iter()
            .zip(buffers)
            .take(self.length)
            .map(|(slot, buffer)| (slot, &buffer[..slot.length]))
    }

    /// The keys in it, in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().take(self.length).map(|slot| slot.key)
    }

    pub(crate) fn key(&self, index: usize) -> u32 {
        self.slots[index].key
    }
}

/// What became of one packet given to [`PacketChannel::send`](crate::PacketChannel::send).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendResult {
    /// The key it was committed with.
    pub key: u32,
    /// What became of it.
    pub outcome: SendOutcome,
}

/// The outcomes of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// The kernel took it.
    Sent,
    /// There is no way to its destination (`ENETUNREACH`, `EHOSTUNREACH`, `ENETDOWN`, `EHOSTDOWN`).
    NoRoute,
    /// This host can't take it now: the socket's send buffer is full, or memory is short (`EAGAIN`, `ENOBUFS`, `ENOMEM`).
    /// Nothing was sent; it and the packets after it may be sent again later.
    WouldBlock,
    /// Anything else, by its errno: `EPERM` from a firewall's output rule, `ENOBUFS` where the device's queue is full or a
    /// policy at the device drops it, `EINVAL` for a source that isn't ours, `EMSGSIZE`...
    Failed(c_int),
}

impl SendOutcome {
    /// `ENOBUFS` means two things, which only the state of the socket tells apart.
    pub(crate) fn of(errno: c_int, is_send_buffer_full: impl FnOnce() -> bool) -> SendOutcome {
        match errno {
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN => SendOutcome::NoRoute,
            libc::EAGAIN | libc::ENOMEM => SendOutcome::WouldBlock,
            libc::ENOBUFS if is_send_buffer_full() => SendOutcome::WouldBlock,
            other => SendOutcome::Failed(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fills_refuses_and_clears() {
        let mut batch = Batch::with_capacity(2);
        let to: SocketAddr = "192.0.2.1:9".parse().unwrap();
        assert!(batch.is_empty());
        assert!(!batch.commit(0, to, None, LONGEST_PACKET + 1));
        for key in 0..2 {
            batch.next_buffer()[..3].copy_from_slice(b"abc");
            assert!(batch.commit(key, to, None, 3));
        }
        assert!(batch.is_full() && batch.next_buffer().is_empty() && !batch.commit(2, to, None, 3));
        assert_eq!(
            batch
                .packets()
                .map(|(slot, bytes)| (slot.key, bytes))
                .collect::<Vec<_>>(),
            [(0, &b"abc"[..]), (1, b"abc")]
        );
        batch.clear();
        assert_eq!((batch.len(), batch.next_buffer().len()), (0, LONGEST_PACKET));
        assert_eq!(Batch::with_capacity(0).slots.len(), 1);
        assert_eq!(Batch::with_capacity(1_000).slots.len(), BATCH);
    }

    #[test]
    fn control_messages_hold_key_and_source_as_asked() {
        let mut batch = Batch::new();
        batch.commit(7, "192.0.2.1:9".parse().unwrap(), Some("192.0.2.2".parse().unwrap()), 0);
        batch.commit(
            8,
            "[2001:db8::1]:9".parse().unwrap(),
            Some("2001:db8::2".parse().unwrap()),
            0,
        );
        batch.commit(9, "192.0.2.1:9".parse().unwrap(), None, 0);
        let kinds = |index: usize, keyed: bool| -> Vec<(c_int, c_int)> {
            cmsg::messages(batch.slots[index].control(keyed))
                .map(|message| (message.level, message.kind))
                .collect()
        };
        let key = (libc::SOL_SOCKET, crate::sys::SCM_TS_OPT_ID);
        assert_eq!(kinds(0, true), [key, (libc::SOL_IP, libc::IP_PKTINFO)]);
        assert_eq!(kinds(1, false), [(libc::SOL_IPV6, libc::IPV6_PKTINFO)]);
        assert_eq!(kinds(2, true), [key]);
        assert_eq!(kinds(2, false), []);
    }
}
