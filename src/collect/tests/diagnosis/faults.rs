//! Faults by name, what they do, and what they must be called.

use dt_collect::diagnosis::{FindingKind, Subject};
use dt_probe::ProbeKind;
use rand::Rng;
use rand::rngs::StdRng;

use crate::world::{Fate, World};

/// One fault and where it is. Numbers are of nodes; racks are named by one of their nodes, and so are zones.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    NodeDown(usize),
    RackDown(usize),
    NodeLink(usize, f64),
    NodeLinkSlow(usize),
    NodeBusy(usize),
    AgentDown(usize),
    NodeSilent(usize),
    Left(usize),
    Rack(usize, f64),
    RackSlow(usize),
    Zone(usize, f64),
    ZonePair(usize, usize, f64),
    ZonePairSlow(usize, usize),
    ZoneOneWay(usize, usize, f64),
    Spine(f64),
    SpineSlow,
    Inbound(usize, f64),
    OneWay(usize, usize, f64),
    Pair(usize, usize, f64),
    PairSlow(usize, usize),
    Prober(usize, f64),
    CannotSend(usize),
    DeadFlow(usize, usize),
    DeadFlows(usize, usize),
    Mtu(usize, usize),
    IcmpFiltered(usize),
    TcpFiltered(usize, usize),
    Blind,
}

pub(crate) const SORTS: usize = 28;

/// The `sort`-th fault, somewhere.
pub(crate) fn draw(sort: usize, world: &World, rng: &mut StdRng) -> Fault {
    let count = world.nodes.len();
    let a = rng.random_range(0..count);
    let zone = |node: usize| world.nodes[node].zone.clone();
    let mut elsewhere = || loop {
        let b = rng.random_range(0..count);
        if zone(a) != zone(b) {
            return b;
        }
    };
    let b = elsewhere();
    let much = rng.random_range(0.4..1.0);
    let some = rng.random_range(0.1..1.0);
    match sort {
        0 => Fault::NodeDown(a),
        1 => Fault::RackDown(a),
        2 => Fault::NodeLink(a, some),
        3 => Fault::NodeLinkSlow(a),
        4 => Fault::NodeBusy(a),
        5 => Fault::AgentDown(a),
        6 => Fault::NodeSilent(a),
        7 => Fault::Left(a),
        8 => Fault::Rack(a, some),
        9 => Fault::RackSlow(a),
        10 => Fault::Zone(a, some),
        11 => Fault::ZonePair(a, b, some),
        12 => Fault::ZonePairSlow(a, b),
        13 => Fault::ZoneOneWay(a, b, some),
        14 => Fault::Spine(some),
        15 => Fault::SpineSlow,
        16 => Fault::Inbound(a, some),
        17 => Fault::OneWay(a, b, much),
        18 => Fault::Pair(a, b, much),
        19 => Fault::PairSlow(a, b),
        20 => Fault::Prober(a, some),
        21 => Fault::CannotSend(a),
        22 => Fault::DeadFlow(a, b),
        23 => Fault::DeadFlows(a, b),
        24 => Fault::Mtu(a, b),
        25 => Fault::IcmpFiltered(a),
        26 => Fault::TcpFiltered(a, b),
        _ => Fault::Blind,
    }
}

const SLOW_NS: u64 = 5_000_000;

impl Fault {
    /// The zones it touches; all of them for what is everywhere.
    pub(crate) fn zones(self, world: &World) -> Vec<String> {
        let zone = |node: usize| world.nodes[node].zone.to_string();
        match self {
            Fault::Spine(_) | Fault::SpineSlow | Fault::Blind => {
                world.nodes.iter().map(|n| n.zone.to_string()).collect()
            }
            Fault::NodeDown(a)
            | Fault::RackDown(a)
            | Fault::NodeLink(a, _)
            | Fault::NodeLinkSlow(a)
            | Fault::NodeBusy(a)
            | Fault::AgentDown(a)
            | Fault::NodeSilent(a)
            | Fault::Left(a)
            | Fault::Rack(a, _)
            | Fault::RackSlow(a)
            | Fault::Zone(a, _)
            | Fault::Inbound(a, _)
            | Fault::Prober(a, _)
            | Fault::CannotSend(a)
            | Fault::IcmpFiltered(a) => vec![zone(a)],
            Fault::ZonePair(a, b, _)
            | Fault::ZonePairSlow(a, b)
            | Fault::ZoneOneWay(a, b, _)
            | Fault::OneWay(a, b, _)
            | Fault::Pair(a, b, _)
            | Fault::PairSlow(a, b)
            | Fault::DeadFlow(a, b)
            | Fault::DeadFlows(a, b)
            | Fault::Mtu(a, b)
            | Fault::TcpFiltered(a, b) => vec![zone(a), zone(b)],
        }
    }

    /// The two nodes between which it is, where it is between two.
    pub(crate) fn ends(self) -> Option<(usize, usize)> {
        match self {
            Fault::OneWay(a, b, _)
            | Fault::Pair(a, b, _)
            | Fault::PairSlow(a, b)
            | Fault::DeadFlow(a, b)
            | Fault::TcpFiltered(a, b) => Some((a, b)),
            _ => None,
        }
    }

    /// What it does to nodes.
    pub(crate) fn prepare(self, world: &mut World) {
        match self {
            Fault::NodeDown(a) | Fault::NodeSilent(a) => world.hosts[a].silent = true,
            Fault::RackDown(a) => {
                for node in 0..world.nodes.len() {
                    world.hosts[node].silent |= same_rack(world, a, node);
                }
            }
            Fault::Left(a) => world.hosts[a].left = true,
            Fault::NodeBusy(a) => world.hosts[a].wait_ns = 20_000_000,
            Fault::CannotSend(a) => world.hosts[a].unsent = 0.6,
            Fault::Mtu(..) => {
                for (node, payload) in world.payload.iter_mut().enumerate() {
                    *payload = if node % 2 == 0 { 1_400 } else { 56 };
                }
            }
            Fault::Blind => world.hosts.iter_mut().for_each(|host| host.silent = true),
            _ => {}
        }
    }

    /// What it does to probes.
    pub(crate) fn fate(self, world: &World, s: usize, d: usize, kind: ProbeKind) -> Fate {
        let zone = |node: usize| &world.nodes[node].zone;
        let is = |a: usize, b: usize| s == a && d == b;
        let between = |a: usize, b: usize| zone(s) == zone(a) && zone(d) == zone(b);
        // TCP sends again what is lost, so a call fails only where nearly all is.
        let lost = |applies: bool, share: f64| Fate {
            lost: match kind {
                _ if !applies => 0.0,
                ProbeKind::Grpc if share < 0.9 => share.powi(5),
                _ => share,
            },
            ..Fate::default()
        };
        let slow = |applies: bool| Fate {
            delay_ns: if applies { SLOW_NS } else { 0 },
            ..Fate::default()
        };
        match self {
            Fault::NodeDown(a) => lost(d == a, 1.0),
            Fault::RackDown(a) => lost(same_rack(world, a, d), 1.0),
            Fault::NodeLink(a, share) => lost(s == a || d == a, share),
            Fault::NodeLinkSlow(a) => slow(s == a || d == a),
            Fault::AgentDown(a) => Fate {
                refused: if d == a && kind != ProbeKind::Icmp { 1.0 } else { 0.0 },
                ..Fate::default()
            },
            Fault::Rack(a, share) => lost(same_rack(world, a, s) != same_rack(world, a, d), share),
            Fault::RackSlow(a) => slow(same_rack(world, a, s) != same_rack(world, a, d)),
            Fault::Zone(a, share) => lost((zone(s) == zone(a)) != (zone(d) == zone(a)), share),
            Fault::ZonePair(a, b, share) => lost(between(a, b) || between(b, a), share),
            Fault::ZonePairSlow(a, b) => slow(between(a, b) || between(b, a)),
            Fault::ZoneOneWay(a, b, share) => lost(between(a, b), share),
            Fault::Spine(share) => lost(zone(s) != zone(d), share),
            Fault::SpineSlow => slow(zone(s) != zone(d)),
            Fault::Inbound(a, share) => lost(d == a, share),
            Fault::OneWay(a, b, share) => lost(is(a, b), share),
            Fault::Pair(a, b, share) => lost(is(a, b) || is(b, a), share),
            Fault::PairSlow(a, b) => slow(is(a, b) || is(b, a)),
            Fault::Prober(a, share) => lost(s == a, share),
            Fault::DeadFlow(a, b) => dead_port(is(a, b) && kind == ProbeKind::Tcp),
            Fault::DeadFlows(a, b) => dead_port((between(a, b) || between(b, a)) && kind == ProbeKind::Tcp),
            Fault::Mtu(a, b) => {
                let large = kind == ProbeKind::Icmp && world.payload[s] > 1_000;
                lost(large && (between(a, b) || between(b, a)), 1.0)
            }
            Fault::IcmpFiltered(a) => lost(d == a && kind == ProbeKind::Icmp, 1.0),
            Fault::TcpFiltered(a, b) => lost(is(a, b) && kind != ProbeKind::Icmp, 1.0),
            Fault::NodeBusy(_) | Fault::NodeSilent(_) | Fault::Left(_) | Fault::CannotSend(_) | Fault::Blind => {
                Fate::default()
            }
        }
    }

    /// What it must be called: alternatives where more than one is right.
    pub(crate) fn expected(self, world: &World) -> Vec<(FindingKind, Subject)> {
        let node = |a: usize| world.nodes[a].node.to_string();
        let zone = |a: usize| world.nodes[a].zone.to_string();
        let rack = |a: usize| format!("{}/{}", world.nodes[a].zone, world.nodes[a].rack);
        let nodes = |mut names: Vec<String>| {
            names.sort_unstable();
            Subject {
                nodes: names,
                ..Subject::default()
            }
        };
        let zones = |mut names: Vec<String>| {
            names.sort_unstable();
            Subject {
                zones: names,
                ..Subject::default()
            }
        };
        let racks = |name| Subject {
            racks: vec![name],
            ..Subject::default()
        };
        let one_way = |subject: Subject, from: Option<String>, to: Option<String>| Subject {
            source: from,
            destination: to,
            ..subject
        };
        let pair = |a, b| Subject {
            nodes: vec![node(a), node(b)],
            source: Some(node(a)),
            destination: Some(node(b)),
            ..Subject::default()
        };
        let one = match self {
            Fault::NodeDown(a) => (FindingKind::NodeDown, nodes(vec![node(a)])),
            Fault::RackDown(a) | Fault::Rack(a, _) | Fault::RackSlow(a) => (FindingKind::Rack, racks(rack(a))),
            Fault::NodeLink(a, _) | Fault::NodeLinkSlow(a) => (FindingKind::NodeLink, nodes(vec![node(a)])),
            Fault::NodeBusy(a) => (FindingKind::NodeSlow, nodes(vec![node(a)])),
            Fault::AgentDown(a) => (FindingKind::AgentDown, nodes(vec![node(a)])),
            Fault::NodeSilent(a) => (FindingKind::NodeSilent, nodes(vec![node(a)])),
            Fault::Left(_) => return Vec::new(),
            Fault::Zone(a, _) => (FindingKind::Zone, zones(vec![zone(a)])),
            Fault::ZonePair(a, b, _) | Fault::ZonePairSlow(a, b) => {
                (FindingKind::ZonePair, zones(vec![zone(a), zone(b)]))
            }
            Fault::ZoneOneWay(a, b, _) => {
                let subject = zones(vec![zone(a), zone(b)]);
                (
                    FindingKind::OneDirection,
                    one_way(subject, Some(zone(a)), Some(zone(b))),
                )
            }
            Fault::Spine(_) | Fault::SpineSlow => {
                let mut all: Vec<String> = world.nodes.iter().map(|node| node.zone.to_string()).collect();
                all.dedup();
                (FindingKind::Spine, zones(all))
            }
            Fault::Inbound(a, _) => (
                FindingKind::OneDirection,
                one_way(nodes(vec![node(a)]), None, Some(node(a))),
            ),
            Fault::OneWay(a, b, _) => (FindingKind::OneDirection, pair(a, b)),
            Fault::Pair(a, b, _) | Fault::PairSlow(a, b) => (FindingKind::Pair, nodes(vec![node(a), node(b)])),
            Fault::Prober(a, _) | Fault::CannotSend(a) => (
                FindingKind::ProberAtFault,
                one_way(nodes(vec![node(a)]), Some(node(a)), None),
            ),
            Fault::DeadFlow(a, b) => (
                FindingKind::FlowBlackHole,
                Subject {
                    port: Some(World::dead_port(a, b)),
                    ..pair(a, b)
                },
            ),
            Fault::DeadFlows(a, b) => (FindingKind::FlowBlackHole, zones(vec![zone(a), zone(b)])),
            Fault::Mtu(a, b) => (FindingKind::Mtu, zones(vec![zone(a), zone(b)])),
            Fault::IcmpFiltered(a) => (FindingKind::IcmpFiltered, nodes(vec![node(a)])),
            Fault::TcpFiltered(a, b) => (FindingKind::TcpFiltered, pair(a, b)),
            Fault::Blind => (FindingKind::CollectorBlind, Subject::default()),
        };
        vec![one]
    }
}

fn dead_port(applies: bool) -> Fate {
    Fate {
        dead_ports: u64::from(applies),
        ..Fate::default()
    }
}

fn same_rack(world: &World, a: usize, b: usize) -> bool {
    let (a, b) = (&world.nodes[a], &world.nodes[b]);
    a.zone == b.zone && a.rack == b.rack
}
