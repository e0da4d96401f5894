//! What a sink tells about itself, for `/metrics` and logs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::backlog::Backlog;

/// Where the probes are that were counted in the summaries which a sink was handed: each in one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// All of them.
    pub accepted: u64,
    /// Those in records that arrived.
    pub published: u64,
    /// Those in summaries given up.
    pub dropped: u64,
    /// Those in what waits, handed over and unacknowledged included.
    pub waiting: u64,
}

impl Probes {
    /// Whether each probe is in one place.
    #[must_use]
    pub fn balance(&self) -> bool {
        self.accepted == self.published + self.dropped + self.waiting
    }
}

/// What is the matter with a sink, for an operator to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No broker answers.
    Unreachable,
    /// No TLS with the broker: its certificate can't be verified, or it speaks none.
    Tls,
    /// The broker doesn't know the user, or not this password.
    Credentials,
    /// The broker knows the user, who may not do this.
    Rights,
    /// The topic is missing.
    Topic,
    /// The other side refuses records: they are too large, or its disk is full.
    Records,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Trouble; 6] = [
        Trouble::Unreachable,
        Trouble::Tls,
        Trouble::Credentials,
        Trouble::Rights,
        Trouble::Topic,
        Trouble::Records,
    ];

    /// In one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Trouble::Unreachable => "unreachable",
            Trouble::Tls => "tls",
            Trouble::Credentials => "credentials",
            Trouble::Rights => "rights",
            Trouble::Topic => "topic",
            Trouble::Records => "records",
        }
    }
}

/// Summaries taken from the backlog whose arrival isn't confirmed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InHand {
    pub(crate) records: u64,
    pub(crate) probes: u64,
}

impl InHand {
    pub(crate) fn take(&mut self, probes: u64) {
        self.records += 1;
        self.probes += probes;
    }

    pub(crate) fn end(&mut self, probes: u64) {
        self.records -= 1;
        self.probes -= probes;
    }
}

/// Counters and gauges of one sink. Written by the sink's thread, read by anyone.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) published: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) merged: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) backlog_records: AtomicU64,
    pub(crate) backlog_bytes: AtomicU64,
    pub(crate) traces_published: AtomicU64,
    pub(crate) traces_dropped: AtomicU64,
    pub(crate) connected: AtomicBool,
    pub(crate) closed: AtomicBool,
    pub(crate) options_renewed: AtomicU64,
    pub(crate) options_refused: AtomicU64,
    pub(crate) spool_records: AtomicU64,
    pub(crate) spool_sent: AtomicU64,
    pub(crate) spool_set_aside: AtomicU64,
    probes: Mutex<Probes>,
    trouble: Mutex<Option<Trouble>>,
    last_error: Mutex<Option<String>>,
}

/// A [`Stats`] at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Summary records that arrived: acknowledged by Kafka, or written and flushed.
    pub published: u64,
    /// Attempts that failed: a delivery that Kafka refused, a write that the system refused.
    pub failed: u64,
    /// Attempts made again after a failure.
    pub retried: u64,
    /// Summaries merged into a waiting one of the same pair, because the backlog was full.
    pub merged: u64,
    /// Summaries given up: the sink is closed for good, or even merged ones exceed the memory they may take.
    pub dropped: u64,
    /// Summaries that wait, handed-over but unacknowledged ones included.
    pub backlog_records: u64,
    /// Bytes of them, estimated.
    pub backlog_bytes: u64,
    /// What became of the probes in them all, at one moment.
    pub probes: Probes,
    /// TraceReports that Kafka acknowledged.
    pub traces_published: u64,
    /// TraceReports dropped from the full ring, the oldest first, or given up at the end.
    pub traces_dropped: u64,
    /// Whether the last attempt reached the other side.
    pub connected: bool,
    /// Whether the sink has ended for good: nobody reads its standard output any more.
    pub closed: bool,
    /// Changes of the options' files that were taken over.
    pub options_renewed: u64,
    /// Changes of the options' files that could not be taken over.
    pub options_refused: u64,
    /// Records of earlier runs that wait in the spool.
    pub spool_records: u64,
    /// Records of earlier runs that arrived.
    pub spool_sent: u64,
    /// Files of the spool that could not be read.
    pub spool_set_aside: u64,
    /// What is the matter, since the last success.
    pub trouble: Option<Trouble>,
    /// The last error, for logs.
    pub last_error: Option<String>,
}

impl Stats {
    /// The numbers at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            published: self.published.load(Relaxed),
            failed: self.failed.load(Relaxed),
            retried: self.retried.load(Relaxed),
            merged: self.merged.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            backlog_records: self.backlog_records.load(Relaxed),
            backlog_bytes: self.backlog_bytes.load(Relaxed),
            probes: *self.probes.lock().unwrap_or_else(PoisonError::into_inner),
            traces_published: self.traces_published.load(Relaxed),
            traces_dropped: self.traces_dropped.load(Relaxed),
            connected: self.connected.load(Relaxed),
            closed: self.closed.load(Relaxed),
            options_renewed: self.options_renewed.load(Relaxed),
            options_refused: self.options_refused.load(Relaxed),
            spool_records: self.spool_records.load(Relaxed),
            spool_sent: self.spool_sent.load(Relaxed),
            spool_set_aside: self.spool_set_aside.load(Relaxed),
            trouble: *self.trouble.lock().unwrap_or_else(PoisonError::into_inner),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Notes an error; returns whether the sink was connected until now, or had another trouble.
    pub(crate) fn error(&self, trouble: Trouble, error: String) -> bool {
        let before = self
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(trouble);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.connected.swap(false, Relaxed) || before != Some(trouble)
    }

    /// Notes a success; returns whether the sink was not connected until now.
    pub(crate) fn success(&self) -> bool {
        let is_new = !self.connected.swap(true, Relaxed);
        if is_new {
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        is_new
    }

    /// Shows what waits in the backlog and what is on its way, with what became of probes to make it so.
    pub(crate) fn waiting(&self, backlog: &Backlog, in_hand: InHand, moved: impl FnOnce(&mut Probes)) {
        self.backlog_records
            .store(backlog.len() as u64 + in_hand.records, Relaxed);
        self.backlog_bytes.store(backlog.bytes() as u64, Relaxed);
        let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        moved(&mut probes);
        probes.waiting = backlog.probes() + in_hand.probes;
    }
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}
