//! What librdkafka calls back: deliveries, errors, log lines. It keeps the outcomes for the worker and lets at most one
//! line a minute of the client's own complaints into the log.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};

use super::message::Message;
use crate::rate_limit::RateLimit;

const LOG_PERIOD: Duration = Duration::from_secs(60);
/// For what only an operator can change.
const REMINDER_PERIOD: Duration = Duration::from_secs(3_600);

/// What became of a message.
pub(crate) struct Outcome {
    pub(crate) message: Arc<Message>,
    /// `None` where it arrived.
    pub(crate) error: Option<KafkaError>,
}

/// An error of the client as a whole, with what the client says of it.
pub(crate) struct Told {
    pub(crate) error: KafkaError,
    pub(crate) reason: String,
}

impl Told {
    fn is_fatal(&self) -> bool {
        self.error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal)
    }
}

/// The callbacks of one client.
pub(crate) struct Context {
    outcomes: Mutex<Vec<Outcome>>,
    /// The latest error of the client as a whole, until the worker takes it.
    trouble: Mutex<Option<Told>>,
    /// A broker has refused our credentials, or TLS with it failed, and none has taken anything since.
    refused: AtomicBool,
    errors: RateLimit,
    lines: RateLimit,
    missing_topic: RateLimit,
}

impl Default for Context {
    fn default() -> Self {
        Context {
            outcomes: Mutex::default(),
            trouble: Mutex::default(),
            refused: AtomicBool::new(false),
            errors: RateLimit::new(LOG_PERIOD),
            lines: RateLimit::new(LOG_PERIOD),
            missing_topic: RateLimit::new(REMINDER_PERIOD),
        }
    }
}

impl Context {
    /// What became of messages since the last call.
    pub(crate) fn take_outcomes(&self) -> Vec<Outcome> {
        std::mem::take(&mut *self.outcomes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The latest error of the client as a whole since the last call.
    pub(crate) fn take_trouble(&self) -> Option<Told> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Logs that a topic is missing and can't be created, at most once an hour.
    pub(crate) fn complain_of_missing(&self, topic: &str, error: RDKafkaErrorCode) {
        if self.missing_topic.pass(Instant::now()).is_some() {
            tracing::error!(topic, %error, "the Kafka topic is missing and can't be created; records wait until it is there");
        }
    }

    /// Logs an error of the client, at most one a minute.
    pub(crate) fn complain(&self, error: &KafkaError, reason: &str) {
        if let Some(held_back) = self.errors.pass(Instant::now()) {
            tracing::warn!(%error, reason, held_back, "Kafka client");
        }
    }
}

/// Has librdkafka call the producer's context with all that has happened; doesn't wait.
pub(super) fn take_events(producer: &BaseProducer<Context>) {
    let outcomes = || {
        let context = producer.context();
        context.outcomes.lock().unwrap_or_else(PoisonError::into_inner).len()
    };
    loop {
        let before = outcomes();
        // One event at most, which may be many outcomes.
        producer.poll(Duration::ZERO);
        if outcomes() == before {
            break;
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        // The levels are syslog's: the smaller, the worse.
        if level as i32 > RDKafkaLogLevel::Warning as i32 {
            tracing::debug!(facility, line, "librdkafka");
        } else if let Some(held_back) = self.lines.pass(Instant::now()) {
            tracing::warn!(facility, line, held_back, "librdkafka");
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Told to whoever asked for it as well, and no error.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        self.complain(&error, reason);
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL) => self.refused.store(true, Relaxed),
            // It follows from that, and says less.
            Some(RDKafkaErrorCode::AllBrokersDown) if self.refused.load(Relaxed) => return,
            _ => {}
        }
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        // A fatal error outweighs whatever comes after it.
        if !trouble.as_ref().is_some_and(Told::is_fatal) {
            let reason = reason.to_owned();
            *trouble = Some(Told { error, reason });
        }
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = Arc<Message>;

    fn delivery(&self, result: &DeliveryResult<'_>, message: Arc<Message>) {
        let error = result.as_ref().err().map(|(error, message)| {
            tracing::trace!(topic = message.topic(), partition = message.partition(), %error, "not delivered");
            error.clone()
        });
        if error.is_none() {
            self.refused.store(false, Relaxed);
        }
        self.outcomes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Outcome { message, error });
    }
}
