//! From events to the summaries of a window: which target is which pair, and what its probes came to.

use std::sync::Arc;

use dt_probe::{Accumulator, Clock, Event, ProbeKind, TargetId, Wall, What, Window, WindowTable};
use dt_record::{Flow, Pair, Recorder, Summary};

use crate::status::LastWindow;

/// A window whose end was missed by more than so many widths, as after a step of the clock, is closed as it is; up to
/// that, as after a stall, it is widened, for what was decided since belongs to all of that time.
const MOST_MISSED: u64 = 10;

/// The targets of one kind.
#[derive(Debug)]
struct Table {
    windows: WindowTable,
    rows: Vec<Option<Row>>,
    free: Vec<TargetId>,
    /// The clocks in use, for windows in which nothing was received.
    clocks: (Clock, Clock),
}

#[derive(Debug)]
struct Row {
    pair: Arc<Pair>,
    leaving: bool,
    /// Whether a first probe was decided.
    seen: bool,
    last: Option<LastWindow>,
}

/// All targets of all kinds, and the window that is open.
#[derive(Debug)]
pub(crate) struct Aggregate {
    tables: [Table; ProbeKind::ALL.len()],
    recorder: Recorder,
    window: Window,
    width_ms: u64,
    /// The host's receive drops until this window began.
    drops_before: u64,
    /// Targets without a decided probe, not counting those that are leaving.
    unseen: usize,
    /// Whether the membership has spoken once.
    viewed: bool,
}

impl Aggregate {
    /// No targets; the window of `width_ms` that `now` falls into is open. `clocks` are those in use, by kind.
    pub(crate) fn new(width_ms: u64, now: Wall, clocks: [(Clock, Clock); ProbeKind::ALL.len()]) -> Aggregate {
        let table = |clocks| Table {
            windows: WindowTable::new(),
            rows: Vec::new(),
            free: Vec::new(),
            clocks,
        };
        Aggregate {
            tables: clocks.map(table),
            recorder: Recorder::new(),
            window: Window::containing(now, width_ms),
            width_ms,
            drops_before: 0,
            unseen: 0,
            viewed: false,
        }
    }

    /// A new target. Its id is dense within its kind.
    pub(crate) fn add(&mut self, kind: ProbeKind, pair: Arc<Pair>) -> TargetId {
        let table = &mut self.tables[kind as usize];
        let id = table.free.pop().unwrap_or_else(|| {
            table.rows.push(None);
            TargetId(u32::try_from(table.rows.len() - 1).unwrap_or(u32::MAX))
        });
        table.windows.add(id);
        table.rows[id.0 as usize] = Some(Row {
            pair,
            leaving: false,
            seen: false,
            last: None,
        });
        self.unseen += 1;
        id
    }

    /// The target is to be probed no more. It keeps its place until its last probe is decided.
    pub(crate) fn leave(&mut self, kind: ProbeKind, id: TargetId) {
        let row = self.tables[kind as usize].rows.get_mut(id.0 as usize);
        if let Some(row) = row.and_then(Option::as_mut)
            && !row.leaving
        {
            row.leaving = true;
            self.unseen -= usize::from(!row.seen);
        }
    }

    /// What the target is.
    pub(crate) fn pair(&self, kind: ProbeKind, id: TargetId) -> Option<&Arc<Pair>> {
        Some(&self.tables[kind as usize].rows.get(id.0 as usize)?.as_ref()?.pair)
    }

    /// Adds an event to the open window.
    pub(crate) fn apply(&mut self, kind: ProbeKind, event: &Event) {
        let table = &mut self.tables[kind as usize];
        table.windows.apply(event);
        if let Some(Some(row)) = table.rows.get_mut(event.target.0 as usize)
            && !row.seen
            && matches!(event.what, What::Received(_) | What::Failed(_) | What::Gone)
        {
            row.seen = true;
            self.unseen -= usize::from(!row.leaving);
        }
    }

    /// The membership's first view has come: a round without peers is done.
    pub(crate) fn view_taken(&mut self) {
        self.viewed = true;
    }

    /// Whether every target has had a probe decided.
    pub(crate) fn is_first_round_done(&self) -> bool {
        self.viewed && self.unseen == 0
    }

    /// Whether `now` is outside the open window: after its end, or before its start when the clock was set back.
    pub(crate) fn is_over(&self, now: Wall) -> bool {
        !self.window.contains(now)
    }

    /// Closes the open window, one summary for each target, and opens the one that `now` falls into. `drops` is the
    /// host's total of receive drops.
    pub(crate) fn close(&mut self, now: Wall, drops: u64, take: &mut impl FnMut(Summary)) {
        let next = Window::containing(now, self.width_ms);
        let missed = next.start_ms.saturating_sub(self.window.end_ms) / self.width_ms;
        if missed > 0 && missed <= MOST_MISSED {
            self.window.end_ms = next.start_ms;
        }
        let receive_drops = drops.saturating_sub(self.drops_before);
        self.drops_before = drops;
        let (window, recorder) = (self.window, &mut self.recorder);
        for table in &mut self.tables {
            let Table {
                windows,
                rows,
                free,
                clocks,
            } = table;
            windows.close(|id, sums, gone| {
                let Some(place) = rows.get_mut(id.0 as usize) else {
                    return;
                };
                let Some(row) = place else { return };
                // Who has left and was not probed since is no longer known.
                if !row.leaving || sums.counts().sent() > 0 {
                    let summary = summarize(row, sums, window, receive_drops, *clocks, recorder);
                    row.last = Some(LastWindow::of(&summary));
                    take(summary);
                }
                if gone {
                    *place = None;
                    free.push(id);
                }
            });
        }
        self.window = next;
    }

    /// The last closed window of a target.
    pub(crate) fn last(&self, kind: ProbeKind, id: TargetId) -> Option<LastWindow> {
        self.tables[kind as usize]
            .rows
            .get(id.0 as usize)?
            .as_ref()?
            .last
            .clone()
    }
}

fn summarize(
    row: &Row,
    sums: &Accumulator,
    window: Window,
    receive_drops: u64,
    clocks: (Clock, Clock),
    recorder: &mut Recorder,
) -> Summary {
    let (timestamp_tx, timestamp_rx) = sums.clocks().unwrap_or(clocks);
    let flow = |f: &dt_probe::Flow| Flow {
        port: f.port,
        sent: f.sent.into(),
        lost: f.lost.into(),
    };
    Summary {
        pair: Arc::clone(&row.pair),
        window_start_ms: window.start_ms,
        window_end_ms: window.end_ms,
        counts: sums.counts().into(),
        receive_drops,
        rtt: recorder.distribution(sums.rtt().iter()),
        host_delay: recorder.distribution(sums.host_delay().iter()),
        timestamp_tx,
        timestamp_rx,
        flows: sums.flows().iter().map(flow).collect(),
    }
}

#[cfg(test)]
#[path = "aggregate_tests.rs"]
mod tests;
