//! Source x destination x probe kind: the rolling picture of the cluster that page, JSON and terminal show.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use dt_probe::ProbeKind;
use dt_record::{Pair, Summary};
use tokio::sync::watch;

use crate::row::PairRow;
use crate::series::{Ingest, Pane, Series};

/// How much the matrix keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixConfig {
    /// How far back the numbers reach: records are merged over this long. At least 12 ms.
    pub view: Duration,
    /// A series without a record for this many of its own windows is stale.
    pub stale_windows: u64,
    /// A series without a record for this long is forgotten. Longer than the view, so that staleness is seen.
    pub forget: Duration,
    /// At most this many series (pair x probe kind); records of further ones are counted and dropped.
    pub max_series: usize,
}

impl Default for MatrixConfig {
    /// One minute, stale after 3 windows, forgotten after 15 minutes; 500,000 series are 1,000 nodes with 250 peers
    /// and two kinds each.
    fn default() -> Self {
        Self {
            view: Duration::from_secs(60),
            stale_windows: 3,
            forget: Duration::from_secs(15 * 60),
            max_series: 500_000,
        }
    }
}

/// What was handed in and what became of it, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct MatrixStats {
    /// Records that count.
    pub merged: u64,
    /// Records older than the view.
    pub too_old: u64,
    /// Records from the future.
    pub too_far_ahead: u64,
    /// Records of series beyond the bound.
    pub full: u64,
    /// Series kept now.
    pub series: usize,
}

/// One slot per probe kind, in the order of [`ProbeKind::ALL`].
type Slots = [Option<Box<Series>>; 3];

#[derive(Debug, Default)]
struct Inner {
    /// Source node -> destination node -> probe kind. Ordered, so that what is read out is ordered too.
    rows: BTreeMap<String, BTreeMap<String, Slots>>,
    series: usize,
    forgot_at_ms: u64,
}

/// All series from one zone to another, of one kind.
pub(crate) struct ZonePair {
    pub(crate) pairs: usize,
    pub(crate) total: Option<Pane>,
}

/// The matrix. Summaries go in by [`Matrix::ingest`], rows come out by [`Matrix::rows`]; both by `&self`, so that one
/// `Arc<Matrix>` serves writers and readers. It reads no clock: whoever calls says what time it is (UTC milliseconds).
#[derive(Debug)]
pub struct Matrix {
    config: MatrixConfig,
    view_ms: u64,
    inner: RwLock<Inner>,
    notes: RwLock<Vec<String>>,
    merged: AtomicU64,
    too_old: AtomicU64,
    too_far_ahead: AtomicU64,
    full: AtomicU64,
    /// Counts changes, for those who wait for one.
    generation: watch::Sender<u64>,
}

impl Matrix {
    /// An empty matrix.
    #[must_use]
    pub fn new(config: MatrixConfig) -> Self {
        Self {
            view_ms: millis(config.view),
            config,
            inner: RwLock::default(),
            notes: RwLock::default(),
            merged: AtomicU64::new(0),
            too_old: AtomicU64::new(0),
            too_far_ahead: AtomicU64::new(0),
            full: AtomicU64::new(0),
            generation: watch::Sender::new(0),
        }
    }

    /// The bounds in force.
    #[must_use]
    pub fn config(&self) -> &MatrixConfig {
        &self.config
    }

    pub(crate) fn view_ms(&self) -> u64 {
        self.view_ms
    }

    /// Announces a series before its first record, so that it is shown as waiting instead of missing. Without effect
    /// on a series that is known, or beyond the bound.
    pub fn expect(&self, pair: Arc<Pair>, now_ms: u64) {
        self.write().series_of(pair, now_ms, self.config.max_series);
        self.changed();
    }

    /// Adds one summary that arrived at `now_ms`. A repeated record would count twice: whoever reads from a source
    /// that repeats drops repeats before.
    pub fn ingest(&self, summary: &Summary, now_ms: u64) -> Ingest {
        let outcome = {
            let mut inner = self.write();
            inner.forget(millis(self.config.forget), now_ms);
            match inner.series_of(Arc::clone(&summary.pair), now_ms, self.config.max_series) {
                Some(series) => series.ingest(summary, self.view_ms, now_ms),
                None => Ingest::Full,
            }
        };
        let counter = match outcome {
            Ingest::Merged => &self.merged,
            Ingest::TooOld => &self.too_old,
            Ingest::TooFarAhead => &self.too_far_ahead,
            Ingest::Full => &self.full,
        };
        counter.fetch_add(1, Relaxed);
        if outcome == Ingest::Merged {
            self.changed();
        }
        outcome
    }

    /// Every series as of `now_ms`, by source, destination and kind. The lock is taken once per source, so that
    /// a large matrix doesn't keep its writers waiting for the whole of it.
    #[must_use]
    pub fn rows(&self, now_ms: u64) -> Vec<PairRow> {
        let sources: Vec<String> = self.read().rows.keys().cloned().collect();
        let mut rows = Vec::new();
        for source in &sources {
            let inner = self.read();
            let series = inner
                .rows
                .get(source)
                .into_iter()
                .flat_map(BTreeMap::values)
                .flatten()
                .flatten();
            rows.extend(series.map(|s| PairRow::new(s, self.config.stale_windows, now_ms)));
        }
        rows
    }

    /// The same by pair of zones and kind: distributions added, so that the percentiles are those of all the probes.
    pub(crate) fn zones(&self) -> BTreeMap<(String, String, ProbeKind), ZonePair> {
        let mut zones: BTreeMap<_, ZonePair> = BTreeMap::new();
        for series in self.read().rows.values().flat_map(BTreeMap::values).flatten().flatten() {
            let Some(pane) = series.total() else { continue };
            let pair = &series.pair;
            let zone = zones
                .entry((
                    pair.source.zone.to_string(),
                    pair.destination.zone.to_string(),
                    pair.probe,
                ))
                .or_insert_with(|| ZonePair { pairs: 0, total: None });
            zone.pairs += 1;
            match &mut zone.total {
                Some(total) => total.add(&pane),
                None => zone.total = Some(pane),
            }
        }
        zones
    }

    /// What was taken in and refused.
    #[must_use]
    pub fn stats(&self) -> MatrixStats {
        MatrixStats {
            merged: self.merged.load(Relaxed),
            too_old: self.too_old.load(Relaxed),
            too_far_ahead: self.too_far_ahead.load(Relaxed),
            full: self.full.load(Relaxed),
            series: self.read().series,
        }
    }

    /// Sentences the page shows on top, for instance what could not be measured and how to allow it.
    pub fn set_notes(&self, notes: Vec<String>) {
        *self.notes.write().unwrap_or_else(PoisonError::into_inner) = notes;
        self.changed();
    }

    /// The sentences of [`Matrix::set_notes`].
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.notes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A receiver of the number of changes so far.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    fn changed(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    // A writer can only panic by running out of memory; what it left is still well-formed.
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn series_of(&mut self, pair: Arc<Pair>, now_ms: u64, max_series: usize) -> Option<&mut Series> {
        let kind = slot(pair.probe);
        let known = self
            .rows
            .get(pair.source.node.as_str())
            .and_then(|row| row.get(pair.destination.node.as_str()))
            .is_some_and(|slots| slots[kind].is_some());
        if !known {
            if self.series >= max_series {
                return None;
            }
            self.series += 1;
            let row = self.rows.entry(pair.source.node.to_string()).or_default();
            let slots = row.entry(pair.destination.node.to_string()).or_default();
            return Some(slots[kind].insert(Box::new(Series::new(pair, now_ms))));
        }
        self.rows
            .get_mut(pair.source.node.as_str())?
            .get_mut(pair.destination.node.as_str())?[kind]
            .as_deref_mut()
    }

    /// Drops the series that fell silent, looking for them ten times in the time that makes one forgotten.
    fn forget(&mut self, forget_ms: u64, now_ms: u64) {
        if now_ms.abs_diff(self.forgot_at_ms) < forget_ms / 10 {
            return;
        }
        self.forgot_at_ms = now_ms;
        let mut left = 0;
        self.rows.retain(|_, row| {
            row.retain(|_, slots| {
                for slot in slots.iter_mut() {
                    if slot
                        .as_ref()
                        .is_some_and(|s| now_ms.saturating_sub(s.last_seen_ms) > forget_ms)
                    {
                        *slot = None;
                    }
                    left += usize::from(slot.is_some());
                }
                slots.iter().any(Option::is_some)
            });
            !row.is_empty()
        });
        self.series = left;
    }
}

fn slot(kind: ProbeKind) -> usize {
    match kind {
        ProbeKind::Icmp => 0,
        ProbeKind::Tcp => 1,
        ProbeKind::Grpc => 2,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
