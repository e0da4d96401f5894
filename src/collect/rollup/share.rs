//! Writing this collector's part, and reading everybody's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use dt_sink::kafka::reader::{Reader, ReaderConfig, ReaderError, Start};
use dt_sink::kafka::table::{Table, TableConfig, TableCounts};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::table::{Applied, RollupTable};
use crate::clock::now_ms;
use crate::matrix::Matrix;
use crate::service::Progress;

/// How often a collector writes its part.
const EVERY: Duration = Duration::from_secs(10);
/// It takes at most this part of a processor's time: of very many series the sums are made less often.
const REST: u32 = 10;

/// Where the parts are shared.
#[derive(Clone, Debug)]
pub struct RollupConfig {
    /// Brokers, `host:port`, comma-separated.
    pub bootstrap: String,
    /// The topic.
    pub topic: String,
    /// What this collector is called in it.
    pub collector: String,
    /// Further options of the Kafka client by librdkafka's names.
    pub options: BTreeMap<String, String>,
}

/// The sharing at work. Ends when dropped.
#[derive(Debug)]
pub struct Share {
    table: Arc<RollupTable>,
    refused: Arc<AtomicU64>,
    counts: Arc<TableCounts>,
    tasks: [JoinHandle<()>; 2],
}

impl Share {
    /// Begins to read and to write. To be called within a tokio runtime.
    ///
    /// # Errors
    /// Options that the Kafka client refuses.
    pub fn start(config: RollupConfig, matrix: Arc<Matrix>, progress: Arc<Progress>) -> Result<Share, ReaderError> {
        let writer = Arc::new(Table::new(TableConfig {
            bootstrap: config.bootstrap.clone(),
            topic: config.topic.clone(),
            client_id: "dt-collect-rollup".to_owned(),
            options: config.options.clone(),
        })?);
        let reader = Reader::start(ReaderConfig {
            bootstrap: config.bootstrap,
            topic: config.topic,
            start: Start::Beginning,
            client_id: "dt-collect-rollup".to_owned(),
            options: config.options,
        })?;
        let table = Arc::new(RollupTable::default());
        let refused = Arc::new(AtomicU64::new(0));
        let counts = Arc::clone(writer.counts());
        let tasks = [
            tokio::spawn(read(reader, Arc::clone(&table), Arc::clone(&refused))),
            tokio::spawn(write(writer, config.collector, matrix, progress, Arc::clone(&table))),
        ];
        Ok(Share {
            table,
            refused,
            counts,
            tasks,
        })
    }

    /// What all collectors have written.
    #[must_use]
    pub fn table(&self) -> &Arc<RollupTable> {
        &self.table
    }

    /// Messages of the topic that are none of ours.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// The same for whoever looks again and again.
    #[must_use]
    pub fn watch_refused(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.refused)
    }

    /// What became of what was written.
    #[must_use]
    pub fn counts(&self) -> &Arc<TableCounts> {
        &self.counts
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn read(mut reader: Reader, table: Arc<RollupTable>, refused: Arc<AtomicU64>) {
    while let Some(message) = reader.next().await {
        let key = message.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        let applied = key.map_or(Applied::Refused, |key| table.apply(key, message.payload.as_deref()));
        if applied == Applied::Refused {
            refused.fetch_add(1, Relaxed);
        }
    }
}

async fn write(
    writer: Arc<Table>,
    collector: String,
    matrix: Arc<Matrix>,
    progress: Arc<Progress>,
    table: Arc<RollupTable>,
) {
    writer.ensure().await;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A partition that is still being read an hour back says too little yet: what was written of it before stands.
        let partitions = progress.current_partitions();
        let (writer, collector, matrix, table) = (
            Arc::clone(&writer),
            collector.clone(),
            Arc::clone(&matrix),
            Arc::clone(&table),
        );
        let work = move || write_once(&writer, &collector, &matrix, &table, &partitions);
        let began = tokio::time::Instant::now();
        if tokio::task::spawn_blocking(work).await.is_err() {
            tracing::error!("adding the zones up failed");
        }
        tokio::time::sleep(began.elapsed() * REST).await;
    }
}

fn write_once(writer: &Table, collector: &str, matrix: &Matrix, table: &RollupTable, partitions: &BTreeSet<i32>) {
    if partitions.is_empty() {
        return;
    }
    let mut gone = table.keys_of(partitions);
    for partial in matrix.partials(collector, now_ms()) {
        if partitions.contains(&partial.partition)
            && let Ok(value) = serde_json::to_vec(&partial)
        {
            let key = partial.key();
            gone.remove(&key);
            writer.put(&key, Some(&value));
        }
    }
    for key in gone {
        writer.put(&key, None);
    }
}
