//! The roll-up topic as it stands: all partitions' partials, whoever wrote them, added up to the whole picture.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

use dt_record::MAX_RECORD_BYTES;
use serde::Serialize;

use super::partial::{Partial, VIEWS, ZonePair};
use crate::grouped::Sum;
use crate::matrix::Matrix;
use crate::row::State;
use crate::snapshot::Delays;
use crate::view::View;

/// A partial that was not written again for so long counts no more: three times as long as collectors take, and the time in
/// which another one takes a partition over.
pub(crate) const FRESH_MS: u64 = 60_000;
/// So many are kept at most: 1,000 partitions' worth of ten zones.
const MOST: usize = 300_000;

/// All partials by key.
#[derive(Debug, Default)]
pub struct RollupTable {
    partials: RwLock<HashMap<String, Partial>>,
}

/// What was made of a message of the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It stands for its key now.
    Kept,
    /// Its key is gone.
    Removed,
    /// It is no partial, contradicts itself, or there are too many.
    Refused,
}

/// What all partitions add up to, from zone to zone.
#[derive(Clone, Debug, Serialize)]
pub struct Whole {
    /// When it was made, UTC milliseconds.
    pub now_ms: u64,
    /// What the numbers cover.
    pub view: View,
    /// The partitions that are in it.
    pub partitions: BTreeSet<i32>,
    /// By zone pair and kind.
    pub zones: Vec<ZoneCell>,
}

/// One zone pair and kind of the [`Whole`]. Delays in nanoseconds.
#[derive(Clone, Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are those of the summary record, and of GroupCell"
)]
pub struct ZoneCell {
    #[serde(flatten)]
    pub zones: ZonePair,
    pub series: u32,
    pub stale: u32,
    pub state: State,
    pub start_ms: u64,
    pub end_ms: u64,
    pub sent: u64,
    pub received: u64,
    pub lost: u64,
    pub refused: u64,
    pub unreachable: u64,
    pub send_error: u64,
    pub skipped: u64,
    pub rtt_min_ns: Option<u64>,
    pub rtt_mean_ns: Option<u64>,
    pub rtt_p50_ns: Option<u64>,
    pub rtt_p90_ns: Option<u64>,
    pub rtt_p99_ns: Option<u64>,
    pub rtt_p999_ns: Option<u64>,
    pub rtt_max_ns: Option<u64>,
    pub host_delay_p50_ns: Option<u64>,
    pub host_delay_p99_ns: Option<u64>,
    pub host_delay_max_ns: Option<u64>,
    pub bucket_ns: Vec<u64>,
    pub bucket_count: Vec<u64>,
}

impl Whole {
    /// What the series of one matrix add up to: all there is where nothing is shared.
    #[must_use]
    pub fn of(matrix: &Matrix, view: View, now_ms: u64) -> Whole {
        let table = RollupTable::default();
        let own = matrix.partials("", now_ms);
        let mut partials = table.partials.write().unwrap_or_else(PoisonError::into_inner);
        partials.extend(own.into_iter().map(|partial| (partial.key(), partial)));
        drop(partials);
        table.whole(view, now_ms)
    }
}

impl RollupTable {
    /// Takes a message of the topic over; `None` is a tombstone.
    pub fn apply(&self, key: &str, value: Option<&[u8]>) -> Applied {
        let mut partials = self.partials.write().unwrap_or_else(PoisonError::into_inner);
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            partials.remove(key);
            return Applied::Removed;
        };
        if value.len() > MAX_RECORD_BYTES {
            return Applied::Refused;
        }
        let Ok(mut partial) = serde_json::from_slice::<Partial>(value) else {
            return Applied::Refused;
        };
        // Views of later versions are nothing to this one.
        partial
            .views
            .retain(|name, _| VIEWS.iter().any(|view| view.as_str() == name));
        let is_sound = partial.key() == key && partial.views.values().all(|part| part.sum().is_ok());
        if !is_sound || (partials.len() >= MOST && !partials.contains_key(key)) {
            return Applied::Refused;
        }
        partials.insert(key.to_owned(), partial);
        Applied::Kept
    }

    /// The keys of `partitions`.
    #[must_use]
    pub fn keys_of(&self, partitions: &BTreeSet<i32>) -> BTreeSet<String> {
        let partials = self.partials.read().unwrap_or_else(PoisonError::into_inner);
        let of_these = partials
            .iter()
            .filter(|(_, partial)| partitions.contains(&partial.partition));
        of_these.map(|(key, _)| key.clone()).collect()
    }

    /// The partitions of which something was told lately.
    #[must_use]
    pub fn fresh_partitions(&self, now_ms: u64) -> BTreeSet<i32> {
        let partials = self.partials.read().unwrap_or_else(PoisonError::into_inner);
        let fresh = partials.values().filter(|partial| is_fresh(partial, now_ms));
        fresh.map(|partial| partial.partition).collect()
    }

    /// What all partitions add up to as of `now_ms`.
    #[must_use]
    pub fn whole(&self, view: View, now_ms: u64) -> Whole {
        let mut sums: BTreeMap<ZonePair, Sum> = BTreeMap::new();
        let mut partitions = BTreeSet::new();
        let partials = self.partials.read().unwrap_or_else(PoisonError::into_inner);
        for partial in partials.values() {
            let part = partial.views.get(view.as_str());
            let Some(sum) = part.and_then(|part| part.sum().ok()) else {
                continue;
            };
            if !is_fresh(partial, now_ms) {
                continue;
            }
            partitions.insert(partial.partition);
            match sums.get_mut(&partial.zones) {
                Some(kept) => kept.merge(&sum),
                None => _ = sums.insert(partial.zones.clone(), sum),
            }
        }
        drop(partials);
        Whole {
            now_ms,
            view,
            partitions,
            zones: sums
                .into_iter()
                .map(|(zones, sum)| ZoneCell::new(zones, &sum))
                .collect(),
        }
    }
}

/// Whether it was made lately. One from the future, by a clock that was ahead or by malice, would else count for ever.
fn is_fresh(partial: &Partial, now_ms: u64) -> bool {
    now_ms.abs_diff(partial.as_of_ms) <= FRESH_MS
}

impl ZoneCell {
    fn new(zones: ZonePair, sum: &Sum) -> ZoneCell {
        let total = sum.total();
        let (rtt, host) = (Delays::from(&total.rtt), Delays::from(&total.host_delay));
        let (bucket_ns, bucket_count) = total.rtt.buckets.iter().copied().unzip();
        let counts = &total.counts;
        ZoneCell {
            zones,
            series: sum.series,
            stale: sum.stale,
            state: sum.state(),
            start_ms: total.start_ms,
            end_ms: total.end_ms,
            sent: counts.sent(),
            received: counts.received,
            lost: counts.lost,
            refused: counts.refused,
            unreachable: counts.unreachable,
            send_error: counts.send_error,
            skipped: counts.skipped,
            rtt_min_ns: rtt.min,
            rtt_mean_ns: rtt.mean,
            rtt_p50_ns: rtt.p50,
            rtt_p90_ns: rtt.p90,
            rtt_p99_ns: rtt.p99,
            rtt_p999_ns: rtt.p999,
            rtt_max_ns: rtt.max,
            host_delay_p50_ns: host.p50,
            host_delay_p99_ns: host.p99,
            host_delay_max_ns: host.max,
            bucket_ns,
            bucket_count,
        }
    }
}
