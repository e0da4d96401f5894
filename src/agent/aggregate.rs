//! From events to the summaries of a window: which target is which pair, and what its probes came to.
//!
//! A window of 10,000 peers is not closed at a stroke: its summaries would weigh as much as all the rest of the agent.
//! When it ends, each target still holds its sums, and they become a summary when [`Aggregate::advance`] comes to it, or
//! when its first event of the new window comes, whichever is earlier. No event is counted to the wrong window.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use dt_membership::Labels;
use dt_probe::{Accumulator, Clock, Event, Fate, ProbeKind, TargetId, Wall, What, Window, WindowTable, grow};
use dt_record::{Counts, Endpoint, Flow, Recorder, Summary};
use smol_str::SmolStr;

use crate::place::{Manner, Place};
use crate::status::LastWindow;

/// A window whose end was missed is widened, for what was decided since belongs to all of that time: after a stall, however
/// long, and up to so many widths after a suspend or a step of the clock. Beyond these it is closed as it is.
const MOST_MISSED: u64 = 10;

/// The targets of one kind.
#[derive(Debug)]
struct Table {
    manner: Manner,
    windows: WindowTable,
    rows: Vec<Option<Row>>,
    free: Vec<TargetId>,
    /// Rows that are leaving: what is still in flight for them is decided yet.
    leavers: Vec<TargetId>,
    /// The rows before this one are closed, and those that are marked so.
    cursor: usize,
    /// What the closing window held for targets that are leaving, by node.
    left: HashMap<SmolStr, Summary>,
}

#[derive(Debug)]
struct Row {
    place: Place,
    leaving: bool,
    /// The prober has done with it although it isn't leaving: it refused the target.
    gone: bool,
    /// Whether a first probe was decided.
    seen: bool,
    /// The parity of the window that its sums belong to.
    parity: bool,
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
    window: Window,
    width_ms: u64,
    /// The host's receive drops until this window began.
    drops_before: u64,
    closer: Closer,
    closing: bool,
    /// The window closed before the one that `closer` is at.
    closed_before: Window,
    /// Targets without a decided probe, not counting those that are leaving.
    unseen: usize,
    /// Whether the membership has spoken once.
    viewed: bool,
}

/// What makes summaries of the window that was closed last.
#[derive(Debug)]
struct Closer {
    recorder: Recorder,
    window: Window,
    receive_drops: u64,
    /// Of the window that is open: a row with the other one still holds sums of the window before.
    parity: bool,
    /// Made, and not taken yet.
    ready: Vec<Summary>,
}

impl Aggregate {
    /// No targets; the window of `width_ms` that `now` falls into is open. `manners` by kind.
    pub(crate) fn new(width_ms: u64, now: Wall, manners: [Manner; ProbeKind::ALL.len()]) -> Aggregate {
        let table = |manner| Table {
            manner,
            windows: WindowTable::new(),
            rows: Vec::new(),
            free: Vec::new(),
            leavers: Vec::new(),
            cursor: 0,
            left: HashMap::new(),
        };
        let window = Window::containing(now, width_ms);
        Aggregate {
            tables: manners.map(table),
            window,
            width_ms,
            drops_before: 0,
            closer: Closer {
                recorder: Recorder::new(),
                window,
                receive_drops: 0,
                parity: false,
                ready: Vec::new(),
            },
            closing: false,
            closed_before: window,
            unseen: 0,
            viewed: false,
        }
    }

    /// Where this node stands, as the summaries made from now on say.
    pub(crate) fn stands(&mut self, labels: Labels) {
        let source = Arc::new(Endpoint {
            node: self.tables[0].manner.source.node.clone(),
            zone: labels.zone,
            rack: labels.rack,
            region: labels.region,
        });
        for table in &mut self.tables {
            table.manner.source = Arc::clone(&source);
        }
    }

    /// A new target. Its id is dense within its kind.
    pub(crate) fn add(&mut self, kind: ProbeKind, place: Place) -> TargetId {
        let table = &mut self.tables[kind as usize];
        let id = table.free.pop().unwrap_or_else(|| {
            grow::push(&mut table.rows, None);
            TargetId(u32::try_from(table.rows.len() - 1).unwrap_or(u32::MAX))
        });
        table.windows.add(id);
        table.rows[id.0 as usize] = Some(Row {
            place,
            leaving: false,
            gone: false,
            seen: false,
            parity: self.closer.parity,
            last: None,
        });
        self.unseen += 1;
        id
    }

    /// The target is to be probed no more. It keeps its place until its last probe is decided.
    pub(crate) fn leave(&mut self, kind: ProbeKind, id: TargetId) {
        let table = &mut self.tables[kind as usize];
        table.close_row(id, &mut self.closer);
        let Some(place) = table.rows.get_mut(id.0 as usize) else {
            return;
        };
        let Some(row) = place.as_mut().filter(|row| !row.leaving) else {
            return;
        };
        row.leaving = true;
        self.unseen -= usize::from(!row.seen);
        if row.gone {
            *place = None;
            table.free.push(id);
        } else {
            table.leavers.push(id);
        }
    }

    /// Where the target is.
    pub(crate) fn place(&self, kind: ProbeKind, id: TargetId) -> Option<&Place> {
        Some(&self.tables[kind as usize].rows.get(id.0 as usize)?.as_ref()?.place)
    }

    /// The first round doesn't wait for a probe of this target: none is sent yet.
    pub(crate) fn waive(&mut self, kind: ProbeKind, id: TargetId) {
        if let Some(Some(row)) = self.tables[kind as usize].rows.get_mut(id.0 as usize)
            && !row.seen
        {
            row.seen = true;
            self.unseen -= usize::from(!row.leaving);
        }
    }

    /// Adds an event to the open window.
    pub(crate) fn apply(&mut self, kind: ProbeKind, event: &Event) {
        let table = &mut self.tables[kind as usize];
        table.close_row(event.target, &mut self.closer);
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

    /// Lets the open window go on to the end of the one that `now` falls into, where `now` is after its end.
    pub(crate) fn widen(&mut self, now: Wall) {
        self.window.end_ms = self.window.end_ms.max(Window::containing(now, self.width_ms).end_ms);
    }

    /// Ends the open window, for which there will be one summary of each target, and opens the one that `now` falls
    /// into. `passed` since it was opened, by a clock that is never stepped; `drops` is the host's total of receive drops.
    /// [`Aggregate::advance`] makes the summaries; those of the window before that it didn't come to are made first.
    pub(crate) fn close(&mut self, now: Wall, passed: Duration, drops: u64) {
        self.advance(usize::MAX);
        let next = Window::containing(now, self.width_ms);
        let missed_ms = next.start_ms.saturating_sub(self.window.end_ms);
        let is_stall = u128::from(missed_ms) <= passed.as_millis();
        if missed_ms > 0 && (is_stall || missed_ms <= MOST_MISSED * self.width_ms) {
            self.window.end_ms = next.start_ms;
        }
        self.closed_before = self.closer.window;
        self.closer.window = self.window;
        self.closer.receive_drops = drops.saturating_sub(self.drops_before);
        self.closer.parity = !self.closer.parity;
        self.drops_before = drops;
        self.window = next;
        self.closing = true;
        for table in &mut self.tables {
            table.cursor = 0;
            table.close_leavers(&mut self.closer);
        }
    }

    /// Makes the summaries of up to `most` further targets.
    pub(crate) fn advance(&mut self, most: usize) {
        if !self.closing {
            return;
        }
        let mut left = most;
        for table in &mut self.tables {
            while table.cursor < table.rows.len() {
                if left == 0 {
                    return;
                }
                left -= 1;
                let id = TargetId(u32::try_from(table.cursor).unwrap_or(u32::MAX));
                table.close_row(id, &mut self.closer);
                table.cursor += 1;
            }
            self.closer.ready.extend(table.left.drain().map(|(_, summary)| summary));
            table.left = HashMap::new();
        }
        self.closing = false;
    }

    /// At most how many targets of the window that was closed last have no summary yet.
    pub(crate) fn unclosed(&self) -> usize {
        let rows = |table: &Table| table.rows.len().saturating_sub(table.cursor);
        if self.closing {
            self.tables.iter().map(rows).sum::<usize>().max(1)
        } else {
            0
        }
    }

    /// How many summaries wait for [`Aggregate::take`].
    pub(crate) fn ready(&self) -> usize {
        self.closer.ready.len()
    }

    /// The summaries made since the last call.
    pub(crate) fn take(&mut self) -> Vec<Summary> {
        std::mem::take(&mut self.closer.ready)
    }

    /// The last closed window of a target.
    pub(crate) fn last(&self, kind: ProbeKind, id: TargetId) -> Option<LastWindow> {
        let table = &self.tables[kind as usize];
        let row = table.rows.get(id.0 as usize)?.as_ref()?;
        let window = if row.parity == self.closer.parity {
            self.closer.window
        } else {
            self.closed_before
        };
        Some(row.last?.shown(&table.manner, window))
    }
}

impl Table {
    /// Makes the summary of a target whose sums belong to the window that was closed last.
    fn close_row(&mut self, id: TargetId, closer: &mut Closer) {
        let Some(Some(row)) = self.rows.get_mut(id.0 as usize) else {
            return;
        };
        if row.parity == closer.parity {
            return;
        }
        row.parity = closer.parity;
        let (left, manner) = (&mut self.left, &self.manner);
        self.windows.close_one(id, |sums, gone| {
            row.gone = gone;
            if !manner.recorded {
                return;
            }
            let mut summary = closer.summarize(&row.place, sums, manner);
            row.last = Some(Last::of(&summary));
            // One record for a pair and window, also where its probing was begun anew within it.
            if let Some(mut before) = left.remove(row.place.destination.node.as_str()) {
                before.receive_drops = 0;
                before.pair = Arc::clone(&summary.pair);
                summary.merge(before);
            }
            closer.ready.push(summary);
        });
    }

    /// Puts aside what was decided in the window for targets that are leaving, and forgets those that have left. A
    /// leaver that nothing was decided for is known no longer.
    fn close_leavers(&mut self, closer: &mut Closer) {
        let mut staying = Vec::new();
        for id in std::mem::take(&mut self.leavers) {
            let Some(place) = self.rows.get_mut(id.0 as usize) else {
                continue;
            };
            let Some(row) = place else { continue };
            row.parity = closer.parity;
            let (left, manner) = (&mut self.left, &self.manner);
            let mut has_left = false;
            self.windows.close_one(id, |sums, gone| {
                has_left = gone;
                if sums.counts().sent() == 0 || !manner.recorded {
                    return;
                }
                let summary = closer.summarize(&row.place, sums, manner);
                match left.entry(row.place.destination.node.clone()) {
                    Entry::Vacant(place) => {
                        place.insert(summary);
                    }
                    // Moved more than once within the window.
                    Entry::Occupied(mut place) => {
                        let pair = Arc::clone(&place.get().pair);
                        let once = Summary {
                            pair,
                            receive_drops: 0,
                            ..summary
                        };
                        place.get_mut().merge(once);
                    }
                }
            });
            if has_left {
                *place = None;
                self.free.push(id);
            } else {
                staying.push(id);
            }
        }
        self.leavers = staying;
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

    fn shown(self, manner: &Manner, window: Window) -> LastWindow {
        let [received, lost, refused, unreachable, send_error] = self.fates.map(u64::from);
        LastWindow {
            probe: manner.probe.as_str(),
            method: manner.method.as_str(),
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

impl Closer {
    fn summarize(&mut self, place: &Place, sums: &Accumulator, manner: &Manner) -> Summary {
        let (timestamp_tx, timestamp_rx) = sums.clocks().unwrap_or(manner.clocks);
        let flow = |f: &dt_probe::Flow| Flow {
            port: f.port,
            sent: f.sent.into(),
            lost: f.lost.into(),
        };
        Summary {
            pair: place.pair(manner),
            window_start_ms: self.window.start_ms,
            window_end_ms: self.window.end_ms,
            counts: sums.counts(),
            receive_drops: self.receive_drops,
            rtt: self.recorder.distribution(sums.rtt().iter()),
            host_delay: self.recorder.distribution(sums.host_delay().iter()),
            timestamp_tx,
            timestamp_rx,
            flows: sums.flows().iter().map(flow).collect(),
        }
    }
}

#[cfg(test)]
#[path = "aggregate_tests.rs"]
mod tests;
