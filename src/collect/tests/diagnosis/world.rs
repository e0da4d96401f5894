//! A cluster that exists in numbers alone: what its agents would have recorded, with faults put in.

use std::sync::Arc;

use dt_collect::snapshot::{Cell, Delays, FlowLoss};
use dt_collect::{Snapshot, State, View};
use dt_probe::{Counts, Method, ProbeKind};
use dt_record::Endpoint;
use rand::Rng;
use rand::rngs::StdRng;

pub(crate) const NOW_MS: u64 = 1_800_000_000_000;
const WINDOW_MS: u64 = 10_000;
/// Source ports of the TCP probes.
const PORTS: u64 = 16;
/// The first of them.
const PORT: u16 = 40_000;

/// What happens to the probes of one kind between two nodes, while a fault lasts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    /// The share that is lost.
    pub(crate) lost: f64,
    /// The share that is refused.
    pub(crate) refused: f64,
    /// How much longer the others take.
    pub(crate) delay_ns: u64,
    /// Of [`PORTS`] ports, so many lose all.
    pub(crate) dead_ports: u64,
}

/// What a node does, while a fault lasts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Host {
    /// Its records have stopped.
    pub(crate) silent: bool,
    /// It left in good order: nobody probes it any more.
    pub(crate) left: bool,
    /// How long its programs wait, in the median.
    pub(crate) wait_ns: u64,
    /// The share of its probes that it can't send.
    pub(crate) unsent: f64,
}

pub(crate) struct World {
    pub(crate) nodes: Vec<Arc<Endpoint>>,
    /// By node, bytes of an echo.
    pub(crate) payload: Vec<u32>,
    pub(crate) hosts: Vec<Host>,
    /// How long the fault has lasted.
    pub(crate) age_ms: u64,
    /// Random loss everywhere.
    pub(crate) noise: f64,
    /// Each node probes so many before and after it on a ring; all where that is more than there are.
    pub(crate) reach: usize,
}

pub(crate) fn endpoint(zone: &str, rack: &str, node: &str) -> Arc<Endpoint> {
    Arc::new(Endpoint {
        node: node.into(),
        zone: zone.into(),
        rack: rack.into(),
        region: "".into(),
    })
}

impl World {
    /// `zones` x `racks` x `nodes`.
    pub(crate) fn new(zones: usize, racks: usize, nodes: usize) -> World {
        let mut all = Vec::new();
        for zone in 0..zones {
            for rack in 0..racks {
                for node in 0..nodes {
                    let name = format!("n{zone}{rack}{node}");
                    all.push(endpoint(&format!("z{zone}"), &format!("r{rack}"), &name));
                }
            }
        }
        World {
            payload: vec![56; all.len()],
            hosts: vec![Host::default(); all.len()],
            nodes: all,
            age_ms: 60_000,
            noise: 0.001,
            reach: usize::MAX,
        }
    }

    /// Whether one is on the other's pinglist. The ring is in no order of racks, as agents' is by hash.
    pub(crate) fn probes(&self, source: usize, destination: usize) -> bool {
        let count = self.nodes.len();
        let place = |node: usize| node * 29 % count;
        let apart = place(source).abs_diff(place(destination));
        apart.min(count - apart) <= self.reach
    }

    /// The port that is dead from `a` to `b`, where one is.
    pub(crate) fn dead_port(a: usize, b: usize) -> u16 {
        PORT + u16::try_from((a * 5 + b) as u64 % PORTS).unwrap_or(0)
    }

    /// Round trip on an idle network.
    fn base_ns(&self, a: &Endpoint, b: &Endpoint) -> f64 {
        match () {
            () if a.zone != b.zone => 450_000.0,
            () if a.rack != b.rack => 130_000.0,
            () => 60_000.0,
        }
    }

    /// The three views, with `fate` of what is sent from one node to another by one kind while the fault lasts.
    pub(crate) fn snapshots(&self, rng: &mut StdRng, fate: impl Fn(usize, usize, ProbeKind) -> Fate) -> [Snapshot; 3] {
        [View::Recent, View::Minute, View::Hour].map(|view| {
            let mut cells = Vec::new();
            for source in 0..self.nodes.len() {
                for destination in 0..self.nodes.len() {
                    if source == destination || !self.probes(source, destination) {
                        continue;
                    }
                    for kind in ProbeKind::ALL {
                        let fate = fate(source, destination, *kind);
                        cells.push(self.cell(rng, view, (source, destination, *kind), fate));
                    }
                }
            }
            Snapshot {
                now_ms: NOW_MS,
                view,
                nodes: self.nodes.clone(),
                cells,
            }
        })
    }

    fn cell(
        &self,
        rng: &mut StdRng,
        view: View,
        (source, destination, probe): (usize, usize, ProbeKind),
        fate: Fate,
    ) -> Cell {
        let host = self.hosts[source];
        let gone = self.hosts[destination].left || host.left;
        let span_ms = match view {
            View::Recent => 2 * WINDOW_MS,
            View::Minute => 60_000,
            _ => 3_600_000,
        };
        let period_ms = if probe == ProbeKind::Grpc { 10_000 } else { 1_000 };
        let probes = span_ms / period_ms;
        // Of a node whose records stopped there are only those from before.
        let in_fault = if host.silent || gone {
            0
        } else {
            self.age_ms.min(span_ms) / period_ms
        };
        let mut counts = Counts::default();
        let unsent = sample(rng, in_fault, host.unsent);
        let hit = in_fault - unsent;
        let dead = hit * fate.dead_ports / PORTS;
        let refused = sample(rng, hit - dead, fate.refused);
        let lost = sample(rng, hit - dead - refused, fate.lost);
        counts.send_error = unsent;
        counts.refused = refused;
        counts.lost = dead + lost + sample(rng, probes - unsent - dead - refused - lost, self.noise);
        counts.received = probes - unsent - refused - counts.lost;
        let late = (hit - dead - refused - lost).min(counts.received);
        let base = self.base_ns(&self.nodes[source], &self.nodes[destination]);
        let rtt = delays(rng, counts.received, base, late, fate.delay_ns, view);
        let wait = if host.wait_ns > 0 {
            host.wait_ns as f64
        } else {
            30_000.0
        };
        let host_delay = match probe {
            ProbeKind::Grpc => Delays::default(),
            _ => delays(rng, counts.received.min(60), wait, 0, 0, view),
        };
        let flow = |port: u64, lost| FlowLoss {
            port: PORT + u16::try_from(port % PORTS).unwrap_or(0),
            lost,
            windows: 1,
        };
        // Which ones is another matter for every pair.
        let dead_flows =
            (0..fate.dead_ports).map(|i| flow(i + (source * 5 + destination) as u64, dead / fate.dead_ports));
        let random = (0..counts.lost - dead).map(|_| flow(rng.random_range(0..PORTS), 1));
        let mut flows: Vec<FlowLoss> = dead_flows.chain(random).collect();
        let is_tcp = probe == ProbeKind::Tcp;
        flows.retain(|_| is_tcp);
        let silent_ms = if host.silent || gone {
            self.age_ms
        } else {
            rng.random_range(0..WINDOW_MS)
        };
        let bad = counts.lost + counts.refused > 0 && in_fault > 0;
        Cell {
            source: u32::try_from(source).unwrap_or(0),
            destination: u32::try_from(destination).unwrap_or(0),
            probe,
            method: match probe {
                ProbeKind::Icmp => Method::Echo,
                ProbeKind::Tcp => Method::Syn,
                ProbeKind::Grpc => Method::PingNode,
            },
            payload_bytes: (probe == ProbeKind::Icmp).then(|| self.payload[source]),
            state: if silent_ms > 3 * WINDOW_MS {
                State::Stale
            } else {
                State::Fresh
            },
            window_ms: WINDOW_MS,
            last_seen_ms: NOW_MS - silent_ms,
            start_ms: NOW_MS - silent_ms - span_ms,
            end_ms: NOW_MS - silent_ms,
            counts,
            rtt,
            host_delay,
            flows,
            flows_used: if is_tcp { 10 } else { 0 },
            receive_drops: 0,
            failing_since_ms: bad.then(|| NOW_MS - self.age_ms.min(span_ms)),
        }
    }
}

/// How many of `n` happen with the chance `p` each.
pub(crate) fn sample(rng: &mut StdRng, n: u64, p: f64) -> u64 {
    if p <= 0.0 {
        return 0;
    }
    if p > 0.02 {
        return (0..n).filter(|_| rng.random_bool(p.min(1.0))).count() as u64;
    }
    // From one hit to the next, as few numbers are drawn as there are hits.
    let (mut at, mut hits) = (0.0, 0);
    loop {
        at += (1.0 - rng.random::<f64>()).ln() / (1.0 - p).ln();
        if at >= n as f64 {
            return hits;
        }
        at += 1.0;
        hits += 1;
    }
}

/// Percentiles of `n` values around `base`, `late` of them longer by `delay`; one in a hundred is a spike.
fn delays(rng: &mut StdRng, n: u64, base: f64, late: u64, delay: u64, view: View) -> Delays {
    let drawn = n.min(if view == View::Recent { 20 } else { 15 });
    if drawn == 0 {
        return Delays::default();
    }
    let late = (late as f64 / n as f64 * drawn as f64).round() as u64;
    let mut values: Vec<u64> = (0..drawn)
        .map(|i| {
            let spike = if rng.random_bool(0.01) {
                rng.random_range(1.0..30.0)
            } else {
                1.0
            };
            let value = base * (0.9 + 0.4 * rng.random::<f64>()) * spike;
            value as u64 + if i < late { delay } else { 0 }
        })
        .collect();
    values.sort_unstable();
    let rank = |q: f64| values.get((q * drawn as f64).ceil() as usize - 1).copied();
    Delays {
        min: values.first().copied(),
        mean: Some(values.iter().sum::<u64>() / drawn),
        p50: rank(0.5),
        p90: rank(0.9),
        p99: rank(0.99),
        p999: rank(0.999),
        max: values.last().copied(),
    }
}
