//! The Kafka sink's thread: everything that touches the producer happens here, in one loop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dt_record::{Options, Origin, SummaryRecord};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::context::Context;
use super::message::{Kind, Message};
use super::retries::Retries;
use super::topics::{LookUp, Wanted};
use super::{Shared, settings};
use crate::config::KafkaConfig;
use crate::stats::{self, Probes};

/// Bytes of TraceReports that may be with librdkafka, unacknowledged, beside the records: neither kind can starve the other.
const OUTSTANDING_TRACE_BYTES: usize = 256 << 10;
/// How long the loop rests in librdkafka: with something outstanding, without, and while draining.
const BUSY: Duration = Duration::from_millis(50);
const IDLE: Duration = Duration::from_millis(200);
const HASTE: Duration = Duration::from_millis(10);
/// Between two look-ups of the topics while records keep failing.
const LOOK_UP_AGAIN: Duration = Duration::from_secs(1);

pub(crate) struct Worker {
    config: KafkaConfig,
    origin: Arc<Origin>,
    options: Options,
    shared: Arc<Shared>,
    producer: Arc<BaseProducer<Context>>,
    topics: Topics,
    seq: u64,
    retries: Retries,
    /// Bytes of records that are with librdkafka.
    outstanding: usize,
    outstanding_traces: usize,
}

/// Whether the topics may be produced to.
enum Topics {
    Unknown { not_before: Instant },
    LookingUp(LookUp),
    Settled,
}

impl Worker {
    pub(crate) fn new(
        config: KafkaConfig,
        origin: Arc<Origin>,
        options: Options,
        shared: Arc<Shared>,
    ) -> Result<Worker, KafkaError> {
        let producer = new_producer(&config)?;
        Ok(Worker {
            config,
            origin,
            options,
            shared,
            producer,
            topics: Topics::Unknown {
                not_before: Instant::now(),
            },
            seq: 0,
            retries: Retries::new(),
            outstanding: 0,
            outstanding_traces: 0,
        })
    }

    pub(crate) fn run(mut self) {
        loop {
            let now = Instant::now();
            let draining = self.draining(now);
            self.settle_topics(now);
            if matches!(self.topics, Topics::Settled) {
                self.hand_over_again(now);
                self.hand_over_summaries(now);
                self.hand_over_traces();
            }
            if let Some(deadline) = draining
                && (self.is_empty() || now >= deadline)
            {
                break;
            }
            if self.retries.is_alone() {
                // There is nothing to gather beside it.
                let _ = self.producer.flush(HASTE);
            }
            self.producer.poll(self.rest(draining.is_some()));
            self.note_outcomes();
            self.note_trouble();
        }
        // What librdkafka still holds is given up with the producer.
    }

    /// The deadline, once the sink is asked to drain.
    fn draining(&self, now: Instant) -> Option<Instant> {
        let mut intake = self.shared.intake();
        let deadline = intake.draining?;
        intake.backlog.hurry(now);
        Some(deadline)
    }

    fn is_empty(&self) -> bool {
        let intake = self.shared.intake();
        intake.backlog.len() == 0
            && intake.traces.len() == 0
            && self.retries.is_empty()
            && self.outstanding == 0
            && self.outstanding_traces == 0
    }

    fn rest(&self, draining: bool) -> Duration {
        if draining || self.retries.is_alone() {
            HASTE
        } else if self.outstanding > 0 || self.outstanding_traces > 0 || !self.retries.is_empty() {
            BUSY
        } else {
            IDLE
        }
    }

    fn settle_topics(&mut self, now: Instant) {
        match &self.topics {
            Topics::Settled => {}
            Topics::LookingUp(look_up) => {
                if look_up.is_done() {
                    self.topics = Topics::Settled;
                    if self.shared.stats.success() {
                        tracing::info!(bootstrap = self.config.bootstrap, "Kafka is reachable");
                    }
                }
            }
            Topics::Unknown { not_before } if *not_before <= now => {
                let mut wanted = vec![Wanted {
                    name: self.config.summary_topic.clone(),
                    partitions: Some(self.config.partitions),
                }];
                if self.config.trace_reports {
                    wanted.push(Wanted {
                        name: self.config.trace_topic.clone(),
                        partitions: None,
                    });
                }
                let admin = settings::with_options(
                    settings::common(&self.config.bootstrap, &self.config.client_id),
                    &self.config.options,
                );
                match LookUp::start(Arc::clone(&self.producer), admin, wanted) {
                    Ok(look_up) => self.topics = Topics::LookingUp(look_up),
                    Err(error) => {
                        self.shared
                            .stats
                            .error(format!("starting a thread to look up topics: {error}"));
                        self.topics = Topics::Unknown {
                            not_before: now + LOOK_UP_AGAIN,
                        };
                    }
                }
            }
            Topics::Unknown { .. } => {}
        }
    }

    fn hand_over_again(&mut self, now: Instant) {
        while let Some(message) = self.retries.next(now, self.outstanding) {
            stats::add(&self.shared.stats.retried, 1);
            if !self.send(message) {
                break;
            }
        }
    }

    fn hand_over_summaries(&mut self, now: Instant) {
        while self.retries.has_room(self.outstanding) {
            let Some(summary) = self.take(now) else { break };
            self.seq += 1;
            let record = SummaryRecord::new(&summary, &self.origin, self.seq, self.options);
            if !self.send(Arc::new(Message::summary(&record, self.config.encoding))) {
                break;
            }
        }
    }

    fn take(&self, now: Instant) -> Option<Arc<dt_record::Summary>> {
        let mut intake = self.shared.intake();
        let summary = intake.backlog.pop(now)?;
        intake.in_hand.take(summary.counts.sent());
        self.shared.gauges(&intake, |_| {});
        Some(summary)
    }

    fn hand_over_traces(&mut self) {
        while self.outstanding_traces < OUTSTANDING_TRACE_BYTES {
            let Some(value) = self.shared.intake().traces.pop() else {
                break;
            };
            if !self.send(Arc::new(Message {
                kind: Kind::Trace,
                value,
            })) {
                break;
            }
        }
    }

    /// Hands a message to librdkafka. Where that refuses it, the message is kept for later, and false returned.
    fn send(&mut self, message: Arc<Message>) -> bool {
        let bytes = message.bytes();
        let record = match &message.kind {
            Kind::Summary { key, headers, .. } => {
                BaseRecord::with_opaque_to(&self.config.summary_topic, Arc::clone(&message))
                    .key(key.as_bytes())
                    .headers(headers.clone())
            }
            Kind::Trace => BaseRecord::with_opaque_to(&self.config.trace_topic, Arc::clone(&message)),
        };
        let sent = self
            .producer
            .send(record.payload(&message.value))
            .map_err(|(error, _)| error);
        match sent {
            Ok(()) => {
                *self.outstanding_of(&message.kind) += bytes;
                true
            }
            Err(error) => {
                self.failed(message, &error);
                false
            }
        }
    }

    fn outstanding_of(&mut self, kind: &Kind) -> &mut usize {
        match kind {
            Kind::Summary { .. } => &mut self.outstanding,
            Kind::Trace => &mut self.outstanding_traces,
        }
    }

    fn note_outcomes(&mut self) {
        for outcome in self.producer.context().take_outcomes() {
            let outstanding = self.outstanding_of(&outcome.message.kind);
            *outstanding = outstanding.saturating_sub(outcome.message.bytes());
            match outcome.error {
                Some(error) => self.failed(outcome.message, &error),
                None => self.arrived(&outcome.message),
            }
        }
        self.retries.settle();
    }

    fn arrived(&mut self, message: &Message) {
        let stats = &self.shared.stats;
        if stats.success() {
            tracing::info!(bootstrap = self.config.bootstrap, "Kafka is reachable again");
        }
        match message.kind {
            Kind::Summary { probes: sent, .. } => {
                stats::add(&stats.published, 1);
                self.retries.ended();
                self.leaves_hand(sent, |probes| probes.published += sent);
            }
            Kind::Trace => stats::add(&stats.traces_published, 1),
        }
    }

    fn failed(&mut self, message: Arc<Message>, error: &KafkaError) {
        let stats = &self.shared.stats;
        stats::add(&stats.failed, 1);
        self.producer.context().complain(error, "a message was not delivered");
        stats.error(error.to_string());
        let code = error.rdkafka_error_code();
        if is_missing_topic(code) && matches!(self.topics, Topics::Settled) {
            self.topics = Topics::Unknown {
                not_before: Instant::now() + LOOK_UP_AGAIN,
            };
        }
        match message.kind {
            Kind::Summary { probes: sent, .. } => {
                let was_alone = self.retries.ended();
                if code != Some(RDKafkaErrorCode::MessageSizeTooLarge) {
                    self.retries.failed(message, was_alone);
                } else if !self.retries.too_large(message, was_alone) {
                    // The topic's own limit is below one record: no attempt will ever succeed, and it would block the rest.
                    stats::add(&self.shared.stats.dropped, 1);
                    self.leaves_hand(sent, |probes| probes.dropped += sent);
                }
            }
            Kind::Trace => {
                let dropped = match Arc::try_unwrap(message) {
                    Ok(message) => self.shared.intake().traces.put_back(message.value),
                    // Never shared once librdkafka is done with it.
                    Err(_) => 1,
                };
                stats::add(&self.shared.stats.traces_dropped, dropped);
            }
        }
    }

    /// What concerns the client as a whole.
    fn note_trouble(&mut self) {
        let Some(error) = self.producer.context().take_trouble() else {
            return;
        };
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Fatal) => self.replace_producer(&error),
            Some(RDKafkaErrorCode::AllBrokersDown) if self.shared.stats.error(error.to_string()) => {
                tracing::warn!(%error, bootstrap = self.config.bootstrap, "Kafka is not reachable; records wait");
            }
            Some(RDKafkaErrorCode::Authentication) => {
                self.shared.stats.error(error.to_string());
            }
            // One of several brokers, or something that passes; the context has logged it.
            _ => {}
        }
    }

    /// After a fatal error an idempotent producer refuses everything. A new one takes over what the old one held; what
    /// had arrived without being acknowledged arrives again, under the same id.
    fn replace_producer(&mut self, error: &KafkaError) {
        self.shared.stats.error(error.to_string());
        match new_producer(&self.config) {
            Ok(producer) => {
                tracing::warn!(%error, "the Kafka producer failed for good and is replaced");
                let old = std::mem::replace(&mut self.producer, producer);
                old.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
                // Delivers the purged messages as failed.
                if let Err(error) = old.flush(Duration::from_secs(1)) {
                    tracing::warn!(%error, "taking over messages from the failed Kafka producer");
                }
                let held = old.context().take_outcomes();
                (self.outstanding, self.outstanding_traces) = (0, 0);
                for outcome in held {
                    match outcome.error {
                        Some(error) => self.failed(outcome.message, &error),
                        None => self.arrived(&outcome.message),
                    }
                }
                self.topics = Topics::Unknown {
                    not_before: Instant::now(),
                };
            }
            Err(error) => tracing::error!(%error, "replacing the failed Kafka producer"),
        }
    }

    /// One record less is on its way: `moved` says what became of its `sent` probes.
    fn leaves_hand(&self, sent: u64, moved: impl FnOnce(&mut Probes)) {
        let mut intake = self.shared.intake();
        intake.in_hand.end(sent);
        self.shared.gauges(&intake, moved);
    }
}

fn new_producer(config: &KafkaConfig) -> Result<Arc<BaseProducer<Context>>, KafkaError> {
    Ok(Arc::new(
        settings::producer(config).create_with_context(Context::default())?,
    ))
}

fn is_missing_topic(code: Option<RDKafkaErrorCode>) -> bool {
    use RDKafkaErrorCode as E;
    matches!(
        code,
        Some(E::UnknownTopic | E::UnknownPartition | E::UnknownTopicOrPartition | E::UnknownTopicId)
    )
}
