//! One client in place of another: when a file with its options changes, or when it has failed for good.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer, PurgeConfig};

use super::{Topics, Worker};
use crate::config::KafkaConfig;
use crate::kafka::context::Context;
use crate::kafka::settings;
use crate::publisher::StartError;
use crate::stats::{self, Trouble};

/// How long a client that is replaced may take to deliver what it has.
const LAST_DELIVERIES: Duration = Duration::from_secs(5);

impl Worker {
    /// Files with options, certificates or keys that have changed are for a new client.
    pub(super) fn follow_options(&mut self, now: Instant) {
        let Some(changed) = self.followed.changed(now) else {
            self.replace_where_delivered(now);
            return;
        };
        let made = changed.map_err(StartError::Options).and_then(|options| {
            let producer = new_producer(&self.config, &options).map_err(StartError::Kafka)?;
            Ok((producer, options))
        });
        match made {
            Ok((producer, options)) => {
                tracing::info!("the files with options of the Kafka client have changed; a new client takes over");
                self.client = options;
                self.next = Some((producer, now));
            }
            Err(error) if self.followed.refused(now) => {
                stats::add(&self.shared.stats.options_refused, 1);
                tracing::warn!(%error, "the options of the Kafka client have changed and can't be used; the last good ones stay in force");
            }
            Err(_) => {}
        }
    }

    /// Lets the new client take over once the old one has delivered what it had: what is not acknowledged by then comes twice.
    fn replace_where_delivered(&mut self, now: Instant) {
        let Some((_, since)) = &self.next else { return };
        let is_delivered = self.outstanding == 0 && self.outstanding_traces == 0;
        let is_hopeless = !self.shared.stats.snapshot().connected || now >= *since + LAST_DELIVERIES;
        if (is_delivered || is_hopeless)
            && let Some((next, _)) = self.next.take()
        {
            self.replace_producer(next);
            stats::add(&self.shared.stats.options_renewed, 1);
        }
    }

    /// After a fatal error an idempotent producer refuses everything.
    pub(super) fn replace_failed(&mut self, error: &KafkaError) {
        self.shared.stats.error(Trouble::Records, error.to_string());
        match new_producer(&self.config, &self.client) {
            Ok(producer) => {
                tracing::warn!(%error, "the Kafka producer failed for good and is replaced");
                self.next = None;
                self.replace_producer(producer);
            }
            Err(error) => tracing::error!(%error, "replacing the failed Kafka producer"),
        }
    }

    /// The client's threads wait until moments of the wall clock: set back, it would keep them waiting for as long.
    pub(super) fn replace_waiting(&mut self) {
        match new_producer(&self.config, &self.client) {
            Ok(producer) => {
                tracing::info!("the clock was set back: the Kafka producer is replaced, for it waits by it");
                self.next = None;
                self.replace_producer(producer);
            }
            Err(error) => tracing::error!(%error, "replacing the failed Kafka producer"),
        }
    }

    /// A new producer takes over what the old one held; what had arrived without being acknowledged arrives again, under the
    /// same id.
    fn replace_producer(&mut self, producer: Arc<BaseProducer<Context>>) {
        let old = std::mem::replace(&mut self.producer, producer);
        old.purge(PurgeConfig::default().queue().inflight());
        // Delivers the purged messages as failed.
        if let Err(error) = old.flush(Duration::from_secs(1)) {
            tracing::warn!(%error, "taking over messages from the replaced Kafka producer");
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
}

pub(super) fn new_producer(
    config: &KafkaConfig,
    options: &BTreeMap<String, String>,
) -> Result<Arc<BaseProducer<Context>>, KafkaError> {
    let producer = settings::producer(config, options).create_with_context(Context::default())?;
    Ok(Arc::new(producer))
}
