//! The Kafka sink's thread: everything that touches the producer happens here, in one loop.

mod last;
mod outcomes;
mod renewal;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dt_record::{Options, Origin, SummaryRecord};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::context::{self, Context};
use super::dating::Dating;
use super::message::{Kind, Message};
use super::options::Followed;
use super::pace::Pace;
use super::retries::Retries;
use super::set_back::SetBack;
use super::topics::{LookUp, Wanted};
use super::{Shared, settings};
use crate::config::KafkaConfig;
use crate::publisher::StartError;
use crate::spool::Spool;
use crate::stats::{self, Trouble};
use renewal::new_producer;

/// Bytes of TraceReports that may be with librdkafka, unacknowledged, beside the records: neither kind can starve the other.
const OUTSTANDING_TRACE_BYTES: usize = 256 << 10;
/// How long the loop rests: with something outstanding, without, and while draining.
const BUSY: Duration = Duration::from_millis(50);
const IDLE: Duration = Duration::from_millis(200);
const HASTE: Duration = Duration::from_millis(10);
/// Between two look-ups of the topics while records keep failing.
const LOOK_UP_AGAIN: Duration = Duration::from_secs(1);
/// How much of the end is for the spool, at most half.
const FOR_THE_SPOOL: Duration = Duration::from_secs(1);

pub(crate) struct Worker {
    config: KafkaConfig,
    origin: Arc<Origin>,
    options: Options,
    shared: Arc<Shared>,
    followed: Followed,
    /// The options of the client in force.
    client: BTreeMap<String, String>,
    producer: Arc<BaseProducer<Context>>,
    /// By other options, and since when it waits for the last deliveries of the one in force.
    next: Option<(Arc<BaseProducer<Context>>, Instant)>,
    topics: Topics,
    seq: u64,
    pace: Pace,
    retries: Retries,
    spool: Option<Spool>,
    /// Set at the end where there is a spool, which needs some of it.
    deliver_until: Option<Instant>,
    /// Bytes of records that are with librdkafka.
    outstanding: usize,
    outstanding_traces: usize,
    /// No TraceReport is handed over before: one has just been refused.
    traces_from: Instant,
    /// Of records, and of TraceReports.
    dating: [Dating; 2],
    clock: SetBack,
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
    ) -> Result<Worker, StartError> {
        let (followed, client) = Followed::new(config.options.clone(), config.options_file.clone())?;
        let producer = new_producer(&config, &client).map_err(StartError::Kafka)?;
        let spool = config.spool.as_ref().map(|path| {
            Spool::open(path).map_err(|error| StartError::Spool {
                path: path.clone(),
                error,
            })
        });
        Ok(Worker {
            config,
            origin,
            options,
            shared,
            followed,
            client,
            producer,
            next: None,
            topics: Topics::Unknown {
                not_before: Instant::now(),
            },
            seq: 0,
            pace: Pace::new(Instant::now()),
            retries: Retries::new(),
            spool: spool.transpose()?,
            deliver_until: None,
            outstanding: 0,
            outstanding_traces: 0,
            traces_from: Instant::now(),
            dating: Default::default(),
            clock: SetBack::new(),
        })
    }

    pub(crate) fn run(mut self) {
        if let Some(spool) = &mut self.spool {
            spool.look(&self.shared.stats);
        }
        loop {
            let now = Instant::now();
            let draining = self.draining(now);
            self.follow_options(now);
            self.settle_topics(now);
            if matches!(self.topics, Topics::Settled) && self.next.is_none() {
                self.hand_over_again(now);
                self.hand_over_summaries(now, draining.is_some());
                self.hand_over_traces(now);
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
            self.rest(draining.is_some());
            context::take_events(&self.producer);
            self.note_outcomes();
            self.note_trouble();
        }
        if self.spool.is_some() {
            self.keep_the_rest();
        }
        // What librdkafka still holds is given up with the producer.
    }

    /// The deadline, once the sink is asked to drain.
    fn draining(&mut self, now: Instant) -> Option<Instant> {
        let mut intake = self.shared.intake();
        let deadline = intake.draining?;
        intake.backlog.hurry(now);
        drop(intake);
        if self.spool.is_none() {
            return Some(deadline);
        }
        let deliver = |now: Instant| {
            let left = deadline.saturating_duration_since(now);
            deadline.checked_sub(FOR_THE_SPOOL.min(left / 2)).unwrap_or(deadline)
        };
        Some(*self.deliver_until.get_or_insert_with(|| deliver(now)))
    }

    fn is_empty(&self) -> bool {
        let intake = self.shared.intake();
        intake.backlog.len() == 0
            && intake.traces.len() == 0
            && self.retries.is_empty()
            && self.outstanding == 0
            && self.outstanding_traces == 0
    }

    /// Not in librdkafka: it waits until a moment of the wall clock, and would wait for an hour where that is set back by one.
    fn rest(&self, draining: bool) {
        thread::sleep(if draining || self.retries.is_alone() {
            HASTE
        } else if self.outstanding > 0 || self.outstanding_traces > 0 || !self.retries.is_empty() {
            BUSY
        } else {
            IDLE
        });
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
                    &self.client,
                );
                match LookUp::start(Arc::clone(&self.producer), admin, wanted) {
                    Ok(look_up) => self.topics = Topics::LookingUp(look_up),
                    Err(error) => {
                        let error = format!("starting a thread to look up topics: {error}");
                        self.shared.stats.error(Trouble::Topic, error);
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

    fn hand_over_summaries(&mut self, now: Instant, draining: bool) {
        while self.retries.has_room(self.outstanding) && (draining || self.pace.allows(now)) {
            let Some(message) = self.next_message(now, draining) else {
                break;
            };
            self.pace.spend(message.value.len());
            if !self.send(Arc::new(message)) {
                break;
            }
        }
    }

    /// What an earlier run has left comes first, but at the end: it is safe where it lies.
    fn next_message(&mut self, now: Instant, draining: bool) -> Option<Message> {
        let spool = self.spool.as_mut().filter(|_| !draining);
        if let Some((record, json, file)) = spool.and_then(|spool| spool.next(&self.shared.stats)) {
            return Some(Message::spooled(&record, self.config.encoding, json, file));
        }
        let summary = self.take(now)?;
        self.seq += 1;
        let record = SummaryRecord::new(&summary, &self.origin, self.seq, self.options);
        Some(Message::summary(&record, self.config.encoding))
    }

    fn take(&self, now: Instant) -> Option<Arc<dt_record::Summary>> {
        let mut intake = self.shared.intake();
        let summary = intake.backlog.pop(now)?;
        intake.in_hand.take(summary.counts.sent());
        self.shared.gauges(&intake, |_| {});
        Some(summary)
    }

    fn hand_over_traces(&mut self, now: Instant) {
        while now >= self.traces_from && self.outstanding_traces < OUTSTANDING_TRACE_BYTES {
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
        let date = self.dating_of(&message.kind).date_now();
        let mut record = match &message.kind {
            Kind::Summary { key, headers, .. } => {
                BaseRecord::with_opaque_to(&self.config.summary_topic, Arc::clone(&message))
                    .key(key.as_bytes())
                    .headers(headers.clone())
            }
            Kind::Trace => BaseRecord::with_opaque_to(&self.config.trace_topic, Arc::clone(&message)),
        };
        if let Some(date) = date {
            record = record.timestamp(date);
        }
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

    fn dating_of(&mut self, kind: &Kind) -> &mut Dating {
        match kind {
            Kind::Summary { .. } => &mut self.dating[0],
            Kind::Trace => &mut self.dating[1],
        }
    }
}
