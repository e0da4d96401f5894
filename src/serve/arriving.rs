//! Who has come and shown nothing yet, and who of them goes where they are too many.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use tokio_util::sync::CancellationToken;

/// Connections that arrive, by source and number. The source with the most of them makes room, by its oldest: however
/// fast a crowd calls, it pushes out its own, not the one health check of the host beside it.
#[derive(Debug, Default)]
pub(crate) struct Arriving {
    /// By number, what closes them. No source is without any.
    sources: HashMap<IpAddr, BTreeMap<u64, CancellationToken>>,
    /// One entry a source, the next to make room at the end.
    ranks: BTreeSet<Rank>,
    len: usize,
}

/// How many, then how long the oldest has waited (the lower its number, the longer).
type Rank = (usize, Reverse<u64>, IpAddr);

impl Arriving {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, source: IpAddr, number: u64, closes: CancellationToken) {
        self.change(source, |waiting| {
            waiting.insert(number, closes);
        });
    }

    /// Whether it was still there.
    pub(crate) fn remove(&mut self, source: IpAddr, number: u64) -> bool {
        self.change(source, |waiting| waiting.remove(&number).is_some())
    }

    /// Removes who is to make room.
    pub(crate) fn pop(&mut self) -> Option<CancellationToken> {
        let &(.., source) = self.ranks.last()?;
        self.change(source, BTreeMap::pop_first).map(|(_, closes)| closes)
    }

    /// Changes what waits of one source, and keeps its rank.
    fn change<T>(&mut self, source: IpAddr, change: impl FnOnce(&mut BTreeMap<u64, CancellationToken>) -> T) -> T {
        let waiting = self.sources.entry(source).or_default();
        if let Some(before) = rank(source, waiting) {
            self.ranks.remove(&before);
        }
        self.len -= waiting.len();
        let changed = change(waiting);
        self.len += waiting.len();
        match rank(source, waiting) {
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

fn rank(source: IpAddr, waiting: &BTreeMap<u64, CancellationToken>) -> Option<Rank> {
    let (&oldest, _) = waiting.first_key_value()?;
    Some((waiting.len(), Reverse(oldest), source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    /// Callers in the order of their numbers, by source; who makes room, one after the other.
    fn gone(callers: &[u8]) -> Vec<usize> {
        let mut arriving = Arriving::default();
        let tokens: Vec<_> = callers.iter().map(|_| CancellationToken::new()).collect();
        for (number, (&source, token)) in (0..).zip(callers.iter().zip(&tokens)) {
            arriving.insert(ip(source), number, token.clone());
        }
        assert_eq!(arriving.len(), callers.len());
        let mut gone = Vec::new();
        while let Some(closes) = arriving.pop() {
            closes.cancel();
            let next = (0..tokens.len()).find(|at| tokens[*at].is_cancelled() && !gone.contains(at));
            gone.push(next.unwrap());
        }
        assert!(arriving.len() == 0 && arriving.sources.is_empty() && arriving.ranks.is_empty());
        gone
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
    fn who_has_gone_is_no_longer_counted() {
        let mut arriving = Arriving::default();
        for number in 0..3 {
            arriving.insert(ip(1), number, CancellationToken::new());
        }
        arriving.insert(ip(2), 3, CancellationToken::new());
        assert!(arriving.remove(ip(1), 1) && !arriving.remove(ip(1), 1) && !arriving.remove(ip(7), 0));
        assert!(arriving.remove(ip(1), 2) && arriving.remove(ip(1), 0));
        assert_eq!(
            (arriving.len(), arriving.sources.len(), arriving.ranks.len()),
            (1, 1, 1)
        );
    }
}
