//! Adding panes up, of one series or of many, and reading percentiles from the sum.

use dt_probe::{Clock, Counts};
use dt_record::{Distribution, grid};

use crate::pane::{Pane, add_flows};
use crate::snapshot::{Delays, FlowLoss};

/// A sum of packed distributions on the way: one place for each bucket there can be, used again and again.
#[derive(Debug)]
struct Sum {
    counts: Box<[u64]>,
    /// The range of buckets in use.
    used: std::ops::Range<usize>,
    /// What other resolutions brought.
    others: Distribution,
    sum_ns: u128,
}

impl Sum {
    fn new() -> Sum {
        Sum {
            counts: vec![0; grid::BUCKETS as usize].into_boxed_slice(),
            used: 0..0,
            others: Distribution::default(),
            sum_ns: 0,
        }
    }

    fn add(&mut self, buckets: impl Iterator<Item = (u64, u64)>, sum_ns: u64) {
        self.sum_ns = self.sum_ns.saturating_add(u128::from(sum_ns));
        for (value, count) in buckets {
            let at = grid::index_of(value) as usize;
            if !grid::is_highest(value) {
                let bucket = Distribution {
                    buckets: vec![(value, count)],
                    sum_ns: 0,
                };
                self.others.merge(&bucket);
            } else if let Some(kept) = self.counts.get_mut(at) {
                *kept = kept.saturating_add(count);
                self.used = if self.used.is_empty() {
                    at..at + 1
                } else {
                    self.used.start.min(at)..self.used.end.max(at + 1)
                };
            }
        }
    }

    /// What was added, and empty again.
    fn take(&mut self) -> Distribution {
        let mut buckets = Vec::with_capacity(self.used.len().min(64));
        for at in std::mem::take(&mut self.used) {
            let count = std::mem::take(&mut self.counts[at]);
            if count > 0 {
                buckets.push((grid::highest_at(at as u32), count));
            }
        }
        let mut sum = std::mem::take(&mut self.others);
        sum.merge(&Distribution { buckets, sum_ns: 0 });
        sum.sum_ns = std::mem::take(&mut self.sum_ns);
        sum
    }
}

/// What panes add up to. Distributions add, so that the percentiles are those of all probes at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Total {
    /// Ends of what it covers; both 0 where there was no pane.
    pub(crate) start_ms: u64,
    pub(crate) end_ms: u64,
    pub(crate) counts: Counts,
    pub(crate) rtt: Distribution,
    pub(crate) host_delay: Distribution,
    pub(crate) receive_drops: u64,
    pub(crate) flows: Vec<FlowLoss>,
    pub(crate) flows_used: u32,
    pub(crate) clocks: Option<(Clock, Clock)>,
}

impl Total {
    /// Adds `other`: of another series, or of another time.
    pub(crate) fn merge(&mut self, other: &Total) {
        if other.end_ms == 0 {
            return;
        }
        self.start_ms = if self.end_ms == 0 {
            other.start_ms
        } else {
            self.start_ms.min(other.start_ms)
        };
        self.end_ms = self.end_ms.max(other.end_ms);
        self.counts.add(&other.counts);
        self.rtt.merge(&other.rtt);
        self.host_delay.merge(&other.host_delay);
        // Of hosts, not of series: the greatest is nearest to the truth.
        self.receive_drops = self.receive_drops.max(other.receive_drops);
        self.flows_used = self.flows_used.max(other.flows_used);
        self.clocks = weakest(self.clocks, other.clocks);
    }
}

fn weakest(a: Option<(Clock, Clock)>, b: Option<(Clock, Clock)>) -> Option<(Clock, Clock)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.min(b.1))),
        (a, b) => a.or(b),
    }
}

/// Adds panes up; keeps its working memory.
#[derive(Debug)]
pub(crate) struct Adder {
    rtt: Sum,
    host_delay: Sum,
}

impl Adder {
    pub(crate) fn new() -> Adder {
        Adder {
            rtt: Sum::new(),
            host_delay: Sum::new(),
        }
    }

    /// The panes of one series as one.
    pub(crate) fn total<'a>(&mut self, panes: impl IntoIterator<Item = &'a Pane>) -> Total {
        let mut total = Total {
            start_ms: u64::MAX,
            ..Total::default()
        };
        for pane in panes {
            total.start_ms = total.start_ms.min(pane.start_ms);
            total.end_ms = total.end_ms.max(pane.end_ms);
            total.counts.add(&pane.counts());
            total.receive_drops = total.receive_drops.saturating_add(pane.receive_drops());
            total.flows_used = total.flows_used.max(u32::from(pane.flows_used));
            total.clocks = weakest(total.clocks, pane.clocks);
            add_flows(&mut total.flows, pane.flows());
            self.rtt.add(pane.rtt.iter(), pane.rtt_sum_ns);
            self.host_delay.add(pane.host_delay.iter(), pane.host_delay_sum_ns);
        }
        total.start_ms = total.start_ms.min(total.end_ms);
        total.rtt = self.rtt.take();
        total.host_delay = self.host_delay.take();
        total
    }
}

impl From<&Distribution> for Delays {
    /// The seven numbers by the nearest rank, as in records.
    fn from(distribution: &Distribution) -> Delays {
        Delays {
            min: distribution.min(),
            mean: distribution.mean(),
            p50: distribution.quantile(0.5),
            p90: distribution.quantile(0.9),
            p99: distribution.quantile(0.99),
            p999: distribution.quantile(0.999),
            max: distribution.max(),
        }
    }
}
