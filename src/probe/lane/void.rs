//! Probes that this host itself kept from being measured: their silence proves nothing about the network.
//!
//! Such a probe has no fate. It counts as [`What::Skipped`]: its turn passed without a measurement, by this host's own
//! doing, so that every turn of a target is either in `sent` or in `skipped`.

use super::Lane;
use crate::event::What;
use crate::ring::State;

/// Packets that this host's receive buffer dropped, and the probes whose answers may have been among them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OwnDrops {
    /// Probes before this one were in flight when it happened.
    before: u64,
    /// So many silent ones among them may be this host's doing.
    packets: u64,
}

impl Lane {
    /// This host's receive buffer has dropped so many packets since the last call. Any of them may have been the answer
    /// to a probe that is in flight now. As many of those as packets were dropped, the oldest first, get no fate where
    /// they stay unanswered: that they were lost on the way can't be told. Stamps, which share the buffer, may have been
    /// dropped as well.
    pub fn note_receive_drops(&mut self, packets: u64) {
        if packets == 0 {
            return;
        }
        if self.ring.window().start >= self.own_drops.before {
            // Whoever the earlier drops may have been about is decided.
            self.own_drops.packets = 0;
        }
        self.own_drops.packets = self.own_drops.packets.saturating_add(packets);
        self.own_drops.before = self.ring.next();
        self.note_stamp_overflow();
    }

    /// This host was suspended, and has just come back: the probes in flight get no fate. Their answers, if they came,
    /// came to a host that was switched off, and its monotonic clock, which time-outs go by, stood still meanwhile.
    /// They end with the next call of [`handle_timeout`](Lane::handle_timeout) at the latest.
    pub fn note_suspend(&mut self) {
        self.slept_before = self.ring.next();
    }

    /// Whether the host was suspended while the probe was in flight.
    pub(super) fn slept_through(&self, sequence: u64) -> bool {
        sequence < self.slept_before
    }

    /// Ends a probe without a fate. It must be undecided.
    pub(super) fn void(&mut self, sequence: u64) {
        if self.end(sequence, State::Void, What::Skipped(1)) {
            self.stats.voided += 1;
        }
    }

    /// Whether a probe that nothing answered may have been answered, and the answer dropped by this host. Each dropped
    /// packet can be the answer to one probe.
    pub(super) fn take_own_drop(&mut self, sequence: u64) -> bool {
        let own = sequence < self.own_drops.before && self.own_drops.packets > 0;
        self.own_drops.packets -= u64::from(own);
        own
    }
}
