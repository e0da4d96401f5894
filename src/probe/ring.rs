//! The probes in flight, and the memory of those decided, in a ring indexed by the probe's number.
//!
//! Invariants: `oldest` is the number of the oldest probe still undecided, or `next`; no more than the ring's size lie
//! between the two, so a slot is overwritten only after its probe was decided. A slot holds the probe whose number
//! it says, in whatever state, until it is overwritten.

use crate::kind::Clock;
use crate::time::{Mono, Wall};

/// What is known of a probe. 64 bytes at most: there are thousands of them, visited in turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) sequence: u64,
    /// The user's clocks just before the send; until then, when it was polled.
    pub(crate) sent_mono: Mono,
    pub(crate) sent_wall: Wall,
    /// In state `Sent` the transmit stamp, if `tx_clock` says so; in state `Replied` the receive stamp if `rx_clock`
    /// says so, else the user's clock at the reading.
    pub(crate) stamp: Wall,
    /// In state `Replied`: from `sent_mono` to the reading.
    pub(crate) user_rtt: u64,
    pub(crate) target: u32,
    pub(crate) generation: u32,
    /// In state `Replied`: this host's delay after the receive stamp, saturated at 4.2 s.
    pub(crate) rx_delay: u32,
    /// Index of the source port.
    pub(crate) port: u16,
    pub(crate) sent_epoch: u8,
    pub(crate) reply_epoch: u8,
    pub(crate) tx_clock: Option<Clock>,
    pub(crate) rx_clock: Option<Clock>,
    pub(crate) state: State,
}

const _: () = assert!(size_of::<Slot>() <= 64);

/// How far a probe has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing was here yet.
    Empty,
    /// Handed to the driver.
    Polled,
    /// The send call took it.
    Sent,
    /// A reply is there and waits for the transmit stamp, which may be read after it.
    Replied,
    /// Decided without anything having answered.
    TimedOut,
    /// Decided by an answer, or answered after its time-out.
    Answered,
    /// Ended without a fate: this host can't tell what became of it.
    Void,
}

impl State {
    pub(crate) const fn is_undecided(self) -> bool {
        matches!(self, State::Polled | State::Sent | State::Replied)
    }
}

impl Slot {
    pub(crate) const EMPTY: Slot = Slot {
        sequence: 0,
        sent_mono: Mono(0),
        sent_wall: Wall(0),
        stamp: Wall(0),
        user_rtt: 0,
        target: 0,
        generation: 0,
        rx_delay: 0,
        port: 0,
        sent_epoch: 0,
        reply_epoch: 0,
        tx_clock: None,
        rx_clock: None,
        state: State::Empty,
    };
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ring {
    slots: Box<[Slot]>,
    mask: u64,
    first: u64,
    oldest: u64,
    next: u64,
    undecided: usize,
}

impl Ring {
    /// `capacity` is rounded up to a power of two.
    pub(crate) fn new(capacity: u32, first: u64) -> Ring {
        let size = capacity.max(1).next_power_of_two() as usize;
        Ring {
            slots: vec![Slot::EMPTY; size].into_boxed_slice(),
            mask: size as u64 - 1,
            first,
            oldest: first,
            next: first,
            undecided: 0,
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Probes without a fate.
    pub(crate) fn undecided(&self) -> usize {
        self.undecided
    }

    /// The number of the next probe.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn is_full(&self) -> bool {
        self.next - self.oldest >= self.slots.len() as u64
    }

    /// Takes the next number for a probe in state `Polled`. The ring must not be full.
    pub(crate) fn push(&mut self, slot: Slot) {
        debug_assert!(!self.is_full() && slot.sequence == self.next && slot.state == State::Polled);
        let index = self.index(self.next);
        self.slots[index] = slot;
        self.next += 1;
        self.undecided += 1;
    }

    /// Takes back the newest probe, if it is still as it was handed out.
    pub(crate) fn pop_newest(&mut self) -> Option<Slot> {
        let newest = self.next.checked_sub(1)?;
        let index = self.index(newest);
        let slot = self.slots[index];
        if slot.sequence != newest || slot.state != State::Polled {
            return None;
        }
        self.slots[index] = Slot::EMPTY;
        self.next = newest;
        self.undecided -= 1;
        self.oldest = self.oldest.min(self.next);
        Some(slot)
    }

    /// The slot of a probe, in whatever state; `None` once it is forgotten, or before it was polled.
    pub(crate) fn get(&mut self, sequence: u64) -> Option<&mut Slot> {
        let index = self.index(sequence);
        self.slots
            .get_mut(index)
            .filter(|slot| slot.sequence == sequence && slot.state != State::Empty)
    }

    /// Whether this number was ever given to a probe.
    pub(crate) fn was_issued(&self, sequence: u64) -> bool {
        (self.first..self.next).contains(&sequence)
    }

    /// The newest number issued whose low `bits` are those of `low`.
    pub(crate) fn newest_with(&self, low: u64, bits: u32) -> Option<u64> {
        let mask = (1 << bits) - 1;
        let newest = self.next.checked_sub(1)?;
        let sequence = newest.checked_sub(newest.wrapping_sub(low) & mask)?;
        self.was_issued(sequence).then_some(sequence)
    }

    /// The oldest probe without a fate.
    pub(crate) fn oldest(&mut self) -> Option<&mut Slot> {
        if self.oldest == self.next {
            None
        } else {
            self.get(self.oldest)
        }
    }

    /// As [`Ring::oldest`], to look at.
    pub(crate) fn peek_oldest(&self) -> Option<&Slot> {
        if self.oldest == self.next {
            None
        } else {
            self.slots.get(self.index(self.oldest))
        }
    }

    /// Notes that the probe was just decided.
    pub(crate) fn decided(&mut self) {
        self.undecided -= 1;
        while self.oldest < self.next {
            let index = self.index(self.oldest);
            if self.slots[index].state.is_undecided() {
                break;
            }
            self.oldest += 1;
        }
    }

    /// The numbers that may be undecided.
    pub(crate) fn window(&self) -> std::ops::Range<u64> {
        self.oldest..self.next
    }

    fn index(&self, sequence: u64) -> usize {
        // Below the length, which is a usize.
        (sequence & self.mask) as usize
    }
}
