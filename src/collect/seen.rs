//! Telling repeats: delivery to Kafka is at least once, and what is counted twice is wrong.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use smol_str::SmolStr;

/// So many numbers are kept of each run of an agent in each partition. An agent has at most 1 MiB of records with Kafka that
/// are not confirmed, less than 2,000: what comes again, or late, is no further behind than that.
const KEPT: usize = 2048;
/// So many identifiers of records without a number are kept in each half.
const OTHERS: usize = 100_000;
/// So many runs are told apart in a partition: ten times as many as a large mesh has agents. Records of further ones count each
/// time they are read.
const RUNS: usize = 100_000;

/// What was read of one partition. A record and its repeat have the same key, and so the same partition.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    runs: HashMap<SmolStr, Run>,
    /// Hashes of the identifiers of foreign records: the newest, and those before them.
    others: [HashSet<u64>; 2],
    hasher: RandomState,
}

/// The numbers of one run of an agent.
#[derive(Debug)]
struct Run {
    /// Numbers are kept as distances from here.
    base: u64,
    /// Ascending.
    numbers: VecDeque<u32>,
    /// Whatever is not above was forgotten, and so has been seen.
    floor: u64,
    heard_ms: u64,
}

impl Seen {
    /// Whether this is the first time that (`boot_id`, `seq`) is seen.
    pub(crate) fn is_new(&mut self, boot_id: &str, seq: u64, now_ms: u64) -> bool {
        if let Some(run) = self.runs.get_mut(boot_id) {
            run.heard_ms = now_ms;
            return run.insert(seq);
        }
        if self.runs.len() >= RUNS {
            return true;
        }
        let mut run = Run {
            // Those before the first may come late.
            base: seq.saturating_sub(u64::from(u32::MAX / 2)),
            numbers: VecDeque::new(),
            floor: 0,
            heard_ms: now_ms,
        };
        run.insert(seq);
        self.runs.insert(boot_id.into(), run);
        true
    }

    /// The same of a record that has no such number, by its identifier.
    pub(crate) fn is_new_id(&mut self, id: &str) -> bool {
        let hash = self.hasher.hash_one(id);
        if self.others.iter().any(|half| half.contains(&hash)) {
            return false;
        }
        if self.others[0].len() >= OTHERS {
            self.others.swap(0, 1);
            self.others[0].clear();
        }
        self.others[0].insert(hash)
    }

    /// Forgets runs that were not heard of since.
    pub(crate) fn forget(&mut self, since_ms: u64) {
        self.runs.retain(|_, run| run.heard_ms >= since_ms);
    }
}

impl Run {
    fn insert(&mut self, seq: u64) -> bool {
        if seq <= self.floor {
            return false;
        }
        let Some(number) = seq.checked_sub(self.base).and_then(|number| u32::try_from(number).ok()) else {
            // So far from the others that it can't be told from them: begin anew there.
            self.base = seq.saturating_sub(u64::from(u32::MAX / 2));
            self.numbers.clear();
            self.numbers.push_back((seq - self.base) as u32);
            return true;
        };
        let at = match self.numbers.back() {
            Some(last) if *last >= number => match self.numbers.binary_search(&number) {
                Ok(_) => return false,
                Err(at) => at,
            },
            _ => self.numbers.len(),
        };
        self.numbers.insert(at, number);
        if self.numbers.len() > KEPT
            && let Some(oldest) = self.numbers.pop_front()
        {
            self.floor = self.base + u64::from(oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Numbers of two runs in nearly ascending order, some twice: the first of each is new, no other is.
        #[test]
        fn the_first_is_new_and_no_other(steps in vec((0..2_usize, 0..40_u64, any::<bool>()), 1..6000)) {
            let (mut seen, mut known) = (Seen::default(), HashSet::new());
            let mut at = [1_000_000_u64, 1];
            for (run, back, repeat) in steps {
                at[run] += 3;
                let seq = if repeat { at[run].saturating_sub(back * 3).max(1) } else { at[run] };
                let is_new = seen.is_new(["a", "b"][run], seq, 0);
                prop_assert_eq!(is_new, known.insert((run, seq)));
            }
        }
    }

    #[test]
    fn what_is_further_behind_than_an_agent_can_be_is_a_repeat() {
        let mut seen = Seen::default();
        for seq in 1..=10_000 {
            assert!(seen.is_new("a", seq, 0));
        }
        assert!(!seen.is_new("a", 1, 0));
        assert!(!seen.is_new("a", 9_000, 0));
        assert!(seen.is_new("a", u64::MAX, 0), "a hostile number does no harm");
        assert!(!seen.is_new("a", u64::MAX, 0));
        assert!(seen.is_new("b", 1, 0));
    }

    #[test]
    fn runs_are_bounded_whoever_writes() {
        let mut seen = Seen::default();
        for run in 0..RUNS + 10 {
            assert!(seen.is_new(&run.to_string(), 1, 0));
        }
        assert_eq!(seen.runs.len(), RUNS);
        assert!(!seen.is_new("7", 1, 0));
    }

    #[test]
    fn runs_that_fell_silent_are_forgotten() {
        let mut seen = Seen::default();
        seen.is_new("a", 7, 100);
        seen.is_new("b", 7, 200);
        seen.forget(150);
        assert!(seen.is_new("a", 7, 300));
        assert!(!seen.is_new("b", 7, 300));
    }

    #[test]
    fn foreign_records_are_told_by_their_identifiers() {
        let mut seen = Seen::default();
        assert!(seen.is_new_id("x"));
        assert!(!seen.is_new_id("x"));
        for id in 0..2 * OTHERS {
            seen.is_new_id(&id.to_string());
        }
        assert!(seen.others.iter().all(|half| half.len() <= OTHERS));
    }
}
