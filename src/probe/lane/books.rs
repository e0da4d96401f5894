//! The books: what a probe's fate means for its target, its source port, and the events.

use super::{EVENTS, EVENTS_ENOUGH, Lane};
use crate::event::{Event, TargetId, What};
use crate::kind::Fate;
use crate::ring::{Slot, State};
use crate::targets::{Presence, Target};

impl Lane {
    /// Ends the probe with a fate; without one where the host slept while it was in flight. It must be undecided.
    pub(super) fn decide(&mut self, sequence: u64, state: State, what: What) {
        if self.slept_through(sequence) {
            self.void(sequence);
        } else {
            self.end(sequence, state, what);
        }
    }

    /// Ends the probe, with a fate or without. False, and nothing done, where it isn't undecided.
    pub(super) fn end(&mut self, sequence: u64, state: State, what: What) -> bool {
        let Some(slot) = self.ring.get(sequence).filter(|slot| slot.state.is_undecided()) else {
            return false;
        };
        if slot.state == State::Polled {
            self.unreported = self.unreported.saturating_sub(1);
        }
        slot.state = state;
        self.close(sequence, Some(what));
        true
    }

    /// The books of a probe that was just decided.
    pub(super) fn close(&mut self, sequence: u64, what: Option<What>) {
        self.ring.decided();
        let Some(&mut slot) = self.ring.get(sequence) else {
            return;
        };
        if let Some(what) = what {
            self.report(&slot, what);
        }
        let Some(target) = self.targets.owner(slot.target, slot.generation) else {
            return;
        };
        target.in_flight = target.in_flight.saturating_sub(1);
        let target = *target;
        if self.ports.len() > 0 {
            self.ports.release(target.flow, slot.port);
        }
        if target.in_flight == 0 {
            if target.remaining == 0 {
                self.unfinished = self.unfinished.saturating_sub(usize::from(self.counted.is_some()));
            }
            if target.presence == Presence::Leaving {
                self.forget(TargetId(slot.target));
            }
        }
    }

    /// Frees the row of a target that is leaving and has nothing in flight.
    pub(super) fn forget(&mut self, id: TargetId) {
        let Some(target) = self.targets.get(id) else { return };
        target.presence = Presence::Vacant;
        let Target { flow, address, .. } = *target;
        if self.ports.len() > 0 {
            self.ports.leave(flow, address);
        }
        self.push(Event {
            target: id,
            source_port: 0,
            what: What::Gone,
        });
    }

    pub(super) fn report(&mut self, slot: &Slot, what: What) {
        let source_port = self.ports.port(slot.port);
        self.push(Event {
            target: TargetId(slot.target),
            source_port,
            what,
        });
    }

    pub(super) fn skip(&mut self, target: TargetId, count: u32) {
        if count > 0 {
            self.stats.skipped += u64::from(count);
            self.push(Event {
                target,
                source_port: 0,
                what: What::Skipped(count),
            });
        }
    }

    pub(super) fn push(&mut self, event: Event) {
        if self.events.len() >= EVENTS && matches!(event.what, What::Late | What::Duplicate) {
            self.stats.events_dropped += 1;
            return;
        }
        self.events.push_back(event);
    }

    pub(super) fn has_enough_events(&self) -> bool {
        self.events.len() >= EVENTS_ENOUGH
    }

    pub(super) fn fail(&mut self, sequence: u64, fate: Fate, state: State) {
        self.decide(sequence, state, What::Failed(fate));
    }
}
