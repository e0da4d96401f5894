//! Summaries that wait for a sink, oldest first, in bounded memory: where the bound is reached, windows of the same pair
//! merge, so an outage costs resolution in time and never a sample.
//!
//! The oldest windows are merged most often, two neighbours at a time, so the latest past stays sharp. The floor is one
//! summary per pair; only where even those exceed [`HARD_FACTOR`] times the bound (pairs that come and go during days of
//! outage) the oldest are given up, and counted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use dt_record::{Flow, Pair, Summary};

/// How many bytes of summaries wait unmerged: ten windows of the default peers and probe kinds.
pub const DEFAULT_BOUND_BYTES: usize = 8 << 20;

/// How far one summary per pair may exceed the bound.
const HARD_FACTOR: usize = 8;

#[derive(Debug)]
struct Entry {
    summary: Arc<Summary>,
    /// Not to be handed over earlier.
    due: Instant,
    bytes: usize,
}

/// What adding a summary did to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pushed {
    /// Summaries that merged into another.
    pub(crate) merged: u64,
    /// Summaries given up.
    pub(crate) dropped: u64,
    /// The probes in those.
    pub(crate) dropped_probes: u64,
}

#[derive(Debug)]
pub(crate) struct Backlog {
    /// By order of arrival.
    entries: BTreeMap<u64, Entry>,
    /// The latest entry of each pair that waits.
    latest: HashMap<Arc<Pair>, u64>,
    next: u64,
    bytes: usize,
    /// Probes in all that waits.
    probes: u64,
    bound: usize,
}

impl Backlog {
    pub(crate) fn new(bound: usize) -> Backlog {
        Backlog {
            entries: BTreeMap::new(),
            latest: HashMap::new(),
            next: 0,
            bytes: 0,
            probes: 0,
            bound,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Estimated bytes of what waits.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Probes in what waits.
    pub(crate) fn probes(&self) -> u64 {
        self.probes
    }

    pub(crate) fn push(&mut self, summary: Arc<Summary>, due: Instant) -> Pushed {
        let mut pushed = Pushed::default();
        self.probes += summary.counts.sent();
        if self.bytes + bytes_of(&summary) > self.bound {
            // Halving costs a pass over everything, so it is done only where it frees a fair part.
            if self.entries.len() >= 2 * self.latest.len().max(1) {
                pushed.merged += self.halve();
            }
            if self.bytes + bytes_of(&summary) > self.bound
                && let Some(order) = self.latest.get(&summary.pair).copied()
            {
                self.merge_into(order, summary);
                pushed.merged += 1;
                return pushed;
            }
        }
        self.latest.insert(Arc::clone(&summary.pair), self.next);
        let bytes = bytes_of(&summary);
        self.entries.insert(self.next, Entry { summary, due, bytes });
        self.bytes += bytes;
        self.next += 1;
        while self.bytes > self.bound.saturating_mul(HARD_FACTOR)
            && let Some(first) = self.take_first()
        {
            pushed.dropped += 1;
            pushed.dropped_probes += first.counts.sent();
        }
        pushed
    }

    /// The oldest summary, where it is due at `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Arc<Summary>> {
        let (_, first) = self.entries.first_key_value()?;
        if first.due <= now { self.take_first() } else { None }
    }

    /// Makes everything that waits due.
    pub(crate) fn hurry(&mut self, now: Instant) {
        for entry in self.entries.values_mut() {
            entry.due = entry.due.min(now);
        }
    }

    fn take_first(&mut self) -> Option<Arc<Summary>> {
        let (order, entry) = self.entries.pop_first()?;
        self.bytes -= entry.bytes;
        self.probes -= entry.summary.counts.sent();
        if self.latest.get(&entry.summary.pair) == Some(&order) {
            self.latest.remove(&entry.summary.pair);
        }
        Some(entry.summary)
    }

    /// Merges `summary` into the entry `order`, which exists and is of the same pair.
    fn merge_into(&mut self, order: u64, summary: Arc<Summary>) {
        if let Some(entry) = self.entries.get_mut(&order) {
            Arc::make_mut(&mut entry.summary).merge(Arc::unwrap_or_clone(summary));
            self.bytes -= entry.bytes;
            entry.bytes = bytes_of(&entry.summary);
            self.bytes += entry.bytes;
        }
    }

    /// Merges every second entry of a pair into the one before it. Returns how many merged.
    fn halve(&mut self) -> u64 {
        let mut open: HashMap<Arc<Pair>, u64> = HashMap::with_capacity(self.latest.len());
        let mut merged = 0;
        let orders: Vec<u64> = self.entries.keys().copied().collect();
        for order in orders {
            let Some(pair) = self.entries.get(&order).map(|entry| Arc::clone(&entry.summary.pair)) else {
                continue;
            };
            match open.remove(&pair) {
                Some(earlier) => {
                    if let Some(entry) = self.entries.remove(&order) {
                        self.bytes -= entry.bytes;
                        self.merge_into(earlier, entry.summary);
                        self.latest.insert(pair, earlier);
                        merged += 1;
                    }
                }
                None => {
                    self.latest.insert(Arc::clone(&pair), order);
                    open.insert(pair, order);
                }
            }
        }
        merged
    }
}

/// Memory that a waiting summary takes, with its pair, but not the names in that: the agent holds those anyway.
fn bytes_of(summary: &Summary) -> usize {
    let buckets = summary.rtt.buckets.len() + summary.host_delay.buckets.len();
    // Tree and map entries, and the pair, beside the summary itself.
    const OVERHEAD: usize = 96 + size_of::<Pair>();
    size_of::<Summary>() + OVERHEAD + buckets * size_of::<(u64, u64)>() + summary.flows.len() * size_of::<Flow>()
}

#[cfg(test)]
#[path = "backlog_tests.rs"]
mod tests;
