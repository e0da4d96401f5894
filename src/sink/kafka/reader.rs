//! Reading a topic without a group: every partition, from its end, its beginning or some time ago, for `dt records` and `dt top`.
//!
//! Nothing is committed and nobody else's reading is affected. The broker may come later or go away, partitions may be
//! added, the topic may be deleted and created again: the reader goes on, and what it can't do is logged once a minute.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::context::Context;
use super::{settings, since};

/// Messages that wait to be taken; beyond, reading pauses.
const QUEUE: usize = 256;
/// How often partitions are looked up: until there are any, and then.
const LOOK_UP_FIRST: Duration = Duration::from_millis(500);
const LOOK_UP_AGAIN: Duration = Duration::from_secs(5);
/// How long a look-up may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long one poll waits for a message. Stopping takes as long.
const POLL: Duration = Duration::from_millis(100);

/// Where to begin in partitions that are there at the start. Those that appear later are read from their beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Only what is written from now on.
    #[default]
    End,
    /// Everything that is still kept.
    Beginning,
    /// What was written since so long ago.
    Ago(Duration),
}

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderConfig {
    /// Brokers, `host:port`, comma-separated.
    pub bootstrap: String,
    /// The topic.
    pub topic: String,
    /// Where to begin.
    pub start: Start,
    /// The `client.id`.
    pub client_id: String,
    /// Further options of the client by librdkafka's names, `security.*` among them.
    pub options: BTreeMap<String, String>,
}

/// One message as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The value; `None` for a tombstone.
    pub payload: Option<Vec<u8>>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Partition it was read from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// When it was produced, milliseconds since 1970, where the broker tells.
    pub timestamp_ms: Option<i64>,
}

impl Received {
    /// The value of the header `name`, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }
}

/// Why a reader could not be started. A broker that is down is no reason.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// The client refuses its options.
    #[error("reading Kafka: {0}; accepted: librdkafka's options, and what this build supports")]
    Options(#[from] KafkaError),
    /// The system gave no thread.
    #[error("reading Kafka: starting a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A topic being read. Dropping it ends the reading.
#[derive(Debug)]
pub struct Reader {
    received: mpsc::Receiver<Received>,
    at_end: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Reader {
    /// Starts reading on a thread of its own.
    ///
    /// # Errors
    /// Options that the client refuses.
    pub fn start(config: ReaderConfig) -> Result<Reader, ReaderError> {
        let mut client = settings::common(&config.bootstrap, &config.client_id);
        client
            // The client insists on one, but a group that nobody joins and nothing commits to never comes to be.
            .set("group.id", "distributed-trace-reader")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // For offsets that are gone: the topic was created again, or retention was faster.
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "100")
            .set("queued.max.messages.kbytes", "4096");
        let client = settings::with_options(client, &config.options);
        let consumer: BaseConsumer<Context> = client.create_with_context(Context::default())?;
        let (sender, received) = mpsc::channel(QUEUE);
        let (stop, at_end) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let assignment = Assignment {
            topic: config.topic,
            start: config.start,
            known: BTreeSet::new(),
            behind: BTreeSet::new(),
            settled: false,
        };
        let work = Work {
            consumer,
            assignment,
            sender,
            at_end: Arc::clone(&at_end),
            stop: Arc::clone(&stop),
        };
        thread::Builder::new()
            .name("dt-kafka-reader".to_owned())
            .spawn(move || work.run())?;
        Ok(Reader { received, at_end, stop })
    }

    /// The next message; waits for as long as it takes. `None` only where the reading has ended.
    pub async fn next(&mut self) -> Option<Received> {
        self.received.recv().await
    }

    /// The next message, for callers without a runtime; blocks the thread for as long as it takes.
    pub fn blocking_next(&mut self) -> Option<Received> {
        self.received.blocking_recv()
    }

    /// Whether every partition has been read to its end at least once, and all of that taken.
    #[must_use]
    pub fn has_caught_up(&self) -> bool {
        // In this order: what was sent before the end was reached is in the queue by then.
        self.at_end.load(Acquire) && self.received.is_empty()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

struct Work {
    consumer: BaseConsumer<Context>,
    assignment: Assignment,
    sender: mpsc::Sender<Received>,
    at_end: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Work {
    fn run(mut self) {
        let mut look_up = Instant::now();
        while !self.stop.load(Relaxed) {
            if look_up <= Instant::now() {
                if let Err(error) = self.assignment.refresh(&self.consumer) {
                    let reason = format!("looking up the partitions of {}", self.assignment.topic);
                    self.consumer.context().complain(&error, &reason);
                }
                let pause = if self.assignment.known.is_empty() {
                    LOOK_UP_FIRST
                } else {
                    LOOK_UP_AGAIN
                };
                look_up = Instant::now() + pause;
            }
            match self.consumer.poll(POLL) {
                None => {}
                // Sending waits where the caller is slower than the topic; it fails where nobody listens any more.
                Some(Ok(message)) if self.sender.blocking_send(received(&message)).is_err() => return,
                Some(Ok(_)) => {}
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.at_end.fetch_or(self.assignment.is_at_end(partition), Release);
                }
                Some(Err(error)) => {
                    self.consumer.context().complain(&error, "reading");
                    if is_gone(&error) {
                        look_up = look_up.min(Instant::now() + LOOK_UP_FIRST);
                    }
                }
            }
        }
    }
}

fn is_gone(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as E;
    matches!(
        error.rdkafka_error_code(),
        Some(E::UnknownTopic | E::UnknownPartition | E::UnknownTopicOrPartition)
    )
}

fn received(message: &BorrowedMessage<'_>) -> Received {
    let headers = message.headers().map(|headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect()
    });
    Received {
        payload: message.payload().map(<[u8]>::to_vec),
        key: message.key().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
    }
}

/// Which partitions are read.
struct Assignment {
    topic: String,
    start: Start,
    /// Those being read.
    known: BTreeSet<i32>,
    /// Those of them whose end was not reached yet.
    behind: BTreeSet<i32>,
    /// Whether the topic was looked up once: what appears from then on is new.
    settled: bool,
}

impl Assignment {
    fn refresh(&mut self, consumer: &BaseConsumer<Context>) -> Result<(), KafkaError> {
        let metadata = consumer.fetch_metadata(Some(&self.topic), PATIENCE)?;
        let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == self.topic) else {
            return Ok(());
        };
        match topic.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                // Whatever comes to be under this name is new. Offsets of the old topic mean nothing there.
                self.settled = true;
                if !self.known.is_empty() {
                    self.known.clear();
                    self.behind.clear();
                    consumer.unassign()?;
                }
                return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
            }
            Some(code) => return Err(KafkaError::MetadataFetch(code)),
        }
        let present: Vec<i32> = topic.partitions().iter().map(|partition| partition.id()).collect();
        let mut fresh = TopicPartitionList::new();
        for &partition in present.iter().filter(|partition| !self.known.contains(partition)) {
            fresh.add_partition(&self.topic, partition);
        }
        if fresh.count() > 0 {
            let begin = self.begin(consumer, &fresh)?;
            consumer.incremental_assign(&begin)?;
            for element in fresh.elements() {
                self.behind.insert(element.partition());
                self.known.insert(element.partition());
            }
        }
        let mut gone = TopicPartitionList::new();
        for &partition in self.known.iter().filter(|partition| !present.contains(partition)) {
            gone.add_partition(&self.topic, partition);
        }
        if gone.count() > 0 {
            consumer.incremental_unassign(&gone)?;
            self.known.retain(|partition| present.contains(partition));
            self.behind.retain(|partition| present.contains(partition));
        }
        self.settled = true;
        Ok(())
    }

    /// Where to begin partitions. The end is taken as a number now: the name "end" would be resolved at some later
    /// moment, and skip what is written until then.
    fn begin(
        &self,
        consumer: &BaseConsumer<Context>,
        partitions: &TopicPartitionList,
    ) -> Result<TopicPartitionList, KafkaError> {
        let start = if self.settled { Start::Beginning } else { self.start };
        if let Start::Ago(ago) = start {
            return since::offsets(consumer, partitions, ago, PATIENCE);
        }
        let mut begin = TopicPartitionList::new();
        for element in partitions.elements() {
            let offset = if start == Start::Beginning {
                Offset::Beginning
            } else {
                let (_, end) = consumer.fetch_watermarks(&self.topic, element.partition(), PATIENCE)?;
                Offset::Offset(end)
            };
            begin.add_partition_offset(&self.topic, element.partition(), offset)?;
        }
        Ok(begin)
    }

    /// Notes that `partition` was read to its end; whether that holds for all by now.
    fn is_at_end(&mut self, partition: i32) -> bool {
        self.behind.remove(&partition);
        self.behind.is_empty()
    }
}
