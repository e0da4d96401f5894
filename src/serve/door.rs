//! Who is let in. A connection arrives, and is admitted once its caller has shown to speak the language of the port.
//!
//! Those that only arrive (scanners, slow ones, TCP probes of other nodes) are told from those that are in. Where there are
//! too many of either, the oldest goes of the source that has the most, of those that are in first one that has made no
//! call. So neither a crowd of them nor one that holds on to what it got can keep others out; who calls
//! from the same address as the crowd has to say its first words before as many as are let in have come after it.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::crowd::{Crowd, Place};

/// How many connections at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of callers that have shown nothing yet; beyond it one is closed: of the source with the most of them, the one that
    /// has waited longest.
    pub arriving: usize,
    /// Of callers that were admitted; beyond it one of them is closed, of the source with the most of them. 0: none is
    /// admitted.
    pub open: usize,
    /// Of these, from one address (from one /64 of IPv6); beyond it one of that source is closed, not the newcomer: behind
    /// one address may be many callers, whom one of them could shut out otherwise.
    pub per_source: usize,
}

/// What a [`Door`] has seen; all but `open` only grow.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections open and admitted now.
    pub open: AtomicU64,
    /// Connections that were admitted, closed because as many as are allowed were open.
    pub turned_away: AtomicU64,
    /// Connections closed to make room for others, before they had shown what they want.
    pub pushed_out: AtomicU64,
    /// Failures to accept.
    pub accept_errors: AtomicU64,
}

/// The limits of one port, which may have several listeners.
#[derive(Debug)]
pub struct Door {
    limits: Limits,
    stats: Stats,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    /// Numbers given out.
    next: u64,
    arriving: Crowd,
    open: Crowd,
}

impl Door {
    /// A door that nobody has come through.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Door> {
        Arc::new(Door {
            limits,
            stats: Stats::default(),
            inside: Mutex::default(),
        })
    }

    /// Counters, live.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Somebody calls from `address`.
    pub(crate) fn arrive(self: &Arc<Self>, address: IpAddr) -> Arrival {
        self.stats.accepted.fetch_add(1, Relaxed);
        let (source, pushed_out) = (source(address), CancellationToken::new());
        let mut inside = self.lock();
        if inside.arriving.len() >= self.limits.arriving.max(1)
            && let Some(closes) = inside.arriving.pop()
        {
            closes.cancel();
            self.stats.pushed_out.fetch_add(1, Relaxed);
        }
        let number = inside.next;
        inside.next += 1;
        let arrival = Arrival {
            door: Arc::clone(self),
            number,
            source,
            is_open: false,
            is_used: AtomicBool::new(false),
            pushed_out,
        };
        inside
            .arriving
            .insert(source, arrival.place(), arrival.pushed_out.clone());
        drop(inside);
        arrival
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Nothing panics while holding it; if something did, the counts are still whole.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place; dropping it gives the place back.
#[derive(Debug)]
pub struct Arrival {
    door: Arc<Door>,
    number: u64,
    source: IpAddr,
    is_open: bool,
    is_used: AtomicBool,
    pushed_out: CancellationToken,
}

impl Arrival {
    /// The caller has shown what it wants. False where it can't be let in: the connection is to be closed. One that is let
    /// in is dropped when it has to make room later.
    #[must_use]
    pub fn admit(&mut self) -> bool {
        let closes = self.pushed_out.clone();
        self.admit_to(closes)
    }

    /// As [`Arrival::admit`]; `None` where it can't be let in. Once what is given back is cancelled, the connection has to
    /// make room and is to be ended soon, its place being another's already.
    #[must_use]
    pub fn admit_until(&mut self) -> Option<CancellationToken> {
        let leave = CancellationToken::new();
        self.admit_to(leave.clone()).then_some(leave)
    }

    fn admit_to(&mut self, closes: CancellationToken) -> bool {
        if self.is_open {
            return true;
        }
        let Door { limits, stats, .. } = &*self.door;
        let mut inside = self.door.lock();
        if inside.arriving.remove(self.source, self.place()).is_none() {
            // Pushed out in this moment.
            return false;
        }
        if limits.open == 0 {
            stats.turned_away.fetch_add(1, Relaxed);
            return false;
        }
        let leaves = if inside.open.of(self.source) >= limits.per_source.max(1) {
            inside.open.pop_of(self.source)
        } else if inside.open.len() >= limits.open {
            inside.open.pop()
        } else {
            None
        };
        if let Some(leaves) = leaves {
            leaves.cancel();
            stats.turned_away.fetch_add(1, Relaxed);
        }
        inside.open.insert(self.source, self.place(), closes);
        drop(inside);
        stats.open.fetch_add(1, Relaxed);
        self.is_open = true;
        true
    }

    /// A call has come on it: it is kept longer than those of its source that have made none.
    pub fn used(&self) {
        if self.is_used.load(Relaxed) {
            return;
        }
        let mut inside = self.door.lock();
        // Only where it is in, and still has its place.
        if let Some(closes) = inside.open.remove(self.source, self.place()) {
            self.is_used.store(true, Relaxed);
            inside.open.insert(self.source, self.place(), closes);
        }
    }

    /// Where it is called from, as the limits see it.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        self.source
    }

    /// Cancelled when the connection has to make room at once.
    pub(crate) fn pushed_out(&self) -> CancellationToken {
        self.pushed_out.clone()
    }

    /// Changes under the door's lock alone.
    fn place(&self) -> Place {
        Place {
            is_used: self.is_used.load(Relaxed),
            number: self.number,
        }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut inside = self.door.lock();
        let place = self.place();
        if !self.is_open {
            inside.arriving.remove(self.source, place);
            return;
        }
        inside.open.remove(self.source, place);
        drop(inside);
        self.door.stats.open.fetch_sub(1, Relaxed);
    }
}

/// What counts as one caller: an IPv6 host has a whole /64 to call from.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(arriving: usize, open: usize, per_source: usize) -> Arc<Door> {
        Door::new(Limits {
            arriving,
            open,
            per_source,
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn where_too_many_arrive_the_oldest_goes() {
        let door = door(2, 9, 9);
        let mut arrivals: Vec<_> = (0..3).map(|_| door.arrive(ip("10.0.0.1"))).collect();
        let gone: Vec<_> = arrivals
            .iter()
            .map(|arrival| arrival.pushed_out.is_cancelled())
            .collect();
        assert_eq!(gone, [true, false, false]);
        assert!(!arrivals[0].admit() && arrivals[1].admit());
        // Whoever is in is in nobody's way.
        let another = door.arrive(ip("10.0.0.1"));
        assert!(!arrivals[2].pushed_out.is_cancelled() && !another.pushed_out.is_cancelled());
        let stats = door.stats();
        assert_eq!(
            [&stats.accepted, &stats.open, &stats.pushed_out].map(|count| count.load(Relaxed)),
            [4, 1, 1]
        );
    }

    #[test]
    fn a_crowd_of_one_source_leaves_the_others_where_they_are() {
        let door = door(3, 9, 9);
        let mut check = door.arrive(ip("127.0.0.1"));
        let crowd: Vec<_> = (0..100).map(|_| door.arrive(ip("10.0.0.9"))).collect();
        assert!(!check.pushed_out.is_cancelled() && check.admit());
        let left = crowd.iter().filter(|arrival| !arrival.pushed_out.is_cancelled());
        assert_eq!(left.count(), 2);
    }

    /// Callers let in one after the other, and which of them had to leave.
    fn leaving(door: &Arc<Door>, from: &[&str]) -> (Vec<Arrival>, impl Fn() -> Vec<usize> + use<>) {
        let mut arrivals: Vec<_> = from.iter().map(|from| door.arrive(ip(from))).collect();
        let tokens: Vec<_> = arrivals
            .iter_mut()
            .map(|arrival| arrival.admit_until().unwrap())
            .collect();
        let gone = move || (0..tokens.len()).filter(|at| tokens[*at].is_cancelled()).collect();
        (arrivals, gone)
    }

    #[test]
    fn one_source_that_holds_all_places_makes_room_for_others() {
        let door = door(99, 4, 4);
        let (crowd, gone) = leaving(&door, &["10.0.0.9"; 4]);
        let (others, others_gone) = leaving(&door, &["10.0.0.1", "10.0.0.2"]);
        assert_eq!(gone(), [0, 1]);
        // The crowd goes on calling, and gets what it had at most: as many as anybody else.
        let (_more, more_gone) = leaving(&door, &["10.0.0.9"; 50]);
        assert_eq!(others_gone(), [0_usize; 0]);
        assert_eq!((gone().len(), more_gone().len()), (4, 48));
        assert!(others.iter().all(|arrival| !arrival.pushed_out.is_cancelled()));
        assert_eq!(door.lock().open.len(), 4);
        drop(crowd);
        assert_eq!(door.lock().open.len(), 4, "those had no places any more");
    }

    #[test]
    fn beyond_its_share_a_source_makes_room_by_its_own() {
        let door = door(99, 9, 2);
        let from = ["10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1", "fd00::1", "10.0.0.1"];
        let (mut inside, gone) = leaving(&door, &from);
        assert_eq!(gone(), [0]);
        assert_eq!(door.stats().turned_away.load(Relaxed), 1);
        // Twice is once.
        assert!(inside[1].admit());
        assert_eq!(door.stats().open.load(Relaxed), 5, "all are open until they end");
        inside.clear();
        assert_eq!(door.stats().open.load(Relaxed), 0);
        let left = door.lock();
        assert!(left.open.len() == 0 && left.arriving.len() == 0);
    }

    #[test]
    fn who_has_called_stays_while_others_of_its_source_have_not() {
        let door = door(99, 9, 3);
        let (inside, gone) = leaving(&door, &["10.0.0.1"; 3]);
        inside[0].used();
        inside[0].used();
        let (_more, more_gone) = leaving(&door, &["10.0.0.1"; 3]);
        assert_eq!((gone(), more_gone()), (vec![1, 2], vec![0]));
        // One that has left stays gone, whatever comes on it yet.
        inside[1].used();
        assert_eq!(door.lock().open.len(), 3);
    }

    #[test]
    fn among_many_sources_a_newcomer_is_let_in_before_it_has_called() {
        let door = door(99, 3, 3);
        let (inside, gone) = leaving(&door, &["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        inside.iter().for_each(Arrival::used);
        let (_newcomers, newcomers_gone) = leaving(&door, &["10.0.0.4"]);
        assert_eq!((gone(), newcomers_gone()), (vec![0], vec![]));
    }

    #[test]
    fn who_was_admitted_for_good_is_dropped_to_make_room_and_nobody_where_none_is() {
        let narrow = door(9, 1, 1);
        let (mut first, mut second) = (narrow.arrive(ip("10.0.0.1")), narrow.arrive(ip("10.0.0.2")));
        assert!(first.admit() && second.admit());
        assert!(first.pushed_out.is_cancelled() && !second.pushed_out.is_cancelled());
        let closed = door(9, 0, 0);
        assert!(!closed.arrive(ip("10.0.0.1")).admit());
        assert_eq!(closed.stats().turned_away.load(Relaxed), 1);
    }

    #[test]
    fn a_64_of_ipv6_is_one_source() {
        assert_eq!(source(ip("2001:db8::1")), source(ip("2001:db8::ffff:1")));
        assert_ne!(source(ip("2001:db8::1")), source(ip("2001:db8:0:1::1")));
        assert_ne!(source(ip("10.0.0.1")), source(ip("10.0.0.2")));
    }
}
