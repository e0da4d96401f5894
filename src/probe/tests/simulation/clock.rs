//! A host's clocks: a monotonic one that a test moves, and a wall clock that is stepped against it now and then.

use dt_probe::{Mono, Wall};

const START_OFFSET: i64 = 1_790_000_000_000_000_000;

pub(crate) struct Clocks {
    pub(crate) now: u64,
    /// When the wall clock was stepped, and by how much it is ahead of the monotonic one since.
    steps: Vec<(u64, i64)>,
    seen: i64,
    epoch: u8,
}

/// A reading as the driver makes it.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) mono: Mono,
    pub(crate) wall: Wall,
    pub(crate) epoch: u8,
    pub(crate) wall_minus_mono: i64,
}

impl Clocks {
    pub(crate) fn new(now: u64) -> Clocks {
        Clocks {
            now,
            steps: vec![(0, START_OFFSET)],
            seen: START_OFFSET,
            epoch: 250,
        }
    }

    pub(crate) fn step(&mut self, by: i64) {
        let offset = self.offset_at(self.now) + by;
        self.steps.push((self.now, offset));
    }

    /// The wall clock as it was, or would be without a further step.
    pub(crate) fn wall_at(&self, mono: u64) -> Wall {
        Wall(mono.checked_add_signed(self.offset_at(mono)).unwrap())
    }

    pub(crate) fn read(&mut self) -> Reading {
        let offset = self.offset_at(self.now);
        if offset != self.seen {
            self.seen = offset;
            self.epoch = self.epoch.wrapping_add(1);
        }
        Reading {
            mono: Mono(self.now),
            wall: self.wall_at(self.now),
            epoch: self.epoch,
            wall_minus_mono: offset,
        }
    }

    fn offset_at(&self, mono: u64) -> i64 {
        self.steps.iter().rev().find(|(at, _)| *at <= mono).unwrap().1
    }
}
