//! What a run is like, and what was seen in it.

use dt_probe::{Fate, Mode, Protocol, What};

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) protocol: Protocol,
    pub(crate) mode: Mode,
    pub(crate) timeout_ns: u64,
    pub(crate) rate: u32,
    pub(crate) capacity: u32,
    pub(crate) first_sequence: u64,
    pub(crate) tx_stamps: bool,
    pub(crate) rx_stamps: bool,
    /// The kernel gives packets back instead of keys.
    pub(crate) looped_stamps: bool,
    pub(crate) targets: u32,
    pub(crate) duration: u64,
    /// The longest usual round trip.
    pub(crate) delay: u64,
    pub(crate) loss: f64,
    pub(crate) repeat: f64,
    pub(crate) refuse: f64,
    pub(crate) icmp: f64,
    pub(crate) forge: f64,
    pub(crate) no_route: f64,
    pub(crate) send_failure: f64,
    pub(crate) unsent: f64,
    pub(crate) missing_stamp: f64,
    pub(crate) steps_every: u64,
    pub(crate) stall: f64,
    /// The host's receive buffer has no room for a packet.
    pub(crate) own_drop: f64,
    /// The host is suspended between two ticks.
    pub(crate) suspend: f64,
    pub(crate) churn: f64,
    pub(crate) tick: u64,
}

/// What was seen, so that a test knows that it tested something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) refused: u64,
    pub(crate) unreachable: u64,
    pub(crate) send_error: u64,
    pub(crate) late: u64,
    pub(crate) duplicate: u64,
    pub(crate) gone: u64,
    pub(crate) skipped: u64,
    pub(crate) stale: u64,
    pub(crate) invalid: u64,
    pub(crate) fallbacks: u64,
    pub(crate) voided: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.received += other.received;
        self.lost += other.lost;
        self.refused += other.refused;
        self.unreachable += other.unreachable;
        self.send_error += other.send_error;
        self.late += other.late;
        self.duplicate += other.duplicate;
        self.gone += other.gone;
        self.skipped += other.skipped;
        self.stale += other.stale;
        self.invalid += other.invalid;
        self.fallbacks += other.fallbacks;
        self.voided += other.voided;
    }

    pub(crate) fn count(&mut self, what: What) {
        match what {
            What::Received(_) => self.received += 1,
            What::Failed(Fate::Lost) => self.lost += 1,
            What::Failed(Fate::Refused) => self.refused += 1,
            What::Failed(Fate::Unreachable) => self.unreachable += 1,
            What::Failed(Fate::SendError) => self.send_error += 1,
            What::Failed(Fate::Received) => panic!("a failure that was received"),
            What::Late => self.late += 1,
            What::Duplicate => self.duplicate += 1,
            What::Gone => self.gone += 1,
            What::Skipped(_) => {}
        }
    }
}
