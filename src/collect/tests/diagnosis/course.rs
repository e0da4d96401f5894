//! A small cluster in virtual time: its records go into a real matrix, window by window, and are looked at after each.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use dt_collect::diagnosis::{Diagnosis, DiagnosisConfig, FindingKind, Findings};
use dt_collect::{Matrix, MatrixConfig, View};
use dt_probe::{Clock, Counts, Method, ProbeKind};
use dt_record::{Endpoint, Pair, Recorder, Summary};
use rand::Rng;
use rand::rngs::StdRng;

use crate::world::{Fate, NOW_MS, sample};

/// What goes on in one window.
pub(crate) struct Doings<'a> {
    /// What happens to the probes from one node to another.
    pub(crate) fate: &'a dyn Fn(usize, usize, ProbeKind) -> Fate,
    /// Nodes whose records don't come.
    pub(crate) silent: &'a [usize],
    /// Nodes that nobody probes (any more).
    pub(crate) unknown: &'a [usize],
}

/// Nothing goes on.
pub(crate) const QUIET: Doings<'_> = Doings {
    fate: &|_, _, _| Fate {
        lost: 0.0,
        refused: 0.0,
        delay_ns: 0,
        dead_ports: 0,
    },
    silent: &[],
    unknown: &[],
};

pub(crate) struct Course {
    matrix: Matrix,
    diagnosis: Diagnosis,
    series: Vec<Series>,
    window_ms: u64,
    /// Probes of a window, of packets and of calls.
    probes: (u64, u64),
    pub(crate) now_ms: u64,
    /// How far the clock of each node is behind.
    pub(crate) behind_ms: [u64; 6],
    recorder: Recorder,
    rng: StdRng,
}

struct Series {
    pair: Arc<Pair>,
    at: (usize, usize),
    /// Lost probes whose time-out is yet to come, by window, the next first.
    pending: Vec<u64>,
}

impl Course {
    /// Six nodes as in `dt demo`, windows of one second, every kind five times in it.
    pub(crate) fn demo(rng: StdRng) -> Course {
        Course::new(1_000, (5, 5), rng)
    }

    /// The same nodes as agents run by default: windows of ten seconds, a packet a second, a call in ten.
    pub(crate) fn slow(rng: StdRng) -> Course {
        Course::new(10_000, (10, 1), rng)
    }

    fn new(window_ms: u64, probes: (u64, u64), rng: StdRng) -> Course {
        let ends: Vec<Arc<Endpoint>> = (0..6)
            .map(|n| {
                Arc::new(Endpoint {
                    node: format!("node-{}", n + 1).into(),
                    zone: ["zone-a", "zone-b"][n / 3].into(),
                    rack: ["rack-1", "rack-2", "rack-3"][n / 2].into(),
                    region: "".into(),
                })
            })
            .collect();
        let mut series = Vec::new();
        for source in 0..ends.len() {
            for destination in (0..ends.len()).filter(|d| *d != source) {
                for probe in ProbeKind::ALL {
                    let time_out_ms = if *probe == ProbeKind::Grpc { 5_000 } else { 1_000 };
                    series.push(Series {
                        pair: pair(&ends[source], &ends[destination], *probe),
                        at: (source, destination),
                        pending: vec![0; usize::try_from(time_out_ms / window_ms).unwrap_or(0).max(1)],
                    });
                }
            }
        }
        Course {
            matrix: Matrix::new(MatrixConfig {
                window: Duration::from_millis(window_ms),
                ..MatrixConfig::default()
            }),
            diagnosis: Diagnosis::new(DiagnosisConfig::default()),
            series,
            window_ms,
            probes,
            now_ms: NOW_MS / window_ms * window_ms,
            behind_ms: [0; 6],
            recorder: Recorder::new(),
            rng,
        }
    }

    /// One window, and a look half a window later, when all its records have come.
    pub(crate) fn window(&mut self, doings: &Doings<'_>) -> Arc<Findings> {
        let start_ms = self.now_ms;
        self.now_ms += self.window_ms;
        for series in &mut self.series {
            let (source, destination) = series.at;
            let probe = series.pair.probe;
            let n = if probe == ProbeKind::Grpc {
                self.probes.1
            } else {
                self.probes.0
            };
            let fate = (doings.fate)(source, destination, probe);
            let refused = sample(&mut self.rng, n, fate.refused);
            let lost = sample(&mut self.rng, n - refused, fate.lost);
            series.pending.push(lost);
            let timed_out = series.pending.remove(0);
            if doings.silent.contains(&source) || doings.unknown.contains(&destination) {
                continue;
            }
            let received = n - refused - lost;
            let rng = &mut self.rng;
            let rtts: Vec<u64> = (0..received)
                .map(|_| rng.random_range(150_000..250_000) + fate.delay_ns)
                .collect();
            let summary = Summary {
                pair: Arc::clone(&series.pair),
                window_start_ms: start_ms - self.behind_ms[source],
                window_end_ms: self.now_ms - self.behind_ms[source],
                counts: Counts {
                    received,
                    refused,
                    lost: timed_out,
                    ..Counts::default()
                },
                receive_drops: 0,
                rtt: self.recorder.distribution(rtts.into_iter().map(|ns| (ns, 1))),
                host_delay: self.recorder.distribution([(30_000, received)]),
                timestamp_tx: Clock::Kernel,
                timestamp_rx: Clock::Kernel,
                flows: Vec::new(),
            };
            self.matrix.ingest(&summary, self.now_ms + self.window_ms / 4);
        }
        let look_ms = self.now_ms + self.window_ms / 2;
        let view = |view| self.matrix.snapshot(view, look_ms);
        self.diagnosis
            .update(&view(View::Recent), &view(View::Minute), &view(View::Hour))
    }

    /// `count` windows; what was said in them, without repetition and in order: (window from 1, kind, nodes).
    pub(crate) fn windows(&mut self, count: usize, doings: &Doings<'_>) -> Vec<(usize, FindingKind, String)> {
        let mut said: Vec<(usize, FindingKind, String)> = Vec::new();
        for window in 1..=count {
            for finding in &self.window(doings).findings {
                let nodes = finding.subject.nodes.join(" ");
                if !said
                    .iter()
                    .any(|(_, kind, known)| *kind == finding.kind && *known == nodes)
                {
                    said.push((window, finding.kind, nodes));
                }
            }
        }
        said
    }
}

fn pair(source: &Arc<Endpoint>, destination: &Arc<Endpoint>, probe: ProbeKind) -> Arc<Pair> {
    Arc::new(Pair {
        source: Arc::clone(source),
        source_ip: None,
        destination: Arc::clone(destination),
        destination_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        destination_port: if probe == ProbeKind::Icmp { 0 } else { 4000 },
        probe,
        method: match probe {
            ProbeKind::Icmp => Method::Echo,
            ProbeKind::Tcp => Method::Syn,
            ProbeKind::Grpc => Method::PingNode,
        },
        payload_bytes: (probe == ProbeKind::Icmp).then_some(56),
    })
}
