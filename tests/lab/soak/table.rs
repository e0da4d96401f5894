//! What a soak came to, to be read.

use super::audit::Audit;
use super::life::{Ending, Life};
use super::plan::Planned;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const HEAD: [&str; 14] = [
    "life", "ended", "s", "looks", "in file", "in Kafka", "repeats", "merged", "gone", "sent", "failed", "MiB mid",
    "MiB last", "MiB most",
];

/// One line a life, and how many faults of each kind there were.
pub(super) fn of(lives: &[Life], audits: &[Audit], planned: &[Planned]) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(lives.iter().zip(audits).map(|(life, audit)| row(life, audit)));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<_> = (0..HEAD.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for planned in planned {
        *kinds.entry(planned.fault.kind()).or_default() += 1;
    }
    let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let _ = write!(text, "{} faults: {}", planned.len(), kinds.join(", "));
    text
}

fn row(life: &Life, audit: &Audit) -> [String; HEAD.len()] {
    let ended = match life.ending {
        Some(Ending::Killed) => "killed",
        Some(Ending::Ended) => "in order",
        None => "-",
    };
    let mebibytes = |pick: fn((u64, u64, u64)) -> u64| match audit.memory {
        Some(memory) => format!("{:.1}", pick(memory) as f64 / 1024.0),
        None => "-".to_owned(),
    };
    [
        life.name(),
        ended.to_owned(),
        life.lasted.as_secs().to_string(),
        life.looks.to_string(),
        audit.in_file.to_string(),
        audit.in_kafka.to_string(),
        audit.repeats.to_string(),
        audit.merged.to_string(),
        audit.gone.to_string(),
        audit.sent.to_string(),
        audit.failed.to_string(),
        mebibytes(|memory| memory.0),
        mebibytes(|memory| memory.1),
        mebibytes(|memory| memory.2),
    ]
}
