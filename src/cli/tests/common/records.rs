//! A cluster of agents as far as Kafka sees it: real summaries, handed to the agents' own publisher.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dt_probe::{Clock, Counts, Method, ProbeKind};
use dt_record::{Distribution, Endpoint, Options, Origin, Pair, Recorder, Summary};
use dt_sink::{KafkaConfig, Publisher, SinkConfig};

/// So long that nothing is stale before a test has ended, and published at once: it ended more than half its length ago.
const WINDOW_MS: u64 = 60_000;

/// One pair's window.
pub(crate) struct Seen {
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    pub(crate) probe: ProbeKind,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    /// Of every answer.
    pub(crate) rtt_ns: u64,
}

/// Publishes one window of each pair to `topic` and waits until the broker has them. Nodes are named after their zone: `a1`
/// is in the zone `a`.
pub(crate) async fn publish(bootstrap: &str, topic: &str, boot: &str, seen: &[Seen]) {
    let kafka = KafkaConfig {
        bootstrap: bootstrap.to_owned(),
        summary_topic: topic.to_owned(),
        trace_topic: format!("{topic}.traces"),
        partitions: 3,
        ..KafkaConfig::default()
    };
    let origin = Origin {
        cluster: "c".into(),
        agent_version: "0.1.0".into(),
        boot_id: boot.into(),
    };
    let publisher = Publisher::start(vec![SinkConfig::Kafka(kafka)], origin, Options::default()).unwrap();
    publisher.window(seen.iter().map(summary).collect());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    let drained = publisher.drain(deadline).await;
    assert!(drained.iter().all(|sink| sink.unpublished == 0), "{drained:?}");
}

fn summary(seen: &Seen) -> Summary {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    // The last but one.
    let end_ms = (u64::try_from(now_ms).unwrap() / WINDOW_MS - 1) * WINDOW_MS;
    let distribution = |ns| match seen.received {
        0 => Distribution::default(),
        count => Recorder::new().distribution([(ns, count)]),
    };
    Summary {
        pair: pair(seen),
        window_start_ms: end_ms - WINDOW_MS,
        window_end_ms: end_ms,
        counts: Counts {
            received: seen.received,
            lost: seen.lost,
            ..Counts::default()
        },
        receive_drops: 0,
        rtt: distribution(seen.rtt_ns),
        host_delay: distribution(7_000),
        timestamp_tx: Clock::Kernel,
        timestamp_rx: Clock::Kernel,
        flows: Vec::new(),
    }
}

fn pair(seen: &Seen) -> Arc<Pair> {
    let end = |node: &str| {
        Arc::new(Endpoint {
            node: node.into(),
            zone: node.get(..1).unwrap_or_default().into(),
            ..Endpoint::default()
        })
    };
    Arc::new(Pair {
        source: end(seen.from),
        source_ip: None,
        destination: end(seen.to),
        destination_ip: [127, 0, 0, 2].into(),
        destination_port: if seen.probe == ProbeKind::Icmp { 0 } else { 4000 },
        probe: seen.probe,
        method: match seen.probe {
            ProbeKind::Icmp => Method::Echo,
            ProbeKind::Tcp => Method::Syn,
            ProbeKind::Grpc => Method::PingNode,
        },
        payload_bytes: (seen.probe == ProbeKind::Icmp).then_some(56),
    })
}
