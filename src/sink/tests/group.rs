//! Reading a topic as a member of a consumer group, on a real broker.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{PATIENCE, config, create, until, write};
use distributed_trace_tests::kafka::Kafka;
use dt_sink::kafka::group::{Group, GroupConfig, Handler, Read};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const HOUR: Duration = Duration::from_secs(3_600);

/// Keeps what it is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<(Vec<String>, BTreeSet<i32>)>>);

impl Told {
    /// The texts of the messages, in order.
    fn texts(&self) -> Vec<String> {
        let mut texts = self.0.lock().unwrap().0.clone();
        texts.sort();
        texts
    }

    fn partitions(&self) -> usize {
        self.0.lock().unwrap().1.len()
    }
}

impl Handler for Told {
    fn message(&mut self, message: &Read<'_>) {
        let text = String::from_utf8(message.payload().unwrap().to_vec()).unwrap();
        self.0.lock().unwrap().0.push(text);
    }

    fn assigned(&mut self, partitions: &[i32]) {
        self.0.lock().unwrap().1.extend(partitions);
    }

    fn revoked(&mut self, partitions: &[i32]) {
        self.0.lock().unwrap().1.retain(|ours| !partitions.contains(ours));
    }

    fn turn(&mut self) {}
}

/// Where the group has got to in each of the three partitions, as the broker has it; `None` where it holds nothing.
fn committed(kafka: &Kafka, group: &str, topic: &str) -> Vec<Option<i64>> {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", kafka.bootstrap())
        .set("group.id", group);
    let consumer: BaseConsumer = client.create().unwrap();
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_range(topic, 0, 2);
    let held = consumer.committed_offsets(partitions, PATIENCE).unwrap();
    let elements = held.elements();
    let offsets = elements.iter().map(|element| match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    });
    offsets.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_begins_some_time_ago_and_its_lag_and_offsets_are_seen() {
    let kafka = Kafka::shared();
    let config = config(&kafka, "group");
    let topic = &config.summary_topic;
    let producer = create(&kafka, topic).await;
    // Partition 0 has both, 1 only what is too old, 2 nothing.
    for (partition, hours, text) in [(0, 3, "old"), (0, 1, "b"), (0, 0, "c"), (1, 3, "old too")] {
        write(&producer, topic, partition, HOUR * hours, text).await;
    }
    let (told, name) = (Told::default(), "group.readers");
    let start = || {
        let config = GroupConfig {
            bootstrap: config.bootstrap.clone(),
            topic: topic.clone(),
            group: name.to_owned(),
            rewind: HOUR * 2,
            client_id: "test".to_owned(),
            options: BTreeMap::new(),
        };
        Group::start(config, told.clone()).unwrap()
    };
    let group = start();
    until("all partitions are its own", || told.partitions() == 3).await;
    until("what is young enough", || told.texts().len() >= 2).await;
    assert_eq!(told.texts(), ["b", "c"]);
    for partition in 0..3 {
        write(&producer, topic, partition, Duration::ZERO, &format!("new {partition}")).await;
    }
    until("what came since", || told.texts().len() >= 5).await;
    assert_eq!(told.texts(), ["b", "c", "new 0", "new 1", "new 2"]);
    until("nothing is yet to be read", || {
        let lag = group.lag().by_partition();
        lag == [(0, 0), (1, 0), (2, 0)].into()
    })
    .await;
    assert_eq!(group.lag().partitions(), Some(3));
    until("the broker holds how far it got", || {
        committed(&kafka, name, topic) == [Some(4), Some(2), Some(1)]
    })
    .await;

    // Whoever comes after in the same group has it all again, and none of what is too old.
    tokio::task::spawn_blocking(move || group.stop()).await.unwrap();
    let again = start();
    until("all once more", || told.texts().len() >= 10).await;
    assert!(
        told.texts().iter().all(|text| !text.starts_with("old")),
        "{:?}",
        told.texts()
    );
    tokio::task::spawn_blocking(move || again.stop()).await.unwrap();
}
