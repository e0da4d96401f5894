//! What really passed an interface, with the kernel's stamps: the truth that a prober's figures are compared with.

use crate::error::{LabError, Result};
use crate::namespaces::Namespace;
use crate::tap::{Frame, Tap};
use crate::wire::{Echo, Flow, Seen, see};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Keeps every frame of one interface until it is stopped.
#[derive(Debug)]
pub struct Capture {
    /// When it is to end, by the clock of the stamps; 0 until that is known.
    stop: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<Vec<Frame>>>>,
}

impl Capture {
    /// Starts on `interface` of `namespace`; frames from the return on are kept.
    ///
    /// # Errors
    /// As [`Tap::open`].
    pub fn start(namespace: &Namespace, interface: &str) -> Result<Capture> {
        let mut tap = Tap::open(namespace, interface)?;
        let stop = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut frames = Vec::new();
            loop {
                // Read before the last receive, so that all that was queued when the stop was asked for is kept.
                let end = told.load(Ordering::Acquire);
                match tap.receive()? {
                    // Where traffic never pauses, its stamps tell the end.
                    Some(frame) if end > 0 && frame.stamp_ns > end => return Ok(frames),
                    Some(frame) => frames.push(frame),
                    None if end > 0 => return Ok(frames),
                    None => {}
                }
            }
        });
        Ok(Capture {
            stop,
            thread: Some(thread),
        })
    }

    /// Stops and returns the frames in the order they passed.
    ///
    /// # Errors
    /// Where the capture failed meanwhile.
    pub fn stop(mut self) -> Result<Frames> {
        self.stop.store(now_ns(), Ordering::Release);
        let thread = self
            .thread
            .take()
            .ok_or_else(|| LabError::new("the capture was stopped before"))?;
        thread
            .join()
            .map_err(|_| LabError::new("the capture's thread panicked"))?
            .map(Frames)
    }
}

/// The clock of the stamps, nanoseconds.
fn now_ns() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(now_ns(), Ordering::Release);
    }
}

/// A finished capture.
#[derive(Debug)]
pub struct Frames(pub Vec<Frame>);

impl Frames {
    /// The round trips of the echo requests that were answered, nanoseconds, in the order of the replies.
    #[must_use]
    pub fn echo_round_trips(&self) -> Vec<(Echo, u64)> {
        self.round_trips(|seen| match seen {
            Seen::Request(echo) => Some((echo, false)),
            Seen::Reply(echo) => Some((echo, true)),
            _ => None,
        })
    }

    /// The times from each SYN to its SYN-ACK, nanoseconds, in the order of the answers.
    #[must_use]
    pub fn syn_round_trips(&self) -> Vec<(Flow, u64)> {
        self.round_trips(|seen| match seen {
            Seen::Syn(flow) => Some((flow, false)),
            Seen::SynAck(flow) => Some((flow, true)),
            _ => None,
        })
    }

    /// How many frames are `wanted`.
    #[must_use]
    pub fn count(&self, wanted: impl Fn(Seen) -> bool) -> usize {
        self.0
            .iter()
            .filter_map(|frame| see(&frame.bytes))
            .filter(|seen| wanted(*seen))
            .count()
    }

    fn round_trips<K: std::hash::Hash + Eq + Copy>(&self, pick: impl Fn(Seen) -> Option<(K, bool)>) -> Vec<(K, u64)> {
        let mut open = HashMap::new();
        let mut trips = Vec::new();
        for frame in &self.0 {
            match see(&frame.bytes).and_then(&pick) {
                Some((key, false)) => {
                    open.insert(key, frame.stamp_ns);
                }
                Some((key, true)) => {
                    if let Some(sent) = open.remove(&key) {
                        trips.push((key, frame.stamp_ns.saturating_sub(sent)));
                    }
                }
                None => {}
            }
        }
        trips
    }
}
