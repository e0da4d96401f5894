//! The books: where each probe is that was ever sent, from the probers to the sinks.
//!
//! For each kind, what was sent is what met a fate, was voided, is in flight, or was abandoned at the end. For each sink, all
//! fates together are what it published, dropped or holds, and those that no summary was made of yet; pings that only ask whether
//! somebody is there have none. The mesh task keeps the
//! books and compares them with what the probers count for themselves: with each report of theirs, with each window, and at
//! the end. What it shows is of one moment, so that a reader of `/metrics` can do the sums as well.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dt_kernel::thread::Books as LaneBooks;
use dt_probe::{Fate, ProbeKind};
use dt_record::Summary;
use dt_rpc::PingCounters;
use dt_sink::Snapshot;

use crate::totals::Totals;

/// Where all probes are at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    kinds: [Page; ProbeKind::ALL.len()],
    /// Pings only ask whether somebody is there: there are no records of them.
    asks_only: bool,
    /// Probes in the summaries handed to the sinks.
    pub(crate) handed: u64,
}

/// The probes of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// Given to the kernel or refused by it; pings begun.
    pub(crate) sent: u64,
    /// By [`Fate`].
    pub(crate) fates: [u64; Fate::ALL.len()],
    /// Sent and skipped all the same: this host's own doing kept them from being measured.
    pub(crate) voided: u64,
    /// Without a fate yet, or with one that is on its way to the mesh task.
    pub(crate) in_flight: u64,
    /// Given up at the end.
    pub(crate) abandoned: u64,
}

impl Page {
    pub(crate) fn decided(&self) -> u64 {
        self.fates.iter().sum()
    }

    fn balances(&self) -> bool {
        self.sent == self.decided() + self.voided + self.in_flight + self.abandoned
    }
}

impl Ledger {
    pub(crate) fn kind(&self, kind: ProbeKind) -> &Page {
        &self.kinds[kind as usize]
    }

    /// Probes with a fate that no summary was handed over of yet.
    pub(crate) fn unrecorded(&self) -> u64 {
        let decided = ProbeKind::ALL.iter().filter(|kind| self.records(**kind));
        let decided: u64 = decided.map(|kind| self.kind(*kind).decided()).sum();
        decided.saturating_sub(self.handed)
    }

    /// Probes with a fate that no summary will ever be made of.
    pub(crate) fn asked(&self) -> u64 {
        let asked = ProbeKind::ALL.iter().filter(|kind| !self.records(**kind));
        asked.map(|kind| self.kind(*kind).decided()).sum()
    }

    fn records(&self, kind: ProbeKind) -> bool {
        !(self.asks_only && kind == ProbeKind::Grpc)
    }

    /// Given up at the end, of all kinds.
    pub(crate) fn abandoned(&self) -> u64 {
        self.kinds.iter().map(|page| page.abandoned).sum()
    }

    /// At the end, when nothing is in flight and all is handed over: what is wrong, if anything is.
    pub(crate) fn wrong_at_the_end(&self) -> Option<String> {
        let open = |page: &Page| !page.balances() || page.in_flight > 0;
        let wrong = self.kinds.iter().any(open) || self.unrecorded() > 0;
        wrong.then(|| format!("{self:?}"))
    }

    /// What is wrong with a sink's part of the books, if anything is.
    pub(crate) fn wrong_with(&self, sink: &str, snapshot: &Snapshot) -> Option<String> {
        let probes = snapshot.probes;
        let wrong = !probes.balance() || probes.accepted != self.handed;
        wrong.then(|| format!("sink {sink}: {} handed over, {probes:?}", self.handed))
    }
}

/// What is shown to others, the moment held for as long as it is looked at.
#[derive(Debug, Default)]
pub(crate) struct Shown(Mutex<Ledger>);

impl Shown {
    /// While this is held, no summary is handed to the sinks.
    pub(crate) fn look(&self) -> MutexGuard<'_, Ledger> {
        // A panic can't leave it half written: it is replaced whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The mesh task's hand on the books.
#[derive(Debug)]
pub(crate) struct Books {
    ledger: Ledger,
    pings: Option<Arc<PingCounters>>,
    /// All fates told when the window was closed last.
    closed: u64,
    /// Whether it was said that they don't balance: once is enough.
    said: bool,
}

impl Books {
    /// `pings` are those of the gRPC prober, where there is one; `asks_only` where there are no records of them.
    pub(crate) fn new(pings: Option<Arc<PingCounters>>, asks_only: bool) -> Books {
        Books {
            ledger: Ledger {
                asks_only,
                ..Ledger::default()
            },
            pings,
            closed: 0,
            said: false,
        }
    }

    /// The probe thread's own books, at the moment when all fates before them are in `totals`.
    pub(crate) fn reported(&mut self, kind: ProbeKind, lane: &LaneBooks, totals: &Totals) {
        let page = Page {
            sent: lane.sent,
            fates: totals.kind(kind).fates(),
            voided: lane.voided,
            in_flight: lane.in_flight,
            abandoned: lane.abandoned,
        };
        self.ledger.kinds[kind as usize] = page;
        self.check(lane.told == page.decided() && page.balances(), || {
            format!("{kind}: {lane:?}, {page:?}")
        });
    }

    /// The gRPC prober has no moment at which all it decided has been told: what isn't anywhere else is in flight.
    fn read_pings(&mut self, totals: &Totals) {
        let Some(pings) = &self.pings else { return };
        let fates = totals.kind(ProbeKind::Grpc).fates();
        let (voided, abandoned) = (pings.voided.load(Relaxed), pings.abandoned.load(Relaxed));
        // Last, so that it holds all that the others do.
        let sent = pings.begun.load(Relaxed);
        let ended = fates.iter().sum::<u64>() + voided + abandoned;
        self.ledger.kinds[ProbeKind::Grpc as usize] = Page {
            sent,
            fates,
            voided,
            in_flight: sent.saturating_sub(ended),
            abandoned,
        };
        self.check(ended <= sent, || format!("pings: {sent} begun, {ended} ended"));
    }

    /// A window has ended: its summaries are yet to be made.
    pub(crate) fn closed(&mut self, totals: &Totals) {
        let recorded = ProbeKind::ALL.iter().filter(|kind| self.ledger.records(**kind));
        self.closed = recorded.flat_map(|kind| totals.kind(*kind).fates()).sum();
    }

    /// The summaries of the window that was closed last are all handed over.
    pub(crate) fn settled(&mut self) {
        let (handed, closed) = (self.ledger.handed, self.closed);
        self.check(handed == closed, || {
            format!("{closed} probes decided until the window's end, {handed} in summaries")
        });
    }

    /// Shows the present state.
    pub(crate) fn show(&mut self, shown: &Shown, totals: &Totals) {
        self.read_pings(totals);
        *shown.look() = self.ledger.clone();
    }

    /// Shows the present state, with `summaries` handed over by `hand_over`, as one step.
    pub(crate) fn hand_over(
        &mut self,
        shown: &Shown,
        totals: &Totals,
        summaries: Vec<Summary>,
        hand_over: impl FnOnce(Vec<Summary>),
    ) {
        self.read_pings(totals);
        self.ledger.handed += summaries.iter().map(|summary| summary.counts.sent()).sum::<u64>();
        let mut page = shown.look();
        hand_over(summaries);
        *page = self.ledger.clone();
    }

    /// All of it, when the mesh task ends.
    pub(crate) fn into_ledger(self) -> Ledger {
        self.ledger
    }

    fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if holds || self.said {
            return;
        }
        self.said = true;
        wrong(&what());
    }
}

/// A bug: ends a debug build, so that no test can overlook it.
pub(crate) fn wrong(what: &str) {
    tracing::error!(what, "the books don't balance");
    debug_assert!(false, "the books don't balance: {what}");
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;
