//! Reading a Kafka topic whole, and writing to one.

use crate::error::{Context, LabError, Result};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// One message.
#[derive(Debug, Clone)]
pub struct Record {
    /// Where it lies; in what is to be written, -1 is where an agent would put it, by its key.
    pub partition: i32,
    /// Its key, if any.
    pub key: Option<String>,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its value; empty where it has none.
    pub value: Vec<u8>,
}

impl Record {
    /// The value as JSON.
    ///
    /// # Errors
    /// Where it is none.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.value).during(format!(
            "a record that is not JSON: {:?}",
            String::from_utf8_lossy(&self.value)
        ))
    }
}

/// What a broker says about a topic that is being created, or just after its own start.
fn is_passing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{LeaderNotAvailable, NotLeaderForPartition, UnknownPartition, UnknownTopicOrPartition};
    matches!(
        code,
        LeaderNotAvailable | NotLeaderForPartition | UnknownPartition | UnknownTopicOrPartition
    )
}

/// All that is in `topic` now, partition by partition; nothing while the topic does not exist or is being
/// made.
///
/// # Errors
/// Where the broker can't be reached or stops answering.
pub fn read(bootstrap: &str, topic: &str) -> Result<Vec<Record>> {
    read_as(ClientConfig::new().set("bootstrap.servers", bootstrap), topic)
}

/// As [`read`], by a client that has to say more to be let in.
///
/// # Errors
/// As [`read`].
pub fn read_as(client: &ClientConfig, topic: &str) -> Result<Vec<Record>> {
    let consumer: BaseConsumer = client
        .clone()
        .set("group.id", "lab")
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        .create()?;
    let metadata = consumer
        .fetch_metadata(Some(topic), PATIENCE)
        .during("ask the broker for the topic")?;
    let mut wanted = BTreeMap::new();
    let mut assignment = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        let (low, high) = match consumer.fetch_watermarks(topic, partition.id(), PATIENCE) {
            Ok(offsets) => offsets,
            Err(error) if error.rdkafka_error_code().is_some_and(is_passing) => return Ok(Vec::new()),
            Err(error) => return Err(error).during(format!("ask for the offsets of {topic}")),
        };
        if high > low {
            wanted.insert(partition.id(), high);
            assignment.add_partition_offset(topic, partition.id(), Offset::Offset(low))?;
        }
    }
    consumer.assign(&assignment)?;
    let mut records = Vec::new();
    while !wanted.is_empty() {
        let message = consumer.poll(PATIENCE).ok_or_else(|| {
            LabError::new(format!(
                "{topic} has more in partitions {:?} but nothing comes",
                wanted.keys()
            ))
        })??;
        if wanted
            .get(&message.partition())
            .is_some_and(|high| message.offset() + 1 >= *high)
        {
            wanted.remove(&message.partition());
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = message.headers().map(|headers| {
            headers
                .iter()
                .map(|header| (header.key.to_owned(), header.value.map(text).unwrap_or_default()))
                .collect()
        });
        records.push(Record {
            partition: message.partition(),
            key: message.key().map(text),
            headers: headers.unwrap_or_default(),
            value: message.payload().unwrap_or_default().to_vec(),
        });
    }
    Ok(records)
}

/// Appends messages to `topic`. An empty value becomes none: a tombstone.
///
/// # Errors
/// Where the broker doesn't take them.
pub fn write<'a>(bootstrap: &str, topic: &str, records: impl IntoIterator<Item = &'a Record>) -> Result {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("partitioner", "murmur2_random")
        .create()?;
    for record in records {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &record.headers {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        let mut message = BaseRecord::<str, [u8]>::to(topic).headers(headers);
        if record.partition >= 0 {
            message = message.partition(record.partition);
        }
        if let Some(key) = &record.key {
            message = message.key(key);
        }
        if !record.value.is_empty() {
            message = message.payload(&record.value);
        }
        producer.send(message).map_err(|(error, _)| error)?;
    }
    producer.flush(PATIENCE).during("produce")
}
