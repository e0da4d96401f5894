//! Whether this host's clock was set back.
//!
//! librdkafka's threads wait until moments of the wall clock. Where that is set back by an hour, each of them that nothing
//! else wakes sleeps for an hour: it doesn't connect again, and answers nobody who asks for a topic.

use std::time::{Duration, Instant, SystemTime};

/// Whoever sleeps so much longer than it was to does no harm.
const MUCH: Duration = Duration::from_secs(1);

/// Compares the wall clock with the monotonic one.
#[derive(Debug)]
pub(super) struct SetBack {
    at: Instant,
    wall: SystemTime,
}

impl SetBack {
    pub(super) fn new() -> SetBack {
        SetBack {
            at: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// Whether the clock was set back since this was asked last.
    pub(super) fn is_noticed(&mut self) -> bool {
        self.compare(Instant::now(), SystemTime::now())
    }

    fn compare(&mut self, at: Instant, wall: SystemTime) -> bool {
        let passed = at.saturating_duration_since(self.at);
        let expected = self.wall.checked_add(passed).unwrap_or(wall);
        (self.at, self.wall) = (at, wall);
        expected.duration_since(wall).is_ok_and(|back| back > MUCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_step_back_is_noticed_and_once() {
        let (at, wall) = (Instant::now(), SystemTime::now());
        let mut clock = SetBack { at, wall };
        let hour = Duration::from_secs(3_600);
        let mut after = |seconds: u64, wall: SystemTime| clock.compare(at + Duration::from_secs(seconds), wall);
        assert!(!after(10, wall + Duration::from_secs(10)));
        assert!(!after(20, wall + Duration::from_millis(19_500)), "half a second");
        assert!(!after(30, wall + hour), "ahead");
        assert!(after(31, wall + Duration::from_secs(31)), "back again");
        assert!(!after(32, wall + Duration::from_secs(32)));
        assert!(after(33, wall - hour));
    }
}
