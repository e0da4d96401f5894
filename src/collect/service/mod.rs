//! A collector at work: records from Kafka to the matrix, until it is told to stop.

mod feeder;
mod health;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dt_sink::kafka::group::{Group, GroupConfig, Lag};
use dt_sink::kafka::reader::ReaderError;

use feeder::Feeder;
pub use feeder::Progress;
pub use health::routes;

use crate::diagnosis::ReadShare;
use crate::intake::{Intake, IntakeStats};
use crate::matrix::{Matrix, MatrixConfig};
use crate::observer::Standing;
use crate::rollup::{RollupConfig, Share};

/// As far back as records count.
const REWIND: Duration = Duration::from_secs(3600);

/// What a collector reads, and how much it keeps.
#[derive(Clone, Debug)]
pub struct CollectorConfig {
    /// Brokers, `host:port`, comma-separated.
    pub bootstrap: String,
    /// The summary topic.
    pub topic: String,
    /// The consumer group: collectors of one group share the partitions.
    pub group: String,
    /// Further options of the Kafka client by librdkafka's names.
    pub options: BTreeMap<String, String>,
    /// How much is kept.
    pub matrix: MatrixConfig,
    /// The topic in which collectors share what they know of zones, and what this one is called there; `None` to keep to itself.
    pub rollup: Option<(String, String)>,
}

/// Records on their way from Kafka to a matrix.
#[derive(Debug)]
pub struct Collector {
    matrix: Arc<Matrix>,
    stats: Arc<IntakeStats>,
    progress: Arc<Progress>,
    group: Group,
    share: Option<Share>,
    started: Instant,
}

impl Collector {
    /// Joins the group and begins to read, an hour back. Kafka may come later. To be called within a tokio runtime.
    ///
    /// # Errors
    /// Options that the Kafka client refuses.
    pub fn start(config: CollectorConfig) -> Result<Collector, ReaderError> {
        let matrix = Arc::new(Matrix::new(config.matrix));
        let intake = Intake::new(Arc::clone(&matrix));
        let stats = intake.stats();
        let progress = Arc::new(Progress::default());
        let feeder = Feeder::new(intake, Arc::clone(&progress));
        let share = config.rollup.map(|(topic, collector)| {
            let rollup = RollupConfig {
                bootstrap: config.bootstrap.clone(),
                topic,
                collector,
                options: config.options.clone(),
            };
            Share::start(rollup, Arc::clone(&matrix), Arc::clone(&progress))
        });
        let share = share.transpose()?;
        let group = Group::start(
            GroupConfig {
                bootstrap: config.bootstrap,
                topic: config.topic,
                group: config.group,
                rewind: REWIND,
                client_id: "dt-collect".to_owned(),
                options: config.options,
            },
            feeder,
        )?;
        Ok(Collector {
            matrix,
            stats,
            progress,
            group,
            share,
            started: Instant::now(),
        })
    }

    /// What was made of the records.
    #[must_use]
    pub fn matrix(&self) -> &Arc<Matrix> {
        &self.matrix
    }

    /// What was read.
    #[must_use]
    pub fn stats(&self) -> &Arc<IntakeStats> {
        &self.stats
    }

    /// How far the reading is.
    #[must_use]
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// What all collectors of the roll-up topic know, where they share it.
    #[must_use]
    pub fn share(&self) -> Option<&Share> {
        self.share.as_ref()
    }

    /// For an [`Observer`](crate::Observer): how far the reading has come, and which part of the topic it is.
    pub fn standing(&self) -> impl Fn() -> Standing + Send + 'static {
        let (progress, lag) = (Arc::clone(&self.progress), self.watch_lag());
        move || Standing {
            is_current: progress.was_current(),
            share: lag.partitions().map(|of| ReadShare {
                read: progress.partitions().len(),
                of,
            }),
        }
    }

    /// How many messages of each of this collector's partitions are yet to be read, as of some seconds ago.
    #[must_use]
    pub fn lag(&self) -> BTreeMap<i32, i64> {
        self.group.lag().by_partition()
    }

    /// The same for whoever looks again and again.
    #[must_use]
    pub fn watch_lag(&self) -> Lag {
        self.group.lag().clone()
    }

    /// Whether reading has ended, which it never does by itself.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.group.has_ended()
    }

    /// Leaves the group. Blocks until that is done, which takes a broker that answers.
    pub fn stop(&self) {
        self.group.stop();
    }
}
