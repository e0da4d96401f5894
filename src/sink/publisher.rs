//! The one thing the agent talks to: it hands each window to every sink, and never waits for one.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use dt_record::{Options, Origin, Summary, TraceReport};
use futures::future::{BoxFuture, join_all};

use crate::config::SinkConfig;
use crate::kafka::KafkaSink;
use crate::lines::LineSink;
use crate::stats::{Snapshot, Stats};

/// One place where records go. Implementations buffer in bounded memory and do their work on a thread of their own:
/// none of these methods may wait for the other side.
pub trait Sink: Send + Sync {
    /// Names the sink in logs and metrics: `kafka`, `stdout`, `file:PATH`.
    fn name(&self) -> &str;

    /// Takes summaries of the window that has just ended; more of them may follow.
    fn window(&self, summaries: &[Arc<Summary>]);

    /// Whether it would write more at once, rather than let it wait. A sink that says no is still handed everything in
    /// time; one that holds records back on purpose says yes.
    fn keeps_up(&self) -> bool {
        true
    }

    /// Takes the report of one gRPC ping. Most sinks don't want it.
    fn trace(&self, report: &TraceReport) {
        let _ = report;
    }

    /// Publishes everything that waits at once and flushes. Resolves when all has arrived or at `deadline`, with the
    /// numbers of summaries that have not. The sink takes nothing more afterwards.
    fn drain(&self, deadline: Instant) -> BoxFuture<'_, Left>;

    /// Its counters.
    fn stats(&self) -> &Stats;
}

/// Why the sinks could not be started. A service that is down is no reason.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file of a file sink.
    #[error("sink file:{}: opening it for appending: {error}", path.display())]
    File {
        /// As configured.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Standard output can't be written to.
    #[error("sink stdout: {0}")]
    Stdout(std::io::Error),
    /// The file of options.
    #[error("sink kafka: {0}; accepted: NAME=VALUE lines with librdkafka's options in `kafka.options_file`")]
    Options(#[from] crate::kafka::OptionsError),
    /// The folder of what was not delivered.
    #[error("sink kafka: the spool {}: {error}; accepted: a folder that is there and may be written to", path.display())]
    Spool {
        /// As configured.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The Kafka client refuses its options.
    #[error("sink kafka: {0}; accepted: librdkafka's options in `kafka.options`, and what this build supports")]
    Kafka(rdkafka::error::KafkaError),
    /// The system gave no thread.
    #[error("sink {sink}: starting its thread: {error}")]
    Thread {
        /// The sink's name.
        sink: String,
        /// What the system said.
        error: std::io::Error,
    },
}

/// What a sink had not published when it was drained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drained {
    /// The sink's name.
    pub sink: String,
    /// Summaries that did not arrive by the deadline, and are lost.
    pub unpublished: u64,
    /// Summaries that did not arrive, and are kept for the next run.
    pub spooled: u64,
}

/// Summaries that a sink had not published by the deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Lost.
    pub unpublished: u64,
    /// Kept for the next run.
    pub spooled: u64,
}

/// All sinks of an agent.
pub struct Publisher {
    sinks: Vec<Box<dyn Sink>>,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.sinks.iter().map(|sink| sink.name()))
            .finish()
    }
}

impl Publisher {
    /// Starts every configured sink. Each numbers its records from 1 on its own.
    ///
    /// # Errors
    /// A file that can't be opened, or options that the Kafka client refuses. A broker that is down is none.
    pub fn start(configs: Vec<SinkConfig>, origin: Origin, options: Options) -> Result<Publisher, StartError> {
        let origin = Arc::new(origin);
        let mut sinks: Vec<Box<dyn Sink>> = Vec::with_capacity(configs.len());
        for config in configs {
            let origin = Arc::clone(&origin);
            sinks.push(match config {
                SinkConfig::Kafka(config) => Box::new(KafkaSink::start(config, origin, options)?),
                SinkConfig::Stdout => Box::new(LineSink::stdout(origin, options)?),
                SinkConfig::File(path) => Box::new(LineSink::file(path, origin, options)?),
            });
        }
        Ok(Publisher { sinks })
    }

    /// A publisher of sinks built elsewhere.
    #[must_use]
    pub fn of(sinks: Vec<Box<dyn Sink>>) -> Publisher {
        Publisher { sinks }
    }

    /// Hands over summaries of the window that has just ended, all or some of them. Never waits.
    pub fn window(&self, summaries: Vec<Summary>) {
        let summaries: Vec<_> = summaries.into_iter().map(Arc::new).collect();
        for sink in &self.sinks {
            sink.window(&summaries);
        }
    }

    /// Whether all sinks would write more at once.
    #[must_use]
    pub fn keeps_up(&self) -> bool {
        self.sinks.iter().all(|sink| sink.keeps_up())
    }

    /// Hands over the report of one gRPC ping. Never waits.
    pub fn trace(&self, report: &TraceReport) {
        for sink in &self.sinks {
            sink.trace(report);
        }
    }

    /// Publishes everything that waits, at once instead of spread over the window, and flushes, all sinks at the same
    /// time, until `deadline` at the latest. Nothing handed over later is published.
    pub async fn drain(&self, deadline: tokio::time::Instant) -> Vec<Drained> {
        let deadline = deadline.into_std();
        let drains = self.sinks.iter().map(async |sink| {
            let Left { unpublished, spooled } = sink.drain(deadline).await;
            Drained {
                sink: sink.name().to_owned(),
                unpublished,
                spooled,
            }
        });
        join_all(drains).await
    }

    /// (name, numbers) of each sink.
    #[must_use]
    pub fn stats(&self) -> Vec<(&str, Snapshot)> {
        self.sinks
            .iter()
            .map(|sink| (sink.name(), sink.stats().snapshot()))
            .collect()
    }
}
