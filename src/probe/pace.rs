//! How fast at most: a token bucket in the form of a virtual schedule (the generic cell rate algorithm), which needs
//! one number and no timer.

use crate::time::{MILLISECOND, Mono, SECOND};

/// The longest tick of a driver, in nanoseconds: one that wakes no less often loses nothing by what it sends at a time.
pub const LONGEST_TICK: u64 = 100 * MILLISECOND;

/// Picoseconds in a nanosecond: the unit in which a million probes per second still have a precise interval.
const PICO: u128 = 1000;

/// A cap on a rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Between two probes, picoseconds.
    interval: u128,
    /// When the next probe would be due if all were spaced exactly, picoseconds of the monotonic clock.
    next: u128,
    /// How much of the time in which nothing was sent may be made up for, picoseconds.
    credit: u128,
}

impl Pace {
    /// `events` per `nanos`; of a time in which fewer were sent, the last `credit` nanoseconds are made up for. It starts
    /// without credit, so the first ones are spaced as well.
    pub(crate) fn new(events: u64, nanos: u64, credit: u64, now: Mono) -> Pace {
        let mut pace = Pace {
            interval: 0,
            next: 0,
            credit: u128::from(credit) * PICO,
        };
        pace.set(events, nanos);
        pace.next = u128::from(now.0) * PICO + pace.tolerance();
        pace
    }

    /// Changes the rate; what was sent so far still counts, by the clock it was counted on.
    pub(crate) fn set(&mut self, events: u64, nanos: u64) {
        let before = self.tolerance();
        self.interval = (u128::from(nanos) * PICO / u128::from(events.max(1))).max(1);
        // Keep the moment at which the next probe is allowed, whatever the new tolerance.
        self.next = (self.next + self.tolerance()).saturating_sub(before);
    }

    /// The earliest time at which a probe is allowed.
    pub(crate) fn ready_at(&self) -> Mono {
        let picos = self.next.saturating_sub(self.tolerance());
        Mono(u64::try_from(picos.div_ceil(PICO)).unwrap_or(u64::MAX))
    }

    /// The rate, per second.
    pub(crate) fn per_second(&self) -> u64 {
        u64::try_from(u128::from(SECOND) * PICO / self.interval).unwrap_or(u64::MAX)
    }

    /// Counts one probe.
    pub(crate) fn take(&mut self, now: Mono) {
        self.next = self.next.max(u128::from(now.0) * PICO) + self.interval;
    }

    fn tolerance(&self) -> u128 {
        self.interval.max(self.credit)
    }
}
