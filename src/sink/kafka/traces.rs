//! TraceReports that wait, in bounded memory: each is worth little, so the oldest go first.

use std::collections::VecDeque;

/// Bytes of TraceReports that may wait.
const BOUND_BYTES: usize = 1 << 20;
/// What a queued report costs beyond its text.
const OVERHEAD: usize = size_of::<Vec<u8>>() + 16;

#[derive(Debug, Default)]
pub(crate) struct TraceRing {
    queue: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl TraceRing {
    /// Adds the newest report; returns how many old ones had to go.
    pub(crate) fn push(&mut self, json: Vec<u8>) -> u64 {
        self.bytes += json.len() + OVERHEAD;
        self.queue.push_back(json);
        let mut dropped = 0;
        while self.bytes > BOUND_BYTES && self.pop().is_some() {
            dropped += 1;
        }
        dropped
    }

    /// Puts back one that was taken and could not be delivered, as the oldest; returns how many had to go (1 or 0).
    pub(crate) fn put_back(&mut self, json: Vec<u8>) -> u64 {
        if self.bytes + json.len() + OVERHEAD > BOUND_BYTES {
            return 1;
        }
        self.bytes += json.len() + OVERHEAD;
        self.queue.push_front(json);
        0
    }

    /// Takes the oldest.
    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        let json = self.queue.pop_front()?;
        self.bytes -= json.len() + OVERHEAD;
        Some(json)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_are_counted() {
        let mut ring = TraceRing::default();
        let mut dropped = 0;
        for n in 0..100_000_u32 {
            dropped += ring.push(n.to_be_bytes().to_vec());
        }
        assert_eq!(dropped + ring.len() as u64, 100_000);
        assert!(dropped > 0 && ring.bytes <= BOUND_BYTES);
        assert_eq!(
            ring.put_back(vec![0; 100]),
            1,
            "no room for what is older than everything"
        );
        assert_eq!(ring.pop(), Some((dropped as u32).to_be_bytes().to_vec()));
    }

    #[test]
    fn what_is_put_back_is_next() {
        let mut ring = TraceRing::default();
        ring.push(vec![1]);
        assert_eq!(ring.put_back(vec![0]), 0);
        assert_eq!(
            (ring.pop(), ring.pop(), ring.pop()),
            (Some(vec![0]), Some(vec![1]), None)
        );
        assert_eq!(ring.bytes, 0);
    }
}
