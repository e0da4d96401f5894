//! How fast records are handed over: what has gathered during an outage, or lies in the spool, must not come at once from ten
//! thousand nodes.

use std::time::{Duration, Instant};

/// Bytes of records in a second. The largest backlog, some 16 MiB of records, is gone in 4 s; the windows of 10,000 peers are
/// 2 MiB/s.
const RATE: i64 = 4 << 20;
/// Bytes that go at once: the window of a thousand pairs.
const BURST: i64 = 1 << 20;

/// A bucket of bytes that fills up with time.
#[derive(Debug)]
pub(super) struct Pace {
    /// Less than nothing after a record that took more than there was.
    bytes: i64,
    filled: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Pace {
        Pace {
            bytes: BURST,
            filled: now,
        }
    }

    /// Whether a record may go now, whatever its size.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled).min(Duration::from_secs(1));
        let more = RATE * i64::try_from(passed.as_micros()).unwrap_or(0) / 1_000_000;
        if more > 0 {
            self.bytes = (self.bytes + more).min(BURST);
            self.filled = now;
        }
        self.bytes > 0
    }

    pub(super) fn spend(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let mut sent = 0;
        // A turn each 7 ms for ten seconds, and records of 1,000 bytes.
        for turn in 0..=1_428_u32 {
            let now = begin + Duration::from_millis(7) * turn;
            while pace.allows(now) {
                pace.spend(1_000);
                sent += 1_000;
            }
        }
        let bound = BURST + 10 * RATE;
        assert!(
            (bound * 97 / 100..=bound * 101 / 100).contains(&sent),
            "{sent} of {bound}"
        );
    }

    #[test]
    fn what_was_not_used_is_no_credit_beyond_the_burst() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let later = begin + Duration::from_secs(3_600);
        let mut sent = 0;
        while pace.allows(later) {
            pace.spend(1_000);
            sent += 1_000;
        }
        assert!((BURST..BURST + 1_000).contains(&sent), "{sent}");
    }
}
