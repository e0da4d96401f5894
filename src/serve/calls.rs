//! Calls under way at a port, of all its connections together.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::crowd::{Crowd, Place};

/// Bounds how many there are. Beyond, a connection makes room: that of the oldest call of the source with the most of
/// them. A bound for each connection alone would multiply by the connections; and it is the connection that goes, for a
/// call whose caller doesn't take the answer can't be ended otherwise.
#[derive(Debug)]
pub struct Calls {
    limit: usize,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    /// Numbers given out.
    next: u64,
    crowd: Crowd,
}

impl Calls {
    /// At most `limit` at once, and at least one.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Calls> {
        Arc::new(Calls {
            limit: limit.max(1),
            inside: Mutex::default(),
        })
    }

    /// A call has come from `source`; its connection is told by `leave` to make room.
    #[must_use]
    pub fn begin(self: &Arc<Self>, source: IpAddr, leave: CancellationToken) -> Call {
        let mut inside = self.lock();
        if inside.crowd.len() >= self.limit
            && let Some(closes) = inside.crowd.pop()
        {
            closes.cancel();
        }
        let place = Place {
            is_used: false,
            number: inside.next,
        };
        inside.next += 1;
        inside.crowd.insert(source, place, leave);
        drop(inside);
        Call {
            calls: Arc::clone(self),
            source,
            place,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Nothing panics while holding it; if something did, the counts are still whole.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's place; dropping it gives the place back.
#[derive(Debug)]
pub struct Call {
    calls: Arc<Calls>,
    source: IpAddr,
    place: Place,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.calls.lock().crowd.remove(self.source, self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_of_calls_makes_room_by_its_own() {
        let calls = Calls::new(3);
        let begin = |last: u8| {
            let leave = CancellationToken::new();
            (calls.begin([10, 0, 0, last].into(), leave.clone()), leave)
        };
        let other = begin(1);
        let crowd: Vec<_> = (0..10).map(|_| begin(9)).collect();
        let late = begin(2);
        assert!(!other.1.is_cancelled() && !late.1.is_cancelled());
        assert_eq!(crowd.iter().filter(|(_, leave)| !leave.is_cancelled()).count(), 1);
        drop((other, crowd, late));
        assert_eq!(calls.lock().crowd.len(), 0);
    }
}
