//! The Kafka sink: summary records, keyed and with CloudEvents headers, and the original's TraceReports.
//!
//! One thread owns the producer. Summaries wait in the backlog, where they can still merge, until this node's moment in
//! the window comes ([`spread`]); then they are numbered and handed to librdkafka, at most [`retries::OUTSTANDING_BYTES`]
//! at a time. What librdkafka gives back as failed is handed over again under the same number.

mod context;
mod dating;
pub mod group;
mod message;
mod options;
mod pace;
pub mod reader;
mod retries;
mod set_back;
mod settings;
mod since;
mod spread;
pub mod table;
mod topics;
mod traces;
mod trouble;
mod worker;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dt_record::{Options, Origin, Summary, TraceReport};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::backlog::Backlog;
use crate::config::KafkaConfig;
use crate::publisher::{Left, Sink, StartError};
use crate::stats::{self, InHand, Probes, Stats};
use crate::thread::SinkThread;
#[cfg(feature = "internals")]
pub(crate) use message::headers_of;
pub use options::{OptionsError, read_options};
pub use settings::{check_option, looks_like_option};
use traces::TraceRing;
use worker::Worker;

/// See the module.
#[derive(Debug)]
pub(crate) struct KafkaSink {
    shared: Arc<Shared>,
    trace_reports: bool,
    /// Done when everything has arrived after [`Intake::draining`] was set, or that time is over.
    thread: SinkThread,
}

/// What the agent's side and the thread both reach.
#[derive(Debug)]
struct Shared {
    intake: Mutex<Intake>,
    stats: Stats,
}

#[derive(Debug)]
struct Intake {
    backlog: Backlog,
    traces: TraceRing,
    /// The end of the window that came last, and when its first portion came.
    ended: Option<(u64, Instant)>,
    /// Set once the sink is asked to drain: by when it must have.
    draining: Option<Instant>,
    /// Summaries taken from the backlog whose arrival isn't confirmed.
    in_hand: InHand,
    /// Those among them that are in the spool: the end has come.
    spooled: u64,
}

impl Shared {
    fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gauges(&self, intake: &Intake, moved: impl FnOnce(&mut Probes)) {
        self.stats.waiting(&intake.backlog, intake.in_hand, moved);
    }
}

impl KafkaSink {
    pub(crate) fn start(config: KafkaConfig, origin: Arc<Origin>, options: Options) -> Result<KafkaSink, StartError> {
        let intake = Intake {
            backlog: Backlog::new(config.backlog_bytes),
            traces: TraceRing::default(),
            ended: None,
            draining: None,
            in_hand: InHand::default(),
            spooled: 0,
        };
        let shared = Arc::new(Shared {
            intake: Mutex::new(intake),
            stats: Stats::default(),
        });
        let trace_reports = config.trace_reports;
        let worker = Worker::new(config, origin, options, Arc::clone(&shared))?;
        let thread = SinkThread::start("dt-sink-kafka", "kafka", move || worker.run())?;
        Ok(KafkaSink {
            shared,
            trace_reports,
            thread,
        })
    }
}

impl Sink for KafkaSink {
    fn name(&self) -> &str {
        "kafka"
    }

    fn window(&self, summaries: &[Arc<Summary>]) {
        let stats = &self.shared.stats;
        let mut intake = self.shared.intake();
        let mut dropped = 0;
        for summary in summaries {
            // A window comes in portions: all are due together.
            let ended = match intake.ended {
                Some((window, ended)) if window == summary.window_end_ms => ended,
                _ => intake.ended.insert((summary.window_end_ms, Instant::now())).1,
            };
            let window = Duration::from_millis(summary.window_end_ms.saturating_sub(summary.window_start_ms));
            let due = ended + spread::offset(&summary.pair.source.node, window);
            let pushed = intake.backlog.push(Arc::clone(summary), due);
            stats::add(&stats.merged, pushed.merged);
            stats::add(&stats.dropped, pushed.dropped);
            dropped += pushed.dropped_probes;
        }
        self.shared.gauges(&intake, |probes| {
            probes.accepted += summaries.iter().map(|summary| summary.counts.sent()).sum::<u64>();
            probes.dropped += dropped;
        });
    }

    fn trace(&self, report: &TraceReport) {
        if self.trace_reports {
            let dropped = self.shared.intake().traces.push(report.to_json());
            stats::add(&self.shared.stats.traces_dropped, dropped);
        }
    }

    fn drain(&self, deadline: Instant) -> BoxFuture<'_, Left> {
        async move {
            self.shared.intake().draining = Some(deadline);
            self.thread.done(deadline).await;
            let intake = self.shared.intake();
            let left = intake.backlog.len() as u64 + intake.in_hand.records;
            let spooled = intake.spooled.min(left);
            self.shared
                .stats
                .traces_dropped
                .fetch_add(intake.traces.len() as u64, Relaxed);
            Left {
                unpublished: left - spooled,
                spooled,
            }
        }
        .boxed()
    }

    fn stats(&self) -> &Stats {
        &self.shared.stats
    }
}

impl Drop for KafkaSink {
    fn drop(&mut self) {
        // Without a drain before, nothing that waits is waited for.
        self.shared.intake().draining.get_or_insert_with(Instant::now);
    }
}
