//! The matrix by nodes, racks, zones or regions: histograms added, never percentiles averaged.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use dt_probe::{Counts, ProbeKind};
use dt_record::Endpoint;
use serde::{Serialize, Serializer};
use smol_str::{SmolStr, format_smolstr};

use crate::matrix::Matrix;
use crate::place::Place;
use crate::row::State;
use crate::series::Series;
use crate::snapshot::{Delays, standing};
use crate::total::{Adder, Total};
use crate::view::View;

/// What nodes are put together by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Each node alone.
    #[default]
    Node,
    /// Nodes of one rack (and zone, and region).
    Rack,
    /// Nodes of one zone (and region).
    Zone,
    /// Nodes of one region.
    Region,
}

impl Level {
    /// All of them, the finest first.
    pub const ALL: [Level; 4] = [Level::Node, Level::Rack, Level::Zone, Level::Region];

    /// As it stands in addresses and answers of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Node => "node",
            Level::Rack => "rack",
            Level::Zone => "zone",
            Level::Region => "region",
        }
    }

    /// The part of a node's standing (region, zone, rack, name) that its group has in common.
    fn common(self) -> usize {
        match self {
            Level::Node => 4,
            Level::Rack => 3,
            Level::Zone => 2,
            Level::Region => 1,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not the name of a level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no level; accepted: node, rack, zone, region")]
pub struct UnknownLevel(String);

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Level, UnknownLevel> {
        let found = Level::ALL.into_iter().find(|level| level.as_str() == text);
        found.ok_or_else(|| UnknownLevel(text.to_owned()))
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One kind of probe between groups of nodes.
#[derive(Clone, Debug)]
pub struct Grouped {
    /// When it was made, UTC milliseconds.
    pub now_ms: u64,
    /// What the numbers cover.
    pub view: View,
    /// What nodes are put together by.
    pub level: Level,
    /// What was measured.
    pub probe: ProbeKind,
    /// Ascending by (region, zone, rack, name).
    pub groups: Vec<Group>,
    /// Ascending by (source, destination), which are places in `groups`. A group may be its own destination.
    pub cells: Vec<GroupCell>,
}

/// Nodes that stand together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// What it is called: the label, with those above it where it needs them to be told from others; empty where unlabelled.
    pub name: SmolStr,
    /// Labels, as far as its nodes have them in common.
    pub zone: SmolStr,
    /// See `zone`.
    pub rack: SmolStr,
    /// See `zone`.
    pub region: SmolStr,
    /// How many nodes.
    pub nodes: u32,
}

/// What the series from one group to another add up to.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupCell {
    /// The probing group.
    pub source: u32,
    /// The probed group.
    pub destination: u32,
    /// How many series.
    pub series: u32,
    /// How many of them are stale.
    pub stale: u32,
    /// Stale or waiting only where all are.
    pub state: State,
    /// The fates of all their probes.
    pub counts: Counts,
    /// Round-trip delays of all of them.
    pub rtt: Delays,
    /// Host delay of all of them.
    pub host_delay: Delays,
}

/// A cell on the way.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    pub(crate) series: u32,
    pub(crate) stale: u32,
    pub(crate) waiting: u32,
    /// What lies within the view, counted back from now.
    current: Total,
    /// Of series that are stale, what was last known: shown only where nothing else is.
    last_known: Total,
}

impl Sum {
    /// Of many series at once.
    pub(crate) fn of(series: u32, stale: u32, waiting: u32, total: Total) -> Sum {
        let mut sum = Sum {
            series,
            stale,
            waiting,
            ..Sum::default()
        };
        if sum.state() == State::Stale {
            sum.last_known = total;
        } else {
            sum.current = total;
        }
        sum
    }

    /// A series that has gone silent counts with what it said within the view, and no longer than that: else a node that
    /// died would stand for long beside what is measured now.
    pub(crate) fn add(&mut self, series: &Series, view: View, state: State, now_ms: u64, adder: &mut Adder) {
        self.series += 1;
        self.waiting += u32::from(state == State::Waiting);
        if state != State::Stale {
            self.current.merge(&adder.total(series.panes(view)));
            return;
        }
        self.stale += 1;
        self.current.merge(&adder.total(series.panes_since(view, now_ms)));
        self.last_known.merge(&adder.total(series.panes(view)));
    }

    /// What is to be shown of it.
    pub(crate) fn total(&self) -> &Total {
        if self.state() == State::Stale {
            &self.last_known
        } else {
            &self.current
        }
    }

    /// Adds what others have added up.
    pub(crate) fn merge(&mut self, other: &Sum) {
        self.series = self.series.saturating_add(other.series);
        self.stale = self.stale.saturating_add(other.stale);
        self.waiting = self.waiting.saturating_add(other.waiting);
        self.current.merge(&other.current);
        self.last_known.merge(&other.last_known);
    }

    pub(crate) fn state(&self) -> State {
        if self.waiting == self.series {
            State::Waiting
        } else if self.stale.saturating_add(self.waiting) == self.series {
            State::Stale
        } else {
            State::Fresh
        }
    }
}

/// Which part of the whole is wanted.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Sources in this place only.
    pub from: Option<Place>,
    /// Destinations in this place only.
    pub to: Option<Place>,
}

impl Matrix {
    /// All series of one kind, put together by `level` at both ends.
    #[must_use]
    pub fn grouped(&self, level: Level, view: View, probe: ProbeKind, now_ms: u64) -> Grouped {
        let all = self.grouped_part(level, view, probe, &Part::default(), usize::MAX, now_ms);
        all.unwrap_or_else(|| Grouped::empty(level, view, probe, now_ms))
    }

    /// The same of a part; `None` where it has more than `most` cells.
    #[must_use]
    pub fn grouped_part(
        &self,
        level: Level,
        view: View,
        probe: ProbeKind,
        part: &Part,
        most: usize,
        now_ms: u64,
    ) -> Option<Grouped> {
        let mut adder = Adder::new();
        let mut members = Members::new(level);
        let mut sums: BTreeMap<(u32, u32), Sum> = BTreeMap::new();
        let mut cells: Vec<GroupCell> = Vec::new();
        let within = |place: &Option<Place>, node: &Endpoint| place.as_ref().is_none_or(|place| place.holds(node));
        self.visit(|visited| {
            if !within(&part.from, visited.source) || !within(&part.to, visited.destination) {
                return;
            }
            let source = members.group_of(visited.numbers.0, visited.source);
            let destination = members.group_of(visited.numbers.1, visited.destination);
            if visited.probe != probe || cells.len().max(sums.len()) > most {
                return;
            }
            let state = State::of(visited.series, self.config().stale_windows, now_ms);
            if level == Level::Node {
                let total = adder.total(visited.series.panes(view));
                // One series each: of hundreds of thousands no distribution is kept.
                cells.push(GroupCell::one(source, destination, state, &total));
            } else {
                let sum = sums.entry((source, destination)).or_default();
                sum.add(visited.series, view, state, now_ms, &mut adder);
            }
        });
        if cells.len().max(sums.len()) > most {
            return None;
        }
        cells.extend(sums.into_iter().map(|((source, destination), sum)| GroupCell {
            series: sum.series,
            stale: sum.stale,
            ..GroupCell::one(source, destination, sum.state(), sum.total())
        }));
        let (groups, places) = members.finish();
        for cell in &mut cells {
            cell.source = places[cell.source as usize];
            cell.destination = places[cell.destination as usize];
        }
        cells.sort_by_key(|cell| (cell.source, cell.destination));
        Some(Grouped {
            groups,
            cells,
            ..Grouped::empty(level, view, probe, now_ms)
        })
    }
}

impl Grouped {
    fn empty(level: Level, view: View, probe: ProbeKind, now_ms: u64) -> Grouped {
        Grouped {
            now_ms,
            view,
            level,
            probe,
            groups: Vec::new(),
            cells: Vec::new(),
        }
    }
}

impl GroupCell {
    /// Of one series.
    fn one(source: u32, destination: u32, state: State, total: &Total) -> GroupCell {
        GroupCell {
            source,
            destination,
            series: 1,
            stale: u32::from(state == State::Stale),
            state,
            counts: total.counts,
            rtt: Delays::from(&total.rtt),
            host_delay: Delays::from(&total.host_delay),
        }
    }
}

/// Which group a node is in.
pub(crate) struct Members {
    level: Level,
    /// By number of the node.
    of_node: Vec<Option<u32>>,
    /// By what is common: the group's number, in order of appearance, and how many nodes it has.
    groups: BTreeMap<[SmolStr; 4], (u32, u32)>,
}

impl Members {
    pub(crate) fn new(level: Level) -> Members {
        Members {
            level,
            of_node: Vec::new(),
            groups: BTreeMap::new(),
        }
    }

    /// The group of the node with this number, by number.
    pub(crate) fn group_of(&mut self, number: u32, node: &Arc<Endpoint>) -> u32 {
        let at = number as usize;
        if self.of_node.len() <= at {
            self.of_node.resize(at + 1, None);
        }
        if let Some(group) = self.of_node[at] {
            return group;
        }
        let mut common: [SmolStr; 4] = standing(node).map(SmolStr::from);
        common[self.level.common()..].fill(SmolStr::default());
        let next = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        let (group, nodes) = self.groups.entry(common).or_insert((next, 0));
        *nodes += 1;
        self.of_node[at] = Some(*group);
        *group
    }

    /// The groups in order, and the place of each by its number.
    pub(crate) fn finish(self) -> (Vec<Group>, Vec<u32>) {
        let mut places = vec![0; self.groups.len()];
        let mut in_regions: BTreeMap<SmolStr, Vec<SmolStr>> = BTreeMap::new();
        for [region, zone, ..] in self.groups.keys() {
            let regions = in_regions.entry(zone.clone()).or_default();
            if !regions.contains(region) {
                regions.push(region.clone());
            }
        }
        let mut groups = Vec::with_capacity(places.len());
        for (place, ([region, zone, rack, node], (number, nodes))) in (0..).zip(self.groups) {
            if let Some(kept) = places.get_mut(number as usize) {
                *kept = place;
            }
            let is_ambiguous = in_regions.get(&zone).is_some_and(|regions| regions.len() > 1);
            let zone_name = if is_ambiguous && !zone.is_empty() {
                format_smolstr!("{region}/{zone}")
            } else {
                zone.clone()
            };
            let name = match self.level {
                Level::Node => node,
                Level::Rack if zone_name.is_empty() => rack.clone(),
                Level::Rack if rack.is_empty() => format_smolstr!("{zone_name}/-"),
                Level::Rack => format_smolstr!("{zone_name}/{rack}"),
                Level::Zone => zone_name,
                Level::Region => region.clone(),
            };
            groups.push(Group {
                name,
                zone,
                rack,
                region,
                nodes,
            });
        }
        (groups, places)
    }
}
