//! The stamps of a network card, where its clock is in use.
//!
//! A card stamps a packet as it passes the wire, but tells the transmit stamp when it gets round to it: often after the
//! reply was read, and for some packets never. So a reply that bears the card's stamp waits a while for its other half. The
//! kernel's stamps come as ever and decide all but the sample: whether the packet left, and what the host added.

use std::net::IpAddr;

use super::Lane;
use crate::clocks::Card;
use crate::ring::Slot;
use crate::time::{MILLISECOND, Mono, Phc, Wall};

/// How long a reply waits for the card's transmit stamp. Drivers that fetch it by a worker take some milliseconds; what
/// comes later still is not worth keeping the reply from its window.
const PATIENCE: u64 = 50 * MILLISECOND;

/// What is kept of the probes in flight beside their slots; empty where the card's clock isn't in use.
#[derive(Debug, Default)]
pub(super) struct Cards {
    rows: Box<[Row]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    /// Whose it is.
    sequence: u64,
    sent: Option<Phc>,
    received: Option<Phc>,
    /// The kernel's transmit stamp, kept while the slot holds the receive stamp.
    kernel_sent: Option<Wall>,
}

impl Cards {
    pub(super) fn are_used(&self) -> bool {
        !self.rows.is_empty()
    }

    /// The row of a probe, anew where another's was there. `None` where cards aren't used.
    fn row(&mut self, sequence: u64) -> Option<&mut Row> {
        let place = sequence.checked_rem(self.rows.len() as u64)?;
        let row = self.rows.get_mut(usize::try_from(place).ok()?)?;
        if row.sequence != sequence {
            *row = Row {
                sequence,
                ..Row::default()
            };
        }
        Some(row)
    }

    /// The kernel's transmit stamp of a probe whose reply is kept.
    pub(super) fn keep_kernel_stamp(&mut self, sequence: u64, stamp: Wall) {
        if let Some(row) = self.row(sequence) {
            row.kernel_sent = Some(stamp);
        }
    }

    /// The one that was kept.
    pub(super) fn kernel_stamp(&mut self, sequence: u64) -> Option<Wall> {
        self.row(sequence)?.kernel_sent
    }

    /// Notes when the card saw the reply.
    pub(super) fn received(&mut self, sequence: u64, stamp: Option<Phc>) {
        if let Some(row) = self.row(sequence) {
            row.received = stamp;
        }
    }

    /// Whether the reply bears a stamp whose other half is yet to come.
    pub(super) fn awaits_sent(&mut self, sequence: u64) -> bool {
        self.row(sequence)
            .is_some_and(|row| row.received.is_some() && row.sent.is_none())
    }

    /// Both of a probe's stamps, if it has them.
    pub(super) fn both(&mut self, sequence: u64) -> Option<Card> {
        let row = self.row(sequence)?;
        Some(Card {
            sent: row.sent?,
            received: row.received?,
        })
    }
}

impl Lane {
    /// The socket also gives the stamps of the network card, all by one clock. To be said before the first probe.
    pub fn use_card_stamps(&mut self) {
        // Row 0 is nobody's until probe 0 is sent, which has nothing in it then.
        self.cards.rows = vec![Row::default(); self.ring.capacity()].into_boxed_slice();
        self.stamps.card = true;
    }

    /// The network card stamped the probe as it left.
    pub fn handle_card_stamp(&mut self, key: u32, stamp: Phc) {
        let sequence = self.sequence_of(key);
        self.card_stamp(sequence, stamp);
    }

    /// As [`handle_card_stamp`](Lane::handle_card_stamp), where the kernel gives back the packet, from the transport header
    /// onward, instead of its key.
    pub fn handle_card_stamp_packet(&mut self, bytes: &[u8], destination: IpAddr, stamp: Phc) {
        let sequence = self.match_sent(bytes, destination.to_canonical());
        self.card_stamp(sequence, stamp);
    }

    fn card_stamp(&mut self, sequence: Option<u64>, stamp: Phc) {
        let slot = sequence
            .and_then(|sequence| self.ring.get(sequence))
            .filter(|slot| slot.state.is_undecided());
        let Some(&mut slot) = slot else {
            self.stats.unmatched_stamps += 1;
            return;
        };
        let Some(row) = self.cards.row(slot.sequence) else {
            return;
        };
        row.sent.get_or_insert(stamp);
        self.complete_if_stamped(&slot);
    }

    /// Completes a reply that was kept, once nothing more is to come for it.
    pub(super) fn complete_if_stamped(&mut self, slot: &Slot) {
        let awaits_kernel = self.stamps.tx && self.cards.kernel_stamp(slot.sequence).is_none();
        if slot.state == crate::ring::State::Replied && !awaits_kernel && !self.cards.awaits_sent(slot.sequence) {
            self.complete_kept(slot, None);
        }
    }

    /// Whether a reply that was kept may still wait for the card's transmit stamp.
    pub(super) fn is_patient(&mut self, slot: &Slot, now: Mono) -> bool {
        let read = slot.sent_mono.plus(slot.user_rtt);
        self.cards.awaits_sent(slot.sequence) && now < read.plus(PATIENCE)
    }
}
