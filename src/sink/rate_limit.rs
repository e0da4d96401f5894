//! At most one log line of a kind per period: a broker that is down for a night must not fill a disk.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets the first event through, then one per period, and counts what it held back.
#[derive(Debug)]
pub(crate) struct RateLimit {
    period: Duration,
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    last: Instant,
    held_back: u64,
}

impl RateLimit {
    pub(crate) const fn new(period: Duration) -> RateLimit {
        RateLimit {
            period,
            state: Mutex::new(None),
        }
    }

    /// `Some(how many were held back since the last one)` where an event at `now` may be logged.
    pub(crate) fn pass(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.as_mut() {
            Some(state) if now.saturating_duration_since(state.last) < self.period => {
                state.held_back += 1;
                None
            }
            Some(state) => {
                state.last = now;
                Some(std::mem::take(&mut state.held_back))
            }
            None => {
                *state = Some(State {
                    last: now,
                    held_back: 0,
                });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_per_period_and_the_rest_counted() {
        let limit = RateLimit::new(Duration::from_secs(60));
        let start = Instant::now();
        let at = |seconds| limit.pass(start + Duration::from_secs(seconds));
        assert_eq!(at(0), Some(0));
        assert_eq!((at(1), at(59)), (None, None));
        assert_eq!(at(60), Some(2));
        assert_eq!(at(61), None);
        assert_eq!(at(500), Some(1));
    }
}
