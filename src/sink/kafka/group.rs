//! Reading a topic as a member of a consumer group, for collectors: each message is handled in place, on the thread that read
//! it.
//!
//! Whatever is assigned is read from some time ago on, not from where somebody left off: the reader keeps what it read in
//! memory only, and builds it anew. Offsets are committed all the same, so that the group's lag is seen by the usual tools.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::context::Context;
use super::reader::ReaderError;
use super::{settings, since};

/// How long one poll waits for a message. Stopping takes as long, and [`Handler::turn`] comes at least as often.
const POLL: Duration = Duration::from_millis(100);
/// So many messages are handled between two turns at most.
const PER_TURN: usize = 10_000;
/// How long looking up where to begin may take. It holds the reading up, so it is short, and tried again once.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to read, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// Brokers, `host:port`, comma-separated.
    pub bootstrap: String,
    /// The topic.
    pub topic: String,
    /// The consumer group. Its members share the partitions.
    pub group: String,
    /// Each partition is read from so long ago on.
    pub rewind: Duration,
    /// The `client.id`.
    pub client_id: String,
    /// Further options of the client by librdkafka's names, `security.*` among them.
    pub options: BTreeMap<String, String>,
}

/// One message, where librdkafka put it.
#[derive(Debug)]
pub struct Read<'a>(BorrowedMessage<'a>);

impl Read<'_> {
    /// The value; `None` for a tombstone.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// The header `name`, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.0.headers()?.iter().find(|header| header.key == name)?;
        std::str::from_utf8(header.value?).ok()
    }

    /// The partition it was read from.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.0.partition()
    }

    /// When it was written, UTC milliseconds, where that is known: by the producer's clock or the broker's, as the topic is set.
    #[must_use]
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.0.timestamp().to_millis()
    }

    /// Its offset there.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.0.offset()
    }
}

/// What is done with what is read. All on one thread.
pub trait Handler: Send + 'static {
    /// A message came.
    fn message(&mut self, message: &Read<'_>);
    /// These partitions are ours from now on.
    fn assigned(&mut self, partitions: &[i32]);
    /// These are no longer.
    fn revoked(&mut self, partitions: &[i32]);
    /// Comes about ten times a second, and after 10,000 messages.
    fn turn(&mut self);
}

/// How many messages of each of our partitions are yet to be read; any thread may look, also when the reading has ended.
#[derive(Clone, Debug, Default)]
pub struct Lag(Arc<Mutex<Behind>>);

#[derive(Debug, Default)]
struct Behind {
    by_partition: BTreeMap<i32, i64>,
    /// How many partitions the topic has.
    partitions: usize,
}

impl Lag {
    /// As of some seconds ago.
    #[must_use]
    pub fn by_partition(&self) -> BTreeMap<i32, i64> {
        self.lock().by_partition.clone()
    }

    /// How many partitions the topic has, whoever reads them; `None` before that is known.
    #[must_use]
    pub fn partitions(&self) -> Option<usize> {
        Some(self.lock().partitions).filter(|partitions| *partitions > 0)
    }

    fn lock(&self) -> MutexGuard<'_, Behind> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A topic being read. Dropping it ends the reading and leaves the group.
#[derive(Debug)]
pub struct Group {
    stop: Arc<AtomicBool>,
    lag: Lag,
    /// `None` once it was waited for.
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Group {
    /// Joins the group and starts reading on a thread of its own. The broker may come later or go away; what can't be done
    /// is logged once a minute.
    ///
    /// # Errors
    /// Options that the client refuses.
    pub fn start(config: GroupConfig, handler: impl Handler) -> Result<Group, ReaderError> {
        let mut client = settings::common(&config.bootstrap, &config.client_id);
        client
            .set("group.id", &config.group)
            // Who keeps a partition keeps what it read of it.
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "1000")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "5000")
            // For offsets that are gone: the topic was created again, or retention was faster.
            .set("auto.offset.reset", "earliest")
            // A topic that doesn't exist yet, and partitions that are added, are noticed so soon.
            .set("topic.metadata.refresh.interval.ms", "5000")
            .set("fetch.wait.max.ms", "100")
            .set("queued.max.messages.kbytes", "16384")
            .set("statistics.interval.ms", "5000");
        let client = settings::with_options(client, &config.options);
        let lag = Lag::default();
        let consumer: BaseConsumer<Membership> = client.create_with_context(Membership {
            context: Context::default(),
            topic: config.topic.clone(),
            rewind: config.rewind,
            changes: Mutex::default(),
            lag: lag.clone(),
        })?;
        consumer.subscribe(&[&config.topic])?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("dt-kafka-group".to_owned())
            .spawn(move || run(&consumer, handler, &stopped))?;
        Ok(Group {
            stop,
            lag,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// How many messages of each of our partitions are yet to be read.
    #[must_use]
    pub fn lag(&self) -> &Lag {
        &self.lag
    }

    /// Whether the reading has ended by itself, which only a panic of the handler does.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops reading and leaves the group; waits until that is done, which takes a broker that answers.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // What it panicked with was told by the panic itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

fn run(consumer: &BaseConsumer<Membership>, mut handler: impl Handler, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        let mut wait = POLL;
        for _ in 0..PER_TURN {
            let polled = consumer.poll(wait);
            // A change of the assignment comes before the messages that follow from it.
            consumer.context().apply(&mut handler);
            match polled {
                None => break,
                Some(Ok(message)) => handler.message(&Read(message)),
                Some(Err(error)) => consumer.context().context.complain(&error, "reading"),
            }
            wait = Duration::ZERO;
        }
        handler.turn();
    }
}

enum Change {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
}

/// The callbacks of the client.
struct Membership {
    context: Context,
    topic: String,
    rewind: Duration,
    /// What the callback saw and the handler has not been told.
    changes: Mutex<Vec<Change>>,
    lag: Lag,
}

impl Membership {
    fn apply(&self, handler: &mut impl Handler) {
        let changes = std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner));
        for change in changes {
            match change {
                Change::Assigned(partitions) => handler.assigned(&partitions),
                Change::Revoked(partitions) => {
                    self.lag
                        .lock()
                        .by_partition
                        .retain(|partition, _| !partitions.contains(partition));
                    handler.revoked(&partitions);
                }
            }
        }
    }

    /// Where to begin in partitions that were assigned. Where that can't be found out they are read from their beginning:
    /// it takes longer, and what is too old is known for what it is.
    fn begin(
        &self,
        consumer: &BaseConsumer<Self>,
        assigned: &TopicPartitionList,
    ) -> Result<TopicPartitionList, KafkaError> {
        let found = (0..2).map(|_| since::offsets(consumer, assigned, self.rewind, PATIENCE));
        let mut failure = None;
        for attempt in found {
            match attempt {
                Ok(offsets) => return Ok(offsets),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            self.context
                .complain(&error, "looking up where to begin; reading from the beginning");
        }
        let mut beginning = TopicPartitionList::new();
        for element in assigned.elements() {
            beginning.add_partition_offset(element.topic(), element.partition(), Offset::Beginning)?;
        }
        Ok(beginning)
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, assigned: &TopicPartitionList) -> Result<(), KafkaError> {
        let begin = self.begin(consumer, assigned)?;
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&begin),
            _ => consumer.assign(&begin),
        }
    }

    fn unassign(consumer: &BaseConsumer<Self>, revoked: &TopicPartitionList) -> Result<(), KafkaError> {
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(revoked),
            _ => consumer.unassign(),
        }
    }
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.context.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.complain(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.topic) else {
            return;
        };
        // One of them, -1, is no partition but a queue of the client's.
        let all = topic.partitions.values().filter(|partition| partition.partition >= 0);
        // Of partitions that others have, it is unknown: -1.
        let ours = all.clone().filter(|partition| partition.consumer_lag >= 0);
        *self.lag.lock() = Behind {
            by_partition: ours
                .map(|partition| (partition.partition, partition.consumer_lag))
                .collect(),
            partitions: all.count(),
        };
    }
}

impl ConsumerContext for Membership {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let numbers: Vec<i32> = partitions
            .elements()
            .iter()
            .map(|element| element.partition())
            .collect();
        let (done, change) = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                (self.assign(consumer, partitions), Change::Assigned(numbers))
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                (Self::unassign(consumer, partitions), Change::Revoked(numbers))
            }
            other => {
                let error = KafkaError::Rebalance(RDKafkaErrorCode::from(other));
                self.context.complain(&error, "sharing the partitions out");
                (consumer.unassign(), Change::Revoked(numbers))
            }
        };
        if let Err(error) = done {
            self.context.complain(&error, "taking over partitions");
        }
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }
}
