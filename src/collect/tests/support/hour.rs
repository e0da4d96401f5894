//! A made-up cluster with a past: twelve nodes in three zones, measured in three ways for an hour. Twelve minutes ago zone-a
//! began to lose what it sends to zone-c, on every third source port; and node-07's programs wait for their host.

use std::sync::Arc;

use dt_collect::Matrix;
use dt_collect::diagnosis::Findings;
use dt_probe::ProbeKind;
use dt_record::{Flow, Recorder};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::sync::watch;

use crate::support::mesh::{PATIENT, now_ms, pair, summary};

const MINUTE: u64 = 60_000;
pub const FAULT: u64 = 12 * MINUTE;

/// One with losses of every failing pair in its newest window.
const SEED: u64 = 7;

/// Name, zone and rack of the node with this number.
pub fn node(number: usize) -> (String, String, String) {
    let zone = ["zone-a", "zone-b", "zone-c"][number / 4];
    (
        format!("node-{:02}", number + 1),
        zone.to_owned(),
        format!("rack-{}", number / 2 + 1),
    )
}

pub fn hour() -> Arc<Matrix> {
    let matrix = Arc::new(Matrix::new(PATIENT));
    let end = now_ms() / 10_000 * 10_000;
    // Windows of a minute and, for the last ten, of ten seconds.
    let minutes = (1..50).map(|i| (end - 60 * MINUTE + (i + 1) * MINUTE, MINUTE));
    let windows = (1..=60).map(|i| (end - 10 * MINUTE + i * 10_000, 10_000));
    let windows: Vec<(u64, u64)> = minutes.chain(windows).collect();
    feed(&matrix, &windows, end - FAULT);
    matrix
}

/// Records of all pairs and kinds for `windows` (end, length).
pub fn feed(matrix: &Matrix, windows: &[(u64, u64)], fault: u64) {
    let mut random = SmallRng::seed_from_u64(SEED);
    let mut recorder = Recorder::new();
    for (s, source) in (0..12).map(node).enumerate() {
        for (d, destination) in (0..12).map(node).enumerate().filter(|(d, _)| *d != s) {
            for kind in [ProbeKind::Icmp, ProbeKind::Tcp, ProbeKind::Grpc] {
                let pair = pair(
                    (&source.0, &source.1, &source.2),
                    (&destination.0, &destination.1, &destination.2),
                    kind,
                );
                let far = (s / 4).abs_diff(d / 4) as u64 * 190_000 + u64::from(s / 2 != d / 2) * 35_000;
                let base = far + [34_000, 52_000, 410_000][kind as usize];
                for &(end, length) in windows {
                    let failing = s / 4 == 0 && d / 4 == 2 && end > fault;
                    let probes = length / if kind == ProbeKind::Grpc { 10_000 } else { 1_000 };
                    let lost = (0..probes).filter(|_| failing && random.random_bool(0.31)).count() as u64;
                    let mut rtt = || {
                        let tail = 1.0 / random.random_range(0.004..1.0_f64);
                        base + (base as f64 * 0.02 * tail) as u64 + if failing { 1_400_000 } else { 0 }
                    };
                    let rtts: Vec<u64> = (lost..probes).map(|_| rtt()).collect();
                    let mut told = summary(&pair, length, end, &rtts, lost);
                    let wait = if s == 6 { 9_000_000 } else { 21_000 };
                    let waits = rtts.iter().map(|ns| (wait + ns / 9 + random.random_range(0..wait), 1));
                    told.host_delay = recorder.distribution(waits);
                    if kind == ProbeKind::Tcp {
                        told.flows = flows(probes, lost);
                    }
                    matrix.ingest(&told, end);
                }
            }
        }
    }
}

/// As many source ports as probes, up to 64; what is lost is lost on three of them.
fn flows(probes: u64, lost: u64) -> Vec<Flow> {
    let ports = probes.min(64);
    let flow = |i: u64| Flow {
        port: 41_000 + i as u16,
        sent: probes / ports,
        lost: [lost / 2, lost - lost / 2 - lost / 6, lost / 6]
            .get(i as usize)
            .copied()
            .unwrap_or(0),
    };
    (0..ports).map(flow).collect()
}

/// What may be said of it.
pub fn findings() -> watch::Receiver<Arc<Findings>> {
    let now = now_ms();
    told(
        &json!([
            {"kind": "one_direction", "subject": {"source": "zone-a", "destination": "zone-c"},
             "summary": "Probes from zone-a to zone-c are lost (31 %) and late; the way back is in order",
             "evidence": ["16 of 16 pairs from zone-a to zone-c lose 24 to 38 % by ICMP, TCP and gRPC", "0 of 16 pairs from zone-c to zone-a lose anything",
                          "p99 rose from 498 µs to 1.95 ms in the same minute"],
             "confidence": 0.97, "since_ms": now - FAULT, "pattern": "spine_failure", "pairs": 16},
            {"kind": "node_slow", "subject": {"nodes": ["node-07"]},
             "summary": "node-07 makes its own programs wait: the network is not to blame for what they see",
             "evidence": ["host delay p99 of all 11 pairs from node-07 is 18 ms; of the other nodes 43 µs", "the network's delay from and to node-07 is as everywhere"],
             "confidence": 0.88, "since_ms": now - 60 * MINUTE, "pattern": null, "pairs": 11},
        ]),
        "spine_failure",
    )
}

/// Findings in the JSON of the interface, as an observer tells them.
pub fn told(findings: &serde_json::Value, pattern: &str) -> watch::Receiver<Arc<Findings>> {
    watch::channel(found(findings, pattern)).1
}

pub fn found(findings: &serde_json::Value, pattern: &str) -> Arc<Findings> {
    let findings = json!({"now_ms": now_ms(), "pattern": pattern, "findings": findings});
    Arc::new(serde_json::from_value(findings).unwrap())
}
