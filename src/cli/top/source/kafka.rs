//! Records of Kafka, read without a group and merged in memory. A thread of its own reads.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dt_collect::clock::now_ms;
use dt_collect::diagnosis::{Diagnosis, DiagnosisConfig};

use dt_collect::intake::{Intake, IntakeStats, Message};
use dt_collect::{Level, Matrix, MatrixConfig, View};
use dt_sink::kafka::reader::{Reader, ReaderConfig};

use super::first_table;
use crate::top::model::{Findings, Look, PairView, Picture, Table, Want};
use crate::top::times;

/// How long the thread waits for a message before it looks whether it is at the end.
const TURN: Duration = Duration::from_millis(100);
/// Faults are looked for this often, and after each look at least so many times as long as it took.
const LOOK: Duration = Duration::from_secs(5);
const REST: u32 = 20;

#[derive(Debug)]
pub(crate) struct Kafka {
    origin: String,
    matrix: Arc<Matrix>,
    stats: Arc<IntakeStats>,
    has_caught_up: Arc<AtomicBool>,
    /// What the last look for faults found; nothing before the first.
    findings: Arc<Mutex<Option<Arc<Findings>>>>,
    thread: JoinHandle<()>,
}

impl Kafka {
    /// Starts reading.
    ///
    /// # Errors
    /// Options that the client refuses, or no thread to be had.
    pub(crate) fn start(config: ReaderConfig, matrix: MatrixConfig) -> Result<Kafka, String> {
        let origin = format!("Kafka {}, {}", config.bootstrap, config.topic);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| format!("starting the runtime: {error}"))?;
        let reader = Reader::start(config).map_err(|error| error.to_string())?;
        let matrix = Arc::new(Matrix::new(matrix));
        let intake = Intake::new(Arc::clone(&matrix));
        let (stats, has_caught_up) = (intake.stats(), Arc::<AtomicBool>::default());
        let caught_up = Arc::clone(&has_caught_up);
        let thread = thread::Builder::new()
            .name("intake".to_owned())
            .spawn(move || runtime.block_on(take_all(reader, intake, &caught_up)))
            .map_err(|error| format!("starting a thread: {error}"))?;
        Ok(Kafka {
            origin,
            matrix,
            stats,
            has_caught_up,
            findings: Arc::default(),
            thread,
        })
    }

    /// Looks for faults from now on, on a thread of its own: three times the whole matrix is more than a key should wait for.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub(crate) fn diagnose(&self) -> io::Result<()> {
        let matrix = Arc::clone(&self.matrix);
        let (has_caught_up, findings) = (Arc::clone(&self.has_caught_up), Arc::clone(&self.findings));
        let look = move || {
            let mut diagnosis = Diagnosis::new(DiagnosisConfig::default());
            loop {
                let began = Instant::now();
                // What was read halfway looks like agents that fell silent.
                if has_caught_up.load(Relaxed) {
                    let now_ms = now_ms();
                    let found = diagnosed(&matrix, &mut diagnosis, now_ms);
                    *findings.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(found));
                    thread::sleep(LOOK.max(began.elapsed() * REST));
                } else {
                    thread::sleep(TURN);
                }
            }
        };
        thread::Builder::new()
            .name("diagnosis".to_owned())
            .spawn(look)
            .map(drop)
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) fn matrix(&self) -> &Matrix {
        &self.matrix
    }

    /// Messages read so far, whatever they were.
    pub(crate) fn read(&self) -> u64 {
        let is_message = |name: &str| !matches!(name, "bytes" | "newest_end_ms");
        let counts = self.stats.all().into_iter();
        counts
            .filter(|(name, _)| is_message(name))
            .map(|(_, count)| count)
            .sum()
    }

    /// Whether all that there was at the start has been read.
    pub(crate) fn has_caught_up(&self) -> bool {
        self.has_caught_up.load(Relaxed)
    }

    /// One look for faults.
    pub(crate) fn faults(&self, now_ms: u64) -> Findings {
        // There is no second look that could tell whether records are yet to come.
        let config = DiagnosisConfig {
            blind_after: Duration::ZERO,
            ..DiagnosisConfig::default()
        };
        diagnosed(&self.matrix, &mut Diagnosis::new(config), now_ms)
    }

    pub(crate) fn look(&mut self, want: &Want) -> Look {
        if self.thread.is_finished() {
            return Err("reading from Kafka ended unexpectedly".to_owned());
        }
        let now_ms = now_ms();
        let table = |level, probe| Table::of(self.matrix.grouped(level, want.view, probe, now_ms));
        let map = first_table(want.probe, |probe| table(want.level, probe))?;
        let nodes = if want.level == Level::Node {
            Arc::clone(&map)
        } else {
            Arc::new(table(Level::Node, map.probe)?)
        };
        let pair = want.pair.as_ref().and_then(|(source, destination)| {
            let there = self.matrix.pair(source, destination, want.view, now_ms);
            let back = self.matrix.pair(destination, source, want.view, now_ms);
            PairView::new(now_ms, want.view, there, back)
        });
        Ok(Picture {
            map,
            nodes,
            findings: self.findings(),
            pair,
            news: self.news(now_ms),
            notes: Vec::new(),
        })
    }

    fn findings(&self) -> Result<Arc<Findings>, String> {
        let findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        findings.ok_or_else(|| "faults are looked for once all that was is read".to_owned())
    }

    /// How far the reading has come.
    fn news(&self, now_ms: u64) -> String {
        let newest = self.stats.newest_end_ms.load(Relaxed);
        let skipped = self.stats.foreign.load(Relaxed) + self.stats.malformed.load(Relaxed);
        let mut news = match (newest, self.has_caught_up()) {
            (0, false) => "no record yet".to_owned(),
            (0, true) => "no record in the topic yet".to_owned(),
            (newest, false) => format!("reading what was, now at {}", times::clock(newest)),
            (newest, true) => format!("newest record {} ago", times::span(now_ms.saturating_sub(newest))),
        };
        if skipped > 0 {
            news.push_str(&format!(", {skipped} messages not understood"));
        }
        news
    }
}

fn diagnosed(matrix: &Matrix, diagnosis: &mut Diagnosis, now_ms: u64) -> Findings {
    let [recent, minute, hour] = [View::Recent, View::Minute, View::Hour].map(|view| matrix.snapshot(view, now_ms));
    Findings::from(&*diagnosis.update(&recent, &minute, &hour))
}

async fn take_all(mut reader: Reader, mut intake: Intake, has_caught_up: &AtomicBool) {
    loop {
        match tokio::time::timeout(TURN, reader.next()).await {
            Ok(Some(received)) => {
                let message = Message {
                    payload: received.payload.as_deref(),
                    content_type: received.header("content-type"),
                    ce_id: received.header("ce_id"),
                    partition: received.partition,
                };
                if has_caught_up.load(Relaxed) {
                    intake.end_of_past(received.partition);
                }
                intake.take(&message, now_ms());
            }
            Ok(None) => return,
            Err(_) => {}
        }
        if reader.has_caught_up() {
            has_caught_up.store(true, Relaxed);
        }
    }
}
