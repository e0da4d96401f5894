//! Reading a topic from some time ago, on a real broker.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{config, create, next, reader, until, write};
use distributed_trace_tests::kafka::Kafka;
use dt_sink::kafka::reader::{Reader, Start};

const HOUR: Duration = Duration::from_secs(3_600);

/// So many messages, in order of their text.
async fn take(reader: &mut Reader, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..count {
        texts.push(String::from_utf8(next(reader).await.payload.unwrap()).unwrap());
    }
    texts.sort();
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_asked_for_is_skipped_and_all_else_is_read() {
    let kafka = Kafka::shared();
    let config = config(&kafka, "ago");
    let topic = &config.summary_topic;
    let producer = create(&kafka, topic).await;
    // Partition 0 has both, 1 only what is too old, 2 nothing.
    for (partition, hours, text) in [
        (0, 3, "old"),
        (0, 1, "b"),
        (0, 0, "c"),
        (1, 5, "older"),
        (1, 4, "old too"),
    ] {
        write(&producer, topic, partition, HOUR * hours, text).await;
    }
    let mut reader = reader(&config, topic, Start::Ago(HOUR * 2));
    assert_eq!(take(&mut reader, 2).await, ["b", "c"]);
    until("that it has caught up", || reader.has_caught_up()).await;
    // Where nothing was young enough it goes on from the end: nothing is missed and nothing old comes.
    for partition in 0..3 {
        write(&producer, topic, partition, Duration::ZERO, &format!("new {partition}")).await;
    }
    assert_eq!(take(&mut reader, 3).await, ["new 0", "new 1", "new 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_not_caught_up_before_all_was_taken() {
    let kafka = Kafka::shared();
    let config = config(&kafka, "behind");
    let topic = &config.summary_topic;
    let producer = create(&kafka, topic).await;
    // More than wait between the thread that reads and whoever takes.
    for n in 0..600 {
        write(&producer, topic, n % 3, Duration::ZERO, &format!("{n:03}")).await;
    }
    let mut reader = reader(&config, topic, Start::Beginning);
    for taken in 0..600 {
        assert!(!reader.has_caught_up(), "after {taken}");
        next(&mut reader).await;
    }
    until("that it has caught up", || reader.has_caught_up()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_has_no_end() {
    let kafka = Kafka::shared();
    let config = config(&kafka, "nowhere");
    let mut reader = reader(&config, &config.summary_topic, Start::Ago(HOUR));
    assert!(!reader.has_caught_up());
    let producer = create(&kafka, &config.summary_topic).await;
    // Whatever comes to be under this name later is read from its beginning, or from as long ago as was asked for.
    write(&producer, &config.summary_topic, 1, Duration::ZERO, "first").await;
    assert_eq!(take(&mut reader, 1).await, ["first"]);
    until("that it has caught up", || reader.has_caught_up()).await;
}
