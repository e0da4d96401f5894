//! Source x destination x probe kind: the rolling picture of the cluster that page, JSON, terminal and diagnosis read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use dt_probe::ProbeKind;
use dt_record::{DecodeError, Endpoint, Pair, Summary, SummaryRecord};
use tokio::sync::watch;

use crate::nodes::Nodes;
use crate::observation::{End, Manner, Observation};
use crate::series::{Ingest, Series};
use crate::snapshot::standing;
use crate::tally::{Counted, Tallies, TallyBounds};
use dt_record::packed::Scratch;

/// How much the matrix keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixConfig {
    /// The width of the finest panes, at least 1 ms: the window of the agents, where all have the same. Records of shorter
    /// windows are merged into it.
    pub window: Duration,
    /// A series without a record for this many of its own windows is stale.
    pub stale_windows: u64,
    /// A series without a record for this long is forgotten. Longer than three windows, so that staleness is seen.
    pub forget: Duration,
    /// At most this many series (pair x probe kind); records of further ones are counted and dropped.
    pub max_series: usize,
    /// How much is counted since the start, for `/metrics`.
    pub tally: TallyBounds,
    /// Records that were read of other clusters are none of ours; empty for those of any.
    pub cluster: String,
}

impl Default for MatrixConfig {
    /// Windows of 10 s, stale after 3, forgotten after 75 minutes, which is longer than the longest view; 500,000 series are
    /// 1,000 nodes with 250 peers and two kinds each.
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            stale_windows: 3,
            forget: Duration::from_secs(75 * 60),
            max_series: 500_000,
            tally: TallyBounds::default(),
            cluster: String::new(),
        }
    }
}

/// What was handed in and what became of it, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct MatrixStats {
    /// Records that count.
    pub merged: u64,
    /// Records older than the longest view.
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
    nodes: Nodes,
    /// By number of the source: (number of the destination, its series), ascending.
    rows: Vec<Vec<(u32, Slots)>>,
    series: usize,
    forgot_at_ms: u64,
    /// Working memory of merging.
    scratch: Scratch,
    tallies: Tallies,
}

/// One series as a reader sees it.
pub(crate) struct Visited<'a> {
    /// Numbers of its nodes: below [`Visited::bound`], and their own while the visit lasts.
    pub(crate) numbers: (u32, u32),
    pub(crate) source: &'a Arc<Endpoint>,
    pub(crate) destination: &'a Arc<Endpoint>,
    pub(crate) probe: ProbeKind,
    pub(crate) series: &'a Series,
}

/// The matrix. Summaries go in by [`Matrix::ingest`], pictures come out by [`Matrix::snapshot`] and its like; all by
/// `&self`, so that one `Arc<Matrix>` serves writers and readers. It reads no clock: whoever calls says what time it is
/// (UTC milliseconds).
#[derive(Debug)]
pub struct Matrix {
    config: MatrixConfig,
    width_ms: u64,
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
            width_ms: millis(config.window).max(1),
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

    /// Announces a series before its first record, so that it is shown as waiting instead of missing. Without effect
    /// on a series that is known, or beyond the bound.
    pub fn expect(&self, pair: Arc<Pair>, now_ms: u64) {
        let manner = Manner {
            method: pair.method,
            payload_bytes: pair.payload_bytes,
            destination_ip: Some(pair.destination_ip),
            destination_port: pair.destination_port,
        };
        let new = || Series::new(manner, 0, now_ms);
        let (source, destination) = (End::from(&*pair.source), End::from(&*pair.destination));
        self.write()
            .series_of(&source, &destination, pair.probe, self.config.max_series, new);
        self.changed();
    }

    /// Adds one summary that arrived at `now_ms`. A repeated record would count twice: whoever reads from a source
    /// that repeats drops repeats before.
    pub fn ingest(&self, summary: &Summary, now_ms: u64) -> Ingest {
        let outcome = self.take(&Observation::from(summary), now_ms);
        if outcome == Ingest::Merged {
            self.changed();
        }
        outcome
    }

    /// The same with a record that was read from `partition` of the summary topic. Those who wait for changes are told of it
    /// with [`Matrix::changed`], so that they aren't by each of 100,000 records a second. `is_present` says that what lay in the
    /// partition when its reading began was read before: what comes now was sent now, and shows that its agent lives, whatever
    /// that one's clock says (up to a minute).
    ///
    /// # Errors
    /// A kind of probe that is unknown here, or a record that contradicts itself or can't be true: why.
    pub fn ingest_record(
        &self,
        record: &SummaryRecord,
        partition: i32,
        is_present: bool,
        now_ms: u64,
    ) -> Result<Ingest, DecodeError> {
        let observation = Observation {
            is_present,
            ..Observation::of_record(record, partition)?
        };
        Ok(self.take(&observation, now_ms))
    }

    fn take(&self, observation: &Observation<'_>, now_ms: u64) -> Ingest {
        let outcome = {
            let mut inner = self.write();
            inner.forget(millis(self.config.forget), now_ms);
            let mut scratch = std::mem::take(&mut inner.scratch);
            let new = || Series::new(observation.manner, observation.partition, now_ms);
            let (source, destination) = (&observation.source, &observation.destination);
            let series = inner.series_of(source, destination, observation.probe, self.config.max_series, new);
            let (numbers, outcome) = series.map_or(((0, 0), Ingest::Full), |(numbers, series)| {
                (numbers, series.ingest(observation, self.width_ms, now_ms, &mut scratch))
            });
            inner.scratch = scratch;
            if outcome == Ingest::Merged {
                let Inner { tallies, nodes, .. } = &mut *inner;
                tallies.add(observation, numbers, nodes, self.config.tally);
            }
            outcome
        };
        let counter = match outcome {
            Ingest::Merged => &self.merged,
            Ingest::TooOld => &self.too_old,
            Ingest::TooFarAhead => &self.too_far_ahead,
            Ingest::Full => &self.full,
        };
        counter.fetch_add(1, Relaxed);
        outcome
    }

    /// Forgets the series of `partition`: another reader has it now.
    pub fn forget_partition(&self, partition: i32) {
        self.write().retain(|series| series.partition != partition);
        self.changed();
    }

    /// `partition` is read from now on, some time back: what ended by `now_ms` makes up the picture, but what is counted
    /// since the start, by this collector and others, counts it already.
    pub fn begin_partition(&self, partition: i32, now_ms: u64) {
        self.write().tallies.begin(partition, now_ms);
        self.forget_partition(partition);
    }

    /// How many nodes are known.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.read().nodes.len()
    }

    /// A copy of what was counted since the start. As with [`Matrix::visit`], no lock is held for long.
    pub(crate) fn counted(&self) -> Counted {
        const AT_ONCE: usize = 256;
        let (mut counted, bound) = {
            let inner = self.read();
            let counted = Counted {
                zone_pairs: inner.tallies.zone_pairs(),
                nodes: Vec::new(),
                left_out: inner.tallies.left_out,
            };
            (counted, inner.nodes.bound())
        };
        for from in (0..bound).step_by(AT_ONCE) {
            let inner = self.read();
            let to = (from + AT_ONCE).min(inner.nodes.bound());
            counted.nodes.extend(inner.nodes.tallies(from..to));
        }
        counted.nodes.sort_by(|(a, _), (b, _)| standing(a).cmp(&standing(b)));
        counted
    }

    /// Shows every series to `visitor`, by source and destination in the order of their numbers. The lock is taken once per
    /// source, so that a large matrix doesn't keep its writers waiting for the whole of it.
    pub(crate) fn visit(&self, mut visitor: impl FnMut(Visited<'_>)) {
        let bound = self.read().nodes.bound();
        for number in 0..u32::try_from(bound).unwrap_or(u32::MAX) {
            self.visit_row(number, &mut visitor);
        }
    }

    /// The same of one pair.
    pub(crate) fn visit_pair(&self, source: &str, destination: &str, mut visitor: impl FnMut(Visited<'_>)) {
        let inner = self.read();
        let (Some(source), Some(destination)) = (inner.nodes.find(source), inner.nodes.find(destination)) else {
            return;
        };
        let row = inner.rows.get(source as usize).map(Vec::as_slice).unwrap_or_default();
        if let Ok(at) = row.binary_search_by_key(&destination, |(number, _)| *number) {
            inner.show(source, &row[at], &mut visitor);
        }
    }

    /// The numbers of all nodes by name.
    pub(crate) fn sources(&self) -> Vec<u32> {
        let inner = self.read();
        let name = |number: &u32| inner.nodes.endpoint(*number).map(|node| node.node.as_str());
        let mut numbers: Vec<u32> = (0..u32::try_from(inner.nodes.bound()).unwrap_or(u32::MAX)).collect();
        numbers.sort_by(|a, b| name(a).cmp(&name(b)));
        numbers
    }

    pub(crate) fn visit_row(&self, number: u32, visitor: &mut impl FnMut(Visited<'_>)) {
        let inner = self.read();
        for entry in inner.rows.get(number as usize).into_iter().flatten() {
            inner.show(number, entry, visitor);
        }
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

    /// Tells those who wait for changes that there are some.
    pub fn changed(&self) {
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
    /// The series of a pair and kind, begun where it is new, and the numbers of its nodes; `None` where there are as many as
    /// may be.
    fn series_of(
        &mut self,
        source: &End<'_>,
        destination: &End<'_>,
        probe: ProbeKind,
        max_series: usize,
        new: impl FnOnce() -> Series,
    ) -> Option<((u32, u32), &mut Series)> {
        let known = self.nodes.find(source.node).zip(self.nodes.find(destination.node));
        let place = known.and_then(|(source, destination)| {
            let row = self.rows.get(source as usize)?;
            let at = row.binary_search_by_key(&destination, |(number, _)| *number).ok()?;
            row[at].1[probe as usize].is_some().then_some((source, destination, at))
        });
        let (from, to, at) = match place {
            Some((from, to, at)) => {
                self.nodes.label(from, source, true);
                self.nodes.label(to, destination, false);
                (from, to, at)
            }
            None => {
                if self.series >= max_series {
                    return None;
                }
                self.series += 1;
                let from = self.nodes.use_by_series(source, true);
                let to = self.nodes.use_by_series(destination, false);
                self.nodes.label(from, source, true);
                if self.rows.len() < self.nodes.bound() {
                    self.rows.resize_with(self.nodes.bound(), Vec::new);
                }
                let row = self.rows.get_mut(from as usize)?;
                let at = row.binary_search_by_key(&to, |(number, _)| *number);
                let at = at.unwrap_or_else(|at| {
                    row.insert(at, (to, Slots::default()));
                    at
                });
                row[at].1[probe as usize] = Some(Box::new(new()));
                (from, to, at)
            }
        };
        let series = self.rows.get_mut(from as usize)?.get_mut(at)?.1[probe as usize].as_deref_mut()?;
        Some(((from, to), series))
    }

    fn show(&self, source: u32, (destination, slots): &(u32, Slots), visitor: &mut impl FnMut(Visited<'_>)) {
        let numbers = (source, *destination);
        let (Some(source), Some(destination)) = (self.nodes.endpoint(source), self.nodes.endpoint(*destination)) else {
            return;
        };
        for (probe, series) in ProbeKind::ALL.iter().zip(slots) {
            if let Some(series) = series {
                visitor(Visited {
                    numbers,
                    source,
                    destination,
                    probe: *probe,
                    series,
                });
            }
        }
    }

    /// Drops the series that fell silent, looking for them ten times in the time that makes one forgotten.
    fn forget(&mut self, forget_ms: u64, now_ms: u64) {
        if now_ms.abs_diff(self.forgot_at_ms) < forget_ms / 10 {
            return;
        }
        self.forgot_at_ms = now_ms;
        self.nodes.rested();
        self.retain(|series| now_ms.saturating_sub(series.heard_ms) <= forget_ms);
    }

    fn retain(&mut self, keep: impl Fn(&Series) -> bool) {
        let Inner {
            nodes,
            rows,
            series,
            tallies,
            ..
        } = self;
        for (source, row) in (0..).zip(rows) {
            row.retain_mut(|(destination, slots)| {
                for slot in slots.iter_mut() {
                    if slot.as_ref().is_some_and(|series| !keep(series)) {
                        *slot = None;
                        *series -= 1;
                        nodes.release(source);
                        nodes.release(*destination);
                    }
                }
                slots.iter().any(Option::is_some)
            });
        }
        tallies.forget(nodes.zones());
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
