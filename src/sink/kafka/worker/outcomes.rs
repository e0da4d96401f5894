//! What became of messages, and what the client says of itself.

use std::sync::Arc;
use std::time::Instant;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;

use super::{LOOK_UP_AGAIN, Topics, Worker};
use crate::kafka::message::{Kind, Message, Run};
use crate::kafka::retries::RETRY;
use crate::kafka::trouble;
use crate::spool::FileNumber;
use crate::stats::{self, Probes, Trouble};

impl Worker {
    pub(super) fn note_outcomes(&mut self) {
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

    pub(super) fn arrived(&mut self, message: &Message) {
        let stats = &self.shared.stats;
        if stats.success() {
            tracing::info!(bootstrap = self.config.bootstrap, "Kafka is reachable again");
        }
        match message.kind {
            Kind::Summary {
                probes: sent,
                run: Run::This(_),
                ..
            } => {
                stats::add(&stats.published, 1);
                self.retries.ended();
                self.leaves_hand(sent, |probes| probes.published += sent);
            }
            Kind::Summary {
                run: Run::Earlier(file),
                ..
            } => {
                stats::add(&stats.spool_sent, 1);
                self.retries.ended();
                self.leaves_spool(file);
            }
            Kind::Trace => stats::add(&stats.traces_published, 1),
        }
    }

    pub(super) fn failed(&mut self, message: Arc<Message>, error: &KafkaError) {
        let stats = &self.shared.stats;
        stats::add(&stats.failed, 1);
        self.producer.context().complain(error, "a message was not delivered");
        stats.error(trouble::of(error), error.to_string());
        let code = error.rdkafka_error_code();
        if trouble::of(error) == Trouble::Topic && matches!(self.topics, Topics::Settled) {
            self.topics = Topics::Unknown {
                not_before: Instant::now() + LOOK_UP_AGAIN,
            };
        }
        if self.dating_of(&message.kind).is_refused_now(code) {
            tracing::warn!(%error, "Kafka refuses the time of messages: is this host's clock ahead? They are dated back");
        }
        match message.kind {
            Kind::Summary { probes: sent, run, .. } => {
                let was_alone = self.retries.ended();
                if code != Some(RDKafkaErrorCode::MessageSizeTooLarge) {
                    self.retries.failed(message, was_alone);
                } else if !self.retries.too_large(message, was_alone) {
                    // The topic's own limit is below one record: no attempt will ever succeed, and it would block the rest.
                    stats::add(&self.shared.stats.dropped, 1);
                    match run {
                        Run::This(_) => self.leaves_hand(sent, |probes| probes.dropped += sent),
                        Run::Earlier(file) => self.leaves_spool(file),
                    }
                }
            }
            Kind::Trace => {
                self.traces_from = Instant::now() + RETRY;
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
    pub(super) fn note_trouble(&mut self) {
        if self.clock.is_noticed() {
            self.replace_waiting();
        }
        let Some(told) = self.producer.context().take_trouble() else {
            return;
        };
        if told.error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            return self.replace_failed(&told.error);
        }
        // One of several brokers, or something that passes, is logged by the context.
        if let Some(what) = trouble::of_client(&told.error)
            && self
                .shared
                .stats
                .error(what, format!("{}: {}", told.error, told.reason))
        {
            trouble::tell(what, &told.reason, &self.config.bootstrap);
        }
    }

    /// A record of an earlier run has arrived, or will never be taken.
    fn leaves_spool(&mut self, file: FileNumber) {
        if let Some(spool) = &mut self.spool {
            spool.done(file, &self.shared.stats);
        }
    }

    /// One record less is on its way: `moved` says what became of its `sent` probes.
    fn leaves_hand(&self, sent: u64, moved: impl FnOnce(&mut Probes)) {
        let mut intake = self.shared.intake();
        intake.in_hand.end(sent);
        self.shared.gauges(&intake, moved);
    }
}
