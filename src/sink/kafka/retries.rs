//! Records whose delivery failed, until they are handed over again.
//!
//! A topic that refuses a batch for its size says so of each record in it. Those go again one at a time, each in a batch of
//! its own, which tells the one that is too large by itself from those that only were in its company; and no more is handed
//! over at a time than half of what was refused.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::message::Message;

/// Bytes of summary records that may be with librdkafka, unacknowledged; what waits before can still merge.
pub(crate) const OUTSTANDING_BYTES: usize = 1 << 20;
/// Between a failed delivery and the next attempt.
pub(super) const RETRY: Duration = Duration::from_millis(500);

struct Again {
    /// Not before.
    at: Instant,
    message: Arc<Message>,
    /// With nothing else beside it.
    alone: bool,
}

pub(super) struct Retries {
    queue: VecDeque<Again>,
    /// One is on its way alone.
    alone: bool,
    /// Bytes that may be outstanding.
    most: usize,
    /// Whether a batch was refused for its size since the last [`Retries::settle`].
    refused: bool,
}

impl Retries {
    pub(super) fn new() -> Retries {
        Retries {
            queue: VecDeque::new(),
            alone: false,
            most: OUTSTANDING_BYTES,
            refused: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether one is on its way alone.
    pub(super) fn is_alone(&self) -> bool {
        self.alone
    }

    /// Whether another record may be handed over for the first time: while some fail, new ones stay where they can still
    /// merge.
    pub(super) fn has_room(&self, outstanding: usize) -> bool {
        self.queue.is_empty() && !self.alone && outstanding < self.most
    }

    /// The next one to be handed over again.
    pub(super) fn next(&mut self, now: Instant, outstanding: usize) -> Option<Arc<Message>> {
        let next = self.queue.front()?;
        if self.alone || next.at > now || (next.alone && outstanding > 0) {
            return None;
        }
        let next = self.queue.pop_front()?;
        self.alone = next.alone;
        Some(next.message)
    }

    /// All that wait, at the end.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Arc<Message>> {
        std::mem::take(&mut self.queue).into_iter().map(|again| again.message)
    }

    /// A record has come to an end, or is to go again; whether it was alone.
    pub(super) fn ended(&mut self) -> bool {
        std::mem::take(&mut self.alone)
    }

    /// One that failed for a reason that may pass.
    pub(super) fn failed(&mut self, message: Arc<Message>, was_alone: bool) {
        self.push(message, RETRY, was_alone);
    }

    /// One that was refused for the size of its batch. False where it was the whole batch: it is of no use to try again.
    pub(super) fn too_large(&mut self, message: Arc<Message>, was_alone: bool) -> bool {
        if was_alone {
            // It was to blame for the larger batch as well.
            self.most = OUTSTANDING_BYTES;
            return false;
        }
        self.refused = true;
        self.push(message, Duration::ZERO, true);
        true
    }

    /// All outcomes known until now are told.
    pub(super) fn settle(&mut self) {
        if std::mem::take(&mut self.refused) {
            self.most = (self.most / 2).max(1);
        }
    }

    fn push(&mut self, message: Arc<Message>, after: Duration, alone: bool) {
        let at = Instant::now() + after;
        self.queue.push_back(Again { at, message, alone });
    }
}
