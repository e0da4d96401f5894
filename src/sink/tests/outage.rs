//! The Kafka sink while the broker is down, comes late, is killed, or loses the topic: nothing is lost, nothing counted
//! twice.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{
    PATIENCE, assert_complete, config, next, pair, publisher, read_until_sent, reader, stats, summary, until,
};
use distributed_trace_tests::kafka::{Kafka, Options};
use dt_record::TraceReport;
use dt_sink::kafka::reader::Start;
use dt_sink::{KafkaConfig, Probes};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use tokio::time::{Instant, sleep};

fn strict() -> Options {
    Options {
        auto_create_topics: false,
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_late_gets_everything() {
    let mut kafka = Kafka::new_stopped(&strict());
    let config = config(&kafka, "late");
    let publisher = publisher(&config, "b00f");
    let mut reader = reader(&config, &config.summary_topic, Start::End);
    let pairs: Vec<_> = (0..5).map(|n| pair("a", &format!("n{n}"))).collect();
    for window in 0..4 {
        publisher.window(pairs.iter().map(|pair| summary(pair, window)).collect());
    }
    publisher.trace(&TraceReport::new("a:4000", "b:4000", None));
    until("the backlog's gauge", || stats(&publisher).backlog_records == 20).await;
    assert!(!stats(&publisher).connected);
    kafka.start_again();
    // The topic is new to the reader, so it begins at its beginning in spite of `End`.
    let records = read_until_sent(&mut reader, 5 * 4 * 3).await;
    assert_complete(&records, &pairs, 0..4);
    until("the trace report", || stats(&publisher).traces_published == 1).await;
    assert!(stats(&publisher).connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_backlog_merges_and_conserves_every_count() {
    let mut kafka = Kafka::new_stopped(&strict());
    let config = KafkaConfig {
        backlog_bytes: 20_000,
        ..config(&kafka, "merge")
    };
    let publisher = publisher(&config, "b00f");
    let pairs: Vec<_> = (0..10).map(|n| pair("a", &format!("n{n}"))).collect();
    for window in 0..200 {
        publisher.window(pairs.iter().map(|pair| summary(pair, window)).collect());
    }
    let waiting = stats(&publisher);
    assert!(waiting.merged > 0 && waiting.backlog_records < 200, "{waiting:?}");
    assert_eq!((waiting.backlog_records + waiting.merged, waiting.dropped), (2_000, 0));
    let probes = Probes {
        accepted: 6_000,
        waiting: 6_000,
        ..Probes::default()
    };
    assert_eq!(waiting.probes, probes);
    kafka.start_again();
    let mut reader = reader(&config, &config.summary_topic, Start::Beginning);
    let records = read_until_sent(&mut reader, 10 * 200 * 3).await;
    assert_complete(&records, &pairs, 0..200);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_window_arrives_once_over_kills_and_restarts() {
    let mut kafka = Kafka::start_with(&strict());
    let config = config(&kafka, "kill");
    let publisher = publisher(&config, "b00f");
    let mut reader = reader(&config, &config.summary_topic, Start::Beginning);
    let pairs: Vec<_> = (0..50).map(|n| pair("a", &format!("n{n}"))).collect();
    let mut window = 0;
    let mut publish = |windows: u64| {
        for _ in 0..windows {
            publisher.window(pairs.iter().map(|pair| summary(pair, window)).collect());
            window += 1;
        }
    };
    for _ in 0..2 {
        publish(5);
        until("some acknowledgements", || stats(&publisher).published > 0).await;
        // Into what is under way.
        publish(5);
        sleep(Duration::from_millis(60)).await;
        kafka.kill();
        publish(5);
        until("that the outage is noticed", || !stats(&publisher).connected).await;
        let probes = stats(&publisher).probes;
        assert!(probes.balance() && probes.waiting > 0, "{probes:?}");
        publish(5);
        kafka.start_again();
    }
    let records = read_until_sent(&mut reader, 50 * 40 * 3).await;
    assert_complete(&records, &pairs, 0..40);
    until("every acknowledgement", || stats(&publisher).backlog_records == 0).await;
    let stats = stats(&publisher);
    assert_eq!((stats.published + stats.merged, stats.dropped), (50 * 40, 0));
    let probes = Probes {
        accepted: 50 * 40 * 3,
        published: 50 * 40 * 3,
        ..Probes::default()
    };
    assert_eq!(stats.probes, probes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_is_created_again() {
    let kafka = Kafka::start_with(&strict());
    let config = config(&kafka, "deleted");
    let publisher = publisher(&config, "b00f");
    let pairs = [pair("a", "b")];
    let mut live = reader(&config, &config.summary_topic, Start::Beginning);
    publisher.window(vec![summary(&pairs[0], 0)]);
    assert_eq!(read_until_sent(&mut live, 3).await.len(), 1);
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .create()
        .unwrap();
    let deleted = admin
        .delete_topics(&[config.summary_topic.as_str()], &AdminOptions::new())
        .await
        .unwrap();
    assert!(deleted[0].is_ok(), "{deleted:?}");
    // Until the broker has carried it out, a record may still go into the old topic.
    until("the deletion", || {
        let told = admin
            .inner()
            .fetch_metadata(Some(&config.summary_topic), Duration::from_secs(5));
        told.is_ok_and(|told| told.topics()[0].error().is_some())
    })
    .await;
    publisher.window(vec![summary(&pairs[0], 1)]);
    publisher.trace(&TraceReport::new("a:4000", "b:4000", None));
    until("the record in the new topic", || stats(&publisher).published == 2).await;
    publisher.window(vec![summary(&pairs[0], 2)]);
    until("a further record", || stats(&publisher).published == 3).await;
    // A reader that saw the deletion goes on, and so does one that starts now.
    for mut reader in [live, reader(&config, &config.summary_topic, Start::Beginning)] {
        let mut numbers = [
            common::decode(&next(&mut reader).await).seq,
            common::decode(&next(&mut reader).await).seq,
        ];
        numbers.sort_unstable();
        assert_eq!(numbers, [2, 3]);
    }
    until("every acknowledgement", || stats(&publisher).backlog_records == 0).await;
    let stats = stats(&publisher);
    assert_eq!(stats.dropped, 0);
    let probes = Probes {
        accepted: 3 * 3,
        published: 3 * 3,
        ..Probes::default()
    };
    assert_eq!(stats.probes, probes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_without_a_broker_ends_at_its_deadline_and_says_what_is_left() {
    let kafka = Kafka::new_stopped(&strict());
    let config = config(&kafka, "never");
    let publisher = publisher(&config, "b00f");
    publisher.window(vec![summary(&pair("a", "b"), 0), summary(&pair("a", "c"), 0)]);
    publisher.trace(&TraceReport::new("a:4000", "b:4000", None));
    let drained = publisher.drain(Instant::now() + Duration::from_millis(300)).await;
    assert_eq!(drained[0].unpublished, 2);
    assert_eq!(stats(&publisher).traces_dropped, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn trace_reports_wait_in_a_bounded_ring() {
    let mut kafka = Kafka::new_stopped(&strict());
    let config = config(&kafka, "ring");
    let publisher = publisher(&config, "b00f");
    for n in 0..20_000 {
        publisher.trace(&TraceReport::new("a:4000", format!("b{n}:4000"), None));
    }
    let dropped = stats(&publisher).traces_dropped;
    assert!((1..19_999).contains(&dropped), "{dropped}");
    kafka.start_again();
    until("the newest reports", || {
        stats(&publisher).traces_published == 20_000 - dropped
    })
    .await;
    let mut reader = reader(&config, &config.trace_topic, Start::Beginning);
    let first = next(&mut reader).await;
    let first: TraceReport = serde_json::from_slice(&first.payload.unwrap()).unwrap();
    assert_eq!(
        first.to_host_addr,
        format!("b{dropped}:4000"),
        "the oldest were dropped"
    );
    let drained = publisher.drain(Instant::now() + PATIENCE).await;
    assert_eq!(drained[0].unpublished, 0);
}
