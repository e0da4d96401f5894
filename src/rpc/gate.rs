//! Who has never answered is asked seldom: so that nobody who writes into the membership can make all agents probe a third
//! party.
//!
//! A host counts, not an entry: whatever number of targets is said to be there, and on whatever ports, one that goes
//! unanswered holds up the others for [`PAUSE`]. The places of those who wait in this node's budget of probes are what their
//! first pings may use, so that thousands of them are no burst.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;

use dt_probe::time::{MILLISECOND, SECOND};
use dt_probe::{Mono, TargetId};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A host at which nobody answered is asked again no sooner, nanoseconds.
const PAUSE: u64 = 10 * SECOND;
/// Up to so much later, so that nodes that learnt of a host at the same time don't go on asking in step.
const JITTER: u64 = 2 * SECOND;
/// Between two first pings of this node, however large its budget: each is a new connection.
const SHORTEST: u64 = 2 * MILLISECOND;

/// Targets that have not answered yet.
#[derive(Debug)]
pub(crate) struct Gate {
    hosts: HashMap<IpAddr, Host>,
    /// The hosts by when they may be asked; those that may be asked at the same time in random order. Each host that isn't
    /// being asked stands here once.
    ready: BTreeSet<(Mono, u64, IpAddr)>,
    /// Targets in all queues and those being asked.
    waiting: usize,
    /// Nobody is asked before.
    not_before: Mono,
    /// What a peer's share of the budget comes to: the time between its probes.
    share_ns: u64,
    paused: bool,
    rng: SmallRng,
}

#[derive(Debug)]
struct Host {
    queue: VecDeque<TargetId>,
    asking: Option<Asking>,
}

#[derive(Clone, Copy, Debug)]
struct Asking {
    target: TargetId,
    since: Mono,
    /// The target was taken away meanwhile.
    removed: bool,
}

impl Gate {
    pub(crate) fn new(seed: u64) -> Gate {
        Gate {
            hosts: HashMap::new(),
            ready: BTreeSet::new(),
            waiting: 0,
            not_before: Mono(0),
            share_ns: 0,
            paused: false,
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    /// From now on `target`, which is at `host`, waits for its turn.
    pub(crate) fn add(&mut self, target: TargetId, host: IpAddr, now: Mono) {
        let (ready, order) = (&mut self.ready, self.rng.random());
        let known = self.hosts.entry(host).or_insert_with(|| {
            ready.insert((now, order, host));
            Host {
                queue: VecDeque::new(),
                asking: None,
            }
        });
        known.queue.push_back(target);
        self.waiting += 1;
    }

    /// `target` waits no longer. That its host didn't answer is remembered all the same.
    pub(crate) fn remove(&mut self, target: TargetId, host: IpAddr) {
        let Some(known) = self.hosts.get_mut(&host) else { return };
        if let Some(place) = known.queue.iter().position(|waiting| *waiting == target) {
            known.queue.remove(place);
            self.waiting -= 1;
        } else if let Some(asking) = &mut known.asking
            && asking.target == target
            && !asking.removed
        {
            asking.removed = true;
            self.waiting -= 1;
        }
    }

    /// The share of the budget that each peer has: one probe in this time.
    pub(crate) fn set_share(&mut self, nanos: u64) {
        self.share_ns = nanos;
    }

    /// Nobody is asked until [`Gate::resume`].
    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    pub(crate) fn resume(&mut self) {
        self.paused = false;
    }

    /// The earliest time at which [`Gate::pop_due`] may give something.
    pub(crate) fn next_due(&self) -> Option<Mono> {
        if self.paused {
            return None;
        }
        self.ready.first().map(|(due, _, _)| (*due).max(self.not_before))
    }

    /// The next target to ask. Its host is asked nothing more until [`Gate::answered`] says what came of it.
    pub(crate) fn pop_due(&mut self, now: Mono) -> Option<TargetId> {
        loop {
            if self.paused || self.not_before > now {
                return None;
            }
            let (due, order, host) = *self.ready.first()?;
            if due > now {
                return None;
            }
            self.ready.remove(&(due, order, host));
            let known = self.hosts.get_mut(&host)?;
            let Some(target) = known.queue.pop_front() else {
                // All of its targets were removed, and the time in which it is remembered has passed.
                self.hosts.remove(&host);
                continue;
            };
            known.asking = Some(Asking {
                target,
                since: now,
                removed: false,
            });
            let fair = self.share_ns / self.waiting.max(1) as u64;
            self.not_before = now.plus(fair.max(SHORTEST));
            return Some(target);
        }
    }

    /// What came of asking `target`. True where it is one that waited until now and has answered: it waits no longer.
    pub(crate) fn answered(&mut self, target: TargetId, host: IpAddr, well: bool, now: Mono) -> bool {
        let Some(known) = self.hosts.get_mut(&host) else {
            return false;
        };
        let removed = match known.asking {
            Some(asking) if asking.target == target => {
                let late = self.rng.random_range(0..JITTER);
                let due = if well {
                    now
                } else {
                    asking.since.plus(PAUSE + late).max(now)
                };
                known.asking = None;
                self.ready.insert((due, self.rng.random(), host));
                if !well && !asking.removed {
                    known.queue.push_back(target);
                }
                asking.removed
            }
            // An answer that came after its time-out, when the target waited for its next turn.
            _ if well => match known.queue.iter().position(|waiting| *waiting == target) {
                Some(place) => known.queue.remove(place).is_none(),
                None => true,
            },
            _ => true,
        };
        let passes = well && !removed;
        self.waiting -= usize::from(passes);
        passes
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
