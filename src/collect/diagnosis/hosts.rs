//! What nodes do to their own probes: they make their programs wait, or fail to send.

use std::collections::HashMap;

use super::config::DiagnosisConfig;
use super::presence::Voice;
use super::stats::excess;
use crate::row::State;
use crate::snapshot::{Cell, Snapshot};

/// Failures to send that are nothing to speak of.
const TOLERATED: f64 = 0.05;
/// Fewer answers than this say nothing about a host.
const FEW: u64 = 5;

/// What is wrong with one host.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Host {
    /// Programs of this host wait: its median and highest 99th percentile over its series, nanoseconds.
    pub(super) busy: Option<(u64, u64)>,
    /// (turns and probes that failed, all, of those turns skipped) where it can't send.
    pub(super) own: Option<(u64, u64, u64)>,
    /// Packets that its socket buffers dropped.
    pub(super) drops: u64,
}

/// Since when nodes show long waits in their slowest hundredth, by name.
#[derive(Debug, Default)]
pub(super) struct Hosts(HashMap<String, u64>);

#[derive(Clone, Default)]
struct Row {
    medians: Vec<u64>,
    tails: Vec<u64>,
    received: u64,
    tried: u64,
    failed: u64,
    skipped: u64,
    drops: u64,
    window_ms: u64,
}

impl Hosts {
    /// By node.
    pub(super) fn update(&mut self, recent: &Snapshot, voices: &[Voice], config: &DiagnosisConfig) -> Vec<Host> {
        let mut rows = vec![Row::default(); recent.nodes.len()];
        for cell in recent.cells.iter().filter(|cell| cell.state == State::Fresh) {
            if let Some(row) = rows.get_mut(cell.source as usize) {
                row.add(cell);
            }
        }
        let before = std::mem::take(&mut self.0);
        let needed = (1.0 / config.false_alarm).ln() + (rows.len().max(1) as f64).ln();
        let nodes = rows.into_iter().zip(voices).zip(&recent.nodes);
        let host = |((row, voice), node): ((Row, &Voice), &std::sync::Arc<dt_record::Endpoint>)| {
            if !voice.is_heard() {
                return Host::default();
            }
            let name = node.node.as_str();
            let waits = row.waits(config);
            if waits.is_some_and(|waits| waits.tail) {
                let since = before.get(name).copied().unwrap_or(recent.now_ms);
                self.0.insert(name.to_owned(), since);
            }
            let lasts = self.0.get(name).is_some_and(|since| {
                recent.now_ms.saturating_sub(*since) >= row.window_ms * u64::from(config.busy_windows)
            });
            let busy = waits.filter(|waits| waits.median || (waits.tail && lasts));
            let share = row.failed as f64 >= config.min_own * row.tried as f64;
            let own = share && excess(row.failed as f64, row.tried as f64, TOLERATED) >= needed;
            Host {
                busy: busy.map(|waits| (waits.typical_ns, waits.slowest_ns)),
                own: own.then_some((row.failed, row.tried, row.skipped)),
                drops: row.drops,
            }
        };
        nodes.map(host).collect()
    }
}

#[derive(Clone, Copy)]
struct Waits {
    typical_ns: u64,
    slowest_ns: u64,
    /// Half of the probes wait long.
    median: bool,
    /// The slowest hundredth does.
    tail: bool,
}

impl Row {
    fn add(&mut self, cell: &Cell) {
        self.window_ms = self.window_ms.max(cell.window_ms);
        self.received += cell.counts.received;
        self.skipped += cell.counts.skipped;
        self.failed += cell.counts.send_error + cell.counts.skipped;
        self.tried += cell.counts.sent() + cell.counts.skipped;
        // Each cell repeats the host's number.
        self.drops = self.drops.max(cell.receive_drops);
        self.medians.extend(cell.host_delay.p50);
        self.tails.extend(cell.host_delay.p99);
    }

    /// The median series of this host, so that one odd series can't decide.
    fn waits(&self, config: &DiagnosisConfig) -> Option<Waits> {
        if self.received < FEW {
            return None;
        }
        let middle = |values: &[u64]| {
            let mut values = values.to_vec();
            let at = values.len() / 2;
            (at < values.len()).then(|| *values.select_nth_unstable(at).1)
        };
        let (typical_ns, slowest_ns) = (middle(&self.medians)?, middle(&self.tails)?);
        let above = |ns: u64, limit: std::time::Duration| u128::from(ns) > limit.as_nanos();
        Some(Waits {
            typical_ns,
            slowest_ns,
            median: above(typical_ns, config.busy_median),
            tail: above(slowest_ns, config.busy_tail),
        })
    }
}
