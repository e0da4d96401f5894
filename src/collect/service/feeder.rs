//! What the thread that reads Kafka does with each message.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dt_sink::kafka::group::{Handler, Read};

use crate::clock::now_ms;
use crate::intake::{Intake, Message};

/// What was written so shortly ago is the present.
const PRESENT_MS: i64 = 10_000;
/// So many turns must bring mostly such messages. What is behind comes as fast as it can be read, and so is most of what comes; an
/// agent whose clock is wrong is little of it.
const PRESENT_TURNS: u32 = 20;

/// How far the reading is; any thread may look.
#[derive(Debug, Default)]
pub struct Progress {
    /// Those that are this collector's, and whether what they held was read once.
    partitions: Mutex<BTreeMap<i32, bool>>,
    was_assigned: AtomicBool,
    was_current: AtomicBool,
}

impl Progress {
    /// The partitions that are this collector's.
    #[must_use]
    pub fn partitions(&self) -> BTreeSet<i32> {
        self.lock().keys().copied().collect()
    }

    /// Those of them whose last hour was read.
    #[must_use]
    pub fn current_partitions(&self) -> BTreeSet<i32> {
        let current = self.lock();
        current
            .iter()
            .filter(|(_, current)| **current)
            .map(|(number, _)| *number)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, bool>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether partitions were shared out, to this collector or to others, since the start.
    #[must_use]
    pub fn was_assigned(&self) -> bool {
        self.was_assigned.load(Relaxed)
    }

    /// Whether the last hour was read once: what is shown is the present.
    #[must_use]
    pub fn was_current(&self) -> bool {
        self.was_current.load(Relaxed)
    }
}

/// Hands messages to the intake.
#[derive(Debug)]
pub(super) struct Feeder {
    intake: Intake,
    progress: Arc<Progress>,
    /// Messages since the last turn.
    since_turn: usize,
    /// Those of them that were written long ago.
    past: usize,
    /// Turns in a row in which those were the lesser part.
    present_turns: u32,
}

impl Feeder {
    pub(super) fn new(intake: Intake, progress: Arc<Progress>) -> Feeder {
        Feeder {
            intake,
            progress,
            since_turn: 0,
            past: 0,
            present_turns: 0,
        }
    }
}

impl Handler for Feeder {
    fn message(&mut self, message: &Read<'_>) {
        self.since_turn += 1;
        let now_ms = now_ms();
        let age_ms = |written_ms: i64| i64::try_from(now_ms).unwrap_or(i64::MAX).saturating_sub(written_ms);
        let is_past = |written_ms: i64| age_ms(written_ms) > PRESENT_MS;
        self.past += usize::from(message.timestamp_ms().is_some_and(is_past));
        let read = Message {
            payload: message.payload(),
            content_type: message.header("content-type"),
            ce_id: message.header("ce_id"),
            partition: message.partition(),
        };
        self.intake.take(&read, now_ms);
    }

    fn assigned(&mut self, partitions: &[i32]) {
        // It may have been ours before, and is read again from an hour back.
        self.present_turns = 0;
        for partition in partitions {
            self.intake.begin_partition(*partition, now_ms());
        }
        let mut ours = self.progress.lock();
        ours.extend(partitions.iter().map(|partition| (*partition, false)));
        tracing::info!(assigned = ?partitions, ours = ours.len(), "partitions taken over");
        self.progress.was_assigned.store(true, Relaxed);
    }

    fn revoked(&mut self, partitions: &[i32]) {
        for partition in partitions {
            self.intake.forget_partition(*partition);
        }
        let mut ours = self.progress.lock();
        ours.retain(|partition, _| !partitions.contains(partition));
        tracing::info!(revoked = ?partitions, ours = ours.len(), "partitions given up");
    }

    fn turn(&mut self) {
        self.intake.turn();
        let (all, past) = (std::mem::take(&mut self.since_turn), std::mem::take(&mut self.past));
        self.present_turns = if 2 * past > all {
            0
        } else {
            self.present_turns.saturating_add(1)
        };
        // Turns without a message count, but one of them says nothing: the first messages take a while to come. In a large mesh
        // there is never such a one.
        if self.present_turns >= PRESENT_TURNS && self.progress.was_assigned() {
            self.progress.was_current.store(true, Relaxed);
            for (partition, current) in self.progress.lock().iter_mut() {
                *current = true;
                self.intake.end_of_past(*partition);
            }
        }
    }
}
