//! Windows of UTC, and the table in which one lane's events are summed up until theirs closes.

use crate::accumulator::Accumulator;
use crate::event::{Event, TargetId, What};
use crate::time::Wall;

/// An interval of UTC between two multiples of its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Its first millisecond since the Unix epoch.
    pub start_ms: u64,
    /// The first millisecond after it.
    pub end_ms: u64,
}

impl Window {
    /// The window of `width_ms` that `now` falls into; a width of 0 is taken as 1.
    #[must_use]
    pub fn containing(now: Wall, width_ms: u64) -> Window {
        let width = width_ms.max(1);
        let start = now.millis() / width * width;
        Window {
            start_ms: start,
            end_ms: start.saturating_add(width),
        }
    }

    /// Its width in milliseconds.
    #[must_use]
    pub fn width_ms(&self) -> u64 {
        self.end_ms - self.start_ms
    }

    /// Whether `now` falls into it. After a step of the clock it may fall before it as well as after it.
    #[must_use]
    pub fn contains(&self, now: Wall) -> bool {
        (self.start_ms..self.end_ms).contains(&now.millis())
    }
}

#[derive(Clone, Debug, Default)]
enum Row {
    #[default]
    Vacant,
    Known(Accumulator),
    /// Gone, but its last window isn't closed.
    Gone(Accumulator),
}

impl Row {
    fn close(&mut self, visit: impl FnOnce(&Accumulator, bool)) {
        match self {
            Row::Vacant => {}
            Row::Known(sums) => {
                visit(sums, false);
                sums.clear();
            }
            Row::Gone(sums) => {
                visit(sums, true);
                *self = Row::Vacant;
            }
        }
    }
}

/// An [`Accumulator`] for every target known.
#[derive(Clone, Debug, Default)]
pub struct WindowTable {
    rows: Vec<Row>,
    known: usize,
    /// Events of targets that nobody told the table of.
    strays: u64,
}

impl WindowTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> WindowTable {
        WindowTable::default()
    }

    /// From now on `target` has a place in every window, also in those in which nothing was sent. False where the id
    /// isn't free: it is known, or was until a window that isn't closed yet.
    pub fn add(&mut self, target: TargetId) -> bool {
        let index = target.0 as usize;
        if self.rows.len() <= index {
            self.rows.resize_with(index + 1, Row::default);
        }
        let row = &mut self.rows[index];
        let free = matches!(row, Row::Vacant);
        if free {
            *row = Row::Known(Accumulator::new());
            self.known += 1;
        }
        free
    }

    /// Adds an event to its target's sums. After [`What::Gone`] the target has its last place in the window that is
    /// closed next.
    pub fn apply(&mut self, event: &Event) {
        let Some(row) = self.rows.get_mut(event.target.0 as usize) else {
            self.strays += 1;
            return;
        };
        match row {
            Row::Known(sums) if event.what == What::Gone => {
                *row = Row::Gone(std::mem::take(sums));
                self.known -= 1;
            }
            Row::Known(sums) => sums.apply(event),
            Row::Vacant | Row::Gone(_) => self.strays += 1,
        }
    }

    /// Shows each target known during the window to `visit`, ascending by id, with its sums and whether this was its
    /// last window, and starts the next window.
    pub fn close(&mut self, mut visit: impl FnMut(TargetId, &Accumulator, bool)) {
        for (id, row) in (0..).map(TargetId).zip(&mut self.rows) {
            row.close(|sums, last| visit(id, sums, last));
        }
    }

    /// As [`WindowTable::close`], for one target. `visit` isn't called where the target isn't known.
    pub fn close_one(&mut self, target: TargetId, visit: impl FnOnce(&Accumulator, bool)) {
        if let Some(row) = self.rows.get_mut(target.0 as usize) {
            row.close(visit);
        }
    }

    /// A target's sums so far in this window.
    #[must_use]
    pub fn get(&self, target: TargetId) -> Option<&Accumulator> {
        match self.rows.get(target.0 as usize)? {
            Row::Vacant => None,
            Row::Known(sums) | Row::Gone(sums) => Some(sums),
        }
    }

    /// Targets known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known
    }

    /// Whether no target is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known == 0
    }

    /// Events of targets that weren't known: always 0 unless ids are mixed up.
    #[must_use]
    pub fn strays(&self) -> u64 {
        self.strays
    }
}
