//! Summaries that wait for a sink, oldest first, in bounded memory: where the bound is reached, windows of the same pair
//! merge, so an outage costs resolution in time and never a sample.
//!
//! The oldest windows are merged most often, two neighbours at a time, so the latest past stays sharp. The floor is one
//! summary per pair; only where even those exceed [`HARD_FACTOR`] times the bound (pairs that come and go during days of
//! outage) the oldest are given up, and counted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use dt_record::packed::Scratch;
use dt_record::{Pair, Summary};

use crate::waiting::Waiting;

/// How many bytes of summaries wait unmerged: ten windows of the default peers and probe kinds.
pub const DEFAULT_BOUND_BYTES: usize = 8 << 20;

/// How far one summary per pair may exceed the bound.
const HARD_FACTOR: usize = 8;

#[derive(Debug)]
struct Entry {
    waiting: Waiting,
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
    scratch: Scratch,
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
            scratch: Scratch::default(),
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
        let waiting = Waiting::Fresh(summary);
        let bytes = waiting.bytes();
        self.probes += waiting.sent();
        if self.bytes + bytes > self.bound {
            // Halving costs a pass over everything, so it is done only where it frees a fair part.
            if self.entries.len() >= 2 * self.latest.len().max(1) {
                pushed.merged += self.halve();
            }
            if self.bytes + bytes > self.bound
                && let Some(order) = self.latest.get(waiting.pair()).copied()
            {
                self.merge_into(order, waiting);
                pushed.merged += 1;
                return pushed;
            }
        }
        self.latest.insert(Arc::clone(waiting.pair()), self.next);
        self.entries.insert(self.next, Entry { waiting, due, bytes });
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
        self.probes -= entry.waiting.sent();
        if self.latest.get(entry.waiting.pair()) == Some(&order) {
            self.latest.remove(entry.waiting.pair());
        }
        Some(entry.waiting.into_summary())
    }

    /// Merges `waiting` into the entry `order`, which exists and is of the same pair.
    fn merge_into(&mut self, order: u64, waiting: Waiting) {
        if let Some(entry) = self.entries.get_mut(&order) {
            entry.waiting.add(waiting, &mut self.scratch);
            self.bytes -= entry.bytes;
            entry.bytes = entry.waiting.bytes();
            self.bytes += entry.bytes;
        }
    }

    /// Merges every second entry of a pair into the one before it. Returns how many merged.
    fn halve(&mut self) -> u64 {
        let mut open: HashMap<Arc<Pair>, u64> = HashMap::with_capacity(self.latest.len());
        let mut merged = 0;
        let orders: Vec<u64> = self.entries.keys().copied().collect();
        for order in orders {
            let Some(pair) = self.entries.get(&order).map(|entry| Arc::clone(entry.waiting.pair())) else {
                continue;
            };
            match open.remove(&pair) {
                Some(earlier) => {
                    if let Some(entry) = self.entries.remove(&order) {
                        self.bytes -= entry.bytes;
                        self.merge_into(earlier, entry.waiting);
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

#[cfg(test)]
#[path = "backlog_tests.rs"]
mod tests;
