//! The places where a fault can be, as sets of cells of the heat map.

use super::grid::{Grid, Trial};
use super::topology::{Level, NONE, Topology};

/// A set of ordered pairs that one cause makes bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Shape {
    /// One node to another.
    OneWay(u32, u32),
    /// Two nodes, both ways; the smaller number first.
    Pair(u32, u32),
    /// All that a node probes.
    Row(u32),
    /// All that probes a node.
    Column(u32),
    /// Both.
    Node(u32),
    /// From one group to another (or inside one), and back where `both`; then the smaller number is first.
    Between {
        level: Level,
        from: u32,
        to: u32,
        both: bool,
    },
    /// All that enters or leaves a group.
    Edge(Level, u32),
    /// That and all inside.
    Whole(Level, u32),
    /// All between different groups.
    Across(Level),
    /// The whole map.
    Everything,
}

impl Shape {
    /// Of two causes that explain the same, the one with the smaller number is meant.
    pub(super) fn extent(self) -> u8 {
        match self {
            Shape::OneWay(..) => 0,
            Shape::Pair(..) => 1,
            Shape::Row(_) | Shape::Column(_) => 2,
            Shape::Node(_) => 3,
            Shape::Between {
                level: Level::Rack,
                both,
                ..
            } => 4 + u8::from(both),
            Shape::Edge(Level::Rack, _) => 6,
            Shape::Whole(Level::Rack, _) => 7,
            Shape::Between {
                level: Level::Zone,
                both,
                ..
            } => 8 + u8::from(both),
            Shape::Edge(Level::Zone, _) => 10,
            Shape::Whole(Level::Zone, _) => 11,
            Shape::Across(_) => 12,
            Shape::Everything => 13,
        }
    }

    /// How many causes of this sort there could be: the more, the stronger must one be to stand out by more than chance.
    pub(super) fn rivals(self, topology: &Topology) -> f64 {
        let nodes = topology.len() as f64;
        let groups = |level| topology.groups(level).len() as f64;
        match self {
            Shape::OneWay(..) | Shape::Pair(..) => nodes * nodes,
            Shape::Row(_) | Shape::Column(_) | Shape::Node(_) => nodes,
            Shape::Between { level, .. } => groups(level) * groups(level),
            Shape::Edge(level, _) | Shape::Whole(level, _) => groups(level),
            Shape::Across(_) | Shape::Everything => 1.0,
        }
        .max(1.0)
    }

    /// Calls `each` with the place of every trial in this shape.
    pub(super) fn visit(self, grid: &Grid, topology: &Topology, mut each: impl FnMut(usize)) {
        let group_of = |level, node| topology.group_of(level, node);
        match self {
            Shape::OneWay(source, destination) => grid.between(source, destination).for_each(each),
            Shape::Pair(a, b) => grid.between(a, b).chain(grid.between(b, a)).for_each(each),
            Shape::Row(node) => grid.row(node).for_each(each),
            Shape::Column(node) => grid.column(node).for_each(each),
            Shape::Node(node) => grid.row(node).chain(grid.column(node)).for_each(each),
            Shape::Between { level, from, to, both } => {
                let ways = [(from, to), (to, from)];
                for (from, to) in ways.into_iter().take(if both { 2 } else { 1 }) {
                    for source in topology.members(level, from) {
                        grid.row(*source)
                            .filter(|at| group_of(level, grid.trials[*at].destination) == to)
                            .for_each(&mut each);
                    }
                }
            }
            Shape::Edge(level, group) | Shape::Whole(level, group) => {
                let inside = matches!(self, Shape::Whole(..));
                for node in topology.members(level, group) {
                    grid.row(*node)
                        .filter(|at| inside || group_of(level, grid.trials[*at].destination) != group)
                        .for_each(&mut each);
                    grid.column(*node)
                        .filter(|at| group_of(level, grid.trials[*at].source) != group)
                        .for_each(&mut each);
                }
            }
            Shape::Across(level) => {
                let across = |trial: &Trial| {
                    let (from, to) = (group_of(level, trial.source), group_of(level, trial.destination));
                    from != to && from != NONE && to != NONE
                };
                (0..grid.trials.len())
                    .filter(|at| across(&grid.trials[*at]))
                    .for_each(each);
            }
            Shape::Everything => (0..grid.trials.len()).for_each(each),
        }
    }

    /// Calls `each` with every shape that a trial between these nodes is in.
    pub(super) fn containing(source: u32, destination: u32, topology: &Topology, mut each: impl FnMut(Shape)) {
        each(Shape::OneWay(source, destination));
        each(Shape::Pair(source.min(destination), source.max(destination)));
        each(Shape::Row(source));
        each(Shape::Column(destination));
        each(Shape::Node(source));
        each(Shape::Node(destination));
        for level in [Level::Rack, Level::Zone] {
            let (from, to) = (topology.group_of(level, source), topology.group_of(level, destination));
            let one_way = Shape::Between {
                level,
                from,
                to,
                both: false,
            };
            if from == to {
                if from != NONE {
                    each(Shape::Whole(level, from));
                    each(one_way);
                }
                continue;
            }
            for group in [from, to] {
                if group != NONE {
                    each(Shape::Edge(level, group));
                    each(Shape::Whole(level, group));
                }
            }
            if from != NONE && to != NONE {
                each(one_way);
                let (low, high) = (from.min(to), from.max(to));
                each(Shape::Between {
                    level,
                    from: low,
                    to: high,
                    both: true,
                });
                if level == Level::Zone {
                    each(Shape::Across(level));
                }
            }
        }
        each(Shape::Everything);
    }
}

#[cfg(test)]
#[path = "shape_tests.rs"]
mod tests;
