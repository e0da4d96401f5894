//! What a set of bad cells is called.

use super::facts::{Facts, Look, look};
use super::finding::{FindingKind, Pattern, Subject};
use super::grid::{Grid, Layer, Probe};
use super::hosts::Host;
use super::loss::DIED;
use super::presence::Voice;
use super::search::Cause;
use super::shape::Shape;
use super::topology::{Level, Topology};
use crate::snapshot::Snapshot;

/// Where less of what a filter could take is lost, it is none.
const FILTERED: f64 = 0.5;

/// What is bad about the cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symptom {
    Loss,
    Delay,
}

/// All that a name depends on.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) recent: &'a Snapshot,
    pub(super) topology: &'a Topology,
    pub(super) voices: &'a [Voice],
    pub(super) hosts: &'a [Host],
    pub(super) grid: &'a Grid,
    pub(super) symptom: Symptom,
    pub(super) background: f64,
}

/// A cause's name.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) kind: FindingKind,
    pub(super) subject: Subject,
    pub(super) pattern: Option<Pattern>,
    /// 1, or less where something else looks the same.
    pub(super) certainty: f64,
}

impl Scene<'_> {
    pub(super) fn voice(&self, node: u32) -> Voice {
        self.voices.get(node as usize).copied().unwrap_or(Voice::Never)
    }

    pub(super) fn is_busy(&self, node: u32) -> bool {
        self.hosts.get(node as usize).is_some_and(|host| host.busy.is_some())
    }

    /// Whether a node's records reach into the time after `since_ms`.
    fn speaks_of(&self, node: u32, since_ms: u64) -> bool {
        let cells = &self.recent.cells;
        let start = cells.partition_point(|cell| cell.source < node);
        let mut row = cells[start..].iter().take_while(|cell| cell.source == node);
        self.voice(node).is_heard() && row.any(|cell| cell.end_ms > since_ms)
    }

    fn look(&self, shape: Shape, cause: &Cause) -> Look {
        look(
            shape,
            cause.layer,
            cause.rate,
            self.background,
            self.grid,
            self.topology,
        )
    }

    pub(super) fn name(&self, cause: &Cause, facts: &Facts) -> Name {
        let mut certainty = 1.0;
        let kind = match cause.layer {
            _ if self.symptom == Symptom::Delay => self.by_place(cause, facts, &mut certainty),
            Layer::Path if facts.mostly_refused() && matches!(cause.shape, Shape::Column(_) | Shape::Node(_)) => {
                FindingKind::AgentDown
            }
            Layer::Path => self.by_place(cause, facts, &mut certainty),
            Layer::Large => {
                certainty = self.small_echoes(cause);
                FindingKind::Mtu
            }
            Layer::Echo => FindingKind::IcmpFiltered,
            Layer::Port | Layer::Tcp if about_one_destination(cause.shape) && facts.mostly_refused() => {
                FindingKind::AgentDown
            }
            Layer::Port | Layer::Tcp if cause.rate >= FILTERED => FindingKind::TcpFiltered,
            // A filter takes all.
            Layer::Port | Layer::Tcp => self.by_place(cause, facts, &mut certainty),
            Layer::Grpc if about_one_destination(cause.shape) => FindingKind::AgentDown,
            Layer::Grpc => FindingKind::GrpcFailing,
        };
        Name {
            kind,
            subject: self.subject(cause.shape, kind),
            pattern: self.pattern(cause, kind),
            certainty,
        }
    }

    fn by_place(&self, cause: &Cause, facts: &Facts, certainty: &mut f64) -> FindingKind {
        let delay = self.symptom == Symptom::Delay;
        match cause.shape {
            Shape::OneWay(a, b) => match self.look(Shape::OneWay(b, a), cause) {
                Look::Sound => FindingKind::OneDirection,
                _ => FindingKind::Pair,
            },
            Shape::Pair(..) => FindingKind::Pair,
            Shape::Row(node) | Shape::Column(node) | Shape::Node(node) if delay && self.is_busy(node) => {
                FindingKind::NodeSlow
            }
            Shape::Row(node) => {
                if self.look(Shape::Column(node), cause) != Look::Sound {
                    // Nobody else can say whether it is the node's programs or its link.
                    *certainty = 0.7;
                }
                FindingKind::ProberAtFault
            }
            Shape::Column(_) if delay => FindingKind::NodeSlow,
            Shape::Column(node) | Shape::Node(node) if !self.voice(node).is_heard() && cause.rate >= DIED => {
                FindingKind::NodeDown
            }
            Shape::Column(node) if !self.speaks_of(node, facts.since_ms) => {
                // Its next record will tell whether it is down, cut off, or hears nothing.
                *certainty = 0.6;
                if cause.rate >= DIED {
                    FindingKind::NodeDown
                } else {
                    FindingKind::NodeLink
                }
            }
            Shape::Column(node) => match self.look(Shape::Row(node), cause) {
                Look::Sound => FindingKind::OneDirection,
                _ => FindingKind::NodeLink,
            },
            Shape::Node(_) => FindingKind::NodeLink,
            Shape::Between { level, from, to, both } => {
                let back = Shape::Between {
                    level,
                    from: to,
                    to: from,
                    both,
                };
                if !both && from != to && self.look(back, cause) == Look::Sound {
                    return FindingKind::OneDirection;
                }
                match level {
                    Level::Rack => FindingKind::RackPair,
                    Level::Zone => FindingKind::ZonePair,
                }
            }
            Shape::Edge(Level::Rack, _) | Shape::Whole(Level::Rack, _) => FindingKind::Rack,
            Shape::Edge(Level::Zone, _) | Shape::Whole(Level::Zone, _) => FindingKind::Zone,
            Shape::Across(_) => FindingKind::Spine,
            Shape::Everything => FindingKind::Network,
        }
    }

    /// Whether small echoes are seen to pass where large ones don't, or the other way round. Where nobody sends any, a
    /// filter would look the same.
    fn small_echoes(&self, cause: &Cause) -> f64 {
        let back = match cause.shape {
            Shape::OneWay(a, b) => Shape::OneWay(b, a),
            Shape::Row(node) | Shape::Column(node) => Shape::Node(node),
            Shape::Between { level, from, to, both } => Shape::Between {
                level,
                from: to,
                to: from,
                both,
            },
            other => other,
        };
        let mut pass = false;
        for shape in [cause.shape, back] {
            shape.visit(self.grid, self.topology, |at| {
                let trial = &self.grid.trials[at];
                pass |= trial.probe == Probe::Echo && 2 * trial.k < trial.n;
            });
        }
        if pass { 1.0 } else { 0.6 }
    }

    pub(super) fn subject(&self, shape: Shape, kind: FindingKind) -> Subject {
        let node = |node| self.topology.name(node);
        let group = |level, group| self.topology.group_name(level, group);
        let mut subject = Subject::default();
        match shape {
            Shape::OneWay(a, b) => {
                subject.nodes = vec![node(a), node(b)];
                if kind != FindingKind::Pair {
                    (subject.source, subject.destination) = (Some(node(a)), Some(node(b)));
                } else {
                    subject.nodes.sort_unstable();
                }
            }
            Shape::Pair(a, b) => {
                subject.nodes = vec![node(a), node(b)];
                subject.nodes.sort_unstable();
            }
            Shape::Row(a) => {
                subject.nodes = vec![node(a)];
                subject.source = (kind != FindingKind::NodeSlow).then(|| node(a));
            }
            Shape::Column(b) => {
                subject.nodes = vec![node(b)];
                subject.destination = (kind == FindingKind::OneDirection).then(|| node(b));
            }
            Shape::Node(a) => subject.nodes = vec![node(a)],
            Shape::Between { level, from, to, .. } => {
                let mut names = vec![group(level, from), group(level, to)];
                if kind == FindingKind::OneDirection {
                    (subject.source, subject.destination) = (Some(group(level, from)), Some(group(level, to)));
                }
                names.sort_unstable();
                names.dedup();
                match level {
                    Level::Rack => subject.racks = names,
                    Level::Zone => subject.zones = names,
                }
            }
            Shape::Edge(Level::Rack, rack) | Shape::Whole(Level::Rack, rack) => {
                subject.racks = vec![group(Level::Rack, rack)];
            }
            Shape::Edge(Level::Zone, zone) | Shape::Whole(Level::Zone, zone) => {
                subject.zones = vec![group(Level::Zone, zone)];
            }
            Shape::Across(level) => {
                let names = self.topology.groups(level).iter().map(|group| group.name.clone());
                subject.zones = names.collect();
            }
            Shape::Everything => {}
        }
        subject
    }

    fn pattern(&self, cause: &Cause, kind: FindingKind) -> Option<Pattern> {
        match (kind, cause.shape) {
            (FindingKind::Spine, _) => Some(Pattern::SpineFailure),
            (FindingKind::Rack | FindingKind::Zone, Shape::Edge(level, group) | Shape::Whole(level, group)) => {
                let mut members = self.topology.members(level, group).iter();
                let silent = members.all(|node| !self.voice(*node).is_heard());
                Some(if silent {
                    Pattern::PodsetDown
                } else {
                    Pattern::PodsetFailure
                })
            }
            _ => None,
        }
    }
}

fn about_one_destination(shape: Shape) -> bool {
    matches!(shape, Shape::Column(_) | Shape::Node(_))
}
