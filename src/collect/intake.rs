//! From a message of the summary topic to the matrix.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dt_record::{DecodeError, decode};

use crate::matrix::Matrix;
use crate::seen::Seen;
use crate::series::Ingest;

/// Runs of agents that were not heard of for so long are forgotten: older records than an hour count nowhere.
const FORGET_MS: u64 = 75 * 60_000;

/// One message as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The value; `None` for a tombstone.
    pub payload: Option<&'a [u8]>,
    /// The header `content-type`.
    pub content_type: Option<&'a str>,
    /// The header `ce_id`.
    pub ce_id: Option<&'a str>,
    /// The partition it was read from.
    pub partition: i32,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A record; what the matrix made of it.
    Record(Ingest),
    /// A record that was read before.
    Repeated,
    /// No value.
    Tombstone,
    /// Not a summary record.
    Foreign,
    /// A summary record that contradicts itself, or can't be true.
    Malformed,
}

fn malformed(error: &DecodeError, partition: i32) -> Outcome {
    // Counted for those who watch, and explained to whoever looks for the producer: there may be 100,000 of them a second.
    tracing::debug!(%error, partition, "malformed record");
    Outcome::Malformed
}

macro_rules! counts {
    ($($name:ident: $doc:literal),+ $(,)?) => {
        /// What was read so far; any thread may look.
        #[derive(Debug, Default)]
        pub struct IntakeStats {
            $(#[doc = $doc] pub $name: AtomicU64,)+
        }

        impl IntakeStats {
            /// All of them by name.
            #[must_use]
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Relaxed)),)+]
            }
        }
    };
}

counts! {
    merged: "Records that count.",
    repeated: "Records that were read before.",
    too_old: "Records of more than an hour ago.",
    too_far_ahead: "Records from the future.",
    full: "Records of series beyond the bound.",
    tombstones: "Messages without a value.",
    foreign: "Messages that are no summary records, or of another cluster.",
    malformed: "Summary records that contradict themselves, or can't be true.",
    bytes: "Bytes of all values.",
    newest_end_ms: "When the newest window read ended, UTC milliseconds; 0 before the first.",
}

/// Takes messages in. One per thread that reads; they may share a matrix.
#[derive(Debug)]
pub struct Intake {
    matrix: Arc<Matrix>,
    seen: HashMap<i32, Seen>,
    /// The partitions that were read to their end once.
    present: HashSet<i32>,
    stats: Arc<IntakeStats>,
    forgot_at_ms: u64,
    /// Whether anything was merged that those who wait for changes haven't been told of.
    news: bool,
}

impl Intake {
    /// Nothing read yet.
    #[must_use]
    pub fn new(matrix: Arc<Matrix>) -> Intake {
        Intake {
            matrix,
            seen: HashMap::new(),
            present: HashSet::new(),
            stats: Arc::default(),
            forgot_at_ms: 0,
            news: false,
        }
    }

    /// What was read so far.
    #[must_use]
    pub fn stats(&self) -> Arc<IntakeStats> {
        Arc::clone(&self.stats)
    }

    /// Takes one message that was read at `now_ms` (UTC milliseconds).
    pub fn take(&mut self, message: &Message<'_>, now_ms: u64) -> Outcome {
        self.forget(now_ms);
        let outcome = self.outcome(message, now_ms);
        self.news |= outcome == Outcome::Record(Ingest::Merged);
        let stats = &self.stats;
        let counter = match outcome {
            Outcome::Record(Ingest::Merged) => &stats.merged,
            Outcome::Record(Ingest::TooOld) => &stats.too_old,
            Outcome::Record(Ingest::TooFarAhead) => &stats.too_far_ahead,
            Outcome::Record(Ingest::Full) => &stats.full,
            Outcome::Repeated => &stats.repeated,
            Outcome::Tombstone => &stats.tombstones,
            Outcome::Foreign => &stats.foreign,
            Outcome::Malformed => &stats.malformed,
        };
        counter.fetch_add(1, Relaxed);
        outcome
    }

    fn outcome(&mut self, message: &Message<'_>, now_ms: u64) -> Outcome {
        let Some(payload) = message.payload.filter(|payload| !payload.is_empty()) else {
            return Outcome::Tombstone;
        };
        self.stats.bytes.fetch_add(payload.len() as u64, Relaxed);
        let record = match decode(message.content_type, payload) {
            Ok(record) => record,
            Err(error @ DecodeError::Invalid(_)) => return malformed(&error, message.partition),
            Err(_) => return Outcome::Foreign,
        };
        if !record.is_of(&self.matrix.config().cluster) {
            return Outcome::Foreign;
        }
        let seen = self.seen.entry(message.partition).or_default();
        let is_new = if record.seq > 0 && !record.boot_id.is_empty() {
            seen.is_new(&record.boot_id, record.seq, now_ms)
        } else {
            // What has neither can't be told from its repeat.
            message.ce_id.is_none_or(|id| seen.is_new_id(id))
        };
        if !is_new {
            return Outcome::Repeated;
        }
        let is_present = self.present.contains(&message.partition);
        match self
            .matrix
            .ingest_record(&record, message.partition, is_present, now_ms)
        {
            Ok(ingest) => {
                if ingest == Ingest::Merged {
                    self.stats.newest_end_ms.fetch_max(record.window_end_ms, Relaxed);
                }
                Outcome::Record(ingest)
            }
            Err(error) => malformed(&error, message.partition),
        }
    }

    /// Tells those who wait for changes of the matrix of what was taken since the last call: some times a second.
    pub fn turn(&mut self) {
        if std::mem::take(&mut self.news) {
            self.matrix.changed();
        }
    }

    /// Forgets what was read of `partition`: another reader has it now.
    pub fn forget_partition(&mut self, partition: i32) {
        self.seen.remove(&partition);
        self.present.remove(&partition);
        self.matrix.forget_partition(partition);
    }

    /// `partition` is read from now on, some time back.
    pub fn begin_partition(&mut self, partition: i32, now_ms: u64) {
        self.seen.remove(&partition);
        self.present.remove(&partition);
        self.matrix.begin_partition(partition, now_ms);
    }

    /// What lay in `partition` when its reading began has been read: from now on a record shows that its agent lives when it
    /// arrives, and not only at its own time.
    pub fn end_of_past(&mut self, partition: i32) {
        self.present.insert(partition);
    }

    fn forget(&mut self, now_ms: u64) {
        if now_ms.abs_diff(self.forgot_at_ms) < FORGET_MS / 10 {
            return;
        }
        self.forgot_at_ms = now_ms;
        for seen in self.seen.values_mut() {
            seen.forget(now_ms.saturating_sub(FORGET_MS));
        }
    }
}
