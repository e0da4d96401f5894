//! The Kafka sink on a real broker: what arrives, and where.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::process::Command;

use common::{PATIENCE, config, decode, next, pair, publisher, reader, stats, summary, until};
use distributed_trace_tests::kafka::Kafka;
use dt_record::TraceReport;
use dt_sink::kafka::reader::Start;
use dt_sink::{Encoding, KafkaConfig, Publisher, SinkConfig};
use tokio::time::Instant;

/// Java's `Utils.murmur2` with `toPositive`, as `BuiltInPartitioner.partitionForKey` uses it.
fn java_partition(key: &[u8], partitions: u32) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let mut h = 0x9747_b28c_u32 ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let k = u32::from_le_bytes(*word).wrapping_mul(M);
        h = h.wrapping_mul(M) ^ (k ^ (k >> 24)).wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (at, &byte) in tail.iter().enumerate() {
            h ^= u32::from(byte) << (8 * at);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^= h >> 15;
    ((h & 0x7fff_ffff) % partitions) as i32
}

#[test]
fn murmur2_is_javas() {
    // From org.apache.kafka.common.utils.UtilsTest.testMurmur2: the hashes, made positive.
    for (key, hash) in [
        ("21", -973_932_308_i32),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ] {
        assert_eq!(java_partition(key.as_bytes(), 1 << 31), hash & 0x7fff_ffff, "{key}");
    }
}

#[tokio::test]
async fn records_carry_key_headers_and_lie_where_java_expects_them() {
    let kafka = Kafka::shared();
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let config = KafkaConfig {
            encoding,
            ..config(&kafka, &format!("plain-{encoding:?}"))
        };
        let publisher = publisher(&config, "b00f");
        let pairs: Vec<_> = (0..20).map(|n| pair("a", &format!("node-{n}"))).collect();
        publisher.window(pairs.iter().map(|pair| summary(pair, 7)).collect());
        let mut reader = reader(&config, &config.summary_topic, Start::Beginning);
        let mut ids = std::collections::BTreeSet::new();
        for _ in 0..20 {
            let message = next(&mut reader).await;
            let record = decode(&message);
            assert_eq!(
                message.key.as_deref(),
                Some(format!("a|{}|icmp", record.dst_node).as_bytes())
            );
            assert_eq!(
                message.partition,
                java_partition(message.key.as_deref().unwrap(), 3),
                "{record:?}"
            );
            let header = |name| message.header(name).unwrap_or_else(|| panic!("no header {name}"));
            let content_type = if encoding == Encoding::Json {
                "application/json"
            } else {
                "application/protobuf"
            };
            assert_eq!(header("content-type"), content_type);
            assert_eq!(header("ce_specversion"), "1.0");
            assert_eq!(header("ce_type"), "distributed_trace.v1.SummaryRecord");
            assert_eq!(header("ce_source"), "/distributed-trace/c1/a");
            assert_eq!(header("ce_time"), "1970-01-01T00:00:00.800Z");
            assert_eq!(header("ce_id"), format!("b00f-{}", record.seq));
            ids.insert(record.seq);
            assert_eq!((record.schema_version, record.sent, record.received), (1, 3, 2));
        }
        assert_eq!(ids, (1..=20).collect());
        until("acknowledgements", || stats(&publisher).published == 20).await;
        let stats = stats(&publisher);
        assert_eq!(
            (
                stats.backlog_records,
                stats.backlog_bytes,
                stats.failed,
                stats.connected
            ),
            (0, 0, 0, true)
        );
    }
}

#[tokio::test]
async fn trace_reports_are_the_originals_messages() {
    let kafka = Kafka::shared();
    let config = config(&kafka, "traces");
    let publisher = publisher(&config, "b00f");
    let reports = [
        TraceReport::new("a:4000", "b:4000", Some(5_453_533)),
        TraceReport::new("a:4000", "c:4000", None),
    ];
    for report in &reports {
        publisher.trace(report);
    }
    let mut reader = reader(&config, &config.trace_topic, Start::Beginning);
    let mut seen = Vec::new();
    for _ in &reports {
        let message = next(&mut reader).await;
        assert_eq!((message.key, message.headers.len()), (None, 0));
        seen.push(String::from_utf8(message.payload.unwrap()).unwrap());
    }
    seen.sort();
    assert_eq!(
        seen,
        [
            r#"{"fromHostAddr":"a:4000","toHostAddr":"b:4000","responseTiming":5453533,"isTransmissionSuccess":true}"#,
            r#"{"fromHostAddr":"a:4000","toHostAddr":"c:4000"}"#,
        ]
    );
    until("acknowledgements", || stats(&publisher).traces_published == 2).await;
}

#[tokio::test]
async fn trace_reports_can_be_turned_off() {
    let kafka = Kafka::shared();
    let config = KafkaConfig {
        trace_reports: false,
        ..config(&kafka, "no-traces")
    };
    let publisher = publisher(&config, "b00f");
    publisher.trace(&TraceReport::new("a:4000", "b:4000", None));
    publisher.window(vec![summary(&pair("a", "b"), 0)]);
    until("the record", || stats(&publisher).published == 1).await;
    let drained = publisher.drain(Instant::now() + PATIENCE).await;
    assert_eq!(drained[0].unpublished, 0);
    assert_eq!(
        (stats(&publisher).traces_published, stats(&publisher).traces_dropped),
        (0, 0)
    );
    assert_eq!(
        kcat(&kafka, &["-L", "-t", &config.trace_topic])
            .matches("0 partitions")
            .count(),
        1,
        "not created"
    );
}

#[tokio::test]
async fn the_topic_is_created_with_the_partitions_asked_for() {
    let kafka = Kafka::shared();
    let config = KafkaConfig {
        partitions: 12,
        ..config(&kafka, "created")
    };
    let publisher = publisher(&config, "b00f");
    publisher.window(vec![summary(&pair("a", "b"), 0)]);
    until("the record", || stats(&publisher).published == 1).await;
    let listing = kcat(&kafka, &["-L", "-t", &config.summary_topic]);
    assert!(listing.contains("with 12 partitions"), "{listing}");
}

#[tokio::test]
async fn a_drain_waits_for_no_spread() {
    let kafka = Kafka::shared();
    let config = config(&kafka, "drain");
    let publisher = publisher(&config, "b00f");
    // Windows of an hour: this node's moment lies minutes away, except for one name in a thousand.
    let pair = pair("drained", "b");
    let mut long = summary(&pair, 0);
    long.window_end_ms = 3_600_000;
    publisher.window(vec![long]);
    publisher.trace(&TraceReport::new("a:4000", "b:4000", None));
    let drained = publisher.drain(Instant::now() + PATIENCE).await;
    assert_eq!((drained[0].sink.as_str(), drained[0].unpublished), ("kafka", 0));
    let stats = stats(&publisher);
    assert_eq!(
        (stats.published, stats.traces_published, stats.backlog_records),
        (1, 1, 0)
    );
}

#[tokio::test]
async fn every_sink_numbers_for_itself() {
    let kafka = Kafka::shared();
    let config = config(&kafka, "both");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.jsonl");
    let sinks = vec![SinkConfig::Kafka(config.clone()), SinkConfig::File(path.clone())];
    let publisher = Publisher::start(sinks, common::origin("b00f"), dt_record::Options::default()).unwrap();
    let pair = pair("a", "b");
    publisher.window(vec![summary(&pair, 0)]);
    publisher.window(vec![summary(&pair, 1)]);
    assert!(
        publisher
            .drain(Instant::now() + PATIENCE)
            .await
            .iter()
            .all(|sink| sink.unpublished == 0)
    );
    let mut reader = reader(&config, &config.summary_topic, Start::Beginning);
    let from_kafka = common::read_until_sent(&mut reader, 6).await;
    let from_file: Vec<_> = std::fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(|line| dt_record::decode(None, line.as_bytes()).unwrap())
        .collect();
    assert_eq!(from_kafka, from_file);
}

#[tokio::test]
async fn kcat_reads_what_we_write() {
    let kafka = Kafka::shared();
    let config = config(&kafka, "kcat");
    let publisher = publisher(&config, "b00f");
    publisher.window((0..5).map(|n| summary(&pair("a", &format!("n{n}")), 0)).collect());
    until("the records", || stats(&publisher).published == 5).await;
    let read = kcat(
        &kafka,
        &["-C", "-t", &config.summary_topic, "-e", "-q", "-f", "%k %s\n"],
    );
    let mut keys = Vec::new();
    for line in read.lines() {
        let (key, value) = line.split_once(' ').unwrap();
        let value: serde_json::Value = serde_json::from_str(value).unwrap();
        assert_eq!(key, format!("a|{}|icmp", value["dst_node"].as_str().unwrap()));
        keys.push(key.to_owned());
    }
    keys.sort();
    assert_eq!(keys, ["a|n0|icmp", "a|n1|icmp", "a|n2|icmp", "a|n3|icmp", "a|n4|icmp"]);
}

#[test]
fn unknown_client_options_are_refused_by_name() {
    let options = [("no.such.option".to_owned(), "1".to_owned())].into();
    let config = KafkaConfig {
        options,
        ..KafkaConfig::default()
    };
    let error = Publisher::start(
        vec![SinkConfig::Kafka(config)],
        common::origin("x"),
        dt_record::Options::default(),
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains("no.such.option"), "{error}");
}

fn kcat(kafka: &Kafka, arguments: &[&str]) -> String {
    let output = Command::new("kcat")
        .args(["-b", kafka.bootstrap()])
        .args(arguments)
        .output();
    let output = output.expect("kcat must be installed (Debian: kcat)");
    assert!(
        output.status.success(),
        "kcat {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
