//! A made-up cluster of six nodes in two zones that shows every state the page knows.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dt_collect::{Matrix, MatrixConfig, TallyBounds};
use dt_probe::{Clock, Method, ProbeKind};
use dt_record::{Counts, Endpoint, Pair, Recorder, Summary};

/// A node name as nobody's friend would choose it.
pub const HOSTILE: &str = "<img src=x onerror=alert(1)>\u{202e}\"'&amp;";

/// (node, zone, rack).
pub const NODES: [(&str, &str, &str); 6] = [
    ("node-1", "zone-a", "r1"),
    ("node-2", "zone-a", "r1"),
    ("node-3", "zone-a", "r2"),
    ("node-4", "zone-b", "r3"),
    ("node-5", "zone-b", "r3"),
    ("node-6", "zone-b", "r4"),
];

/// Nothing turns stale while a test looks on, only what was silent for five minutes before.
pub const PATIENT: MatrixConfig = MatrixConfig {
    cluster: String::new(),
    window: Duration::from_secs(10),
    stale_windows: 30,
    forget: Duration::from_secs(75 * 60),
    max_series: 500_000,
    tally: TallyBounds {
        zone_pairs: 2_500,
        nodes: 2_000,
    },
};

pub fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

pub fn pair(source: (&str, &str, &str), destination: (&str, &str, &str), probe: ProbeKind) -> Arc<Pair> {
    let end = |(node, zone, rack): (&str, &str, &str)| Endpoint {
        node: node.into(),
        zone: zone.into(),
        rack: rack.into(),
        region: "".into(),
    };
    Arc::new(Pair {
        source: Arc::new(end(source)),
        source_ip: None,
        destination: Arc::new(end(destination)),
        destination_ip: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)),
        destination_port: if probe == ProbeKind::Icmp { 0 } else { 4000 },
        probe,
        method: match probe {
            ProbeKind::Icmp => Method::Echo,
            ProbeKind::Tcp => Method::Syn,
            ProbeKind::Grpc => Method::PingNode,
        },
        payload_bytes: None,
    })
}

/// A summary of the window that ends at `end_ms` with these delays and this many probes lost.
pub fn summary(pair: &Arc<Pair>, window_ms: u64, end_ms: u64, rtts_ns: &[u64], lost: u64) -> Summary {
    let mut recorder = Recorder::new();
    let host_delay = rtts_ns.iter().map(|ns| (ns / 4, 1));
    Summary {
        pair: Arc::clone(pair),
        window_start_ms: end_ms - window_ms,
        window_end_ms: end_ms,
        counts: Counts {
            received: rtts_ns.len() as u64,
            lost,
            ..Counts::default()
        },
        receive_drops: 0,
        rtt: recorder.distribution(rtts_ns.iter().map(|ns| (*ns, 1))),
        host_delay: recorder.distribution(host_delay),
        timestamp_tx: Clock::Kernel,
        timestamp_rx: Clock::Kernel,
        flows: Vec::new(),
    }
}

/// TCP and gRPC between all six, no ICMP. By TCP: node-1 -> node-5 answers nothing, node-2 -> node-6 loses one of
/// ten, node-3 -> node-4 is slow, node-6 -> node-1 fell silent, and node-6 -> node-2 has been announced only.
pub fn mesh() -> Arc<Matrix> {
    let matrix = Arc::new(Matrix::new(PATIENT));
    let now = now_ms();
    let end = now / 10_000 * 10_000;
    for (s, source) in NODES.into_iter().enumerate() {
        for (d, destination) in NODES.into_iter().enumerate().filter(|(d, _)| *d != s) {
            for kind in [ProbeKind::Tcp, ProbeKind::Grpc] {
                let pair = pair(source, destination, kind);
                let tcp = kind == ProbeKind::Tcp;
                let base: u64 = if tcp { 40_000 } else { 420_000 };
                let far: u64 = if source.1 == destination.1 { 0 } else { 310_000 };
                let slow = tcp && (s, d) == (2, 3);
                let rtts: Vec<u64> = (0..50_u64)
                    .map(|i| base + far + i * i * 23 + (s as u64 * 7 + d as u64) * 900)
                    .map(|ns| if slow { ns + 14_000_000 } else { ns })
                    .collect();
                let (received, lost, ago) = match (tcp, s, d) {
                    (true, 0, 4) => (0, 50, 0),
                    (true, 1, 5) => (45, 5, 0),
                    (true, 5, 0) => (50, 0, 400_000),
                    (true, 5, 1) => {
                        matrix.expect(pair, now);
                        continue;
                    }
                    _ => (50, 0, 0),
                };
                let told = summary(&pair, 10_000, end - ago, &rtts[..received], lost);
                matrix.ingest(&told, now - ago);
            }
        }
    }
    matrix.set_notes(vec!["No ICMP: this user may not open ICMP sockets.".into()]);
    matrix
}
