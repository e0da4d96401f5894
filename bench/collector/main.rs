//! `cargo run --release -p distributed-trace-bench --bin collector`: what `dt collect` needs for the records of a large cluster,
//! beside the bounds that it is held to. In this process, without Kafka.
//!
//! The exit code is 1 where a bound is exceeded.

mod cluster;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use dt_bench::arguments::Arguments;
use dt_bench::verdict::{HEADING, Verdict};
use dt_bench::{Failure, Result, cpu};
use dt_collect::diagnosis::{Diagnosis, DiagnosisConfig};
use dt_collect::intake::{Intake, Message, Outcome};
use dt_collect::{Ingest, Level, Matrix, MatrixConfig, Snapshot, View};
use dt_probe::ProbeKind;

use cluster::{Cluster, Encoding, WINDOW_MS};

const HELP: &str = "\
collector [throughput] [memory] [views]
  throughput   CPU of one thread per record, JSON and Protobuf
  memory       resident memory for each series after an hour, and so of 1,000 nodes x 250 peers x 2 kinds
  views        CPU of the pictures that page, diagnosis and metrics are made of (no bounds)
Without a name, all of them: about 4 minutes.";

/// Sources, and peers of each: of `throughput` and `views`.
const LARGE: (u32, u32) = (200, 250);
/// Of `memory`: each series has its own, so a part of the cluster shows what all of it needs.
const PART: (u32, u32) = (80, 250);
const SERIES: f64 = 1_000.0 * 250.0 * 2.0;
const BYTES: f64 = 4e9;
const RECORDS: f64 = 1e6;
/// A record taken in, of what it takes `serde_json` to read its text into values of its own, without a look at what they say: on a
/// machine that is slower today the bounds in microseconds are missed, and this isn't.
const OF_PARSING: f64 = 1.5;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("collector: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all bounds hold.
fn run() -> Result<bool> {
    let Some(arguments) = Arguments::read(HELP, std::env::args().skip(1))? else {
        return Ok(true);
    };
    let chosen = arguments.finish(&["throughput", "memory", "views"])?;
    println!("{HEADING}");
    let mut hold = true;
    let mut show = |verdict: Verdict| {
        hold &= verdict.holds();
        println!("{verdict}");
    };
    for name in chosen {
        match name {
            "throughput" => {
                throughput(Encoding::Json, 10.0, &mut show)?;
                throughput(Encoding::Protobuf, 5.0, &mut show)?;
            }
            "memory" => memory(&mut show)?,
            _ => views(&mut show)?,
        }
    }
    Ok(hold)
}

/// A collector fed with windows of a cluster; made and encoded outside of what is measured.
struct Fed {
    matrix: Arc<Matrix>,
    intake: Intake,
    cluster: Cluster,
    encoding: Encoding,
    records: f64,
    used: Duration,
    /// What `serde_json` used to read the same records into its own values, where they are JSON: the machine's measure.
    reference: Duration,
}

impl Fed {
    fn new((sources, peers): (u32, u32), encoding: Encoding) -> Fed {
        let matrix = Arc::new(Matrix::new(MatrixConfig::default()));
        Fed {
            intake: Intake::new(Arc::clone(&matrix)),
            matrix,
            cluster: Cluster::new(sources, peers),
            encoding,
            records: 0.0,
            used: Duration::ZERO,
            reference: Duration::ZERO,
        }
    }

    fn window(&mut self) -> Result {
        for source in 0..self.cluster.sources() {
            let values = self.cluster.window_of(source, self.encoding);
            let now_ms = self.cluster.now_ms();
            let before = cpu::thread_time();
            for value in &values {
                let message = Message {
                    payload: Some(value),
                    content_type: Some(self.encoding.content_type()),
                    ce_id: None,
                    partition: 0,
                };
                let outcome = self.intake.take(&message, now_ms);
                if outcome != Outcome::Record(Ingest::Merged) {
                    return Err(Failure(format!("a record was not taken: {outcome:?}")));
                }
            }
            let between = cpu::thread_time();
            self.used += between - before;
            if self.encoding == Encoding::Json {
                for value in &values {
                    // Never an error: it was taken in just now.
                    let _ = black_box(serde_json::from_slice::<serde_json::Value>(value));
                }
                self.reference += cpu::thread_time() - between;
            }
            self.records += values.len() as f64;
        }
        self.cluster.next_window();
        Ok(())
    }
}

fn throughput(encoding: Encoding, bound: f64, show: &mut dyn FnMut(Verdict)) -> Result {
    let mut fed = Fed::new(LARGE, encoding);
    // The first windows make the series.
    for _ in 0..8 {
        fed.window()?;
    }
    (fed.records, fed.used, fed.reference) = (0.0, Duration::ZERO, Duration::ZERO);
    while fed.records < RECORDS {
        fed.window()?;
    }
    let micros = fed.used.as_secs_f64() * 1e6 / fed.records;
    show(Verdict {
        what: format!("{encoding:?}: us per record, {:.0} records/s on one core", 1e6 / micros),
        figure: micros,
        bound,
        unit: "us",
    });
    if encoding == Encoding::Json {
        show(Verdict {
            what: "Json: taken in, of what serde_json takes to parse it".to_owned(),
            figure: fed.used.as_secs_f64() / fed.reference.as_secs_f64(),
            bound: OF_PARSING,
            unit: "",
        });
    }
    Ok(())
}

fn memory(show: &mut dyn FnMut(Verdict)) -> Result {
    let mut fed = Fed::new(PART, Encoding::Protobuf);
    let before = resident()?;
    // An hour and the windows that each of its ladders begins anew with.
    for _ in 0..3_600_000 / WINDOW_MS + 60 {
        fed.window()?;
    }
    let (now_ms, series) = (fed.cluster.now_ms(), fed.matrix.stats().series as f64);
    let records = (resident()? - before) / series;
    // As a collector holds them at each look.
    let views = [View::Recent, View::Minute, View::Hour].map(|view| fed.matrix.snapshot(view, now_ms));
    let mut diagnosis = Diagnosis::new(DiagnosisConfig::default());
    std::hint::black_box(diagnosis.update(&views[0], &views[1], &views[2]));
    let each = (resident()? - before) / series;
    show(Verdict {
        what: format!(
            "bytes for each series, {records:.0} of them of its records; 1,000 x 250 x 2: {:.2} GB",
            each * SERIES / 1e9
        ),
        figure: each,
        bound: BYTES / SERIES,
        unit: "",
    });
    Ok(())
}

fn views(show: &mut dyn FnMut(Verdict)) -> Result {
    let mut fed = Fed::new(LARGE, Encoding::Protobuf);
    for _ in 0..70 {
        fed.window()?;
    }
    let (now_ms, series) = (fed.cluster.now_ms(), fed.matrix.stats().series as f64);
    let mut time = |what: String, work: &mut dyn FnMut()| {
        let before = cpu::thread_time();
        work();
        show(Verdict {
            what,
            figure: (cpu::thread_time() - before).as_secs_f64() * 1e6 / series,
            bound: f64::INFINITY,
            unit: "us",
        });
    };
    for view in View::ALL {
        time(format!("a snapshot over {view}: us for each series"), &mut || {
            std::hint::black_box(fed.matrix.snapshot(view, now_ms));
        });
    }
    for level in Level::ALL {
        time(format!("one kind by {level} over 1m: us for each series"), &mut || {
            std::hint::black_box(fed.matrix.grouped(level, View::Minute, ProbeKind::Icmp, now_ms));
        });
    }
    let [mut recent, minute, hour] =
        [View::Recent, View::Minute, View::Hour].map(|view| fed.matrix.snapshot(view, now_ms));
    time("a look of the diagnosis: us for each series".to_owned(), &mut || {
        std::hint::black_box(Diagnosis::new(DiagnosisConfig::default()).update(&recent, &minute, &hour));
    });
    break_half(&mut recent);
    time("the same where half is lost everywhere".to_owned(), &mut || {
        std::hint::black_box(Diagnosis::new(DiagnosisConfig::default()).update(&recent, &minute, &hour));
    });
    Ok(())
}

/// Every series loses half of its probes: the most that there can be to explain.
fn break_half(snapshot: &mut Snapshot) {
    for cell in &mut snapshot.cells {
        let lost = cell.counts.received / 2;
        cell.counts.received -= lost;
        cell.counts.lost += lost;
    }
}

/// Resident bytes of this process.
fn resident() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/status").map_err(dt_bench::doing("read /proc/self/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes
        .map(|kilobytes| kilobytes * 1024.0)
        .ok_or_else(|| Failure("no VmRSS in /proc/self/status".to_owned()))
}
