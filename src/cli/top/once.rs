//! One plain summary, where nothing can be drawn or nobody wants it.

use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use dt_collect::clock::now_ms;
use dt_collect::plain::plain;
use dt_collect::terminal::{self, Line};
use dt_collect::{Level, View};
use dt_probe::ProbeKind;
use nix::sys::signal::SigSet;

use super::live::Event;
use super::model::{Finding, Findings, Status, Table};
use super::signals;
use super::source::{Kafka, Server, Source};
use super::times;
use crate::out;

/// The worst pairs that are listed.
const WORST: usize = 20;
/// Kafka may be silent for so long before we give up. As long as messages come, we read.
const SILENCE: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(50);

/// Prints a summary and says how that went. A signal ends it earlier.
pub(super) fn run(source: Source, signals: SigSet, (sender, events): (SyncSender<Event>, Receiver<Event>)) -> ExitCode {
    if let Err(error) = signals::watch(signals, sender) {
        return out::failure(&format!("starting a thread: {error}"));
    }
    let gathered = thread::Builder::new()
        .name("summary".to_owned())
        .spawn(move || match source {
            Source::Kafka(kafka) => of_kafka(&kafka),
            Source::Server(server) => of_server(&server),
        });
    let gathered = match gathered {
        Ok(gathered) => gathered,
        Err(error) => return out::failure(&format!("starting a thread: {error}")),
    };
    while !gathered.is_finished() {
        match events.recv_timeout(LOOK) {
            Ok(Event::Signal(signal)) if signals::is_end(signal) => return ExitCode::SUCCESS,
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    match gathered.join() {
        Ok(Ok(text)) => out::print(&text),
        Ok(Err(why)) => out::failure(&why),
        Err(_) => out::failure("making the summary ended unexpectedly"),
    }
}

fn width() -> u16 {
    terminal_size::terminal_size().map_or(80, |(width, _)| width.0)
}

fn of_kafka(kafka: &Kafka) -> Result<String, String> {
    let (mut read, mut since) = (0, Instant::now());
    while !kafka.has_caught_up() {
        thread::sleep(LOOK);
        let now = kafka.read();
        if now != read {
            (read, since) = (now, Instant::now());
        }
        if since.elapsed() > SILENCE {
            return Err(format!(
                "{}: no answer, or no such topic, for {} s",
                kafka.origin(),
                SILENCE.as_secs()
            ));
        }
    }
    let now_ms = now_ms();
    let table = terminal::summary_table(kafka.matrix(), now_ms, WORST, width());
    Ok(format!("{}{table}", faults(Ok(&kafka.faults(now_ms)), now_ms)))
}

fn of_server(server: &Server) -> Result<String, String> {
    let (mut zones, mut pairs) = (Vec::new(), Vec::new());
    for probe in ProbeKind::ALL {
        zones.extend(lines(&server.table(Level::Zone, View::Minute, *probe)?));
        pairs.extend(lines(&server.table(Level::Node, View::Minute, *probe)?));
    }
    let (found, now_ms) = (server.findings(), now_ms());
    let table = terminal::summary(zones, pairs, WORST, width());
    Ok(format!("{}{table}", faults(found.as_ref(), now_ms)))
}

/// What is at fault, a line each.
fn faults(found: Result<&Findings, &String>, now_ms: u64) -> String {
    let findings = match found {
        Ok(findings) if findings.findings.is_empty() => return format!("{}\n\n", findings.none()),
        Ok(findings) => findings,
        Err(why) => return format!("! {}\n\n", plain(why)),
    };
    let line = |finding: &Finding| {
        let since = finding.since_ms.map(|since| times::span(now_ms.saturating_sub(since)));
        let since = since.map(|since| format!(" (since {since})")).unwrap_or_default();
        format!("! {}{since}\n", plain(&finding.summary))
    };
    let caveat = findings
        .caveat()
        .map(|caveat| format!("({caveat})\n"))
        .unwrap_or_default();
    caveat + &findings.findings.iter().take(WORST).map(line).collect::<String>() + "\n"
}

fn lines(table: &Table) -> impl Iterator<Item = Line> {
    let heard_of = table.cells.iter().filter(|cell| cell.status() != Status::Waiting);
    heard_of.map(|cell| Line {
        source: table
            .group(cell.source)
            .map(|group| group.name.to_string())
            .unwrap_or_default(),
        destination: table
            .group(cell.destination)
            .map(|group| group.name.to_string())
            .unwrap_or_default(),
        probe: table.probe,
        pairs: cell.series,
        is_stale: cell.status() == Status::Stale,
        p50: cell.p50,
        p99: cell.p99,
        loss: cell.loss(),
        host_p99: cell.host_p99,
    })
}
