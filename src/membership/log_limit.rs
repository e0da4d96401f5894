//! A bound on log lines whose number others decide: whoever may write to ZooKeeper must not fill the disks of all nodes.

use std::time::{Duration, Instant};

/// How many lines of a kind pass at once.
const BURST: u32 = 10;
/// How long until one more passes.
const PERIOD: Duration = Duration::from_secs(60);

/// Lets the first ten events through, then one a minute, and counts those it held back. A quiet time earns the ten again.
#[derive(Debug, Default)]
pub struct LogLimit {
    /// When all that passed is paid for.
    paid_at: Option<Instant>,
    held_back: u64,
}

impl LogLimit {
    /// `Some(how many were held back since the last line)` where an event at `now` may be logged.
    pub fn pass(&mut self, now: Instant) -> Option<u64> {
        let paid_at = self.paid_at.map_or(now, |paid_at| paid_at.max(now));
        if paid_at.duration_since(now) > PERIOD * (BURST - 1) {
            self.held_back += 1;
            return None;
        }
        self.paid_at = Some(paid_at + PERIOD);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_at_once_then_one_a_minute_and_the_rest_counted() {
        let mut limit = LogLimit::default();
        let start = Instant::now();
        let mut at = |millis| limit.pass(start + Duration::from_millis(millis));
        // A hundred a second for two minutes.
        let passed: Vec<_> = (0..12_000)
            .filter_map(|n| at(n * 10).map(|held_back| (n * 10, held_back)))
            .collect();
        let (burst, later) = passed.split_at(10);
        assert_eq!(burst, (0..10).map(|n| (n * 10, 0)).collect::<Vec<_>>());
        assert_eq!(later, [(60_000, 5_990)]);
        assert_eq!(at(120_000), Some(5_999));
        assert_eq!(at(120_001), None);
        // An hour of quiet.
        let again = (0..20).filter_map(|n| at(4_000_000 + n)).collect::<Vec<_>>();
        assert_eq!(again, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
