//! What an agent's records say, summed up by window: a figure counts only where the agent did what it is to be the cost of.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use dt_bench::{Failure, Result, doing};
use serde::Deserialize;

use crate::agent::Task;

#[derive(Deserialize)]
struct Line {
    window_start_ms: u64,
    sent: u64,
    received: u64,
    skipped: u64,
}

/// One window, all pairs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) records: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) skipped: u64,
}

/// The newest `count` windows of a file sink but for the last one, which is partial.
pub(crate) fn whole_windows(path: &Path, count: usize) -> Result<Vec<Totals>> {
    let file = File::open(path).map_err(doing("open the records"))?;
    let mut windows: BTreeMap<u64, Totals> = BTreeMap::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(doing("read the records"))?;
        let line: Line = serde_json::from_str(&line).map_err(doing("read a record"))?;
        let totals = windows.entry(line.window_start_ms).or_default();
        totals.records += 1;
        totals.sent += line.sent;
        totals.received += line.received;
        totals.skipped += line.skipped;
    }
    Ok(windows.into_values().rev().skip(1).take(count).collect())
}

/// Probes of a window on the average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Average {
    pub(crate) sent: f64,
    skipped: f64,
}

/// The average, where in each window every pair had its record and all probes were answered.
pub(crate) fn check(windows: &[Totals], task: Task) -> Result<Average> {
    let sound = |totals: &Totals| totals.records == task.pairs() && totals.received == totals.sent;
    if windows.is_empty() || !windows.iter().all(sound) {
        return Err(Failure(format!(
            "{task:?}: not each window has {} records and all its probes answered: {windows:?}",
            task.pairs()
        )));
    }
    let mean = |count: fn(&Totals) -> u64| windows.iter().map(count).sum::<u64>() as f64 / windows.len() as f64;
    Ok(Average {
        sent: mean(|totals| totals.sent),
        skipped: mean(|totals| totals.skipped),
    })
}

impl Average {
    /// An error where the host kept the agent from more than one in a hundred probes: it isn't the one to measure on.
    pub(crate) fn on_time(self) -> Result<f64> {
        if self.skipped * 100.0 > self.sent {
            return Err(Failure(format!(
                "this host is too busy: the agent had to skip {} of {} probes",
                self.skipped,
                self.sent + self.skipped
            )));
        }
        Ok(self.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_windows_are_left_out_and_unsound_ones_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        let mut text = String::new();
        for (start, sent) in [(10, 1), (20, 3), (20, 4), (30, 5), (30, 6), (40, 9)] {
            text +=
                &format!("{{\"window_start_ms\":{start},\"sent\":{sent},\"received\":{sent},\"skipped\":0,\"x\":1}}\n");
        }
        std::fs::write(&path, text).unwrap();
        let mut windows = whole_windows(&path, 2).unwrap();
        let task = Task {
            peers: 1,
            kinds: "icmp,tcp",
            interval: "1s",
        };
        let mut average = check(&windows, task).unwrap();
        assert_eq!(average.on_time().unwrap(), 9.0);
        average.skipped = 0.1;
        assert!(average.on_time().is_err(), "one in ninety");
        windows[1].received -= 1;
        assert!(check(&windows, task).is_err(), "a probe without an answer");
        assert!(check(&[], task).is_err(), "nothing");
    }
}
