//! One pair and probe kind over the recent past: a few panes of merged summaries.

use std::collections::VecDeque;
use std::sync::Arc;

use dt_probe::Clock;
use dt_record::{Counts, Distribution, Pair, Summary};

/// How many panes the view is cut into. A record leaves the view with its whole pane, so the view covers between
/// 11/12 and 12/12 of its nominal length; more panes would be more exact and cost memory for every pair.
const PANES_PER_VIEW: u64 = 12;

/// What several windows of one series amount to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pane {
    pub(crate) start_ms: u64,
    pub(crate) end_ms: u64,
    pub(crate) counts: Counts,
    pub(crate) rtt: Distribution,
    pub(crate) host_delay: Distribution,
    pub(crate) timestamp_tx: Clock,
    pub(crate) timestamp_rx: Clock,
}

impl Pane {
    fn new(summary: &Summary) -> Self {
        Self {
            start_ms: summary.window_start_ms,
            end_ms: summary.window_end_ms,
            counts: summary.counts,
            rtt: summary.rtt.clone(),
            host_delay: summary.host_delay.clone(),
            timestamp_tx: summary.timestamp_tx,
            timestamp_rx: summary.timestamp_rx,
        }
    }

    pub(crate) fn add(&mut self, other: &Pane) {
        self.start_ms = self.start_ms.min(other.start_ms);
        self.end_ms = self.end_ms.max(other.end_ms);
        // Of a window in which nothing was decided, the clock says nothing.
        if self.counts.sent() == 0 {
            (self.timestamp_tx, self.timestamp_rx) = (other.timestamp_tx, other.timestamp_rx);
        } else if other.counts.sent() > 0 {
            self.timestamp_tx = self.timestamp_tx.min(other.timestamp_tx);
            self.timestamp_rx = self.timestamp_rx.min(other.timestamp_rx);
        }
        self.counts.add(&other.counts);
        self.rtt.merge(&other.rtt);
        self.host_delay.merge(&other.host_delay);
    }
}

/// What became of a record handed to the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingest {
    /// It counts.
    Merged,
    /// Its window ended before the view of its series begins.
    TooOld,
    /// Its window ends further in the future than the view is long, so its clock can't be trusted.
    TooFarAhead,
    /// Its series isn't known and there are as many series as may be.
    Full,
}

/// One pair and probe kind.
#[derive(Debug)]
pub(crate) struct Series {
    /// The newest record's identity: labels, address and method may change while the nodes' names stay.
    pub(crate) pair: Arc<Pair>,
    /// When the newest record arrived; the time it was announced where none has.
    pub(crate) last_seen_ms: u64,
    /// Length of the shortest window seen; 0 before the first record.
    pub(crate) window_ms: u64,
    panes: VecDeque<Pane>,
}

impl Series {
    pub(crate) fn new(pair: Arc<Pair>, now_ms: u64) -> Self {
        Self {
            pair,
            last_seen_ms: now_ms,
            window_ms: 0,
            panes: VecDeque::new(),
        }
    }

    pub(crate) fn ingest(&mut self, summary: &Summary, view_ms: u64, now_ms: u64) -> Ingest {
        let pane_ms = (view_ms / PANES_PER_VIEW).max(1);
        if summary.window_end_ms > now_ms.saturating_add(view_ms) {
            return Ingest::TooFarAhead;
        }
        if self.newest_end_ms() > now_ms.saturating_add(view_ms) {
            // The clock was set back. What was filed under times that are yet to come would bar the way for long.
            self.panes.clear();
        }
        let newest = self.newest_end_ms();
        if summary.window_start_ms.saturating_add(view_ms) < newest && summary.window_end_ms < newest {
            return Ingest::TooOld;
        }
        self.pair = Arc::clone(&summary.pair);
        self.last_seen_ms = now_ms;
        let length = summary.window_end_ms.saturating_sub(summary.window_start_ms).max(1);
        self.window_ms = if self.window_ms == 0 {
            length
        } else {
            self.window_ms.min(length)
        };

        let pane = Pane::new(summary);
        let slot = summary.window_start_ms / pane_ms;
        let at = self.panes.partition_point(|p| p.start_ms / pane_ms < slot);
        match self.panes.get_mut(at) {
            Some(found) if found.start_ms / pane_ms == slot => found.add(&pane),
            _ => self.panes.insert(at, pane),
        }
        let newest = self.newest_end_ms();
        // The newest stays even where one window is longer than the view.
        self.panes
            .retain(|p| p.start_ms.saturating_add(view_ms) >= newest || p.end_ms == newest);
        Ingest::Merged
    }

    fn newest_end_ms(&self) -> u64 {
        self.panes.iter().map(|p| p.end_ms).max().unwrap_or(0)
    }

    /// Everything in view as one; `None` before the first record.
    pub(crate) fn total(&self) -> Option<Pane> {
        let mut panes = self.panes.iter();
        let mut total = panes.next()?.clone();
        for pane in panes {
            total.add(pane);
        }
        Some(total)
    }
}
