//! Who stands where.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::snapshot::Snapshot;

/// The group of a node that has no label.
pub(super) const NONE: u32 = u32::MAX;

/// What nodes are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Level {
    Rack,
    Zone,
}

/// A rack or a zone.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) nodes: Vec<u32>,
}

/// The groups at one level.
#[derive(Debug)]
pub(super) struct Groups {
    of: Vec<u32>,
    pub(super) groups: Vec<Group>,
}

/// Nodes, racks and zones by number.
#[derive(Debug)]
pub(super) struct Topology {
    pub(super) names: Vec<String>,
    racks: Groups,
    zones: Groups,
}

impl Topology {
    pub(super) fn new(snapshot: &Snapshot) -> Topology {
        let nodes = &snapshot.nodes;
        let mut regions: BTreeMap<&str, Option<&str>> = BTreeMap::new();
        for node in nodes {
            match regions.entry(&node.zone) {
                Entry::Vacant(entry) => {
                    entry.insert(Some(&node.region));
                }
                Entry::Occupied(mut entry) if *entry.get() != Some(&node.region) => {
                    entry.insert(None);
                }
                Entry::Occupied(_) => {}
            }
        }
        let zone_name = |zone: &str, region: &str| {
            let in_two_regions = regions.get(zone) == Some(&None);
            if in_two_regions && !region.is_empty() {
                format!("{region}/{zone}")
            } else {
                zone.to_owned()
            }
        };
        let zones = Groups::new(nodes.iter().map(|node| {
            let labelled = !node.zone.is_empty();
            labelled.then(|| zone_name(&node.zone, &node.region))
        }));
        let racks = Groups::new(nodes.iter().map(|node| {
            let labelled = !node.rack.is_empty();
            labelled.then(|| match zone_name(&node.zone, &node.region) {
                zone if zone.is_empty() => node.rack.to_string(),
                zone => format!("{zone}/{}", node.rack),
            })
        }));
        Topology {
            names: nodes.iter().map(|node| node.node.to_string()).collect(),
            racks,
            zones,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn name(&self, node: u32) -> String {
        self.names.get(node as usize).cloned().unwrap_or_default()
    }

    pub(super) fn groups(&self, level: Level) -> &[Group] {
        &self.level(level).groups
    }

    pub(super) fn members(&self, level: Level, group: u32) -> &[u32] {
        let group = self.level(level).groups.get(group as usize);
        group.map_or(&[], |group| &group.nodes)
    }

    pub(super) fn group_name(&self, level: Level, group: u32) -> String {
        let group = self.level(level).groups.get(group as usize);
        group.map(|group| group.name.clone()).unwrap_or_default()
    }

    /// [`NONE`] where the node has no such label.
    pub(super) fn group_of(&self, level: Level, node: u32) -> u32 {
        self.level(level).of.get(node as usize).copied().unwrap_or(NONE)
    }

    fn level(&self, level: Level) -> &Groups {
        match level {
            Level::Rack => &self.racks,
            Level::Zone => &self.zones,
        }
    }
}

impl Groups {
    fn new(names: impl Iterator<Item = Option<String>>) -> Groups {
        let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
        let mut groups: Vec<Group> = Vec::new();
        let of = names
            .zip(0_u32..)
            .map(|(name, node)| {
                let Some(name) = name else { return NONE };
                let next = u32::try_from(groups.len()).unwrap_or(NONE);
                let number = *numbers.entry(name.clone()).or_insert(next);
                if number == next {
                    groups.push(Group {
                        name,
                        nodes: Vec::new(),
                    });
                }
                if let Some(group) = groups.get_mut(number as usize) {
                    group.nodes.push(node);
                }
                number
            })
            .collect();
        Groups { of, groups }
    }
}
