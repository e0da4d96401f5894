//! The flat record of schema version 1: what consumers of the summary topic see.

use dt_probe::ProbeKind;
use serde::{Deserialize, Serialize};

use crate::decode::DecodeError;
use crate::distribution::Distribution;
use crate::hdr;
use crate::summary::{Flow, Pair, Summary};

/// The schema these fields belong to. Fields are only ever added.
pub const SCHEMA_VERSION: u32 = 1;

/// Who produces records: the same for the whole life of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The cluster's name; may be empty.
    pub cluster: String,
    /// Version of the agent.
    pub agent_version: String,
    /// Unique for this run of the process.
    pub boot_id: String,
}

/// What a record holds beyond what every consumer needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether `bucket_ns` and `bucket_count` are written.
    pub buckets: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { buckets: true }
    }
}

/// One (source, destination, probe kind, window). Field names are those of the JSON; all delays are nanoseconds. In
/// JSON, what doesn't apply is `null`, and a record without the fields marked optional here is valid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryRecord {
    /// [`SCHEMA_VERSION`] at the time of writing.
    pub schema_version: u32,
    /// The cluster's name; may be empty.
    #[serde(default)]
    pub cluster: String,
    /// Version of the agent that wrote it.
    #[serde(default)]
    pub agent_version: String,
    /// Unique for one run of the agent.
    #[serde(default)]
    pub boot_id: String,
    /// Number of the record within (`boot_id`, sink), from 1, without gaps.
    #[serde(default)]
    pub seq: u64,
    /// First millisecond of the window (UTC).
    pub window_start_ms: u64,
    /// First millisecond after the window (UTC).
    pub window_end_ms: u64,
    /// The probing node.
    pub src_node: String,
    /// The address probes leave from; empty where unknown.
    #[serde(default)]
    pub src_ip: String,
    /// Its zone; empty where unlabelled.
    #[serde(default)]
    pub src_zone: String,
    /// Its rack; empty where unlabelled.
    #[serde(default)]
    pub src_rack: String,
    /// Its region; in JSON absent where unlabelled.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub src_region: String,
    /// The probed node.
    pub dst_node: String,
    /// The address probed.
    #[serde(default)]
    pub dst_ip: String,
    /// The port probed; 0 where ports don't apply.
    #[serde(default)]
    pub dst_port: u32,
    /// Its zone; empty where unlabelled.
    #[serde(default)]
    pub dst_zone: String,
    /// Its rack; empty where unlabelled.
    #[serde(default)]
    pub dst_rack: String,
    /// Its region; in JSON absent where unlabelled.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dst_region: String,
    /// `icmp`, `tcp` or `grpc`.
    pub probe: String,
    /// `echo`, `syn`, `connect` or `ping_node`.
    #[serde(default)]
    pub method: String,
    /// ICMP payload in bytes.
    #[serde(default)]
    pub payload_bytes: Option<u32>,
    /// Probes whose fate was decided in the window: the sum of the next five.
    pub sent: u64,
    /// Answered in time.
    pub received: u64,
    /// Left the host, unanswered at the time-out.
    #[serde(default)]
    pub lost: u64,
    /// Answered by RST, or by a gRPC error.
    #[serde(default)]
    pub refused: u64,
    /// An ICMP error came back, or there was no route.
    #[serde(default)]
    pub unreachable: u64,
    /// Never left the host.
    #[serde(default)]
    pub send_error: u64,
    /// Replies after the time-out.
    #[serde(default)]
    pub late: u64,
    /// Repeated replies.
    #[serde(default)]
    pub duplicate: u64,
    /// Probes due that gave no measurement by this host's own doing.
    #[serde(default)]
    pub skipped: u64,
    /// Packets the host's own socket buffers dropped in the window: the host's total, in each of its records.
    #[serde(default)]
    pub receive_drops: u64,
    /// Least round-trip delay.
    #[serde(default)]
    pub rtt_min_ns: Option<u64>,
    /// Mean round-trip delay.
    #[serde(default)]
    pub rtt_mean_ns: Option<u64>,
    /// Median round-trip delay.
    #[serde(default)]
    pub rtt_p50_ns: Option<u64>,
    /// 90th percentile.
    #[serde(default)]
    pub rtt_p90_ns: Option<u64>,
    /// 99th percentile.
    #[serde(default)]
    pub rtt_p99_ns: Option<u64>,
    /// 99.9th percentile.
    #[serde(default)]
    pub rtt_p999_ns: Option<u64>,
    /// Greatest round-trip delay.
    #[serde(default)]
    pub rtt_max_ns: Option<u64>,
    /// Median of user-space minus kernel round trip.
    #[serde(default)]
    pub host_delay_p50_ns: Option<u64>,
    /// Its 99th percentile.
    #[serde(default)]
    pub host_delay_p99_ns: Option<u64>,
    /// Its greatest value.
    #[serde(default)]
    pub host_delay_max_ns: Option<u64>,
    /// `hardware`, `kernel` or `user`: the weakest clock that stamped a request.
    #[serde(default)]
    pub timestamp_tx: String,
    /// The weakest clock that stamped a reply.
    #[serde(default)]
    pub timestamp_rx: String,
    /// Probes that had to fall back to a weaker clock.
    #[serde(default)]
    pub timestamp_fallbacks: u64,
    /// Distinct source ports used; 0 where ports don't apply.
    #[serde(default)]
    pub flows: u64,
    /// The source port that lost most, the lowest of equals.
    #[serde(default)]
    pub worst_flow_port: Option<u32>,
    /// How many probes it lost.
    #[serde(default)]
    pub worst_flow_lost: Option<u64>,
    /// Highest equivalent value of each non-empty bucket, ascending; `None` where buckets are turned off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_ns: Option<Vec<u64>>,
    /// How many round trips fell in each bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_count: Option<Vec<u64>>,
    /// See [`hdr`]; empty where nothing was received.
    #[serde(default)]
    pub hdr: String,
}

impl SummaryRecord {
    /// Whether it is of `cluster`; of any, where that is empty.
    #[must_use]
    pub fn is_of(&self, cluster: &str) -> bool {
        cluster.is_empty() || self.cluster == cluster
    }

    /// The record of `summary`, numbered `seq`.
    #[must_use]
    pub fn new(summary: &Summary, origin: &Origin, seq: u64, options: Options) -> SummaryRecord {
        let (pair, counts, rtt) = (&*summary.pair, &summary.counts, &summary.rtt);
        let worst = worst_flow(&summary.flows);
        SummaryRecord {
            schema_version: SCHEMA_VERSION,
            cluster: origin.cluster.clone(),
            agent_version: origin.agent_version.clone(),
            boot_id: origin.boot_id.clone(),
            seq,
            window_start_ms: summary.window_start_ms,
            window_end_ms: summary.window_end_ms,
            src_node: pair.source.node.to_string(),
            src_ip: pair.source_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            src_zone: pair.source.zone.to_string(),
            src_rack: pair.source.rack.to_string(),
            src_region: pair.source.region.to_string(),
            dst_node: pair.destination.node.to_string(),
            dst_ip: pair.destination_ip.to_string(),
            dst_port: u32::from(pair.destination_port),
            dst_zone: pair.destination.zone.to_string(),
            dst_rack: pair.destination.rack.to_string(),
            dst_region: pair.destination.region.to_string(),
            probe: pair.probe.to_string(),
            method: pair.method.to_string(),
            payload_bytes: pair.payload_bytes,
            sent: counts.sent(),
            received: counts.received,
            lost: counts.lost,
            refused: counts.refused,
            unreachable: counts.unreachable,
            send_error: counts.send_error,
            late: counts.late,
            duplicate: counts.duplicate,
            skipped: counts.skipped,
            receive_drops: summary.receive_drops,
            rtt_min_ns: rtt.min(),
            rtt_mean_ns: rtt.mean(),
            rtt_p50_ns: rtt.quantile(0.5),
            rtt_p90_ns: rtt.quantile(0.9),
            rtt_p99_ns: rtt.quantile(0.99),
            rtt_p999_ns: rtt.quantile(0.999),
            rtt_max_ns: rtt.max(),
            host_delay_p50_ns: summary.host_delay.quantile(0.5),
            host_delay_p99_ns: summary.host_delay.quantile(0.99),
            host_delay_max_ns: summary.host_delay.max(),
            timestamp_tx: summary.timestamp_tx.to_string(),
            timestamp_rx: summary.timestamp_rx.to_string(),
            timestamp_fallbacks: counts.timestamp_fallbacks,
            flows: summary.flows.len() as u64,
            worst_flow_port: worst.map(|flow| u32::from(flow.port)),
            worst_flow_lost: worst.map(|flow| flow.lost),
            bucket_ns: options
                .buckets
                .then(|| rtt.buckets.iter().map(|&(value, _)| value).collect()),
            bucket_count: options
                .buckets
                .then(|| rtt.buckets.iter().map(|&(_, count)| count).collect()),
            hdr: hdr::encode(rtt),
        }
    }

    /// The record's Kafka key: see [`key_of`].
    #[must_use]
    pub fn key(&self) -> String {
        key(&self.src_node, &self.dst_node, &self.probe)
    }

    /// Unique per record and the same each time it is sent: the CloudEvents `id`.
    #[must_use]
    pub fn ce_id(&self) -> String {
        format!("{}-{}", self.boot_id, self.seq)
    }

    /// The JSON of the record on one line, without a line end.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and arrays of numbers always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The distribution of round-trip delays: from the buckets where the record has them, else from `hdr`. `None`
    /// where the record has replies but neither of the two. The sum comes from `rtt_mean_ns`, which is rounded, so it
    /// may be off by half a nanosecond per reply.
    ///
    /// # Errors
    /// Arrays that differ in length, don't ascend or don't add up to `received`; an `hdr` that can't be read.
    pub fn distribution(&self) -> Result<Option<Distribution>, DecodeError> {
        let mut distribution = match (&self.bucket_ns, &self.bucket_count) {
            (Some(values), Some(counts)) => self.bucketed(values, counts)?,
            _ if self.hdr.is_empty() && self.received > 0 => return Ok(None),
            _ => hdr::decode(&self.hdr)?,
        };
        let held = distribution
            .buckets
            .iter()
            .try_fold(0_u64, |sum, &(_, count)| sum.checked_add(count));
        if held != Some(self.received) {
            return Err(DecodeError::Invalid(format!(
                "the histogram holds {} values where `received` is {}",
                held.map_or_else(|| "too many".to_owned(), |held| held.to_string()),
                self.received
            )));
        }
        if let Some(mean) = self.rtt_mean_ns {
            distribution.sum_ns = u128::from(mean) * u128::from(self.received);
        }
        Ok(Some(distribution))
    }

    fn bucketed(&self, values: &[u64], counts: &[u64]) -> Result<Distribution, DecodeError> {
        if values.len() != counts.len() {
            return Err(DecodeError::Invalid(format!(
                "`bucket_ns` has {} entries, `bucket_count` {}; they must be equally many",
                values.len(),
                counts.len()
            )));
        }
        if values.len() > hdr::MAX_BUCKETS {
            return Err(DecodeError::Invalid(format!(
                "`bucket_ns` has {} entries; accepted: at most {}",
                values.len(),
                hdr::MAX_BUCKETS
            )));
        }
        if !values.is_sorted_by(|a, b| a < b) {
            return Err(DecodeError::Invalid("`bucket_ns` must ascend".to_owned()));
        }
        let pairs = values.iter().copied().zip(counts.iter().copied());
        let buckets: Vec<_> = pairs.filter(|&(_, count)| count > 0).collect();
        let sum_ns = buckets.iter().fold(0, |sum: u128, &(value, count)| {
            sum.saturating_add(u128::from(value) * u128::from(count))
        });
        Ok(Distribution { buckets, sum_ns })
    }
}

/// The Kafka key of a pair's records, `src_node|dst_node|probe`. A `|` or `%` inside a node's name is written `%7C` or
/// `%25`, so that different pairs never share a key; the record's own fields carry names as they are.
#[must_use]
pub fn key_of(pair: &Pair) -> String {
    key(&pair.source.node, &pair.destination.node, ProbeKind::as_str(pair.probe))
}

fn key(src: &str, dst: &str, probe: &str) -> String {
    let mut key = String::with_capacity(src.len() + dst.len() + probe.len() + 2);
    for (at, part) in [src, dst, probe].into_iter().enumerate() {
        if at > 0 {
            key.push('|');
        }
        for c in part.chars() {
            match c {
                '|' => key.push_str("%7C"),
                '%' => key.push_str("%25"),
                c => key.push(c),
            }
        }
    }
    key
}

fn worst_flow(flows: &[Flow]) -> Option<&Flow> {
    flows
        .iter()
        .max_by(|a, b| a.lost.cmp(&b.lost).then(b.port.cmp(&a.port)))
}

#[cfg(test)]
#[path = "record_tests.rs"]
pub(crate) mod tests;
