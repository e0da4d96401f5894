//! What records add up to, found apart from what is tested: their `hdr` read by Python's `hdrhistogram`, repeats dropped,
//! counts added, percentiles in whole numbers.

use crate::agent::text;
use crate::error::{LabError, Result};
use crate::ping::number;
use crate::python;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The counts of a record that add up.
pub const COUNTS: [&str; 9] = [
    "sent",
    "received",
    "lost",
    "refused",
    "unreachable",
    "send_error",
    "late",
    "duplicate",
    "skipped",
];

/// The columns that a group of records has in common.
pub type Key = Vec<String>;

/// The sum of a group of records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// How many records.
    pub records: u64,
    /// The sum of each of [`COUNTS`].
    pub counts: BTreeMap<&'static str, u64>,
    /// The least round trip.
    pub rtt_min_ns: Option<u64>,
    /// The greatest round trip.
    pub rtt_max_ns: Option<u64>,
    /// The greatest host delay.
    pub host_delay_max_ns: Option<u64>,
    /// The highest value of each bucket, and its count.
    pub buckets: BTreeMap<u64, u64>,
}

impl Merged {
    /// The value at so many thousandths, by nearest rank.
    #[must_use]
    pub fn at(&self, thousandths: u64) -> Option<u64> {
        let samples: u64 = self.buckets.values().sum();
        let rank = (samples * thousandths).div_ceil(1000);
        let mut seen = 0;
        self.buckets.iter().find_map(|(value, count)| {
            seen += count;
            (seen >= rank).then_some(*value)
        })
    }

    /// One of [`COUNTS`].
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// The share of the probes that left their host and got no answer in time, in per cent; none where none left.
    #[must_use]
    pub fn failed_percent(&self) -> Option<f64> {
        let left = self.count("sent") - self.count("send_error");
        let failed = self.count("lost") + self.count("refused") + self.count("unreachable");
        (left > 0).then(|| 100.0 * failed as f64 / left as f64)
    }

    fn add(&mut self, record: &Value) -> Result {
        self.records += 1;
        for name in COUNTS {
            *self.counts.entry(name).or_default() += number(record, name)?;
        }
        let least = record["rtt_min_ns"].as_u64();
        self.rtt_min_ns = self.rtt_min_ns.into_iter().chain(least).min();
        self.rtt_max_ns = self.rtt_max_ns.max(record["rtt_max_ns"].as_u64());
        self.host_delay_max_ns = self.host_delay_max_ns.max(record["host_delay_max_ns"].as_u64());
        Ok(())
    }
}

/// The start of the minute that a record counts in, the one that its window's last millisecond lies in: seconds of Unix time.
///
/// # Errors
/// Where the record doesn't say.
pub fn minute(record: &Value) -> Result<String> {
    let last = number(record, "window_end_ms")? - 1;
    Ok((last / 60_000 * 60).to_string())
}

/// The texts of these fields of a record, as a key.
///
/// # Errors
/// Where one is missing.
pub fn fields(record: &Value, names: &[&str]) -> Result<Key> {
    names.iter().map(|name| Ok(text(record, name)?.to_owned())).collect()
}

/// A key of [`minute`] and [`fields`].
pub fn minute_and(names: &[&str]) -> impl Fn(&Value) -> Result<Key> {
    |record| {
        let mut key = vec![minute(record)?];
        key.extend(fields(record, names)?);
        Ok(key)
    }
}

/// Each record once.
///
/// # Errors
/// Where one has no `boot_id` and `seq`.
pub fn once(records: &[Value]) -> Result<Vec<&Value>> {
    let mut seen = BTreeSet::new();
    let mut kept = Vec::new();
    for record in records {
        if seen.insert((text(record, "boot_id")?, number(record, "seq")?)) {
            kept.push(record);
        }
    }
    Ok(kept)
}

/// The records, repeats dropped, in groups of equal keys.
///
/// # Errors
/// Where a record lacks something, or its histogram can't be read.
pub fn merge(records: &[Value], key: impl Fn(&Value) -> Result<Key>) -> Result<BTreeMap<Key, Merged>> {
    let records = once(records)?;
    let hdrs: Vec<&str> = records
        .iter()
        .filter_map(|record| record["hdr"].as_str())
        .filter(|hdr| !hdr.is_empty())
        .collect();
    let mut decoded = python::decode(&hdrs)?.into_iter();
    let mut groups: BTreeMap<Key, Merged> = BTreeMap::new();
    for record in records {
        let group = groups.entry(key(record)?).or_default();
        group.add(record)?;
        if record["hdr"] != "" {
            let histogram = decoded
                .next()
                .ok_or_else(|| LabError::new("fewer histograms than asked for"))?;
            for (value, count) in histogram.buckets {
                *group.buckets.entry(value).or_default() += count;
            }
        }
    }
    Ok(groups)
}
