//! `dt agent` with a spool: what Kafka has not got when an agent is told to end, its next run sends; an agent that is killed
//! loses what it had in memory, and nothing that lay in the spool.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::Path;

use common::{dt, run};
use distributed_trace_tests::agent::{get, text};
use distributed_trace_tests::kafka::{Kafka, Options};
use distributed_trace_tests::loopback::free_port;
use distributed_trace_tests::ping::number;
use distributed_trace_tests::process::{Finished, Process, wait_for};
use distributed_trace_tests::scrape::Scrape;
use distributed_trace_tests::topic;
use nix::sys::signal::Signal;
use serde_json::Value;

const SUMMARIES: &str = "distributedTrace.summaries";

struct Run {
    process: Process,
    http: String,
}

impl Run {
    fn start(kafka: &Kafka, spool: &Path, peers: &Path) -> Run {
        let http = format!("127.0.0.1:{}", free_port("127.0.0.1").unwrap());
        let mut command = dt();
        command
            .args([
                "agent",
                "--node",
                "a",
                "--listen",
                "127.0.0.1:0",
                "--http",
                &http,
                "--peers",
            ])
            .arg(peers)
            .args([
                "--probe",
                "tcp",
                "--method",
                "connect",
                "--window",
                "1s",
                "--interval",
                "100ms",
            ])
            .args(["--kafka-bootstrap", kafka.bootstrap(), "--kafka-spool"])
            .arg(spool);
        let process = Process::spawn("dt agent", &mut command).unwrap();
        Run { process, http }
    }

    /// Waits until its page has this series at this or more, all sums of it coming out right.
    fn reach(&mut self, series: &str, wanted: f64) -> Scrape {
        let http = self.http.clone();
        let what = format!("{series} {wanted}");
        self.process
            .wait_for(&what, |_| {
                let Ok((200, page)) = get(&http, "/metrics") else {
                    return Ok(None);
                };
                let scrape = Scrape::of(&page);
                scrape.balance()?;
                Ok((scrape.get(series)? >= wanted).then_some(scrape))
            })
            .unwrap()
    }

    fn end(self) -> Finished {
        let ended = self.process.terminate().unwrap().expect_code(0).unwrap();
        assert!(!ended.stderr.contains("don't balance"), "{ended}");
        ended
    }
}

/// The windows in the topic by the run that measured them, repeats dropped: no number is missing in any run, and no window of it
/// comes twice.
fn windows(kafka: &Kafka) -> BTreeMap<String, Vec<(u64, u64)>> {
    let mut runs: BTreeMap<String, BTreeMap<u64, Value>> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for record in topic::read(kafka.bootstrap(), SUMMARIES).unwrap() {
        let value = record.json().unwrap();
        if ids.insert(record.headers["ce_id"].clone()) {
            let run = runs.entry(text(&value, "boot_id").unwrap().to_owned()).or_default();
            let before = run.insert(number(&value, "seq").unwrap(), value);
            assert!(before.is_none(), "{before:?}");
        }
    }
    let of = |run: BTreeMap<u64, Value>| {
        let numbers: Vec<_> = run.keys().copied().collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        let windows: Vec<_> = run
            .values()
            .map(|value| {
                (
                    number(value, "window_start_ms").unwrap(),
                    number(value, "window_end_ms").unwrap(),
                )
            })
            .collect();
        assert!(windows.windows(2).all(|two| two[0].1 == two[1].0), "{windows:?}");
        windows
    };
    runs.into_iter().map(|(name, run)| (name, of(run))).collect()
}

fn files(spool: &Path) -> usize {
    std::fs::read_dir(spool).unwrap().count()
}

#[test]
fn what_is_left_at_an_end_is_sent_by_the_next_run() {
    let mut kafka = Kafka::new_stopped(&Options {
        auto_create_topics: false,
        ..Options::default()
    });
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    std::fs::create_dir(&spool).unwrap();
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let entry = format!(
        "[[peer]]\nnode = \"b\"\naddress = \"127.0.0.2\"\nport = {}\n",
        listener.local_addr().unwrap().port()
    );
    let peers = common::file(&folder, "peers.toml", &entry);

    // Told to end, with nobody there to write to.
    let mut first = Run::start(&kafka, &spool, &peers);
    first.reach("dt_sink_backlog_records{sink=\"kafka\"}", 3.0);
    let said = first.end().stderr;
    assert!(
        said.contains("records are left in the spool") && !said.contains("records not published"),
        "{said}"
    );
    assert_eq!(files(&spool), 1);

    // Killed: what it had in memory is lost, as is said; what lies in the spool is not.
    let mut second = Run::start(&kafka, &spool, &peers);
    let seen = second.reach("dt_sink_backlog_records{sink=\"kafka\"}", 2.0);
    assert!(seen.get("dt_sink_spool_records{sink=\"kafka\"}").unwrap() >= 3.0);
    second.process.signal(Signal::SIGKILL).unwrap();
    wait_for("its end", || second.process.ended()).unwrap();
    assert_eq!(files(&spool), 1);

    // Somebody's file among them, and one that was half written.
    std::fs::write(spool.join("0000000000000-x.spool"), "not one of ours\n").unwrap();
    std::fs::write(spool.join("0000000000000-y.spool.half"), "{").unwrap();
    let mut third = Run::start(&kafka, &spool, &peers);
    third.reach("dt_sink_backlog_records{sink=\"kafka\"}", 2.0);
    kafka.start_again();
    third.reach("dt_sink_spool_sent_total{sink=\"kafka\"}", 3.0);
    let sent = third.reach("dt_sink_records_total{sink=\"kafka\"}", 3.0);
    assert_eq!(sent.count("dt_sink_spool_records{sink=\"kafka\"}").unwrap(), 0);
    assert_eq!(sent.count("dt_sink_spool_set_aside_total{sink=\"kafka\"}").unwrap(), 1);
    let said = third.end().stderr;
    assert!(
        said.contains("a file of the spool can't be read") && !said.contains("records are left"),
        "{said}"
    );
    let left: Vec<_> = std::fs::read_dir(&spool)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["0000000000000-x.spool.set-aside"]);

    let runs: Vec<_> = windows(&kafka).into_values().collect();
    assert_eq!(runs.len(), 2, "the killed one left nothing: {runs:?}");
    assert!(runs.iter().all(|windows| windows.len() >= 3), "{runs:?}");
}

#[test]
fn a_spool_that_is_no_folder_is_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let peers = common::file(&folder, "peers.toml", "");
    let arguments = [
        "agent",
        "--listen",
        "127.0.0.1:0",
        "--http",
        "off",
        "--peers",
        peers.to_str().unwrap(),
    ];
    let ran = run(
        &[&arguments[..], &["--probe", "grpc", "--kafka-spool", "/no/such/folder"]].concat(),
        &[],
    );
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.err.contains("/no/such/folder") && ran.err.contains("accepted: a folder"),
        "{ran:?}"
    );
}
