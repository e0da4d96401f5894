//! What was counted since the start, for those who read it by differences: by pair of zones, and by node as source and as
//! destination. Never by pair of nodes, of which there are too many.

mod zones;

use std::sync::Arc;

use dt_metrics::{COARSE, FINE, Histogram, Layout, Placed};
use dt_probe::{Counts, ProbeKind};
use dt_record::Endpoint;

use crate::nodes::Nodes;
use crate::observation::Observation;

use zones::ZonePairs;
pub(crate) use zones::{ZoneNumber, ZonePair, Zones};

/// How much is counted apart. Records of further ones count in the matrix all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TallyBounds {
    /// At most so many ordered pairs of zones, some 7 kB each and kind of probe.
    pub zone_pairs: usize,
    /// At most so many nodes, some 3 kB each and kind of probe; 0 for none.
    pub nodes: usize,
}

impl Default for TallyBounds {
    /// 50 zones, 2,000 nodes.
    fn default() -> Self {
        Self {
            zone_pairs: 2_500,
            nodes: 2_000,
        }
    }
}

/// All records of something, as one.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    pub(crate) rtt: Histogram,
    /// `None` where there was none.
    pub(crate) host_delay: Option<Histogram>,
}

/// By kind of probe, in the order of [`ProbeKind::ALL`].
pub(crate) type Kinds = [Option<Box<Tally>>; ProbeKind::ALL.len()];

impl Tally {
    fn new(layout: &'static Layout) -> Tally {
        Tally {
            counts: Counts::default(),
            rtt: Histogram::new(layout),
            host_delay: None,
        }
    }
}

/// An observation as tallies of one layout take it.
struct Added<'a> {
    layout: &'static Layout,
    probe: ProbeKind,
    counts: &'a Counts,
    rtt: Placed,
    host_delay: Placed,
}

impl<'a> Added<'a> {
    fn fine(observation: &'a Observation<'_>) -> Added<'a> {
        Added {
            layout: &FINE,
            probe: observation.probe,
            counts: &observation.counts,
            rtt: Placed::fine(&observation.rtt),
            host_delay: Placed::fine(&observation.host_delay),
        }
    }

    fn coarse(&self) -> Added<'a> {
        Added {
            layout: &COARSE,
            rtt: self.rtt.coarse(),
            host_delay: self.host_delay.coarse(),
            ..*self
        }
    }

    /// Adds to the tally of its kind.
    fn to<'k>(&self, kinds: &'k mut Kinds) -> &'k mut Tally {
        let tally = kinds[self.probe as usize].get_or_insert_with(|| Box::new(Tally::new(self.layout)));
        tally.counts.add(self.counts);
        tally.rtt.add(&self.rtt);
        tally
    }

    /// The same with the host delay, which is the source's.
    fn with_host_delay_to(&self, kinds: &mut Kinds) {
        let tally = self.to(kinds);
        if !self.host_delay.is_empty() {
            let host_delay = tally.host_delay.get_or_insert_with(|| Histogram::new(self.layout));
            host_delay.add(&self.host_delay);
        }
    }
}

/// The records of one node.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeTally {
    /// Those of its own probes.
    pub(crate) source: Kinds,
    /// Those of others' probes to it.
    pub(crate) destination: Kinds,
}

/// A copy of all that was counted.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) zone_pairs: Vec<ZonePair>,
    pub(crate) nodes: Vec<(Arc<Endpoint>, NodeTally)>,
    /// Records that were counted for no pair of zones, or not for both nodes, because there were too many.
    pub(crate) left_out: u64,
}

/// What is counted by pair of zones, and since when. What is counted by node stands with the nodes.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    pairs: ZonePairs,
    pub(crate) left_out: u64,
    /// By partition: what ended before was read by another collector, or by this one before it was started anew.
    begins_ms: Vec<u64>,
}

impl Tallies {
    /// Records of `partition` count where their window ends after `now_ms`; 0 for all of them.
    pub(crate) fn begin(&mut self, partition: i32, now_ms: u64) {
        let Ok(at) = usize::try_from(partition) else { return };
        if self.begins_ms.len() <= at {
            self.begins_ms.resize(at + 1, 0);
        }
        self.begins_ms[at] = now_ms;
    }

    /// Counts a record of the nodes `from` and `to`, unless it was counted elsewhere.
    pub(crate) fn add(
        &mut self,
        observation: &Observation<'_>,
        (from, to): (u32, u32),
        nodes: &mut Nodes,
        bounds: TallyBounds,
    ) {
        let begins_ms =
            usize::try_from(observation.partition).map_or(0, |at| self.begins_ms.get(at).copied().unwrap_or(0));
        if observation.end_ms <= begins_ms {
            return;
        }
        let added = Added::fine(observation);
        let pair = self.pair((from, to), nodes, bounds.zone_pairs);
        let mut is_whole = pair.map(|kinds| added.with_host_delay_to(kinds)).is_some();
        if bounds.nodes > 0 {
            let added = added.coarse();
            match nodes.tally(from, bounds.nodes) {
                Some(tally) => added.with_host_delay_to(&mut tally.source),
                None => is_whole = false,
            }
            match nodes.tally(to, bounds.nodes) {
                Some(tally) => {
                    added.to(&mut tally.destination);
                }
                None => is_whole = false,
            }
        }
        self.left_out += u64::from(!is_whole);
    }

    /// What is counted between the zones of two nodes; `None` where there are as many pairs as may be.
    fn pair(&mut self, (from, to): (u32, u32), nodes: &Nodes, most: usize) -> Option<&mut Kinds> {
        let numbers = nodes.zone(from).zip(nodes.zone(to))?;
        let zone = |number| Some(nodes.endpoint(number)?.as_ref().into());
        self.pairs
            .get(numbers, || zone(from).zip(zone(to)), nodes.zones(), most)
    }

    /// Forgets the pairs of zones without a node.
    pub(crate) fn forget(&mut self, zones: &Zones) {
        self.pairs.forget(zones);
    }

    pub(crate) fn zone_pairs(&self) -> Vec<ZonePair> {
        self.pairs.all()
    }
}
