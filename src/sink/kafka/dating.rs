//! The time that a message bears, where a broker finds this host's clock ahead.
//!
//! Without any word of ours a message bears the time at which it was handed over. A broker refuses what is more than an hour ahead of
//! its own clock (`message.timestamp.after.max.ms`), whatever the message says, and doesn't tell its own time. The past it
//! takes: so messages are dated back, an hour first and twice as far with each refusal. The records in them say by
//! this host's clock when they were measured, as ever.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::error::RDKafkaErrorCode;

const FIRST: Duration = Duration::from_secs(3_600);
/// What was handed over before the last change is refused for so long.
const PATIENCE: Duration = Duration::from_secs(2);
/// The clock may be right again: it is believed anew after so long.
const ANEW: Duration = Duration::from_secs(3_600);

/// How far messages of one topic are dated back.
#[derive(Debug, Default)]
pub(super) struct Dating {
    back: Duration,
    changed: Option<Instant>,
}

impl Dating {
    /// The time for a message handed over now: none where that is good.
    pub(super) fn date_now(&mut self) -> Option<i64> {
        self.date(Instant::now(), since_1970())
    }

    /// A message was not taken, for this reason. Whether that is the first refusal of its time.
    pub(super) fn is_refused_now(&mut self, code: Option<RDKafkaErrorCode>) -> bool {
        use RDKafkaErrorCode as E;
        // Of a batch of several the broker says no more than that they are invalid.
        let may_be_its_time = matches!(code, Some(E::InvalidTimestamp | E::InvalidRecord));
        may_be_its_time && self.refused(Instant::now(), since_1970())
    }

    /// The time for a message handed over at `at`, `now` being this host's time since 1970: none where that is good.
    fn date(&mut self, at: Instant, now: Duration) -> Option<i64> {
        if self.changed.is_some_and(|changed| at >= changed + ANEW) {
            *self = Dating::default();
        }
        let date = now.saturating_sub(self.back);
        (!self.back.is_zero()).then(|| i64::try_from(date.as_millis()).unwrap_or(i64::MAX))
    }

    /// The broker has refused a message for its time, or for what may be its time. Whether that was the first.
    ///
    /// `now` is this host's time since 1970.
    fn refused(&mut self, at: Instant, now: Duration) -> bool {
        if self.changed.is_some_and(|changed| at < changed + PATIENCE) {
            return false;
        }
        let first = self.back.is_zero();
        self.back = if first { FIRST } else { 2 * self.back };
        // Not the time, then; or too far ahead to be mended.
        if self.back > now {
            self.back = Duration::ZERO;
        }
        self.changed = Some(at);
        first
    }
}

/// This host's time.
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const HOUR_MS: i64 = 3_600_000;

    fn back(dating: &mut Dating, at: Instant) -> Option<i64> {
        let now = i64::try_from(NOW.as_millis()).unwrap();
        dating.date(at, NOW).map(|date| now - date)
    }

    #[test]
    fn each_refusal_dates_back_twice_as_far_until_the_clock_is_believed_anew() {
        let (mut dating, start) = (Dating::default(), Instant::now());
        assert_eq!(back(&mut dating, start), None);
        assert!(dating.refused(start, NOW));
        assert_eq!(back(&mut dating, start), Some(HOUR_MS));
        // Of the same flight.
        assert!(!dating.refused(start + PATIENCE / 2, NOW));
        assert_eq!(back(&mut dating, start + PATIENCE / 2), Some(HOUR_MS));
        assert!(!dating.refused(start + PATIENCE, NOW));
        assert_eq!(back(&mut dating, start + PATIENCE), Some(2 * HOUR_MS));
        assert_eq!(back(&mut dating, start + PATIENCE + ANEW), None);
        assert!(dating.refused(start + PATIENCE + ANEW, NOW), "told again");
    }

    #[test]
    fn what_is_refused_whatever_its_time_is_never_dated_before_1970() {
        let (mut dating, mut at) = (Dating::default(), Instant::now());
        for _ in 0..1_000 {
            dating.refused(at, NOW);
            assert!(dating.date(at, NOW).is_none_or(|date| date >= 0));
            at += PATIENCE;
        }
    }
}
