//! Who counts as there, given who is registered: single members leave at once, but where half or more vanish together
//! it is more likely the service that fails than the nodes, and they are kept for a while. So is everybody who vanishes
//! while one's own session has just been lost, too.
//!
//! No clock and no I/O: the caller passes `now`, hands in what is registered by [`Roster::update`], and calls
//! [`Roster::poll`] when [`Roster::next_deadline`] has come.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::member::Member;

/// How long those that vanish are gathered before it is decided whether they are few or many. One closing session
/// takes its entries away in one transaction, and sessions that end together end in one tick of the server; both come
/// as separate notifications.
pub(crate) const GATHER: Duration = Duration::from_millis(250);

/// From this many others on, all departures of the last session timeout count as "at once": the sessions of a
/// partitioned site don't expire in the same tick. A small mesh may well lose half of it to an operator in that time.
const LARGE: usize = 16;

#[derive(Debug)]
struct Slot {
    member: Arc<Member>,
    presence: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Registered,
    /// Vanished; it isn't decided yet what that means.
    Missing,
    /// Vanished together with many others: still shown until then.
    Kept(Instant),
}

/// The members shown to the rest of the agent.
#[derive(Debug)]
pub(crate) struct Roster {
    slots: BTreeMap<String, Slot>,
    /// When to decide about the missing ones.
    decide_at: Option<Instant>,
    /// Who left lately, the oldest first; at most as long ago as the session timeout.
    departed: VecDeque<(Instant, Arc<Member>)>,
    session_timeout: Duration,
    mass_vanishes: u64,
    /// Until when nobody's vanishing counts as a departure.
    doubt_until: Option<Instant>,
}

impl Roster {
    pub(crate) fn new(session_timeout: Duration) -> Self {
        Roster {
            slots: BTreeMap::new(),
            decide_at: None,
            departed: VecDeque::new(),
            session_timeout,
            mass_vanishes: 0,
            doubt_until: None,
        }
    }

    /// One's own session ended without one's doing and a new one begins at `now`: the service failed, so whoever vanishes
    /// within two session timeouts from here most likely lost his in the same way and comes back, a few or many.
    pub(crate) fn doubt(&mut self, now: Instant) {
        self.doubt_until = Some(now + 2 * self.session_timeout);
    }

    /// The negotiated session timeout, which decides how long members are kept.
    pub(crate) fn set_session_timeout(&mut self, timeout: Duration) {
        self.session_timeout = timeout;
    }

    /// `registered` is who is registered now, by key. Decides what is due, too.
    pub(crate) fn update(&mut self, now: Instant, registered: BTreeMap<String, Arc<Member>>) {
        self.forget_renamed(&registered);
        for (key, slot) in &mut self.slots {
            if slot.presence == Presence::Registered && !registered.contains_key(key) {
                slot.presence = Presence::Missing;
                self.decide_at.get_or_insert(now + GATHER);
            }
        }
        self.departed
            .retain(|(_, member)| !registered.contains_key(member.key()));
        for (key, member) in registered {
            self.slots.insert(
                key,
                Slot {
                    member,
                    presence: Presence::Registered,
                },
            );
        }
        self.poll(now);
    }

    /// Who is registered at its place under another name now, as after an agent of the original was replaced by one of
    /// ours, hasn't vanished: the two are one node.
    fn forget_renamed(&mut self, registered: &BTreeMap<String, Arc<Member>>) {
        let gone = |key: &str| !registered.contains_key(key);
        if !self.slots.keys().any(|key| gone(key)) && self.departed.is_empty() {
            return;
        }
        let places: HashSet<_> = registered.values().map(|member| member.place()).collect();
        self.slots
            .retain(|key, slot| !(gone(key) && places.contains(&slot.member.place())));
        self.departed.retain(|(_, member)| !places.contains(&member.place()));
    }

    /// Decides what is due at `now`.
    pub(crate) fn poll(&mut self, now: Instant) {
        if self.decide_at.is_some_and(|at| at <= now) {
            self.decide_at = None;
            self.decide(now);
        }
        self.slots
            .retain(|_, slot| !matches!(slot.presence, Presence::Kept(until) if until <= now));
    }

    fn decide(&mut self, now: Instant) {
        let horizon = self.session_timeout;
        self.departed
            .retain(|(at, _)| now.saturating_duration_since(*at) < horizon);
        let missing = self
            .slots
            .values()
            .filter(|slot| slot.presence == Presence::Missing)
            .count();
        if missing == 0 {
            return;
        }
        let kept = self
            .slots
            .values()
            .filter(|slot| matches!(slot.presence, Presence::Kept(_)))
            .count();
        let mut base = self.slots.len();
        let mut gone = missing + kept;
        let recall = base + self.departed.len() >= LARGE;
        if recall {
            base += self.departed.len();
            gone += self.departed.len();
        }
        // One's own entry counts as one of the "at least 3 members", but it can't be among the vanished.
        let many = base >= 2 && 2 * gone >= base.max(3);
        let doubtful = self.doubt_until.is_some_and(|until| now < until);
        if many || doubtful {
            self.mass_vanishes += u64::from(many);
            let until = now + 2 * self.session_timeout;
            for slot in self
                .slots
                .values_mut()
                .filter(|slot| slot.presence == Presence::Missing)
            {
                slot.presence = Presence::Kept(until);
            }
            if recall && many {
                for (_, member) in self.departed.drain(..) {
                    self.slots.entry(member.key().to_owned()).or_insert(Slot {
                        member,
                        presence: Presence::Kept(until),
                    });
                }
            }
        } else {
            let departed = &mut self.departed;
            self.slots.retain(|_, slot| {
                let stays = slot.presence != Presence::Missing;
                if !stays {
                    departed.push_back((now, Arc::clone(&slot.member)));
                }
                stays
            });
        }
    }

    /// When [`Roster::poll`] has something to decide.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let kept = self.slots.values().filter_map(|slot| match slot.presence {
            Presence::Kept(until) => Some(until),
            _ => None,
        });
        kept.chain(self.decide_at).min()
    }

    /// Everyone who counts as there, by key.
    pub(crate) fn shown(&self) -> Vec<Arc<Member>> {
        self.slots.values().map(|slot| Arc::clone(&slot.member)).collect()
    }

    /// How many are shown although they vanished for certain.
    pub(crate) fn kept(&self) -> usize {
        self.slots
            .values()
            .filter(|slot| matches!(slot.presence, Presence::Kept(_)))
            .count()
    }

    /// How often many vanished at once.
    pub(crate) fn mass_vanishes(&self) -> u64 {
        self.mass_vanishes
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
