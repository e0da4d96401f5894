//! What was not delivered when the sink ended, delivered by the next one: each window once, under the number it was given.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use common::{PATIENCE, assert_complete, config, pair, publisher, read_until_sent, reader, stats, summary, until};
use distributed_trace_tests::kafka::{Kafka, Options};
use dt_sink::kafka::reader::Start;
use dt_sink::{Encoding, KafkaConfig, StartError};
use tokio::time::Instant;

fn stopped() -> Kafka {
    Kafka::new_stopped(&Options {
        auto_create_topics: false,
        ..Options::default()
    })
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_runs_left_is_sent_by_a_third() {
    let mut kafka = stopped();
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let folder = tempfile::tempdir().unwrap();
        let config = KafkaConfig {
            spool: Some(folder.path().to_owned()),
            encoding,
            ..config(&kafka, &format!("spooled-{encoding:?}"))
        };
        let pairs: Vec<_> = (0..50).map(|n| pair("a", &format!("n{n}"))).collect();
        for (run, windows) in [("first", 0..4), ("second", 4..9)] {
            let publisher = publisher(&config, run);
            for window in windows {
                publisher.window(pairs.iter().map(|pair| summary(pair, window)).collect());
            }
            let drained = publisher.drain(Instant::now() + Duration::from_secs(2)).await;
            let wanted = if run == "first" { 200 } else { 250 };
            assert_eq!((drained[0].unpublished, drained[0].spooled), (0, wanted));
            assert!(stats(&publisher).probes.balance());
        }
        assert_eq!(files(folder.path()), 2);
        let third = publisher(&config, "third");
        third.window(pairs.iter().map(|pair| summary(pair, 9)).collect());
        until("the spool's gauge", || stats(&third).spool_records == 450).await;
        kafka.start_again();
        until("an empty spool", || files(folder.path()) == 0).await;
        until("its own", || stats(&third).published == 50).await;
        let end = stats(&third);
        assert_eq!((end.spool_sent, end.spool_records, end.backlog_records), (450, 0, 0));
        assert!(end.probes.balance() && end.probes.accepted == 150, "{:?}", end.probes);
        let mut reader = reader(&config, &config.summary_topic, Start::Beginning);
        let records = read_until_sent(&mut reader, 50 * 10 * 3).await;
        for (run, windows) in [("first", 0..4), ("second", 4..9), ("third", 9..10)] {
            let of_run = records.iter().filter(|record| record.boot_id == run).cloned();
            assert_complete(&of_run.collect::<Vec<_>>(), &pairs, windows);
        }
        kafka.kill();
    }
}

/// A broker that is killed in the midst of deliveries, and the sink ended after it: whatever was under way is in the spool, if
/// perhaps in the topic too.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_is_kept_as_well() {
    let mut kafka = stopped();
    kafka.start_again();
    let folder = tempfile::tempdir().unwrap();
    let config = KafkaConfig {
        spool: Some(folder.path().to_owned()),
        ..config(&kafka, "under-way")
    };
    let pairs: Vec<_> = (0..50).map(|n| pair("a", &format!("n{n}"))).collect();
    let first = publisher(&config, "first");
    for window in 0..20 {
        first.window(pairs.iter().map(|pair| summary(pair, window)).collect());
    }
    until("some acknowledgements", || stats(&first).published > 0).await;
    for window in 20..40 {
        first.window(pairs.iter().map(|pair| summary(pair, window)).collect());
    }
    kafka.kill();
    let drained = first.drain(Instant::now() + Duration::from_secs(2)).await;
    let published = stats(&first).published;
    assert_eq!((drained[0].unpublished, drained[0].spooled), (0, 2_000 - published));
    drop(first);
    kafka.start_again();
    let second = publisher(&config, "second");
    until("an empty spool", || files(folder.path()) == 0).await;
    let mut reader = reader(&config, &config.summary_topic, Start::Beginning);
    let records = read_until_sent(&mut reader, 50 * 40 * 3).await;
    assert_eq!(
        records
            .iter()
            .map(|record| record.boot_id.as_str())
            .collect::<BTreeSet<_>>(),
        ["first"].into()
    );
    assert_complete(&records, &pairs, 0..40);
    let drained = second.drain(Instant::now() + PATIENCE).await;
    assert_eq!((drained[0].unpublished, drained[0].spooled), (0, 0));
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_no_spool() {
    let kafka = stopped();
    let config = KafkaConfig {
        spool: Some("/no/such/folder".into()),
        ..config(&kafka, "nowhere")
    };
    let started = dt_sink::Publisher::start(
        vec![dt_sink::SinkConfig::Kafka(config)],
        common::origin("b00f"),
        dt_record::Options::default(),
    );
    let error = started.unwrap_err();
    assert!(matches!(error, StartError::Spool { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("/no/such/folder") && text.contains("accepted: a folder"),
        "{text}"
    );
}
