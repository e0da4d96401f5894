//! Who is let in. A connection arrives, and is admitted once its caller has shown to speak the language of the port.
//!
//! Those that only arrive (scanners, slow ones, TCP probes of other nodes) are told from those that are in: where there are
//! too many of them, the oldest goes of the source that has the most. So a crowd of them can't keep others out; who calls
//! from the same address as the crowd has to say its first words before as many as are let in have come after it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::arriving::Arriving;

/// How many connections at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of callers that have shown nothing yet; beyond it one is closed: of the source with the most of them, the one that
    /// has waited longest.
    pub arriving: usize,
    /// Of callers that were admitted; beyond it newcomers are.
    pub open: usize,
    /// Of these, from one address (from one /64 of IPv6).
    pub per_source: usize,
}

/// What a [`Door`] has seen; all but `open` only grow.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections open and admitted now.
    pub open: AtomicU64,
    /// Connections closed because as many as are allowed were open.
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
    arriving: Arriving,
    open: usize,
    sources: HashMap<IpAddr, usize>,
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
        inside.arriving.insert(source, number, pushed_out.clone());
        Arrival {
            door: Arc::clone(self),
            number,
            source,
            is_open: false,
            pushed_out,
        }
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
    pushed_out: CancellationToken,
}

impl Arrival {
    /// The caller has shown what it wants. False where it can't be let in: the connection is to be closed.
    #[must_use]
    pub fn admit(&mut self) -> bool {
        if self.is_open {
            return true;
        }
        let Door { limits, stats, .. } = &*self.door;
        let mut inside = self.door.lock();
        if !inside.arriving.remove(self.source, self.number) {
            // Pushed out in this moment.
            return false;
        }
        let from_there = inside.sources.get(&self.source).copied().unwrap_or(0);
        if inside.open >= limits.open || from_there >= limits.per_source {
            stats.turned_away.fetch_add(1, Relaxed);
            return false;
        }
        inside.open += 1;
        inside.sources.insert(self.source, from_there + 1);
        drop(inside);
        stats.open.fetch_add(1, Relaxed);
        self.is_open = true;
        true
    }

    /// Cancelled when the connection has to make room before it was admitted.
    pub(crate) fn pushed_out(&self) -> CancellationToken {
        self.pushed_out.clone()
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut inside = self.door.lock();
        if !self.is_open {
            inside.arriving.remove(self.source, self.number);
            return;
        }
        inside.open -= 1;
        if let Some(from_there) = inside.sources.get_mut(&self.source) {
            *from_there -= 1;
            if *from_there == 0 {
                inside.sources.remove(&self.source);
            }
        }
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

    #[test]
    fn there_is_room_for_so_many_in_all_and_from_one_source() {
        let door = door(9, 3, 2);
        let arrive = |from: &str| door.arrive(ip(from));
        let mut inside = Vec::new();
        for (from, well) in [
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("10.0.0.1", false),
            ("fd00::1", true),
            ("10.0.0.2", false),
        ] {
            let mut arrival = arrive(from);
            assert_eq!(arrival.admit(), well, "{from}");
            inside.push(arrival);
        }
        assert_eq!(door.stats().turned_away.load(Relaxed), 2);
        // Twice is once.
        assert!(inside[0].admit());
        inside.clear();
        assert_eq!(door.stats().open.load(Relaxed), 0);
        let left = door.lock();
        assert!(left.open == 0 && left.sources.is_empty() && left.arriving.len() == 0);
    }

    #[test]
    fn a_64_of_ipv6_is_one_source() {
        assert_eq!(source(ip("2001:db8::1")), source(ip("2001:db8::ffff:1")));
        assert_ne!(source(ip("2001:db8::1")), source(ip("2001:db8:0:1::1")));
        assert_ne!(source(ip("10.0.0.1")), source(ip("10.0.0.2")));
    }
}
