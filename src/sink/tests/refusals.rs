//! The Kafka sink and a broker that says no: messages too large, credentials it doesn't know, a disk without room. What
//! can be delivered at all is delivered in the end, and what can't holds up nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::{assert_complete, config, pair, publisher, read_until_sent, reader, stats, summary, until};
use distributed_trace_tests::kafka::{Kafka, Options};
use dt_record::{Recorder, TraceReport};
use dt_sink::kafka::reader::{Reader, ReaderConfig, Start};
use dt_sink::{KafkaConfig, Probes};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;

fn admin(kafka: &Kafka) -> AdminClient<DefaultClientContext> {
    kafka.client_config().create().unwrap()
}

/// Makes the summary topic as an operator may: with one partition that takes batches of so many bytes at most.
async fn make_topic(kafka: &Kafka, config: &KafkaConfig, most: &str) {
    let topic = NewTopic::new(&config.summary_topic, 1, TopicReplication::Fixed(1)).set("max.message.bytes", most);
    let made = admin(kafka)
        .create_topics(&[topic], &AdminOptions::new())
        .await
        .unwrap();
    assert!(made[0].is_ok(), "{made:?}");
}

async fn allow(kafka: &Kafka, config: &KafkaConfig, most: &str) {
    let change = AlterConfig::new(ResourceSpecifier::Topic(&config.summary_topic)).set("max.message.bytes", most);
    let made = admin(kafka)
        .alter_configs(&[change], &AdminOptions::new())
        .await
        .unwrap();
    assert!(made[0].is_ok(), "{made:?}");
}

/// A batch of a window is more than the topic takes, though each record of it is not.
#[tokio::test]
async fn batches_that_a_topic_refuses_arrive_in_smaller_ones() {
    let kafka = Kafka::shared();
    // Repeats compress well: uncompressed, a window is a hundred times what is allowed.
    let config = KafkaConfig {
        options: [("compression.type".to_owned(), "none".to_owned())].into(),
        ..config(&kafka, "batches")
    };
    make_topic(&kafka, &config, "3000").await;
    let publisher = publisher(&config, "b00f");
    let pairs: Vec<_> = (0..200).map(|n| pair("a", &format!("n{n}"))).collect();
    for window in 0..2 {
        publisher.window(pairs.iter().map(|pair| summary(pair, window)).collect());
    }
    let mut reader = reader(&config, &config.summary_topic, Start::Beginning);
    let records = read_until_sent(&mut reader, 200 * 2 * 3).await;
    assert_complete(&records, &pairs, 0..2);
    until("every acknowledgement", || stats(&publisher).backlog_records == 0).await;
    let stats = stats(&publisher);
    assert_eq!((stats.published, stats.dropped), (400, 0));
    assert!(stats.failed > 0, "some batches were refused: {stats:?}");
}

/// One record of a window is more than the topic takes: it is given up and counted, and the others arrive.
#[tokio::test]
async fn a_record_that_a_topic_refuses_holds_up_no_other() {
    let kafka = Kafka::shared();
    let config = KafkaConfig {
        options: [("compression.type".to_owned(), "none".to_owned())].into(),
        ..config(&kafka, "large")
    };
    make_topic(&kafka, &config, "3000").await;
    let publisher = publisher(&config, "b00f");
    let pairs: Vec<_> = (0..20).map(|n| pair("a", &format!("n{n}"))).collect();
    let mut window: Vec<_> = pairs.iter().map(|pair| summary(pair, 0)).collect();
    // A thousand buckets and their counts.
    window[7].rtt = Recorder::new().distribution((1..1_000_u64).map(|n| (n * n * n, 1)));
    let large = window[7].counts.sent();
    publisher.window(window);
    until("the others", || stats(&publisher).published == 19).await;
    until("the large one", || stats(&publisher).dropped == 1).await;
    let probes = stats(&publisher).probes;
    assert!(probes.balance(), "{probes:?}");
    assert_eq!((probes.dropped, probes.waiting), (large, 0));
    // An operator allows more.
    allow(&kafka, &config, "1000000").await;
    publisher.window(pairs.iter().map(|pair| summary(pair, 1)).collect());
    until("the next window", || stats(&publisher).published == 39).await;
    let mut reader = reader(&config, &config.summary_topic, Start::Beginning);
    let records = read_until_sent(&mut reader, 39 * 3).await;
    assert!(
        records
            .iter()
            .all(|record| record.window_start_ms > 0 || record.dst_node != "n7")
    );
}

/// A TraceReport that its topic doesn't take goes again and again, but not as fast as it can.
#[tokio::test]
async fn a_report_that_is_refused_goes_again_after_a_pause() {
    let kafka = Kafka::shared();
    let config = config(&kafka, "reports");
    let topic = NewTopic::new(&config.trace_topic, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "70");
    let made = admin(&kafka)
        .create_topics(&[topic], &AdminOptions::new())
        .await
        .unwrap();
    assert!(made[0].is_ok(), "{made:?}");
    let publisher = publisher(&config, "b00f");
    let began = Instant::now();
    publisher.trace(&TraceReport::new("a:4000", "b:4000", Some(1_000_000)));
    until("three refusals", || stats(&publisher).failed >= 3).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "two pauses lie between");
    let change = AlterConfig::new(ResourceSpecifier::Topic(&config.trace_topic)).set("max.message.bytes", "1000000");
    let made = admin(&kafka)
        .alter_configs(&[change], &AdminOptions::new())
        .await
        .unwrap();
    assert!(made[0].is_ok(), "{made:?}");
    until("its delivery", || stats(&publisher).traces_published == 1).await;
}

const JAAS: &str = "listener.name.client.plain.sasl.jaas.config";

/// One user, by the mechanism that needs no TLS library.
fn jaas(user: &str, password: &str) -> String {
    format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"{user}\" password=\"{password}\" \
         user_{user}=\"{password}\";"
    )
}

fn credentials(user: &str, password: &str) -> Vec<(String, String)> {
    let pairs = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", user),
        ("sasl.password", password),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// A broker that knows another password: records wait. Once it knows the right one, all arrive.
#[tokio::test]
async fn records_wait_while_the_credentials_are_refused() {
    let mut kafka = Kafka::start_with(&Options {
        properties: [
            (
                "listener.security.protocol.map",
                "CLIENT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
            ),
            ("sasl.enabled.mechanisms", "PLAIN".to_owned()),
            ("sasl.mechanism.inter.broker.protocol", "PLAIN".to_owned()),
            (JAAS, jaas("dt", "former")),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into(),
        client: credentials("dt", "former"),
        auto_create_topics: false,
        ..Options::default()
    });
    let config = KafkaConfig {
        options: credentials("dt", "present").into_iter().collect(),
        ..config(&kafka, "refused")
    };
    let publisher = publisher(&config, "b00f");
    let pairs: Vec<_> = (0..10).map(|n| pair("a", &format!("n{n}"))).collect();
    for window in 0..3 {
        publisher.window(pairs.iter().map(|pair| summary(pair, window)).collect());
    }
    until("the refusal", || {
        stats(&publisher)
            .last_error
            .is_some_and(|error| error.contains("uthentication"))
    })
    .await;
    let waiting = stats(&publisher);
    assert_eq!(
        (waiting.backlog_records, waiting.dropped, waiting.connected),
        (30, 0, false)
    );
    let probes = Probes {
        accepted: 10 * 3 * 3,
        waiting: 10 * 3 * 3,
        ..Probes::default()
    };
    assert_eq!(waiting.probes, probes);
    kafka.kill();
    kafka.set(JAAS, &jaas("dt", "present"));
    kafka.client = credentials("dt", "present");
    kafka.start_again();
    let mut reader = Reader::start(ReaderConfig {
        bootstrap: config.bootstrap.clone(),
        topic: config.summary_topic.clone(),
        start: Start::Beginning,
        client_id: "test".to_owned(),
        options: config.options.clone(),
    })
    .unwrap();
    let records = read_until_sent(&mut reader, 10 * 3 * 3).await;
    assert_complete(&records, &pairs, 0..3);
    until("every acknowledgement", || stats(&publisher).backlog_records == 0).await;
    let stats = stats(&publisher);
    assert!(stats.connected);
    let probes = Probes {
        accepted: 10 * 3 * 3,
        published: 10 * 3 * 3,
        ..Probes::default()
    };
    assert_eq!(stats.probes, probes);
}

/// A disk that fills up under the broker, and is cleared: nothing is lost.
#[tokio::test]
async fn records_wait_while_the_brokers_disk_is_full() {
    let mut kafka = Kafka::start_with(&Options {
        auto_create_topics: false,
        disk: Some("48m".to_owned()),
        ..Options::default()
    });
    let config = config(&kafka, "full");
    let publisher = publisher(&config, "b00f");
    let pairs: Vec<_> = (0..50).map(|n| pair("a", &format!("n{n}"))).collect();
    let mut window = 0;
    let mut publish = |windows: u64| {
        for _ in 0..windows {
            publisher.window(pairs.iter().map(|pair| summary(pair, window)).collect());
            window += 1;
        }
    };
    publish(5);
    until("some acknowledgements", || stats(&publisher).published > 0).await;
    kafka.disk().fill().unwrap();
    publish(5);
    // Kafka gives up its only disk, and itself with it.
    until("that the broker refuses", || {
        let stats = stats(&publisher);
        stats.failed > 0 || !stats.connected
    })
    .await;
    publish(5);
    let probes = stats(&publisher).probes;
    assert!(probes.balance() && probes.waiting > 0, "{probes:?}");
    kafka.kill();
    kafka.disk().clear().unwrap();
    kafka.start_again();
    publish(5);
    let mut reader = reader(&config, &config.summary_topic, Start::Beginning);
    let records = read_until_sent(&mut reader, 50 * 20 * 3).await;
    assert_complete(&records, &pairs, 0..20);
    until("every acknowledgement", || stats(&publisher).backlog_records == 0).await;
    let stats = stats(&publisher);
    assert_eq!(stats.dropped, 0);
    let probes = Probes {
        accepted: 50 * 20 * 3,
        published: 50 * 20 * 3,
        ..Probes::default()
    };
    assert_eq!(stats.probes, probes);
}
