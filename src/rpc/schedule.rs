//! When whom to ping: all targets share one period, so a queue in order of time is enough and each ping costs O(1).

use std::collections::{HashMap, VecDeque};

use dt_probe::time::{MILLISECOND, nanos};
use dt_probe::{Mono, TargetId};
use std::time::Duration;

/// Per peer never more often than this: the contract's least spacing of a pair.
const MIN_PERIOD: u64 = 10 * MILLISECOND;
/// 2^64 divided by the golden ratio: consecutive multiples, modulo 2^64, fill the circle evenly however many there are.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A target whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) target: TargetId,
    /// 0: send now. Else this many sendings were missed, and none is to be made up for.
    pub(crate) missed: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    due: Mono,
    target: TargetId,
    generation: u32,
}

/// Invariant: `queue` is sorted by time; `unsorted` is merged into it when nothing in `queue` is due any more.
/// Entries of removed targets stay until their time comes and are passed over then.
#[derive(Debug)]
pub(crate) struct Schedule {
    period: u64,
    queue: VecDeque<Entry>,
    unsorted: Vec<Entry>,
    /// Which entry of a target counts.
    live: HashMap<TargetId, u32>,
    generation: u32,
    phase: u64,
}

impl Schedule {
    /// `seed` decides where in the period the first target falls, so that nodes don't ping in step.
    pub(crate) fn new(period: Duration, seed: u64) -> Self {
        Self {
            period: nanos(period).max(MIN_PERIOD),
            queue: VecDeque::new(),
            unsorted: Vec::new(),
            live: HashMap::new(),
            generation: 0,
            phase: seed.wrapping_mul(GOLDEN),
        }
    }

    /// First due within one period from `now`.
    pub(crate) fn add(&mut self, target: TargetId, now: Mono) {
        self.generation = self.generation.wrapping_add(1);
        self.live.insert(target, self.generation);
        let due = now.plus(self.next_phase());
        self.unsorted.push(Entry {
            due,
            target,
            generation: self.generation,
        });
    }

    pub(crate) fn remove(&mut self, target: TargetId) {
        self.live.remove(&target);
    }

    /// Every target keeps its place in the round, on the new scale.
    pub(crate) fn set_period(&mut self, period: Duration, now: Mono) {
        let old = self.period;
        self.period = nanos(period).max(MIN_PERIOD);
        let scale = u128::from(self.period);
        for entry in self.queue.iter_mut().chain(&mut self.unsorted) {
            let left = u128::from(entry.due.since(now)) * scale / u128::from(old);
            entry.due = now.plus(u64::try_from(left).unwrap_or(u64::MAX));
        }
    }

    /// Forgets what was due so far and starts a new round, as after a pause that was meant.
    pub(crate) fn restart(&mut self, now: Mono) {
        self.queue.clear();
        self.unsorted.clear();
        let targets: Vec<_> = self.live.keys().copied().collect();
        for target in targets {
            self.add(target, now);
        }
    }

    /// The next target that is due at `now`, re-armed for its next time. One overdue by more than a quarter of the
    /// period is not sent: what it missed is told and it goes on in its own phase.
    pub(crate) fn pop_due(&mut self, now: Mono) -> Option<Due> {
        loop {
            match self.queue.front() {
                Some(entry) if entry.due <= now => {}
                _ if self.unsorted.is_empty() => return None,
                _ => {
                    self.merge();
                    if self.queue.front().is_none_or(|entry| entry.due > now) {
                        return None;
                    }
                }
            }
            let entry = self.queue.pop_front()?;
            if self.live.get(&entry.target) != Some(&entry.generation) {
                continue;
            }
            let late = now.since(entry.due);
            if late <= self.period / 4 {
                self.queue_last(Entry {
                    due: entry.due.plus(self.period),
                    ..entry
                });
                return Some(Due {
                    target: entry.target,
                    missed: 0,
                });
            }
            let missed = late / self.period + 1;
            self.unsorted.push(Entry {
                due: entry.due.plus(missed.saturating_mul(self.period)),
                ..entry
            });
            return Some(Due {
                target: entry.target,
                missed: u32::try_from(missed).unwrap_or(u32::MAX),
            });
        }
    }

    /// When [`Self::pop_due`] next has something to look at.
    pub(crate) fn next_due(&mut self) -> Option<Mono> {
        if !self.unsorted.is_empty() {
            self.merge();
        }
        self.queue.front().map(|entry| entry.due)
    }

    fn queue_last(&mut self, entry: Entry) {
        // A re-armed entry is the latest of all, unless a merge brought one from further ahead.
        if self.queue.back().is_none_or(|last| last.due <= entry.due) {
            self.queue.push_back(entry);
        } else {
            self.unsorted.push(entry);
        }
    }

    fn merge(&mut self) {
        self.queue.extend(self.unsorted.drain(..));
        // Two sorted runs at most times: the standard sort merges runs in O(n).
        self.queue.make_contiguous().sort();
    }

    fn next_phase(&mut self) -> u64 {
        self.phase = self.phase.wrapping_add(GOLDEN);
        let offset = (u128::from(self.phase) * u128::from(self.period)) >> 64;
        u64::try_from(offset).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(10);

    fn drain(schedule: &mut Schedule, now: u64) -> Vec<Due> {
        std::iter::from_fn(|| schedule.pop_due(Mono(now))).collect()
    }

    #[test]
    fn each_target_comes_once_a_period_and_no_moment_has_a_burst() {
        let mut schedule = Schedule::new(PERIOD, 7);
        for id in 0..1000 {
            schedule.add(TargetId(id), Mono(0));
        }
        let mut seen = vec![0; 1000];
        for tick in 1..=3000_u64 {
            let due = drain(&mut schedule, tick * 10 * MILLISECOND);
            assert!(due.len() <= 3, "{} at once", due.len());
            for due in due {
                assert_eq!(due.missed, 0);
                seen[due.target.0 as usize] += 1;
            }
        }
        assert!(seen.iter().all(|&n| n == 3), "{seen:?}");
    }

    #[test]
    fn what_is_overdue_is_missed_and_never_made_up_for() {
        let mut schedule = Schedule::new(PERIOD, 0);
        for id in 0..10 {
            schedule.add(TargetId(id), Mono(0));
        }
        let second = 1_000 * MILLISECOND;
        // Asleep for 35 s: everyone missed three or four, but those whose time has just come.
        let woken = drain(&mut schedule, 35 * second);
        assert_eq!(woken.len(), 10);
        assert!(woken.iter().all(|due| (3..=4).contains(&due.missed)), "{woken:?}");
        assert!(drain(&mut schedule, 35 * second).is_empty());
        let mut after = 0;
        for tick in 36..=45 {
            let due = drain(&mut schedule, tick * second);
            assert!(due.len() <= 2 && due.iter().all(|due| due.missed == 0), "{due:?}");
            after += due.len();
        }
        assert_eq!(after, 10);
    }

    #[test]
    fn removed_ones_are_gone_and_added_again_come_once() {
        let mut schedule = Schedule::new(PERIOD, 3);
        schedule.add(TargetId(1), Mono(0));
        schedule.remove(TargetId(1));
        schedule.add(TargetId(1), Mono(0));
        let period = nanos(PERIOD);
        let mut count = 0;
        for tick in 1..=100 {
            count += drain(&mut schedule, tick * period / 100).len();
        }
        assert_eq!(count, 1);
        schedule.remove(TargetId(1));
        assert!(drain(&mut schedule, 3 * period).is_empty());
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn a_new_period_scales_the_round() {
        let mut schedule = Schedule::new(PERIOD, 3);
        for id in 0..100 {
            schedule.add(TargetId(id), Mono(0));
        }
        schedule.set_period(Duration::from_secs(1), Mono(0));
        let mut first = 0;
        for tick in 1..=100 {
            first += drain(&mut schedule, tick * 10 * MILLISECOND)
                .iter()
                .filter(|due| due.missed == 0)
                .count();
        }
        assert_eq!(first, 100);
        schedule.restart(Mono(nanos(PERIOD)));
        let again = schedule.next_due().unwrap();
        assert!(again >= Mono(nanos(PERIOD)));
    }
}
