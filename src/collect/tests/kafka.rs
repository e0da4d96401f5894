//! Collectors on a real broker: what they read, what they count, how they share the work.

// In tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

#[path = "support/mesh.rs"]
mod mesh;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use distributed_trace_tests::kafka::Kafka;
use dt_collect::service::{Collector, CollectorConfig};
use dt_collect::{MatrixConfig, View};
use dt_probe::ProbeKind;
use dt_record::{Options, Origin, Recorder, SummaryRecord};
use mesh::{NODES, now_ms, pair, summary};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::time::Instant;

/// Far more than anything here takes: it only ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(120);
const PARTITIONS: i32 = 4;

struct Topic {
    producer: FutureProducer,
    name: String,
    bootstrap: String,
    seq: u64,
}

impl Topic {
    async fn create(kafka: &Kafka, name: &str) -> Topic {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", kafka.bootstrap());
        config.set("partitioner", "murmur2_random");
        let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
        let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
        let created = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
        created.into_iter().next().unwrap().unwrap();
        Topic {
            producer: config.create().unwrap(),
            name: name.to_owned(),
            bootstrap: kafka.bootstrap().to_owned(),
            seq: 0,
        }
    }

    async fn send(&self, key: &str, payload: Option<&[u8]>) {
        let header = Header {
            key: "content-type",
            value: Some("application/json"),
        };
        let mut message = FutureRecord::<str, [u8]>::to(&self.name)
            .key(key)
            .headers(OwnedHeaders::new().insert(header));
        message.payload = payload;
        self.producer.send(message, PATIENCE).await.unwrap();
    }

    async fn record(&mut self, record: &SummaryRecord) {
        self.send(&record.key(), Some(&record.to_json())).await;
    }

    /// One window of every ordered pair by ICMP; gives the samples by pair of zones.
    async fn window(&mut self, end_ms: u64) -> BTreeMap<(String, String), Vec<u64>> {
        let mut samples: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        for source in NODES {
            for destination in NODES.into_iter().filter(|node| *node != source) {
                self.seq += 1;
                let rtts: Vec<u64> = (0..7).map(|i| 40_000 + self.seq * 997 + i * 311).collect();
                let pair = pair(source, destination, ProbeKind::Icmp);
                let summary = summary(&pair, 10_000, end_ms, &rtts, 1);
                let record = SummaryRecord::new(&summary, &origin(), self.seq, Options::default());
                self.record(&record).await;
                let zones = (source.1.to_owned(), destination.1.to_owned());
                samples.entry(zones).or_default().extend(rtts);
            }
        }
        samples
    }

    fn collector(&self, rollup: Option<&str>) -> Collector {
        Collector::start(CollectorConfig {
            bootstrap: self.bootstrap.clone(),
            topic: self.name.clone(),
            group: format!("{}.group", self.name),
            options: BTreeMap::new(),
            matrix: MatrixConfig::default(),
            rollup: rollup.map(|name| (format!("{}.rollups", self.name), name.to_owned())),
        })
        .unwrap()
    }
}

fn origin() -> Origin {
    Origin {
        boot_id: "b00f".to_owned(),
        ..Origin::default()
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn stop(collector: Collector) {
    tokio::task::spawn_blocking(move || collector.stop()).await.unwrap();
}

fn pairs(collector: &Collector) -> BTreeSet<(String, String)> {
    let rows = collector.matrix().rows(View::Minute, now_ms());
    rows.into_iter().map(|row| (row.src_node, row.dst_node)).collect()
}

fn aligned_end() -> u64 {
    now_ms() / 10_000 * 10_000
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_shown_once_and_the_rest_is_counted() {
    let kafka = Kafka::shared();
    let mut topic = Topic::create(&kafka, "collect.once").await;
    let end = aligned_end();
    let samples = topic.window(end).await;
    // Repeats, and whatever else a topic may hold.
    let pair = pair(NODES[0], NODES[1], ProbeKind::Icmp);
    let first = SummaryRecord::new(&summary(&pair, 10_000, end, &[1], 0), &origin(), 1, Options::default());
    topic.record(&first).await;
    topic.record(&first).await;
    topic.send("tombstone", None).await;
    topic.send("garbage", Some(b"\xff\x00{")).await;
    topic
        .send("foreign", Some(br#"{"fromHostAddr":"a:1","toHostAddr":"b:1"}"#))
        .await;
    let mut wrong = first.clone();
    (wrong.seq, wrong.bucket_count) = (1_000_000, Some(vec![7]));
    topic.record(&wrong).await;
    let mut old = first.clone();
    (old.seq, old.window_start_ms, old.window_end_ms) = (1_000_001, end - 7_210_000, end - 7_200_000);
    topic.record(&old).await;

    let collector = topic.collector(None);
    let read = |collector: &Collector| -> u64 {
        let stats = collector.stats().all();
        let counts = stats
            .iter()
            .filter(|(name, _)| !matches!(*name, "bytes" | "newest_end_ms"));
        counts.map(|(_, count)| count).sum()
    };
    until("all read", || read(&collector) == 37).await;
    let stats: BTreeMap<_, _> = collector.stats().all().into_iter().collect();
    assert_eq!(
        ["merged", "repeated", "tombstones", "foreign", "malformed", "too_old"].map(|name| stats[name]),
        [30, 2, 1, 2, 1, 1]
    );
    assert_eq!(stats["newest_end_ms"], end);
    until("current", || collector.progress().was_current()).await;
    assert_eq!(collector.progress().current_partitions(), (0..PARTITIONS).collect());
    let rows = collector.matrix().rows(View::Minute, now_ms());
    assert_eq!(rows.len(), 30);
    assert!(rows.iter().all(|row| (row.received, row.lost) == (7, 1)));
    let grouped = collector
        .matrix()
        .grouped(dt_collect::Level::Zone, View::Minute, ProbeKind::Icmp, now_ms());
    for cell in &grouped.cells {
        let zones = [cell.source, cell.destination].map(|at| grouped.groups[at as usize].name.to_string());
        let whole =
            Recorder::new().distribution(samples[&(zones[0].clone(), zones[1].clone())].iter().map(|ns| (*ns, 1)));
        assert_eq!(cell.rtt.p99, whole.quantile(0.99));
    }
    // Whoever comes after has it all again, though these offsets were committed.
    stop(collector).await;
    let again = topic.collector(None);
    until("all read again", || read(&again) == 37).await;
    assert_eq!(pairs(&again).len(), 30);
    stop(again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_share_the_partitions_and_either_has_the_whole_picture() {
    let kafka = Kafka::shared();
    let mut topic = Topic::create(&kafka, "collect.share").await;
    let samples = topic.window(aligned_end()).await;
    let one = topic.collector(Some("one"));
    until("one has all", || pairs(&one).len() == 30).await;
    let two = topic.collector(Some("two"));
    until("shared out", || {
        let shares = [&one, &two].map(|collector| collector.progress().current_partitions().len());
        shares == [2, 2]
    })
    .await;
    until("read again", || pairs(&one).len() + pairs(&two).len() == 30).await;
    assert!(pairs(&one).is_disjoint(&pairs(&two)));

    let is_whole = |collector: &Collector| {
        let whole = collector.share().unwrap().table().whole(View::TenMinutes, now_ms());
        whole.partitions.len() == 4
            && whole.zones.len() == samples.len()
            && whole.zones.iter().all(|cell| {
                let samples = &samples[&(cell.zones.src_zone.to_string(), cell.zones.dst_zone.to_string())];
                let all = Recorder::new().distribution(samples.iter().map(|ns| (*ns, 1)));
                cell.received == samples.len() as u64
                    && [cell.rtt_p50_ns, cell.rtt_p999_ns] == [all.quantile(0.5), all.quantile(0.999)]
                    && cell.rtt_mean_ns.unwrap().abs_diff(all.mean().unwrap()) <= 1
            })
    };
    until("both have the whole picture", || is_whole(&one) && is_whole(&two)).await;

    // One goes; the other has all, and the whole picture stays what it was.
    stop(one).await;
    until("taken over", || pairs(&two).len() == 30).await;
    until("the whole picture again", || is_whole(&two)).await;
    stop(two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_comes_later_is_read_from_its_beginning() {
    let kafka = Kafka::shared();
    let waiting = Topic {
        producer: ClientConfig::new().create().unwrap(),
        name: "collect.later".to_owned(),
        bootstrap: kafka.bootstrap().to_owned(),
        seq: 0,
    };
    let collector = waiting.collector(None);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!collector.progress().was_current() && !collector.has_ended());
    let mut topic = Topic::create(&kafka, "collect.later").await;
    topic.window(aligned_end()).await;
    until("all pairs", || pairs(&collector).len() == 30).await;
    stop(collector).await;
}
