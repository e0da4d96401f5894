//! What the tests with a real broker share.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test file uses its share")]

#[path = "../../fixtures.rs"]
mod fixtures;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use distributed_trace_tests::kafka::Kafka;
use dt_probe::Clock;
use dt_record::{Counts, Distribution, Origin, Pair, Recorder, Summary, SummaryRecord};
use dt_sink::kafka::reader::{Reader, ReaderConfig, Received, Start};
use dt_sink::{KafkaConfig, Publisher, SinkConfig, Snapshot};
pub(crate) use fixtures::pair_between as pair;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::time::{Instant, sleep, timeout};

/// Generous: the machine may be building something else.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub fn origin(boot_id: &str) -> Origin {
    Origin {
        cluster: "c1".into(),
        agent_version: "0.1.0".into(),
        boot_id: boot_id.into(),
    }
}

/// Windows of 100 ms, so that the spread doesn't keep the tests waiting.
pub fn summary(pair: &Arc<Pair>, window: u64) -> Summary {
    Summary {
        pair: Arc::clone(pair),
        window_start_ms: window * 100,
        window_end_ms: (window + 1) * 100,
        counts: Counts {
            received: 2,
            lost: 1,
            ..Counts::default()
        },
        receive_drops: 0,
        rtt: Recorder::new().distribution([(1_000, 1), (1_000 * (window + 1), 1)]),
        host_delay: Distribution::default(),
        timestamp_tx: Clock::Kernel,
        timestamp_rx: Clock::Kernel,
        flows: Vec::new(),
    }
}

/// A configuration with topics of its own.
pub fn config(kafka: &Kafka, test: &str) -> KafkaConfig {
    KafkaConfig {
        bootstrap: kafka.bootstrap().to_owned(),
        summary_topic: format!("{test}.summaries"),
        trace_topic: format!("{test}.traces"),
        partitions: 3,
        ..KafkaConfig::default()
    }
}

pub fn publisher(config: &KafkaConfig, boot_id: &str) -> Publisher {
    Publisher::start(
        vec![SinkConfig::Kafka(config.clone())],
        origin(boot_id),
        dt_record::Options::default(),
    )
    .unwrap()
}

pub fn stats(publisher: &Publisher) -> Snapshot {
    publisher.stats()[0].1.clone()
}

/// Waits until `holds`, or panics with what was awaited.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

pub fn reader(config: &KafkaConfig, topic: &str, start: Start) -> Reader {
    Reader::start(ReaderConfig {
        bootstrap: config.bootstrap.clone(),
        topic: topic.to_owned(),
        start,
        client_id: "test".to_owned(),
        options: BTreeMap::new(),
    })
    .unwrap()
}

pub async fn next(reader: &mut Reader) -> Received {
    timeout(PATIENCE, reader.next())
        .await
        .expect("no message came")
        .expect("the reader ended")
}

pub fn decode(message: &Received) -> SummaryRecord {
    dt_record::decode(message.header("content-type"), message.payload.as_deref().unwrap()).unwrap()
}

/// A topic of three partitions, and who writes to it.
pub async fn create(kafka: &Kafka, topic: &str) -> FutureProducer {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", kafka.bootstrap());
    let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
    let new = NewTopic::new(topic, 3, TopicReplication::Fixed(1));
    admin.create_topics([&new], &AdminOptions::new()).await.unwrap()[0]
        .as_ref()
        .unwrap();
    client.create().unwrap()
}

/// Writes `text` as if it had been written so long `ago`.
pub async fn write(producer: &FutureProducer, topic: &str, partition: i32, ago: Duration, text: &str) {
    let at = (SystemTime::now() - ago).duration_since(UNIX_EPOCH).unwrap();
    let message = FutureRecord::<str, str>::to(topic)
        .partition(partition)
        .payload(text)
        .timestamp(i64::try_from(at.as_millis()).unwrap());
    producer.send(message, PATIENCE).await.unwrap();
}

/// Reads until the records hold `sent` probes in all; repeats are dropped by `ce_id`.
pub async fn read_until_sent(reader: &mut Reader, sent: u64) -> Vec<SummaryRecord> {
    let mut by_id = BTreeMap::new();
    while by_id.values().map(|record: &SummaryRecord| record.sent).sum::<u64>() < sent {
        let message = next(reader).await;
        let record = decode(&message);
        let id = message.header("ce_id").unwrap().to_owned();
        assert_eq!(id, record.ce_id());
        let earlier = by_id.insert(id, record.clone());
        assert!(
            earlier.is_none_or(|earlier| earlier == record),
            "a repeat differs: {record:?}"
        );
    }
    let mut records: Vec<_> = by_id.into_values().collect();
    records.sort_by_key(|record| record.seq);
    records
}

/// Numbers from 1, no gaps, and every window of every pair covered once.
pub fn assert_complete(records: &[SummaryRecord], pairs: &[Arc<Pair>], windows: std::ops::Range<u64>) {
    let numbers: Vec<u64> = records.iter().map(|record| record.seq).collect();
    assert_eq!(
        numbers,
        (1..=records.len() as u64).collect::<Vec<_>>(),
        "numbers from 1 without gaps"
    );
    for pair in pairs {
        let mut of_pair: Vec<_> = records
            .iter()
            .filter(|record| record.dst_node == pair.destination.node)
            .collect();
        of_pair.sort_by_key(|record| record.window_start_ms);
        assert_eq!(of_pair[0].window_start_ms, windows.start * 100);
        assert_eq!(of_pair[of_pair.len() - 1].window_end_ms, windows.end * 100);
        assert!(
            of_pair
                .windows(2)
                .all(|two| two[0].window_end_ms == two[1].window_start_ms),
            "gap or overlap"
        );
        let count = windows.end - windows.start;
        let sum = |count: fn(&SummaryRecord) -> u64| of_pair.iter().map(|record| count(record)).sum::<u64>();
        assert_eq!(
            (sum(|r| r.received), sum(|r| r.lost), sum(|r| r.sent)),
            (2 * count, count, 3 * count)
        );
        let held: u64 = of_pair
            .iter()
            .map(|record| record.distribution().unwrap().unwrap().count())
            .sum();
        assert_eq!(held, 2 * count);
    }
}
