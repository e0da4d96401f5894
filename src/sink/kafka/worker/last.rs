//! The end, where there is a spool: what was not delivered is left there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dt_record::SummaryRecord;
use rdkafka::producer::{Producer, PurgeConfig};

use super::Worker;

/// How long librdkafka may take to give back what it couldn't deliver.
const GIVE_BACK: Duration = Duration::from_millis(300);

impl Worker {
    /// At the end: all that was not delivered, for the next run. What an earlier one has left is on the disk still.
    pub(super) fn keep_the_rest(&mut self) {
        self.take_back();
        let mut waiting: Vec<(u64, Vec<u8>)> = self.retries.take_all().filter_map(|m| m.to_be_kept()).collect();
        waiting.sort_unstable_by_key(|(seq, _)| *seq);
        let Some(mut spool) = self.spool.take() else { return };
        let (now, origin) = (Instant::now(), Arc::clone(&self.origin));
        // Numbered in the order in which they would have been sent.
        let rest = std::iter::from_fn(|| {
            let summary = self.take(now)?;
            self.seq += 1;
            Some(SummaryRecord::new(&summary, &self.origin, self.seq, self.options).to_json())
        });
        let kept = spool.keep(&origin, waiting.into_iter().map(|(_, json)| json).chain(rest));
        match kept {
            Ok(records) => self.shared.intake().spooled = records,
            Err(error) => {
                tracing::error!(spool = %spool.folder().display(), %error, "the spool can't be written; what was not delivered is lost");
            }
        }
    }

    /// What librdkafka has not delivered, back among the retries.
    fn take_back(&mut self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
        // Delivers the purged messages as failed.
        if let Err(error) = self.producer.flush(GIVE_BACK) {
            tracing::debug!(%error, "taking back what was not delivered");
        }
        for outcome in self.producer.context().take_outcomes() {
            match outcome.error {
                Some(_) => self.retries.failed(outcome.message, false),
                None => self.arrived(&outcome.message),
            }
        }
    }
}
