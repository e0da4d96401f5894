//! Standard output and files: one JSON record a line, flushed once a window.
//!
//! Lines stay whole: after a failed or partial write (a full disk, a blocked pipe) the sink goes on exactly where it
//! stopped. What waits meanwhile is bounded like for every sink.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use dt_record::{Options, Origin, Summary, SummaryRecord};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::backlog::{Backlog, DEFAULT_BOUND_BYTES};
use crate::publisher::{Left, Sink, StartError};
use crate::stats::{self, InHand, Probes, Stats, Trouble};
use crate::thread::SinkThread;

/// How much is numbered and serialized ahead of the write; the rest waits where it can still merge.
const CHUNK_BYTES: usize = 256 << 10;
/// Fewer than so many waiting are written in some milliseconds.
const FEW_WAIT: usize = 1024;
/// How long to wait after a failed write.
const RETRY: Duration = Duration::from_millis(500);

/// A sink that writes lines.
#[derive(Debug)]
pub(crate) struct LineSink {
    name: String,
    shared: Arc<Shared>,
    /// Done when everything is written after [`Intake::draining`] was set, or the sink is closed.
    thread: SinkThread,
}

#[derive(Debug)]
struct Shared {
    intake: Mutex<Intake>,
    woken: Condvar,
    stats: Stats,
}

#[derive(Debug)]
struct Intake {
    backlog: Backlog,
    draining: bool,
    /// Summaries taken from the backlog and not yet written and flushed.
    in_hand: InHand,
}

impl Shared {
    fn intake(&self) -> MutexGuard<'_, Intake> {
        // A panic elsewhere can't leave a backlog half changed in a way that matters more than going on.
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gauges(&self, intake: &Intake, moved: impl FnOnce(&mut Probes)) {
        self.stats.waiting(&intake.backlog, intake.in_hand, moved);
    }
}

impl LineSink {
    /// Standard output of this process.
    pub(crate) fn stdout(origin: Arc<Origin>, options: Options) -> Result<LineSink, StartError> {
        // The descriptor itself, since std's own buffer would hide how much of a line was written.
        let out = io::stdout().as_fd().try_clone_to_owned().map_err(StartError::Stdout)?;
        LineSink::start("stdout".to_owned(), File::from(out), origin, options)
    }

    /// Appends to the file at `path`, creating it where it isn't there.
    pub(crate) fn file(path: PathBuf, origin: Arc<Origin>, options: Options) -> Result<LineSink, StartError> {
        let name = format!("file:{}", path.display());
        let out = OpenOptions::new().create(true).append(true).open(&path);
        let out = out.map_err(|error| StartError::File { path, error })?;
        LineSink::start(name, out, origin, options)
    }

    fn start(
        name: String,
        out: impl Write + Send + 'static,
        origin: Arc<Origin>,
        options: Options,
    ) -> Result<LineSink, StartError> {
        let intake = Intake {
            backlog: Backlog::new(DEFAULT_BOUND_BYTES),
            draining: false,
            in_hand: InHand::default(),
        };
        let shared = Arc::new(Shared {
            intake: Mutex::new(intake),
            woken: Condvar::new(),
            stats: Stats::default(),
        });
        shared.stats.success();
        let writer = Writer {
            name: name.clone(),
            shared: Arc::clone(&shared),
            out,
            origin,
            options,
            seq: 0,
            pending: Vec::new(),
            written: 0,
        };
        let thread = SinkThread::start("dt-sink-lines", &name, move || writer.run())?;
        Ok(LineSink { name, shared, thread })
    }
}

impl Sink for LineSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn window(&self, summaries: &[Arc<Summary>]) {
        let stats = &self.shared.stats;
        let mut intake = self.shared.intake();
        let accepted: u64 = summaries.iter().map(|summary| summary.counts.sent()).sum();
        if stats.closed.load(std::sync::atomic::Ordering::Relaxed) {
            stats::add(&stats.dropped, summaries.len() as u64);
            self.shared.gauges(&intake, |probes| {
                probes.accepted += accepted;
                probes.dropped += accepted;
            });
            return;
        }
        let (now, mut dropped) = (Instant::now(), 0);
        for summary in summaries {
            let pushed = intake.backlog.push(Arc::clone(summary), now);
            stats::add(&stats.merged, pushed.merged);
            stats::add(&stats.dropped, pushed.dropped);
            dropped += pushed.dropped_probes;
        }
        self.shared.gauges(&intake, |probes| {
            probes.accepted += accepted;
            probes.dropped += dropped;
        });
        self.shared.woken.notify_one();
    }

    fn keeps_up(&self) -> bool {
        self.shared.intake().backlog.len() < FEW_WAIT
    }

    fn drain(&self, deadline: Instant) -> BoxFuture<'_, Left> {
        async move {
            self.shared.intake().draining = true;
            self.shared.woken.notify_one();
            self.thread.done(deadline).await;
            let intake = self.shared.intake();
            Left {
                unpublished: intake.backlog.len() as u64 + intake.in_hand.records,
                spooled: 0,
            }
        }
        .boxed()
    }

    fn stats(&self) -> &Stats {
        &self.shared.stats
    }
}

impl Drop for LineSink {
    fn drop(&mut self) {
        // Lets the thread write what waits, and end.
        self.shared.intake().draining = true;
        self.shared.woken.notify_one();
    }
}

/// The thread's side.
struct Writer<W> {
    name: String,
    shared: Arc<Shared>,
    out: W,
    origin: Arc<Origin>,
    options: Options,
    seq: u64,
    /// Whole lines, serialized.
    pending: Vec<u8>,
    /// How much of `pending` the system has taken.
    written: usize,
}

impl<W: Write> Writer<W> {
    fn run(mut self) {
        loop {
            if !self.wait_for_work() {
                return;
            }
            self.take_chunk();
            while let Err(error) = self.write_pending() {
                let stats = &self.shared.stats;
                stats::add(&stats.failed, 1);
                let was_good = stats.error(Trouble::Records, error.to_string());
                if error.kind() == ErrorKind::BrokenPipe {
                    tracing::error!(
                        sink = self.name,
                        "nobody reads the records any more; they are dropped from now on"
                    );
                    return self.close();
                }
                if was_good {
                    tracing::error!(sink = self.name, %error, "writing records failed; they wait and are written when it works again");
                }
                if self.shared.intake().draining && error.kind() != ErrorKind::WouldBlock {
                    // The end is near, and waiting for a disk to have room again is not worth the deadline.
                    thread::sleep(RETRY.min(Duration::from_millis(50)));
                } else {
                    thread::sleep(RETRY);
                }
                stats::add(&stats.retried, 1);
            }
            if self.shared.stats.success() {
                tracing::info!(sink = self.name, "writing records works again");
            }
            let mut intake = self.shared.intake();
            let written = std::mem::take(&mut intake.in_hand);
            stats::add(&self.shared.stats.published, written.records);
            self.shared.gauges(&intake, |probes| probes.published += written.probes);
        }
    }

    /// Sleeps until something waits. False where nothing does and nothing will.
    fn wait_for_work(&self) -> bool {
        let mut intake = self.shared.intake();
        loop {
            if intake.backlog.len() > 0 {
                return true;
            }
            if intake.draining {
                return false;
            }
            intake = self.shared.woken.wait(intake).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Numbers and serializes as much as fits a chunk.
    fn take_chunk(&mut self) {
        self.pending.clear();
        self.written = 0;
        while self.pending.len() < CHUNK_BYTES {
            let Some(summary) = ({
                let mut intake = self.shared.intake();
                let summary = intake.backlog.pop(Instant::now());
                if let Some(summary) = &summary {
                    intake.in_hand.take(summary.counts.sent());
                }
                summary
            }) else {
                break;
            };
            self.seq += 1;
            let record = SummaryRecord::new(&summary, &self.origin, self.seq, self.options);
            self.pending.extend_from_slice(&record.to_json());
            self.pending.push(b'\n');
        }
    }

    fn write_pending(&mut self) -> io::Result<()> {
        while self.written < self.pending.len() {
            match self.out.write(&self.pending[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => self.written += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.flush()
    }

    /// Gives up for good.
    fn close(self) {
        let stats = &self.shared.stats;
        let mut intake = self.shared.intake();
        stats.closed.store(true, std::sync::atomic::Ordering::Relaxed);
        stats::add(&stats.dropped, intake.backlog.len() as u64 + intake.in_hand.records);
        let dropped = intake.backlog.probes() + intake.in_hand.probes;
        intake.in_hand = InHand::default();
        intake.backlog = Backlog::new(DEFAULT_BOUND_BYTES);
        self.shared.gauges(&intake, |probes| probes.dropped += dropped);
    }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
