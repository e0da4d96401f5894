//! What collectors of a group tell one another.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dt_metrics::{Page, Source};
use dt_sink::kafka::table::TableCounts;

use crate::clock::now_ms;
use crate::rollup::RollupTable;

/// The roll-up topic.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) table: Arc<RollupTable>,
    pub(super) counts: Arc<TableCounts>,
    pub(super) refused: Arc<AtomicU64>,
}

impl Source for Shared {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        page.gauge(
            "collect_rollup_partitions",
            "Partitions of the summary topic of which some collector has told within a minute",
            self.table.fresh_partitions(now_ms()).len() as f64,
        )?;
        page.counter(
            "collect_rollup_written",
            "Values written to the roll-up topic",
            get(&self.counts.written),
        )?;
        page.counter(
            "collect_rollup_failed",
            "Values that could not be written to it",
            get(&self.counts.failed),
        )?;
        page.counter(
            "collect_rollup_refused",
            "Messages of it that are none of a collector's",
            get(&self.refused),
        )
    }
}
