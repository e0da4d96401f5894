//! The records of a cluster, window by window: ten probes of each series in each window of 10 s.

use std::sync::Arc;

use dt_bench::fixtures::{Delays, SAMPLES};
use dt_probe::{Clock, Counts, Method, ProbeKind};
use dt_record::{Endpoint, Options, Origin, Pair, Recorder, Summary, SummaryRecord};

/// Of the agents.
pub(crate) const WINDOW_MS: u64 = 10_000;

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Protobuf,
}

impl Encoding {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Encoding::Json => "application/json",
            Encoding::Protobuf => "application/protobuf",
        }
    }
}

/// Sources that probe so many peers each, by ICMP and TCP.
pub(crate) struct Cluster {
    nodes: Vec<Arc<Endpoint>>,
    sources: u32,
    peers: u32,
    window: u64,
    seqs: Vec<u64>,
    delays: Delays,
    recorder: Recorder,
}

impl Cluster {
    pub(crate) fn new(sources: u32, peers: u32) -> Cluster {
        let nodes = (0..sources.max(peers + 1)).map(|number| {
            Arc::new(Endpoint {
                node: format!("node-{number:05}.example.internal").into(),
                zone: format!("zone-{}", number % 3).into(),
                rack: format!("rack-{:03}", number / 40).into(),
                region: "region".into(),
            })
        });
        Cluster {
            nodes: nodes.collect(),
            sources,
            peers,
            window: 0,
            seqs: vec![0; sources as usize],
            delays: Delays::default(),
            recorder: Recorder::new(),
        }
    }

    pub(crate) fn sources(&self) -> u32 {
        self.sources
    }

    /// When the records of the window arrive.
    pub(crate) fn now_ms(&self) -> u64 {
        1_790_000_000_000 + self.window * WINDOW_MS + WINDOW_MS / 4
    }

    pub(crate) fn next_window(&mut self) {
        self.window += 1;
    }

    /// The records of one source, as they stand in the topic.
    pub(crate) fn window_of(&mut self, source: u32, encoding: Encoding) -> Vec<Vec<u8>> {
        let origin = Origin {
            cluster: "production".to_owned(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: format!("0d4c1f2e-6a55-4b8e-9a0e-{source:012}"),
        };
        let mut values = Vec::with_capacity(2 * self.peers as usize);
        for peer in 0..self.peers {
            for probe in [ProbeKind::Icmp, ProbeKind::Tcp] {
                let summary = self.summary(source, peer, probe);
                let seq = &mut self.seqs[source as usize];
                *seq += 1;
                let record = SummaryRecord::new(&summary, &origin, *seq, Options::default());
                values.push(match encoding {
                    Encoding::Json => record.to_json(),
                    Encoding::Protobuf => record.to_protobuf(),
                });
            }
        }
        values
    }

    fn summary(&mut self, source: u32, peer: u32, probe: ProbeKind) -> Summary {
        let destination = (source + 1 + peer) as usize % self.nodes.len();
        let rtts: Vec<u64> = (0..SAMPLES).map(|_| self.delays.sample()).collect();
        let end_ms = self.now_ms() - WINDOW_MS / 4;
        Summary {
            pair: Arc::new(Pair {
                source: Arc::clone(&self.nodes[source as usize]),
                source_ip: Some([10, 200, 0, 1].into()),
                destination: Arc::clone(&self.nodes[destination]),
                destination_ip: [10, 200, 0, 2].into(),
                destination_port: if probe == ProbeKind::Tcp { 4000 } else { 0 },
                probe,
                method: if probe == ProbeKind::Tcp {
                    Method::Syn
                } else {
                    Method::Echo
                },
                payload_bytes: (probe == ProbeKind::Icmp).then_some(56),
            }),
            window_start_ms: end_ms - WINDOW_MS,
            window_end_ms: end_ms,
            counts: Counts {
                received: SAMPLES,
                ..Counts::default()
            },
            receive_drops: 0,
            rtt: self.recorder.distribution(rtts.iter().map(|ns| (*ns, 1))),
            host_delay: self.recorder.distribution(rtts.iter().map(|ns| (ns / 8, 1))),
            timestamp_tx: Clock::Kernel,
            timestamp_rx: Clock::Kernel,
            flows: Vec::new(),
        }
    }
}
