//! What one partition's series add up to from one zone to another: what collectors of a group tell one another.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dt_probe::{Counts, ProbeKind};
use dt_record::{Distribution, Endpoint, MAX_COUNT};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::grouped::Sum;
use crate::matrix::Matrix;
use crate::row::State;
use crate::total::{Adder, Total};
use crate::view::View;

/// The views that are told of.
pub(crate) const VIEWS: [View; 3] = [View::Minute, View::TenMinutes, View::Hour];

/// From one zone to another, by one kind of probe.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ZonePair {
    /// The region of the probing nodes; empty where unlabelled, as all of these.
    #[serde(default)]
    pub src_region: SmolStr,
    /// Their zone.
    pub src_zone: SmolStr,
    /// The region of the probed nodes.
    #[serde(default)]
    pub dst_region: SmolStr,
    /// Their zone.
    pub dst_zone: SmolStr,
    /// `icmp`, `tcp` or `grpc`.
    pub probe: SmolStr,
}

/// One message of the roll-up topic: what a partition's series of a zone pair add up to. Its key is [`Partial::key`], and the
/// newest value of a key replaces those before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    /// 1; fields are only ever added.
    pub schema_version: u32,
    /// The collector that wrote it.
    #[serde(default)]
    pub collector: String,
    /// The partition of the summary topic.
    pub partition: i32,
    /// When it was made, UTC milliseconds.
    pub as_of_ms: u64,
    /// Between which zones, and how measured.
    #[serde(flatten)]
    pub zones: ZonePair,
    /// By view: `1m`, `10m`, `1h`.
    pub views: BTreeMap<SmolStr, Part>,
}

/// One view of a [`Partial`]. Distributions as in summary records: the highest value of each bucket, ascending, and its count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the fields are those of the summary record, and of GroupCell"
)]
pub struct Part {
    pub series: u32,
    #[serde(default)]
    pub stale: u32,
    #[serde(default)]
    pub waiting: u32,
    pub start_ms: u64,
    pub end_ms: u64,
    pub received: u64,
    #[serde(default)]
    pub lost: u64,
    #[serde(default)]
    pub refused: u64,
    #[serde(default)]
    pub unreachable: u64,
    #[serde(default)]
    pub send_error: u64,
    #[serde(default)]
    pub late: u64,
    #[serde(default)]
    pub duplicate: u64,
    #[serde(default)]
    pub skipped: u64,
    #[serde(default)]
    pub timestamp_fallbacks: u64,
    #[serde(default)]
    pub rtt_sum_ns: u64,
    #[serde(default)]
    pub bucket_ns: Vec<u64>,
    #[serde(default)]
    pub bucket_count: Vec<u64>,
    #[serde(default)]
    pub host_delay_sum_ns: u64,
    #[serde(default)]
    pub host_delay_bucket_ns: Vec<u64>,
    #[serde(default)]
    pub host_delay_bucket_count: Vec<u64>,
}

impl ZonePair {
    fn new(source: &Endpoint, destination: &Endpoint, probe: ProbeKind) -> ZonePair {
        ZonePair {
            src_region: source.region.clone(),
            src_zone: source.zone.clone(),
            dst_region: destination.region.clone(),
            dst_zone: destination.zone.clone(),
            probe: probe.as_str().into(),
        }
    }
}

impl Partial {
    /// The key in the topic: the partition and the zone pair, as a JSON array, so that no name can be taken for another.
    #[must_use]
    pub fn key(&self) -> String {
        let ZonePair {
            src_region,
            src_zone,
            dst_region,
            dst_zone,
            probe,
        } = &self.zones;
        // Numbers and strings always serialize.
        serde_json::to_string(&(self.partition, src_region, src_zone, dst_region, dst_zone, probe)).unwrap_or_default()
    }
}

impl From<&Sum> for Part {
    fn from(sum: &Sum) -> Part {
        let total = sum.total();
        let split = |distribution: &Distribution| distribution.buckets.iter().copied().unzip();
        let (bucket_ns, bucket_count) = split(&total.rtt);
        let (host_delay_bucket_ns, host_delay_bucket_count) = split(&total.host_delay);
        // Taken apart so that a new field can't be forgotten.
        let Counts {
            received,
            lost,
            refused,
            unreachable,
            send_error,
            late,
            duplicate,
            skipped,
            timestamp_fallbacks,
        } = total.counts;
        Part {
            series: sum.series,
            stale: sum.stale,
            waiting: sum.waiting,
            start_ms: total.start_ms,
            end_ms: total.end_ms,
            received,
            lost,
            refused,
            unreachable,
            send_error,
            late,
            duplicate,
            skipped,
            timestamp_fallbacks,
            rtt_sum_ns: u64::try_from(total.rtt.sum_ns).unwrap_or(u64::MAX),
            bucket_ns,
            bucket_count,
            host_delay_sum_ns: u64::try_from(total.host_delay.sum_ns).unwrap_or(u64::MAX),
            host_delay_bucket_ns,
            host_delay_bucket_count,
        }
    }
}

impl Part {
    /// Back to a sum.
    ///
    /// # Errors
    /// Arrays that differ in length, don't ascend or are too long, counts too great to be added up: which.
    pub(crate) fn sum(&self) -> Result<Sum, &'static str> {
        let fates = [
            self.received,
            self.lost,
            self.refused,
            self.unreachable,
            self.send_error,
            self.late,
            self.duplicate,
            self.skipped,
            self.timestamp_fallbacks,
        ];
        if fates.iter().any(|count| *count > MAX_COUNT) {
            return Err("counts beyond what JSON's numbers hold");
        }
        let distribution = |values: &[u64], counts: &[u64], sum_ns: u64| {
            if values.len() != counts.len() {
                return Err("arrays of buckets that differ in length");
            }
            if !values.is_sorted_by(|a, b| a < b) {
                return Err("buckets that don't ascend");
            }
            Ok(Distribution {
                buckets: values.iter().copied().zip(counts.iter().copied()).collect(),
                sum_ns: sum_ns.into(),
            })
        };
        Ok(Sum::of(
            self.series,
            self.stale,
            self.waiting,
            Total {
                start_ms: self.start_ms,
                end_ms: self.end_ms,
                counts: Counts {
                    received: self.received,
                    lost: self.lost,
                    refused: self.refused,
                    unreachable: self.unreachable,
                    send_error: self.send_error,
                    late: self.late,
                    duplicate: self.duplicate,
                    skipped: self.skipped,
                    timestamp_fallbacks: self.timestamp_fallbacks,
                },
                rtt: distribution(&self.bucket_ns, &self.bucket_count, self.rtt_sum_ns)?,
                host_delay: distribution(
                    &self.host_delay_bucket_ns,
                    &self.host_delay_bucket_count,
                    self.host_delay_sum_ns,
                )?,
                ..Total::default()
            },
        ))
    }
}

impl Matrix {
    /// What the series of each partition add up to, by zone pair and kind.
    #[must_use]
    pub fn partials(&self, collector: &str, now_ms: u64) -> Vec<Partial> {
        let mut adder = Adder::new();
        let mut zones = Zones::default();
        let mut sums: BTreeMap<(i32, u32, u32, ProbeKind), [Sum; VIEWS.len()]> = BTreeMap::new();
        self.visit(|visited| {
            let series = visited.series;
            let state = State::of(series, self.config().stale_windows, now_ms);
            let source = zones.of(visited.source);
            let destination = zones.of(visited.destination);
            let sums = sums
                .entry((series.partition, source, destination, visited.probe))
                .or_default();
            for (sum, view) in sums.iter_mut().zip(VIEWS) {
                sum.add(series, view, state, now_ms, &mut adder);
            }
        });
        let partials = sums
            .into_iter()
            .filter_map(|((partition, source, destination, probe), sums)| {
                let (source, destination) = (zones.example(source)?, zones.example(destination)?);
                let views = VIEWS.into_iter().zip(&sums);
                Some(Partial {
                    schema_version: 1,
                    collector: collector.to_owned(),
                    partition,
                    as_of_ms: now_ms,
                    zones: ZonePair::new(source, destination, probe),
                    views: views.map(|(view, sum)| (view.as_str().into(), sum.into())).collect(),
                })
            });
        partials.collect()
    }
}

/// Numbers for zones, with one of the nodes in each.
#[derive(Default)]
struct Zones {
    numbers: HashMap<(SmolStr, SmolStr), u32>,
    examples: Vec<Arc<Endpoint>>,
}

impl Zones {
    fn of(&mut self, node: &Arc<Endpoint>) -> u32 {
        let next = u32::try_from(self.examples.len()).unwrap_or(u32::MAX);
        let number = *self
            .numbers
            .entry((node.region.clone(), node.zone.clone()))
            .or_insert(next);
        if number == next {
            self.examples.push(Arc::clone(node));
        }
        number
    }

    fn example(&self, number: u32) -> Option<&Endpoint> {
        self.examples.get(number as usize).map(|node| &**node)
    }
}
