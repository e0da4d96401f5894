//! How much there is of what: series of each kind, groups of each level.

use std::collections::{BTreeSet, HashSet};

use dt_probe::ProbeKind;
use serde::Serialize;

use crate::matrix::Matrix;
use crate::snapshot::standing;

/// What is known of, whether it has numbers or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Census {
    /// Series by kind of probe.
    pub(crate) probes: Probes,
    /// Nodes, and the distinct labels among them; nodes without a label count as one group.
    pub(crate) levels: Levels,
}

/// See [`Census::probes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Probes {
    pub(crate) icmp: usize,
    pub(crate) tcp: usize,
    pub(crate) grpc: usize,
}

/// See [`Census::levels`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Levels {
    pub(crate) node: usize,
    pub(crate) rack: usize,
    pub(crate) zone: usize,
    pub(crate) region: usize,
}

impl Matrix {
    /// The partitions of the summary topic that its series come from.
    pub(crate) fn partitions(&self) -> BTreeSet<i32> {
        let mut partitions = BTreeSet::new();
        self.visit(|visited| _ = partitions.insert(visited.series.partition));
        partitions
    }

    /// Counts. Looks at no pane.
    pub(crate) fn census(&self) -> Census {
        let mut census = Census::default();
        let mut seen: Vec<bool> = Vec::new();
        let (mut racks, mut zones, mut regions) = (HashSet::new(), HashSet::new(), HashSet::new());
        self.visit(|visited| {
            *match visited.probe {
                ProbeKind::Icmp => &mut census.probes.icmp,
                ProbeKind::Tcp => &mut census.probes.tcp,
                ProbeKind::Grpc => &mut census.probes.grpc,
            } += 1;
            for (number, node) in [
                (visited.numbers.0, visited.source),
                (visited.numbers.1, visited.destination),
            ] {
                let number = number as usize;
                if seen.len() <= number {
                    seen.resize(number + 1, false);
                }
                if std::mem::replace(&mut seen[number], true) {
                    continue;
                }
                census.levels.node += 1;
                let [region, zone, rack, _] = standing(node).map(str::to_owned);
                racks.insert([region.clone(), zone.clone(), rack]);
                zones.insert([region.clone(), zone]);
                regions.insert(region);
            }
        });
        census.levels.rack = racks.len();
        census.levels.zone = zones.len();
        census.levels.region = regions.len();
        census
    }
}
