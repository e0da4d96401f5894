//! Who takes up room together with others, and who of them goes where they are too many.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use tokio_util::sync::CancellationToken;

/// Connections (or calls), by source and place. The source with the most of them makes room, by its first: however
/// fast a crowd calls, it pushes out its own, not the one health check of the host beside it.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// By place, what closes them. No source is without any.
    sources: HashMap<IpAddr, BTreeMap<Place, CancellationToken>>,
    /// One entry a source, the next to make room at the end.
    ranks: BTreeSet<Rank>,
    len: usize,
}

/// Where one stands among those of its source: the lowest makes room first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// It has been of use to somebody, and stays while there are others of its source that haven't.
    pub(crate) is_used: bool,
    /// The lower, the longer it has been there.
    pub(crate) number: u64,
}

/// How many, then how soon the first of them is to go.
type Rank = (usize, Reverse<Place>, IpAddr);

impl Crowd {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many there are of one source.
    pub(crate) fn of(&self, source: IpAddr) -> usize {
        self.sources.get(&source).map_or(0, BTreeMap::len)
    }

    pub(crate) fn insert(&mut self, source: IpAddr, place: Place, closes: CancellationToken) {
        self.change(source, |there| {
            there.insert(place, closes);
        });
    }

    /// What closes it, if it was still there.
    pub(crate) fn remove(&mut self, source: IpAddr, place: Place) -> Option<CancellationToken> {
        self.change(source, |there| there.remove(&place))
    }

    /// Removes who is to make room.
    pub(crate) fn pop(&mut self) -> Option<CancellationToken> {
        let &(.., source) = self.ranks.last()?;
        self.pop_of(source)
    }

    /// Removes who of `source` is to make room.
    pub(crate) fn pop_of(&mut self, source: IpAddr) -> Option<CancellationToken> {
        self.change(source, BTreeMap::pop_first).map(|(_, closes)| closes)
    }

    /// Changes what is there of one source, and keeps its rank.
    fn change<T>(&mut self, source: IpAddr, change: impl FnOnce(&mut BTreeMap<Place, CancellationToken>) -> T) -> T {
        let there = self.sources.entry(source).or_default();
        if let Some(before) = rank(source, there) {
            self.ranks.remove(&before);
        }
        self.len -= there.len();
        let changed = change(there);
        self.len += there.len();
        match rank(source, there) {
            Some(after) => {
                self.ranks.insert(after);
            }
            None => {
                self.sources.remove(&source);
            }
        }
        changed
    }
}

fn rank(source: IpAddr, there: &BTreeMap<Place, CancellationToken>) -> Option<Rank> {
    let (&first, _) = there.first_key_value()?;
    Some((there.len(), Reverse(first), source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn place(number: u64) -> Place {
        Place { is_used: false, number }
    }

    /// Callers in the order of their numbers, by source, and whether they were of use; who makes room, one after the other.
    fn gone_of(callers: &[(u8, bool)]) -> Vec<usize> {
        let mut crowd = Crowd::default();
        let tokens: Vec<_> = callers.iter().map(|_| CancellationToken::new()).collect();
        for (number, (&(source, is_used), token)) in (0..).zip(callers.iter().zip(&tokens)) {
            crowd.insert(ip(source), Place { is_used, number }, token.clone());
        }
        assert_eq!(crowd.len(), callers.len());
        let mut gone = Vec::new();
        while let Some(closes) = crowd.pop() {
            closes.cancel();
            let next = (0..tokens.len()).find(|at| tokens[*at].is_cancelled() && !gone.contains(at));
            gone.push(next.unwrap());
        }
        assert!(crowd.len() == 0 && crowd.sources.is_empty() && crowd.ranks.is_empty());
        gone
    }

    fn gone(callers: &[u8]) -> Vec<usize> {
        let callers: Vec<_> = callers.iter().map(|source| (*source, false)).collect();
        gone_of(&callers)
    }

    #[test]
    fn a_crowd_makes_room_by_its_own() {
        // The one of source 1 came first and is the last but for the crowd's.
        assert_eq!(gone(&[1, 9, 9, 9]), [1, 2, 0, 3]);
        assert_eq!(gone(&[9, 9, 1, 9, 2]), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn of_equals_the_oldest_goes_whatever_its_address() {
        assert_eq!(gone(&[3, 1, 2]), [0, 1, 2]);
        assert_eq!(gone(&[1, 2, 2, 1]), [0, 1, 2, 3]);
    }

    #[test]
    fn who_was_of_use_goes_after_those_of_its_source_that_were_not() {
        assert_eq!(gone_of(&[(1, true), (1, false), (1, false)]), [1, 2, 0]);
        // Use is no licence for a crowd.
        assert_eq!(gone_of(&[(2, false), (9, true), (9, true)]), [1, 0, 2]);
        // Of sources that have equally many, those that called are the last.
        assert_eq!(gone_of(&[(1, true), (2, false), (3, true)]), [1, 0, 2]);
    }

    #[test]
    fn who_has_gone_is_no_longer_counted() {
        let mut crowd = Crowd::default();
        for number in 0..3 {
            crowd.insert(ip(1), place(number), CancellationToken::new());
        }
        crowd.insert(ip(2), place(3), CancellationToken::new());
        assert!(crowd.remove(ip(1), place(1)).is_some() && crowd.remove(ip(1), place(1)).is_none());
        assert!(crowd.remove(ip(7), place(0)).is_none() && crowd.pop_of(ip(7)).is_none());
        assert!(crowd.remove(ip(1), place(2)).is_some() && crowd.pop_of(ip(1)).is_some());
        assert_eq!((crowd.len(), crowd.of(ip(1)), crowd.of(ip(2))), (1, 0, 1));
        assert_eq!((crowd.sources.len(), crowd.ranks.len()), (1, 1));
    }
}
