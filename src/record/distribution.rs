//! A distribution of nanosecond values with the resolution of an HdrHistogram, kept sparse so that it is small,
//! adds exactly, and writes itself as the two arrays and the encoded histogram of a record.

use std::cmp::Ordering;

use hdrhistogram::Histogram;

use crate::geometry::{self, HIGHEST_NS, LOWEST_NS};
use crate::grid;

/// Sparse histogram: bucket -> count.
///
/// Distributions of different resolutions merge too: every bucket keeps the resolution it came with, so the result is
/// as fine as its finest part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// (highest equivalent value of the bucket in nanoseconds, count), ascending, no zero counts.
    pub buckets: Vec<(u64, u64)>,
    /// Sum of the exact values, nanoseconds.
    pub sum_ns: u128,
}

impl Distribution {
    /// How many values it holds, saturating at `u64::MAX`.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum, &(_, count)| sum.saturating_add(count))
    }

    /// Whether it holds no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Adds `other`, exactly: the result is what recording all values of both at once gives.
    pub fn merge(&mut self, other: &Distribution) {
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        if other.buckets.is_empty() {
            return;
        }
        let mut merged = Vec::with_capacity(self.buckets.len() + other.buckets.len());
        let (mut ours, mut theirs) = (self.buckets.as_slice(), other.buckets.as_slice());
        while let (Some((&mine, our_rest)), Some((&yours, their_rest))) = (ours.split_first(), theirs.split_first()) {
            match mine.0.cmp(&yours.0) {
                Ordering::Less => {
                    merged.push(mine);
                    ours = our_rest;
                }
                Ordering::Greater => {
                    merged.push(yours);
                    theirs = their_rest;
                }
                Ordering::Equal => {
                    merged.push((mine.0, mine.1.saturating_add(yours.1)));
                    (ours, theirs) = (our_rest, their_rest);
                }
            }
        }
        merged.extend_from_slice(ours);
        merged.extend_from_slice(theirs);
        self.buckets = merged;
    }

    /// The value at quantile `q` (0.0..=1.0, clamped) in nanoseconds by nearest rank, `ceil(q * n)`: the highest
    /// equivalent value of the bucket that holds it, as the Rust, Java and JavaScript HdrHistogram report it. `None`
    /// where nothing was recorded.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let total = self.count();
        // Beyond 2^53 a rank isn't exact, but the last is the last.
        if q >= 1.0 {
            return self.max();
        }
        // The cast saturates, also for NaN (0), and the clamp keeps the rank inside the distribution.
        let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0_u64;
        for &(value, count) in &self.buckets {
            seen = seen.saturating_add(count);
            if seen >= rank {
                return Some(value);
            }
        }
        None
    }

    /// The least value, as HdrHistogram reports it: the lowest equivalent value of the first bucket, nanoseconds, by
    /// the records' own resolution (2 digits). `None` where nothing was recorded.
    #[must_use]
    pub fn min(&self) -> Option<u64> {
        self.buckets
            .first()
            .map(|&(value, _)| geometry::lowest_equivalent(value))
    }

    /// The greatest value, as HdrHistogram reports it: the highest equivalent value of the last bucket, nanoseconds.
    /// `None` where nothing was recorded.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        self.buckets.last().map(|&(value, _)| value)
    }

    /// The arithmetic mean of the exact values, rounded to the nearest nanosecond. `None` where nothing was recorded.
    #[must_use]
    pub fn mean(&self) -> Option<u64> {
        let count = u128::from(self.count());
        let mean = self.sum_ns.saturating_add(count / 2).checked_div(count)?;
        Some(u64::try_from(mean).unwrap_or(u64::MAX))
    }
}

/// So many values are put in order rather than counted in a histogram: most windows hold no more, and to look through a
/// histogram for ten values costs more than to sort them.
const FEW: usize = 64;

/// Turns a window's samples into a [`Distribution`] by way of one reused histogram, so that a window of 10,000 peers
/// costs no histogram per peer. Values below 1 ns count as 1 ns, values above 60 s as 60 s.
#[derive(Debug)]
pub struct Recorder {
    scratch: Histogram<u64>,
    few: Vec<(u64, u64)>,
}

impl Default for Recorder {
    fn default() -> Self {
        Recorder::new()
    }
}

impl Recorder {
    /// A recorder with an empty scratch histogram (30 KB).
    #[must_use]
    pub fn new() -> Self {
        Recorder {
            scratch: geometry::scratch(),
            few: Vec::with_capacity(FEW),
        }
    }

    /// The distribution of `values`: (nanoseconds, how often). Zero counts are ignored.
    pub fn distribution(&mut self, values: impl IntoIterator<Item = (u64, u64)>) -> Distribution {
        let mut sum_ns = 0_u128;
        let mut values = values
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(value, count)| (value.clamp(LOWEST_NS, HIGHEST_NS), count))
            .inspect(|(value, count)| sum_ns = sum_ns.saturating_add(u128::from(*value) * u128::from(*count)));
        self.few.clear();
        self.few.extend(values.by_ref().take(FEW));
        let next = values.next();
        let buckets = match next {
            None => self.sorted(),
            Some(next) => {
                self.scratch.reset();
                for (value, count) in self.few.iter().copied().chain([next]).chain(values) {
                    self.scratch.saturating_record_n(value, count);
                }
                let recorded = self.scratch.iter_recorded();
                recorded
                    .map(|at| (at.value_iterated_to(), at.count_at_value()))
                    .collect()
            }
        };
        Distribution { buckets, sum_ns }
    }

    /// The buckets of the few values.
    fn sorted(&mut self) -> Vec<(u64, u64)> {
        for (value, _) in &mut self.few {
            *value = geometry::highest_equivalent(*value);
        }
        self.few.sort_unstable();
        grid::add_equal(&mut self.few);
        self.few.clone()
    }
}

#[cfg(test)]
#[path = "distribution_tests.rs"]
mod tests;
