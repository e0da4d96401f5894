//! The Protobuf form of the record, generated from `proto/summary.proto`, and its conversion.

#![expect(missing_docs, reason = "generated; the .proto file documents every field")]

use prost::Message;

use crate::record::SummaryRecord as Record;

include!(concat!(env!("OUT_DIR"), "/distributed_trace.v1.rs"));

/// Builds one of the two from the other. Every field is named here or in `$rest`, or it doesn't compile.
macro_rules! same_fields {
    ($to:ident, $from:ident, { $($rest:tt)* }) => {
        same_fields!(@build $to, $from, { $($rest)* };
            schema_version, cluster, agent_version, boot_id, seq, window_start_ms, window_end_ms, src_node, src_ip,
            src_zone, src_rack, dst_node, dst_ip, dst_port, dst_zone, dst_rack, probe, method, payload_bytes, sent,
            received, lost, refused, unreachable, send_error, late, duplicate, skipped, receive_drops, rtt_min_ns,
            rtt_mean_ns, rtt_p50_ns, rtt_p90_ns, rtt_p99_ns, rtt_p999_ns, rtt_max_ns, host_delay_p50_ns,
            host_delay_p99_ns, host_delay_max_ns, timestamp_tx, timestamp_rx, timestamp_fallbacks, flows,
            worst_flow_port, worst_flow_lost, hdr, src_region, dst_region)
    };
    (@build $to:ident, $from:ident, { $($rest:tt)* }; $($field:ident),+) => {
        $to { $($field: $from.$field,)+ $($rest)* }
    };
}

impl From<SummaryRecord> for Record {
    fn from(message: SummaryRecord) -> Record {
        let on = !message.buckets_off;
        same_fields!(Record, message, {
            bucket_ns: on.then_some(message.bucket_ns),
            bucket_count: on.then_some(message.bucket_count),
        })
    }
}

impl From<Record> for SummaryRecord {
    fn from(record: Record) -> SummaryRecord {
        same_fields!(SummaryRecord, record, {
            buckets_off: record.bucket_ns.is_none() || record.bucket_count.is_none(),
            bucket_ns: record.bucket_ns.unwrap_or_default(),
            bucket_count: record.bucket_count.unwrap_or_default(),
        })
    }
}

impl Record {
    /// The Protobuf encoding of the record (`distributed_trace.v1.SummaryRecord`).
    #[must_use]
    pub fn to_protobuf(&self) -> Vec<u8> {
        SummaryRecord::from(self.clone()).encode_to_vec()
    }
}
