//! Windows of UTC, and the table in which one lane's events are summed up until theirs closes.

use std::num::NonZero;

use crate::accumulator::Accumulator;
use crate::event::{Event, TargetId, What};
use crate::grow;
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

/// What is known of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Row {
    #[default]
    Vacant,
    Known(Sums),
    /// Gone, but its last window isn't closed.
    Gone(Sums),
}

/// Which accumulator of the pool a target has: none while nothing happens to it.
type Sums = Option<NonZero<u32>>;

/// Accumulators for those targets that something happened to in this window or the one before: where there are 100,000
/// targets, most have none.
#[derive(Clone, Debug, Default)]
struct Pool {
    /// [`Sums`] are places in it, counted from 1.
    all: Vec<Accumulator>,
    free: Vec<NonZero<u32>>,
    /// Of those that nothing happened to.
    empty: Accumulator,
}

impl Pool {
    fn get(&self, sums: Sums) -> &Accumulator {
        sums.and_then(|place| self.all.get(place.get() as usize - 1))
            .unwrap_or(&self.empty)
    }

    fn get_mut(&mut self, sums: &mut Sums) -> &mut Accumulator {
        let place = *sums.get_or_insert_with(|| {
            self.free.pop().unwrap_or_else(|| {
                grow::push(&mut self.all, Accumulator::new());
                // Targets are numbered by 32 bits, and none has two.
                NonZero::<u32>::MIN.saturating_add(self.all.len() as u32 - 1)
            })
        });
        &mut self.all[place.get() as usize - 1]
    }

    /// Clears the sums for another target, keeping their memory.
    fn give_back(&mut self, sums: Sums) {
        if let Some(place) = sums {
            self.all[place.get() as usize - 1].clear();
            grow::push(&mut self.free, place);
        }
    }

    /// Clears the sums for the target's next window, which is likely to need as much memory; those of a target that
    /// nothing happened to are free for others.
    fn clear(&mut self, sums: Sums) -> Sums {
        let place = sums?;
        let held = &mut self.all[place.get() as usize - 1];
        if held.is_untouched() {
            grow::push(&mut self.free, place);
            return None;
        }
        held.clear();
        sums
    }

    fn close(&mut self, row: &mut Row, visit: impl FnOnce(&Accumulator, bool)) {
        match std::mem::take(row) {
            Row::Vacant => {}
            Row::Known(sums) => {
                visit(self.get(sums), false);
                *row = Row::Known(self.clear(sums));
            }
            Row::Gone(sums) => {
                visit(self.get(sums), true);
                self.give_back(sums);
            }
        }
    }
}

/// The sums of every target known, in memory for those to which something happened in the window.
#[derive(Clone, Debug, Default)]
pub struct WindowTable {
    rows: Vec<Row>,
    pool: Pool,
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
        grow::fill_to(&mut self.rows, index + 1, Row::Vacant);
        let row = &mut self.rows[index];
        let free = *row == Row::Vacant;
        if free {
            *row = Row::Known(None);
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
                *row = Row::Gone(*sums);
                self.known -= 1;
            }
            Row::Known(sums) => self.pool.get_mut(sums).apply(event),
            Row::Vacant | Row::Gone(_) => self.strays += 1,
        }
    }

    /// Shows each target known during the window to `visit`, ascending by id, with its sums and whether this was its
    /// last window, and starts the next window.
    pub fn close(&mut self, mut visit: impl FnMut(TargetId, &Accumulator, bool)) {
        for (id, row) in (0..).map(TargetId).zip(&mut self.rows) {
            self.pool.close(row, |sums, last| visit(id, sums, last));
        }
    }

    /// As [`WindowTable::close`], for one target. `visit` isn't called where the target isn't known.
    pub fn close_one(&mut self, target: TargetId, visit: impl FnOnce(&Accumulator, bool)) {
        if let Some(row) = self.rows.get_mut(target.0 as usize) {
            self.pool.close(row, visit);
        }
    }

    /// A target's sums so far in this window.
    #[must_use]
    pub fn get(&self, target: TargetId) -> Option<&Accumulator> {
        match *self.rows.get(target.0 as usize)? {
            Row::Vacant => None,
            Row::Known(sums) | Row::Gone(sums) => Some(self.pool.get(sums)),
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
