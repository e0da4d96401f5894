//! Making sure that the topics are there: looked up first, created by the admin API where they are missing.
//!
//! The look-up goes through the producer's own client, which so learns of a topic that was deleted and created again;
//! by itself it would ask again only after minutes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};

use super::context::Context;

/// How long one look-up may take.
const LOOK_UP: Duration = Duration::from_secs(3);
/// Between look-ups that failed.
const PAUSE: Duration = Duration::from_millis(500);
const CREATE: Duration = Duration::from_secs(10);

/// A topic as it shall be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    /// `None` leaves it to the broker.
    pub(crate) partitions: Option<u32>,
}

/// A look-up under way on a thread of its own, since librdkafka's blocks.
pub(crate) struct LookUp {
    result: Receiver<()>,
    stop: Arc<AtomicBool>,
}

impl LookUp {
    /// Looks until every topic of `wanted` is there, or was found not to be ours to create.
    pub(crate) fn start(
        producer: Arc<BaseProducer<Context>>,
        admin: ClientConfig,
        wanted: Vec<Wanted>,
    ) -> std::io::Result<LookUp> {
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, result) = channel();
        let stopped = Arc::clone(&stop);
        thread::Builder::new()
            .name("dt-sink-topics".to_owned())
            .spawn(move || {
                let mut search = Search {
                    producer,
                    admin,
                    stopped,
                };
                for topic in wanted {
                    search.until_settled(&topic);
                }
                // Nobody listens where the sink has ended.
                let _ = sender.send(());
            })?;
        Ok(LookUp { result, stop })
    }

    pub(crate) fn is_done(&self) -> bool {
        !matches!(self.result.try_recv(), Err(TryRecvError::Empty))
    }
}

impl Drop for LookUp {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

struct Search {
    producer: Arc<BaseProducer<Context>>,
    admin: ClientConfig,
    stopped: Arc<AtomicBool>,
}

impl Search {
    fn until_settled(&mut self, topic: &Wanted) {
        let mut refused = false;
        while !self.stopped.load(Relaxed) {
            match self.exists(&topic.name) {
                Ok(true) => return,
                Ok(false) if refused => return,
                Ok(false) => refused = self.create(topic).is_err(),
                Err(error) => self.producer.context().complain(&error, "looking up topics"),
            }
            thread::sleep(PAUSE);
        }
    }

    fn exists(&self, topic: &str) -> Result<bool, KafkaError> {
        let metadata = self.producer.client().fetch_metadata(Some(topic), LOOK_UP)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        match found.map(|found| (found.error().map(RDKafkaErrorCode::from), found.partitions().len())) {
            Some((None, partitions)) => Ok(partitions > 0),
            Some((Some(RDKafkaErrorCode::UnknownTopicOrPartition), _)) | None => Ok(false),
            // There, and about to have a leader.
            Some((Some(RDKafkaErrorCode::LeaderNotAvailable), _)) => Ok(true),
            Some((Some(code), _)) => Err(KafkaError::MetadataFetch(code)),
        }
    }

    /// Err where asking again is of no use.
    fn create(&self, topic: &Wanted) -> Result<(), ()> {
        let name = topic.name.as_str();
        let partitions = topic
            .partitions
            .map_or(-1, |partitions| i32::try_from(partitions).unwrap_or(i32::MAX));
        let created = self
            .admin
            .create::<AdminClient<DefaultClientContext>>()
            .and_then(|admin| {
                let wanted = [NewTopic::new(name, partitions, TopicReplication::Fixed(-1))];
                let options = AdminOptions::new()
                    .request_timeout(Some(CREATE))
                    .operation_timeout(Some(CREATE));
                futures::executor::block_on(admin.create_topics(&wanted, &options))
            });
        match created.map(|results| results.into_iter().next()) {
            Ok(Some(Ok(_))) => {
                tracing::info!(topic = name, partitions, "created the Kafka topic");
                Ok(())
            }
            // Another node was faster.
            Ok(Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists)))) | Ok(None) => Ok(()),
            Ok(Some(Err((_, code)))) if is_passing(code) => {
                self.producer
                    .context()
                    .complain(&KafkaError::AdminOp(code), "creating a topic");
                Ok(())
            }
            Ok(Some(Err((_, code)))) => {
                self.producer.context().complain_of_missing(name, code);
                Err(())
            }
            Err(error) => {
                self.producer.context().complain(&error, "creating a topic");
                Ok(())
            }
        }
    }
}

/// Errors that another attempt may not meet.
fn is_passing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as E;
    matches!(
        code,
        E::RequestTimedOut
            | E::OperationTimedOut
            | E::NotController
            | E::BrokerTransportFailure
            | E::CoordinatorNotAvailable
            | E::InvalidReplicationFactor
    )
}
