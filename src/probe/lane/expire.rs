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
            if slot.sent_mono.plus(self.timeout) > now {
                return;
            }
            if slot.state == State::Replied {
                self.complete_kept(&slot, None);
                continue;
            }
            if self.protocol == Protocol::Connect {
                cancelled(slot.sequence as u32);
            }
            self.fail(
                slot.sequence,
                self.fate_of_silence(slot.sequence, slot.state, slot.tx_clock.is_some()),
                State::TimedOut,
            );
        }
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
