//! Writing a compacted topic: the newest value of each key is what counts, so what is lost on the way is made good by the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};

use super::context::Context;
use super::reader::ReaderError;
use super::settings;

/// How long creating the topic may take.
const CREATE: Duration = Duration::from_secs(10);
/// Between attempts.
const AGAIN: Duration = Duration::from_secs(5);

/// Which topic, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableConfig {
    /// Brokers, `host:port`, comma-separated.
    pub bootstrap: String,
    /// The topic; created, compacted, where it is missing and that is permitted.
    pub topic: String,
    /// The `client.id`.
    pub client_id: String,
    /// Further options of the client by librdkafka's names.
    pub options: BTreeMap<String, String>,
}

/// A writer. Values are handed over without waiting.
pub struct Table {
    producer: ThreadedProducer<TableContext>,
    client: ClientConfig,
    topic: String,
    counts: Arc<TableCounts>,
}

/// What became of the values.
#[derive(Debug, Default)]
pub struct TableCounts {
    /// Arrived.
    pub written: AtomicU64,
    /// Given up after some seconds, or not taken because too many wait.
    pub failed: AtomicU64,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

impl Table {
    /// A writer. The broker may come later.
    ///
    /// # Errors
    /// Options that the client refuses.
    pub fn new(config: TableConfig) -> Result<Table, ReaderError> {
        let client = settings::with_options(settings::common(&config.bootstrap, &config.client_id), &config.options);
        let mut producer = client.clone();
        producer
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "50")
            .set("queue.buffering.max.kbytes", "65536")
            // The next value of the same key is due soon.
            .set("message.timeout.ms", "8000");
        let counts = Arc::new(TableCounts::default());
        let context = TableContext {
            context: Context::default(),
            counts: Arc::clone(&counts),
        };
        Ok(Table {
            producer: producer.create_with_context(context)?,
            client,
            topic: config.topic,
            counts,
        })
    }

    /// What became of the values so far.
    #[must_use]
    pub fn counts(&self) -> &Arc<TableCounts> {
        &self.counts
    }

    /// Hands a value over; `None` takes the key off the topic.
    pub fn put(&self, key: &str, value: Option<&[u8]>) {
        let mut record = BaseRecord::<str, [u8]>::to(&self.topic).key(key);
        record.payload = value;
        if let Err((error, _)) = self.producer.send(record) {
            self.counts.failed.fetch_add(1, Relaxed);
            self.producer.context().context.complain(&error, "writing a table");
        }
    }

    /// Creates the topic unless it is there; goes on trying until it is, or creating it is refused.
    pub async fn ensure(&self) {
        while !self.create().await {
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// True where trying again is of no use.
    async fn create(&self) -> bool {
        let complain = |error: &KafkaError| {
            self.producer
                .context()
                .context
                .complain(error, "creating the topic of a table")
        };
        let admin: AdminClient<DefaultClientContext> = match self.client.create() {
            Ok(admin) => admin,
            Err(error) => {
                complain(&error);
                return false;
            }
        };
        let topic = NewTopic::new(&self.topic, 1, TopicReplication::Fixed(-1))
            .set("cleanup.policy", "compact")
            // Keys are few and written often: what is superseded shall go within the hour.
            .set("segment.ms", "600000")
            .set("min.cleanable.dirty.ratio", "0.1")
            .set("delete.retention.ms", "3600000");
        let options = AdminOptions::new().operation_timeout(Some(CREATE));
        match admin.create_topics([&topic], &options).await {
            Ok(results) => match results.into_iter().next() {
                None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => true,
                Some(Err((_, code))) => {
                    complain(&KafkaError::AdminOp(code));
                    matches!(
                        code,
                        RDKafkaErrorCode::TopicAuthorizationFailed
                            | RDKafkaErrorCode::ClusterAuthorizationFailed
                            | RDKafkaErrorCode::PolicyViolation
                    )
                }
            },
            Err(error) => {
                complain(&error);
                false
            }
        }
    }

    /// Waits for what was handed over, for at most `patience`.
    pub fn flush(&self, patience: Duration) {
        if let Err(error) = self.producer.flush(patience) {
            self.producer
                .context()
                .context
                .complain(&error, "writing a table's last values");
        }
    }
}

struct TableContext {
    context: Context,
    counts: Arc<TableCounts>,
}

impl ClientContext for TableContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.context.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.complain(&error, reason);
    }
}

impl ProducerContext for TableContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => _ = self.counts.written.fetch_add(1, Relaxed),
            Err((error, _)) => {
                self.counts.failed.fetch_add(1, Relaxed);
                self.context.complain(error, "writing a table");
            }
        }
    }
}
