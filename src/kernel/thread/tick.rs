//! How long the probe thread sleeps between two turns: long, so that a batch pays for the wake-up, and short, so that
//! probes leave evenly and none of them much later than planned.

use dt_probe::LONGEST_TICK as LONGEST;
use dt_probe::time::{MILLISECOND, SECOND};

/// Below 1 ms wake-ups cost more than they smooth.
const SHORTEST: u64 = MILLISECOND;
/// A tick is stretched until about this many probes leave together: one batch.
const PROBES: u64 = 64;
/// A probe leaves at most one tick after it was due, so a tick is at most this part of the period.
const PART_OF_PERIOD: u64 = 8;
/// Below this many probes per second a wake-up for each reply costs nothing worth saving.
const WAKE_PER_REPLY_BELOW: u64 = 50;

/// The tick at `rate` probes per second, of which each target gets one in `period` nanoseconds; `None` where targets
/// don't wait for one another.
pub(super) fn length(rate: u64, period: Option<u64>) -> u64 {
    let tick = if wakes_per_reply(rate) {
        SHORTEST
    } else {
        PROBES * SECOND / rate
    };
    let longest = period.map_or(LONGEST, |period| LONGEST.min(period / PART_OF_PERIOD));
    tick.min(longest).max(SHORTEST)
}

/// Whether the thread is woken by each reply, not only by the tick.
pub(super) fn wakes_per_reply(rate: u64) -> bool {
    rate < WAKE_PER_REPLY_BELOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_a_batch_within_its_bounds() {
        assert_eq!(length(0, None), SHORTEST);
        assert_eq!(length(49, Some(SECOND)), SHORTEST, "woken by each reply");
        assert_eq!(length(50, Some(SECOND)), LONGEST);
        assert_eq!(length(500, Some(10 * SECOND)), LONGEST);
        assert_eq!(length(6_400, Some(SECOND)), 10 * MILLISECOND);
        assert_eq!(length(10_000_000, Some(SECOND)), SHORTEST);
        assert_eq!(length(u64::MAX, None), SHORTEST);
    }

    #[test]
    fn a_short_period_is_kept() {
        assert_eq!(length(1_000, Some(80 * MILLISECOND)), 10 * MILLISECOND);
        assert_eq!(length(1_000, Some(MILLISECOND)), SHORTEST);
        assert_eq!(length(1_000, Some(0)), SHORTEST);
    }

    /// Probes that fall due evenly leave with the tick after: whatever 100 ms one looks at, and wherever the ticks fall.
    #[test]
    fn no_hundred_milliseconds_hold_more_than_three_times_their_share() {
        for rate in [50, 64, 250, 500, 1_000, 2_000, 10_000] {
            let tick = length(rate, Some(10 * SECOND));
            let share = rate as f64 / 10.0;
            let in_any = (100 * MILLISECOND).div_ceil(tick) + 1;
            let most = (in_any * tick) as f64 * rate as f64 / SECOND as f64;
            assert!(most <= 3.0 * share + 1.0, "{rate}/s: {most} of {share}");
        }
    }
}
