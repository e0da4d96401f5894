//! After the end: each life's records in Kafka against those in its own file, and what it said.

use super::life::{Ending, Life};
use crate::agent::{by_pair, text};
use crate::error::Result;
use crate::guide::{self, Line};
use crate::loopback::SUMMARIES;
use crate::merged::COUNTS;
use crate::ping::number;
use crate::topic::{self, Record};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a life came to.
#[derive(Debug, Default)]
pub(super) struct Audit {
    pub(super) in_file: usize,
    pub(super) in_kafka: usize,
    pub(super) repeats: usize,
    /// Records of the file that are several windows in one, in Kafka.
    pub(super) merged: usize,
    /// Records that went down with a killed process.
    pub(super) gone: usize,
    pub(super) sent: u64,
    pub(super) failed: u64,
    /// Medians of the resident memory, kilobytes: of the middle third and of the last, and the most there was.
    pub(super) memory: Option<(u64, u64, u64)>,
    pub(super) wrong: Vec<String>,
}

/// Records of one agent's life as consumers have them: each once.
#[derive(Debug, Default)]
struct Read {
    values: BTreeMap<u64, Value>,
    repeats: usize,
}

/// All that is in Kafka, by `boot_id`.
pub(super) struct Topic(BTreeMap<String, Read>);

impl Topic {
    pub(super) fn read(bootstrap: &str) -> Result<Topic> {
        let mut all: BTreeMap<String, Read> = BTreeMap::new();
        let mut seen: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for record in topic::read(bootstrap, SUMMARIES)? {
            let value = record.json()?;
            let life = all.entry(text(&value, "boot_id")?.to_owned()).or_default();
            let Record {
                headers, value: bytes, ..
            } = record;
            let id = headers.get("ce_id").cloned().unwrap_or_default();
            match seen.get(&id) {
                Some(before) if *before == bytes => life.repeats += 1,
                Some(_) => crate::fail!("two records are called {id}"),
                None => {
                    seen.insert(id, bytes);
                    let seq = number(&value, "seq")?;
                    if life.values.insert(seq, value).is_some() {
                        crate::fail!("two records have seq {seq} of one life");
                    }
                }
            }
        }
        Ok(Topic(all))
    }

    /// The lives that nobody knows.
    pub(super) fn strangers(&self, lives: &[Life]) -> Vec<String> {
        let known: BTreeSet<_> = lives.iter().filter_map(Life::boot_id).collect();
        let strange = self.0.keys().filter(|boot_id| !known.contains(boot_id.as_str()));
        strange
            .map(|boot_id| format!("records of an unknown life {boot_id}"))
            .collect()
    }

    pub(super) fn audit(&self, life: &Life, guide: &[Line]) -> Result<Audit> {
        let nothing = Read::default();
        let read = life.boot_id().and_then(|id| self.0.get(id)).unwrap_or(&nothing);
        let mut audit = Audit {
            in_file: life.records.len(),
            in_kafka: read.values.len(),
            repeats: read.repeats,
            wrong: life.wrong.clone(),
            memory: memory(&life.memory),
            ..Audit::default()
        };
        for record in &life.records {
            audit.sent += number(record, "sent")?;
            audit.failed += number(record, "lost")? + number(record, "refused")? + number(record, "unreachable")?;
        }
        let killed = life.ending == Some(Ending::Killed);
        // Within ten seconds of Kafka's return all is delivered; the rest is patience with a busy machine.
        let could = life.kafka_for >= DELIVERED;
        let may_lack = match (killed, could) {
            (true, true) => IN_HAND,
            (true, false) => usize::MAX,
            (false, false) if life.said.contains("records not published") => usize::MAX,
            (false, _) => 0,
        };
        audit.numbers(
            "the file",
            life.records.iter().map(|record| number(record, "seq")),
            false,
        )?;
        audit.numbers("Kafka", read.values.keys().map(|seq| Ok(*seq)), may_lack > 0)?;
        audit.windows(&life.records, read, (killed, may_lack))?;
        audit.words(&life.said, guide);
        audit.judge_memory(life.lasted);
        Ok(audit)
    }
}

/// The medians of the middle third and the last, and the most.
fn memory(samples: &[u64]) -> Option<(u64, u64, u64)> {
    let third = samples.len() / 3;
    let median = |part: &[u64]| {
        let mut sorted = part.to_vec();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    };
    let middle = median(samples.get(third..2 * third)?)?;
    let last = median(samples.get(2 * third..)?)?;
    Some((middle, last, samples.iter().copied().max()?))
}

/// Whoever has reached Kafka for so long has delivered what waited.
const DELIVERED: Duration = Duration::from_secs(20);
/// So many windows of a pair are in hand at any moment: what is published waits until the middle of the next one.
const IN_HAND: usize = 4;
/// A shorter life says nothing about growth.
const LONG: Duration = Duration::from_secs(240);
/// What records that wait for Kafka may take beside what is always there, kilobytes.
const WAITING: u64 = 16 << 10;
/// The last third of a life may have so much more than the one before, kilobytes: what Kafka's absence happened to leave.
const FLAT: u64 = 2 << 10;

impl Audit {
    /// `seq` counts from 1 without a gap, unless some of what went down with the process was ahead of others.
    fn numbers(&mut self, place: &str, seqs: impl Iterator<Item = Result<u64>>, may_lack: bool) -> Result {
        let seqs = seqs.collect::<Result<BTreeSet<_>>>()?;
        let (count, last) = (seqs.len() as u64, seqs.last().copied().unwrap_or(0));
        let first = seqs.first().copied().unwrap_or(1);
        if count > 0 && !may_lack && (first, last) != (1, count) {
            self.wrong
                .push(format!("{place}: seq from {first} to {last}, but {count} records"));
        }
        Ok(())
    }

    /// Each window of the file is in Kafka once, whether alone or merged with its neighbours.
    fn windows(&mut self, file: &[Value], read: &Read, (killed, may_lack): (bool, usize)) -> Result {
        let values: Vec<Value> = read.values.values().cloned().collect();
        let (in_kafka, in_file) = (by_pair(&values)?, by_pair(file)?);
        for (pair, records) in &in_kafka {
            if !in_file.contains_key(pair) {
                self.wrong.push(format!("{pair:?} is in Kafka only: {}", records[0]));
            }
        }
        for (pair, records) in &in_file {
            let none = Vec::new();
            let published = in_kafka.get(pair).unwrap_or(&none);
            let what = compare(records, published, killed)?;
            self.merged += what.merged;
            self.gone += what.gone;
            if what.gone > may_lack {
                self.wrong.push(format!(
                    "{pair:?}: {} windows are missing in Kafka at the end",
                    what.gone
                ));
            }
            self.wrong.extend(what.wrong.map(|what| format!("{pair:?}: {what}")));
        }
        Ok(())
    }

    /// No line tells of a defect, and none is unknown to the guide.
    fn words(&mut self, said: &str, guide: &[Line]) {
        for line in said.lines() {
            // The ZooKeeper client says of each attempt that fails that it failed.
            let complaint =
                line.contains(" ERROR ") || (line.contains(" WARN ") && !line.contains("zookeeper_client::"));
            let known: Vec<_> = guide.iter().filter(|known| known.matches(line)).collect();
            let bad = line.contains("panicked") || known.iter().any(|known| known.is_bug);
            if bad || (complaint && known.is_empty()) {
                self.wrong.push(format!("it said: {line}"));
            }
        }
    }

    fn judge_memory(&mut self, lasted: Duration) {
        if lasted < LONG {
            return;
        }
        let Some((middle, last, most)) = self.memory else {
            self.wrong.push("its memory was never looked at".into());
            return;
        };
        if last > middle + FLAT || most > middle + WAITING {
            self.wrong.push(format!(
                "its memory grew: {middle} kB in the middle third of its life, {last} kB in the last, {most} kB at most"
            ));
        }
    }
}

/// What became of the windows of one pair and kind.
#[derive(Debug, Default)]
struct Compared {
    merged: usize,
    gone: usize,
    wrong: Option<String>,
}

fn counts(record: &Value) -> Result<[u64; COUNTS.len()]> {
    let mut counts = [0; COUNTS.len()];
    for (count, name) in counts.iter_mut().zip(COUNTS) {
        *count = number(record, name)?;
    }
    Ok(counts)
}

/// Both numbered in the order in which the windows ended. A record in Kafka is one of the file or several in a row added up.
fn compare(file: &[&Value], kafka: &[&Value], killed: bool) -> Result<Compared> {
    let mut compared = Compared::default();
    let mut rest = file.iter();
    let bounds = |record: &Value| {
        Ok::<_, crate::error::LabError>((number(record, "window_start_ms")?, number(record, "window_end_ms")?))
    };
    for record in kafka {
        let (wanted, (start, end)) = (counts(record)?, bounds(record)?);
        let (mut sum, mut taken, mut reach) = ([0; COUNTS.len()], 0, (u64::MAX, 0));
        while reach != (start, end) || sum != wanted {
            let Some(next) = rest.next() else { break };
            let (next_start, next_end) = bounds(next)?;
            for (total, count) in sum.iter_mut().zip(counts(next)?) {
                *total += count;
            }
            reach = (reach.0.min(next_start), reach.1.max(next_end));
            taken += 1;
        }
        if reach != (start, end) || sum != wanted {
            // A window that was closed as the process was killed may not have reached the file.
            if killed && taken == 0 {
                continue;
            }
            compared.wrong = Some(format!(
                "in Kafka {wanted:?} from {start} to {end}; in the file then {sum:?} from {} to {}: {taken} records",
                reach.0, reach.1
            ));
            return Ok(compared);
        }
        compared.merged += taken - 1;
    }
    compared.gone = rest.count();
    Ok(compared)
}

/// The lines that the guide knows.
pub(super) fn guide() -> Result<Vec<Line>> {
    guide::lines(include_str!("../../../docs/monitoring.md"))
}
