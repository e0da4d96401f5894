//! Time-outs.

use super::Lane;
use crate::config::Protocol;
use crate::kind::Fate;
use crate::ring::State;
use crate::time::Mono;

impl Lane {
    /// Decides every probe whose time-out has passed. `cancelled` is told the keys of the connection attempts that
    /// are to be given up. Takes time proportional to the probes that expire; where half the event queue is full it
    /// stops, and goes on when it is called again.
    pub fn handle_timeout(&mut self, now: Mono, cancelled: &mut impl FnMut(u32)) {
        while !self.has_enough_events() {
            let Some(&mut slot) = self.ring.oldest() else { return };
            let slept = self.slept_through(slot.sequence);
            if !slept && slot.sent_mono.plus(self.timeout) > now {
                return;
            }
            if slot.state == State::Replied {
                self.complete_kept(&slot, None);
                continue;
            }
            if self.protocol == Protocol::Connect {
                cancelled(slot.sequence as u32);
            }
            let fate = self.fate_of_silence(slot.sequence, slot.state, slot.tx_clock.is_some());
            if slept || (fate == Fate::Lost && self.take_own_drop(slot.sequence)) {
                self.void(slot.sequence);
            } else {
                self.fail(slot.sequence, fate, State::TimedOut);
            }
        }
    }

    /// Whether [`handle_timeout`](Lane::handle_timeout) has anything to decide at this time.
    #[must_use]
    pub fn has_expired(&self, now: Mono) -> bool {
        self.ring
            .peek_oldest()
            .is_some_and(|slot| self.slept_through(slot.sequence) || slot.sent_mono.plus(self.timeout) <= now)
    }

    /// What a probe that nothing answered came to.
    fn fate_of_silence(&self, sequence: u64, state: State, stamped: bool) -> Fate {
        // Polled, and never reported as sent.
        let unreported = state == State::Polled;
        // No stamp, although stamps are in use and none were lost: the packet never reached the wire.
        let stamps_work = self.stamps.tx && self.protocol != Protocol::Connect && sequence >= self.suspect_before;
        if unreported || (stamps_work && !stamped) {
            Fate::SendError
        } else {
            Fate::Lost
        }
    }
}
