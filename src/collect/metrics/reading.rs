//! How the reading of Kafka is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dt_metrics::{Page, Source};
use dt_sink::kafka::group::Lag;

use crate::clock::now_ms;
use crate::intake::IntakeStats;
use crate::service::Progress;

/// What was read, and what is yet to be.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) stats: Arc<IntakeStats>,
    pub(super) progress: Arc<Progress>,
    pub(super) lag: Lag,
}

impl Source for Reading {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        let stats = &*self.stats;
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        let outcomes = [
            ("merged", &stats.merged),
            ("repeated", &stats.repeated),
            ("too_old", &stats.too_old),
            ("too_far_ahead", &stats.too_far_ahead),
            ("full", &stats.full),
            ("tombstones", &stats.tombstones),
            ("foreign", &stats.foreign),
            ("malformed", &stats.malformed),
        ]
        .map(|(outcome, counter)| ([("outcome", outcome)], get(counter)));
        page.counters(
            "collect_records",
            "Messages of the summary topic by what became of them",
            outcomes.iter().map(|(labels, count)| (&labels[..], *count)),
        )?;
        page.counter("collect_bytes", "Bytes of their values", get(&stats.bytes))?;
        let newest_ms = get(&stats.newest_end_ms);
        let behind = (newest_ms > 0).then(|| now_ms().saturating_sub(newest_ms) as f64 / 1e3);
        page.gauges(
            "collect_behind_seconds",
            "How long ago the newest window ended of which there is a record",
            behind.map(|seconds| (&[][..], seconds)),
        )?;
        let (ours, current) = (self.progress.partitions(), self.progress.current_partitions());
        page.gauge(
            "collect_partitions",
            "Partitions of the summary topic that are this collector's",
            ours.len() as f64,
        )?;
        page.gauge(
            "collect_partitions_current",
            "Those of them whose last hour was read: their picture is the present",
            current.len() as f64,
        )?;
        let lags: Vec<_> = self.lag.by_partition().into_iter().collect();
        let lags: Vec<_> = lags.iter().map(|(number, lag)| (number.to_string(), *lag)).collect();
        let lags: Vec<_> = lags
            .iter()
            .map(|(number, lag)| ([("partition", number.as_str())], *lag as f64))
            .collect();
        page.gauges(
            "collect_lag_records",
            "Messages yet to be read, as of some seconds ago",
            lags.iter().map(|(labels, lag)| (&labels[..], *lag)),
        )
    }
}
