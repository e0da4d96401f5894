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
    /// What other resolutions brought, one pane after the other. To be put in order once, however many panes there are.
    others: Vec<(u64, u64)>,
    sum_ns: u128,
}

impl Sum {
    fn new() -> Sum {
        Sum {
            counts: vec![0; grid::BUCKETS as usize].into_boxed_slice(),
            used: 0..0,
            others: Vec::new(),
            sum_ns: 0,
        }
    }

    fn add(&mut self, buckets: impl Iterator<Item = (u64, u64)>, sum_ns: u64) {
        self.sum_ns = self.sum_ns.saturating_add(u128::from(sum_ns));
        for (value, count) in buckets {
            let at = grid::index_of(value) as usize;
            if !grid::is_highest(value) {
                self.others.push((value, count));
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
        if !self.others.is_empty() {
            buckets.append(&mut self.others);
            // What each pane brought ascends, and this sort takes such runs as they are.
            buckets.sort_by_key(|(value, _)| *value);
            grid::add_equal(&mut buckets);
            grid::bound(&mut buckets);
        }
        Distribution {
            buckets,
            sum_ns: std::mem::take(&mut self.sum_ns),
        }
    }
}

/// What panes add up to. Distributions add, so that the percentiles are those of all probes at once; of other resolutions than that
/// of our own records up to [`grid::bound`], so that a sum of many series is no larger than one of few.
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
        for (mine, others) in [(&mut self.rtt, &other.rtt), (&mut self.host_delay, &other.host_delay)] {
            mine.merge(others);
            grid::bound(&mut mine.buckets);
        }
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Whether `kept` has as many values as `exact` and is no further from it than a bucket of ours is wide.
    fn is_as_good(kept: &Distribution, exact: &Distribution) -> bool {
        let near = |q| match (kept.quantile(q), exact.quantile(q)) {
            (Some(kept), Some(exact)) => exact <= kept && kept <= grid::highest_at(grid::index_of(exact)),
            (kept, exact) => kept == exact,
        };
        kept.count() == exact.count() && [0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0].into_iter().all(near)
    }

    fn ascending(mut buckets: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
        buckets.sort_unstable();
        grid::add_equal(&mut buckets);
        buckets
    }

    fn size(distribution: &Distribution) -> usize {
        let between = distribution
            .buckets
            .iter()
            .filter(|(value, _)| !grid::is_highest(*value));
        between.count()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Some panes of our own resolution, some of raw nanoseconds; in all there are more values than are kept.
        #[test]
        fn panes_of_any_resolution_add_up(
            panes in vec((any::<bool>(), vec((1_000_u64..1_000_000_000, 1..9_u64), 0..200)), 0..20),
        ) {
            let (mut sum, mut all) = (Sum::new(), Vec::new());
            for (ours, mut buckets) in panes {
                for (value, _) in buckets.iter_mut().filter(|_| ours) {
                    *value = grid::highest_at(grid::index_of(*value));
                }
                let buckets = ascending(buckets);
                all.extend_from_slice(&buckets);
                sum.add(buckets.into_iter(), 7);
            }
            let exact = Distribution { buckets: ascending(all), sum_ns: 0 };
            let kept = sum.take();
            prop_assert!(is_as_good(&kept, &exact));
            prop_assert!(kept.buckets.is_sorted_by(|a, b| a.0 < b.0));
            prop_assert!(size(&kept) <= grid::MOST_BETWEEN);
            if size(&exact) <= grid::MOST_BETWEEN {
                prop_assert_eq!(kept.buckets, exact.buckets, "as fine as it came");
            }
            prop_assert_eq!(sum.take(), Distribution::default(), "nothing is left for the next");
        }
    }

    #[test]
    fn an_hour_of_another_resolution_is_copied_a_few_times_at_most() {
        let mut sum = Sum::new();
        let (mut copies, mut place) = (0, sum.others.as_ptr());
        for pane in 0..360_u64 {
            sum.add((0..100).map(|i| (100_001 + i * 1_000 + pane * 2, 1)), 0);
            copies += u32::from(std::mem::replace(&mut place, sum.others.as_ptr()) != place);
        }
        // Memory that grows twofold each time; one for each value were 36,000.
        assert!(copies <= 20, "{copies}");
        assert_eq!(sum.take().count(), 36_000);
    }

    #[test]
    fn a_sum_of_many_series_of_other_resolutions_stays_small() {
        let (mut adder, mut group, mut all) = (Sum::new(), Total::default(), Vec::new());
        for series in 0..200_u64 {
            let buckets: Vec<_> = (0..100).map(|i| (1_000_001 + i * 50_000 + series * 101, 1)).collect();
            all.extend_from_slice(&buckets);
            adder.add(buckets.into_iter(), 0);
            let rtt = adder.take();
            group.merge(&Total {
                end_ms: 1,
                host_delay: rtt.clone(),
                rtt,
                ..Total::default()
            });
            assert!(size(&group.rtt) <= grid::MOST_BETWEEN && size(&group.host_delay) <= grid::MOST_BETWEEN);
        }
        let exact = Distribution {
            buckets: ascending(all),
            sum_ns: 0,
        };
        assert!(is_as_good(&group.rtt, &exact) && is_as_good(&group.host_delay, &exact));
    }
}
