//! A summary that waits: as it came or, once others were added to it, with its delays packed. A distribution of an hour has
//! hundreds of buckets, which take 16 bytes each as they are worked with, and one or two packed.

use std::mem::take;
use std::sync::Arc;

use dt_record::packed::{Packed, Scratch};
use dt_record::{Distribution, Flow, Pair, Summary};

/// See the module.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// Other sinks may hold it as well.
    Fresh(Arc<Summary>),
    /// Several in one.
    Merged(Box<Merged>),
}

/// Several summaries in one.
#[derive(Debug)]
pub(crate) struct Merged {
    /// All but the delays.
    rest: Summary,
    rtt: Delays,
    host_delay: Delays,
}

#[derive(Debug, Default)]
struct Delays {
    buckets: Packed<0>,
    sum_ns: u128,
}

impl Delays {
    fn add(&mut self, more: &Distribution, scratch: &mut Scratch) {
        self.buckets.add(more, scratch);
        self.sum_ns = self.sum_ns.saturating_add(more.sum_ns);
    }

    fn unpacked(&self) -> Distribution {
        Distribution {
            buckets: self.buckets.iter().collect(),
            sum_ns: self.sum_ns,
        }
    }
}

impl Waiting {
    pub(crate) fn pair(&self) -> &Arc<Pair> {
        &self.rest().pair
    }

    /// Probes that it tells of.
    pub(crate) fn sent(&self) -> u64 {
        self.rest().counts.sent()
    }

    fn rest(&self) -> &Summary {
        match self {
            Waiting::Fresh(summary) => summary,
            Waiting::Merged(merged) => &merged.rest,
        }
    }

    /// As a sink takes it.
    pub(crate) fn into_summary(self) -> Arc<Summary> {
        match self {
            Waiting::Fresh(summary) => summary,
            Waiting::Merged(merged) => Arc::new(Summary {
                rtt: merged.rtt.unpacked(),
                host_delay: merged.host_delay.unpacked(),
                ..merged.rest
            }),
        }
    }

    /// Adds another one of the same pair, exactly.
    pub(crate) fn add(&mut self, other: Waiting, scratch: &mut Scratch) {
        if let Waiting::Fresh(summary) = self {
            let mut rest = Summary::clone(summary);
            let (rtt, host_delay) = (take(&mut rest.rtt), take(&mut rest.host_delay));
            let mut merged = Merged {
                rest,
                rtt: Delays::default(),
                host_delay: Delays::default(),
            };
            merged.rtt.add(&rtt, scratch);
            merged.host_delay.add(&host_delay, scratch);
            *self = Waiting::Merged(Box::new(merged));
        }
        let Waiting::Merged(merged) = self else { return };
        let mut other = Arc::unwrap_or_clone(other.into_summary());
        merged.rtt.add(&take(&mut other.rtt), scratch);
        merged.host_delay.add(&take(&mut other.host_delay), scratch);
        merged.rest.merge(other);
        merged.rest.flows.shrink_to_fit();
    }

    /// Memory that it takes, with its pair, but not the names in that: the agent holds those anyway.
    pub(crate) fn bytes(&self) -> usize {
        // Tree and map entries, and the pair, beside the summary itself.
        const OVERHEAD: usize = 160 + size_of::<Pair>();
        let delays = match self {
            Waiting::Fresh(summary) => {
                let buckets = summary.rtt.buckets.capacity() + summary.host_delay.buckets.capacity();
                size_of::<Summary>() + buckets * size_of::<(u64, u64)>()
            }
            Waiting::Merged(merged) => {
                size_of::<Merged>() + merged.rtt.buckets.heap_bytes() + merged.host_delay.buckets.heap_bytes()
            }
        };
        OVERHEAD + delays + self.rest().flows.capacity() * size_of::<Flow>()
    }
}
