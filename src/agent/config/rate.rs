//! How far intervals stretch where more probes would be due than the cap allows.

use std::time::Duration;

/// What `peers` and the intervals of the kinds that are on amount to, against the cap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// Probes per second that would be due.
    pub wanted: f64,
    /// What every interval is multiplied by; at least 1.
    pub factor: f64,
}

impl Stretch {
    /// Probes per second that are sent.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.wanted / self.factor
    }

    /// `interval` stretched, in whole nanoseconds, rounded up so that the cap holds.
    #[must_use]
    pub fn apply(&self, interval: Duration) -> Duration {
        if self.factor <= 1.0 {
            return interval;
        }
        // The table's bounds (100,000 peers, 3 kinds, 10 ms, 1 probe/s, 1 h) keep this far below 2^64 in sum.
        let nanos = (interval.as_nanos() as f64 * self.factor).ceil();
        Duration::from_nanos(if nanos < u64::MAX as f64 {
            nanos as u64
        } else {
            u64::MAX
        })
    }
}

/// Stretches the intervals of all kinds evenly, so that `peers` probed at each of `intervals` stay within `max_rate`
/// probes per second. An interval of zero counts as one nanosecond, a cap of 0 as 1.
#[must_use]
pub fn stretch(peers: usize, intervals: impl IntoIterator<Item = Duration>, max_rate: u32) -> Stretch {
    let per_peer: f64 = intervals
        .into_iter()
        .map(|interval| 1e9 / interval.as_nanos().max(1) as f64)
        .sum();
    let wanted = peers as f64 * per_peer;
    Stretch {
        wanted,
        factor: (wanted / f64::from(max_rate.max(1))).max(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn nothing_stretches_below_the_cap() {
        let stretch = stretch(250, [SECOND, SECOND, 10 * SECOND], 2000);
        assert_eq!(
            stretch,
            Stretch {
                wanted: 525.0,
                factor: 1.0
            }
        );
        assert_eq!(stretch.apply(SECOND), SECOND);
    }

    #[test]
    fn above_the_cap_every_interval_grows_alike_and_the_cap_is_met() {
        let intervals = [SECOND, SECOND, 10 * SECOND];
        let stretched = stretch(10_000, intervals, 2000);
        assert!((stretched.factor - 10.5).abs() < 1e-9);
        let after = stretch(10_000, intervals.map(|i| stretched.apply(i)), 2000);
        assert!((after.wanted - 2000.0).abs() < 1e-3, "{after:?}");
        assert!(after.wanted <= 2000.0);
        assert_eq!(stretched.apply(SECOND).as_millis(), 10_500);
    }

    #[test]
    fn no_peers_and_absurd_arguments_are_harmless() {
        assert_eq!(
            stretch(0, [SECOND], 1),
            Stretch {
                wanted: 0.0,
                factor: 1.0
            }
        );
        assert_eq!(
            stretch(5, [], 1),
            Stretch {
                wanted: 0.0,
                factor: 1.0
            }
        );
        let absurd = stretch(usize::MAX, [Duration::ZERO], 0);
        assert_eq!(absurd.apply(Duration::MAX), Duration::from_nanos(u64::MAX));
    }
}
