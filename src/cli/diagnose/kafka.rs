//! The last hour of the summary topic, looked at once.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use dt_agent::config::{Kafka, duration};
use dt_collect::clock::now_ms;
use dt_collect::diagnosis::{Diagnosis, DiagnosisConfig, Findings};
use dt_collect::intake::{Intake, Message};
use dt_collect::{Matrix, MatrixConfig, View};
use dt_sink::kafka::reader::{Reader, ReaderConfig, ReaderError, Start};
use tokio::time::{Instant, timeout, timeout_at};

use crate::out;

/// How long to wait for a message before it is asked again whether there are any more.
const TURN: Duration = Duration::from_millis(100);

/// What is asked for.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) since: Duration,
    pub(super) window: Duration,
    pub(super) patience: Duration,
    pub(super) cluster: String,
}

/// Begins to read `since` ago.
pub(super) fn start(kafka: Kafka, since: Duration) -> Result<Reader, ReaderError> {
    let options = kafka.all_options();
    Reader::start(ReaderConfig {
        bootstrap: kafka.bootstrap,
        topic: kafka.summary_topic,
        start: Start::Ago(since),
        client_id: "dt-diagnose".to_owned(),
        options,
    })
}

/// Reads to the end, and looks.
pub(super) async fn read(mut reader: Reader, task: &Task) -> Result<Findings, String> {
    let matrix = Arc::new(Matrix::new(MatrixConfig {
        window: task.window,
        cluster: task.cluster.clone(),
        ..MatrixConfig::default()
    }));
    let mut intake = Intake::new(Arc::clone(&matrix));
    let deadline = Instant::now() + task.patience;
    let reading = async {
        while !reader.has_caught_up() {
            let Ok(next) = timeout(TURN, reader.next()).await else {
                continue;
            };
            let message = next.ok_or("reading Kafka ended")?;
            let read = Message {
                payload: message.payload.as_deref(),
                content_type: message.header("content-type"),
                ce_id: message.header("ce_id"),
                partition: message.partition,
            };
            intake.take(&read, now_ms());
        }
        Ok::<(), &str>(())
    };
    match timeout_at(deadline, reading).await {
        Ok(read) => read?,
        Err(_) => {
            return Err(format!(
                "Kafka was not read to its end within {}; accepted: a longer --timeout, a shorter --since, or a collector's --url",
                duration::format(task.patience)
            ));
        }
    }
    let stats = intake.stats();
    out::say(&format!("{} records read", stats.merged.load(Relaxed)));
    if matrix.stats().full > 0 {
        out::say("warning: there are more series than are kept; ask the collectors by --url");
    }
    Ok(look(&matrix))
}

fn look(matrix: &Matrix) -> Findings {
    // There is no second look that could tell whether records are yet to come.
    let mut diagnosis = Diagnosis::new(DiagnosisConfig {
        blind_after: Duration::ZERO,
        ..DiagnosisConfig::default()
    });
    let now_ms = now_ms();
    let [recent, minute, hour] = [View::Recent, View::Minute, View::Hour].map(|view| matrix.snapshot(view, now_ms));
    (*diagnosis.update(&recent, &minute, &hour)).clone()
}
