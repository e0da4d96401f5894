//! From events to the summaries of a window: which target is which pair, and what its probes came to.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZero;
use std::sync::Arc;

use dt_probe::{Accumulator, Clock, Event, Fate, ProbeKind, TargetId, Wall, What, Window, WindowTable};
use dt_record::{Counts, Flow, Pair, Recorder, Summary};

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
    /// The prober has done with it although it isn't leaving: it refused the target.
    gone: bool,
    /// Whether a first probe was decided.
    seen: bool,
    last: Option<Last>,
}

/// What is kept of the last closed window, small: there is one for each target.
#[derive(Clone, Copy, Debug)]
struct Last {
    fates: [u32; Fate::ALL.len()],
    p50_ns: Option<NonZero<u64>>,
    p99_ns: Option<NonZero<u64>>,
    clocks: (Clock, Clock),
}

/// All targets of all kinds, and the window that is open.
#[derive(Debug)]
pub(crate) struct Aggregate {
    tables: [Table; ProbeKind::ALL.len()],
    recorder: Recorder,
    window: Window,
    /// The one that was closed last.
    closed: Window,
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
            closed: Window::containing(now, width_ms),
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
            gone: false,
            seen: false,
            last: None,
        });
        self.unseen += 1;
        id
    }

    /// The target is to be probed no more. It keeps its place until its last probe is decided.
    pub(crate) fn leave(&mut self, kind: ProbeKind, id: TargetId) {
        let Table { rows, free, .. } = &mut self.tables[kind as usize];
        let Some(place) = rows.get_mut(id.0 as usize) else {
            return;
        };
        let Some(row) = place.as_mut().filter(|row| !row.leaving) else {
            return;
        };
        row.leaving = true;
        self.unseen -= usize::from(!row.seen);
        if row.gone {
            *place = None;
            free.push(id);
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

    /// Whether every target has had a probe decided, or none may be sent.
    pub(crate) fn is_first_round_done(&self, switched_off: bool) -> bool {
        self.viewed && (self.unseen == 0 || switched_off)
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
            let mut left = table.left(window, recorder);
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
                let Some(row) = place.as_mut().filter(|row| !row.leaving) else {
                    if gone {
                        *place = None;
                        free.push(id);
                    }
                    return;
                };
                row.gone = gone;
                let mut summary = summarize(row, sums, window, receive_drops, *clocks, recorder);
                row.last = Some(Last::of(&summary));
                // One record for a pair and window, also where its probing was begun anew within it.
                if let Some(mut before) = left.remove(row.pair.destination.node.as_str()) {
                    before.pair = Arc::clone(&summary.pair);
                    summary.merge(before);
                }
                take(summary);
            });
            for mut summary in left.into_values() {
                summary.receive_drops = receive_drops;
                take(summary);
            }
        }
        self.closed = window;
        self.window = next;
    }

    /// The last closed window of a target.
    pub(crate) fn last(&self, kind: ProbeKind, id: TargetId) -> Option<LastWindow> {
        let row = self.tables[kind as usize].rows.get(id.0 as usize)?.as_ref()?;
        Some(row.last?.shown(&row.pair, self.closed))
    }
}

impl Table {
    /// What was decided in the window for targets that are leaving, by node. A leaver that nothing was decided for is
    /// known no longer.
    fn left(&self, window: Window, recorder: &mut Recorder) -> HashMap<String, Summary> {
        let mut left: HashMap<String, Summary> = HashMap::new();
        let rows = (0..).map(TargetId).zip(&self.rows);
        for (id, row) in rows.filter_map(|(id, row)| Some((id, row.as_ref().filter(|row| row.leaving)?))) {
            let Some(sums) = self.windows.get(id).filter(|sums| sums.counts().sent() > 0) else {
                continue;
            };
            let summary = summarize(row, sums, window, 0, self.clocks, recorder);
            match left.entry(row.pair.destination.node.clone()) {
                Entry::Vacant(place) => {
                    place.insert(summary);
                }
                // Moved more than once within the window.
                Entry::Occupied(mut place) => {
                    let pair = Arc::clone(&place.get().pair);
                    place.get_mut().merge(Summary { pair, ..summary });
                }
            }
        }
        left
    }
}

impl Last {
    fn of(summary: &Summary) -> Last {
        let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let counts = &summary.counts;
        let Counts {
            received,
            lost,
            refused,
            unreachable,
            send_error,
            ..
        } = *counts;
        Last {
            fates: [received, lost, refused, unreachable, send_error].map(small),
            p50_ns: summary.rtt.quantile(0.5).and_then(NonZero::new),
            p99_ns: summary.rtt.quantile(0.99).and_then(NonZero::new),
            clocks: (summary.timestamp_tx, summary.timestamp_rx),
        }
    }

    fn shown(self, pair: &Pair, window: Window) -> LastWindow {
        let [received, lost, refused, unreachable, send_error] = self.fates.map(u64::from);
        LastWindow {
            probe: pair.probe.as_str(),
            method: pair.method.as_str(),
            window_start_ms: window.start_ms,
            window_end_ms: window.end_ms,
            sent: received + lost + refused + unreachable + send_error,
            received,
            lost,
            refused,
            unreachable,
            send_error,
            rtt_p50_ns: self.p50_ns.map(NonZero::get),
            rtt_p99_ns: self.p99_ns.map(NonZero::get),
            timestamp_tx: self.clocks.0.as_str(),
            timestamp_rx: self.clocks.1.as_str(),
        }
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
        counts: sums.counts(),
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
