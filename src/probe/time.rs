//! Clock readings as types: a monotonic reading and a wall-clock reading can't be mixed or subtracted from one another.

use std::time::Duration;

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub const MILLISECOND: u64 = 1_000_000;

/// A reading of `CLOCK_MONOTONIC`, in nanoseconds. What schedules and time-outs are reckoned in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

/// A reading of `CLOCK_REALTIME`, in nanoseconds since the Unix epoch. What the kernel stamps packets with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub u64);

/// A reading of a network card's own clock (PHC), in nanoseconds since whatever it was set to. It can be subtracted from no
/// reading but another of the same clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Phc(pub u64);

impl Phc {
    /// Nanoseconds from `earlier` to `self`; `None` where the clock seems to have run backwards.
    #[must_use]
    pub fn since(self, earlier: Phc) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }
}

impl Mono {
    /// Nanoseconds from `earlier` to `self`; 0 where `earlier` is the later of the two.
    #[must_use]
    pub fn since(self, earlier: Mono) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `self` plus `nanos`, saturating.
    #[must_use]
    pub fn plus(self, nanos: u64) -> Mono {
        Mono(self.0.saturating_add(nanos))
    }
}

impl Wall {
    /// Nanoseconds from `earlier` to `self`; `None` where the clock seems to have run backwards.
    #[must_use]
    pub fn since(self, earlier: Wall) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }

    /// Whole milliseconds since the Unix epoch.
    #[must_use]
    pub fn millis(self) -> u64 {
        self.0 / MILLISECOND
    }
}

/// `duration` in nanoseconds, saturating at `u64::MAX` (584 years).
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
