//! What the thread that reads Kafka does with each message.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dt_sink::kafka::group::{Handler, Read};

use crate::clock::now_ms;
use crate::intake::{Intake, Message};

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
}

impl Feeder {
    pub(super) fn new(intake: Intake, progress: Arc<Progress>) -> Feeder {
        Feeder {
            intake,
            progress,
            since_turn: 0,
        }
    }
}

impl Handler for Feeder {
    fn message(&mut self, message: &Read<'_>) {
        self.since_turn += 1;
        let read = Message {
            payload: message.payload(),
            content_type: message.header("content-type"),
            ce_id: message.header("ce_id"),
            partition: message.partition(),
        };
        self.intake.take(&read, now_ms());
    }

    fn assigned(&mut self, partitions: &[i32]) {
        // It may have been ours before, and is read again from an hour back.
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
        // A turn without a message: all that was there is read.
        let caught_up = std::mem::take(&mut self.since_turn) == 0;
        if caught_up && self.progress.was_assigned() {
            self.progress.was_current.store(true, Relaxed);
            self.progress.lock().values_mut().for_each(|current| *current = true);
        }
    }
}
