//! Records made of an input, for random bytes seldom are one. Their numbers contradict one another as often as not.

use dt_record::SummaryRecord;

use crate::input::Input;

/// When all records are read.
pub(crate) const NOW_MS: u64 = 1_800_000_000_000;

const NODES: [&str; 6] = ["a", "b", "c", "node-4.example", "a|b", "\u{202e}<b>"];
const LABELS: [&str; 4] = ["", "z1", "z2", "\"\\\n"];
const PROBES: [&str; 4] = ["icmp", "tcp", "grpc", "quic"];
const WINDOW_MS: u64 = 10_000;

pub(crate) fn record(input: &mut Input<'_>) -> SummaryRecord {
    let text = |texts: &[&str], input: &mut Input<'_>| (*input.one(texts)).to_owned();
    let mut record = SummaryRecord {
        schema_version: 1,
        boot_id: text(&["", "x", "y"], input),
        seq: input.number(),
        src_node: text(&NODES, input),
        src_zone: text(&LABELS, input),
        src_rack: text(&LABELS, input),
        src_region: text(&LABELS, input),
        dst_node: text(&NODES, input),
        dst_zone: text(&LABELS, input),
        dst_rack: text(&LABELS, input),
        dst_ip: text(&["10.0.0.1", "::1", "?"], input),
        probe: text(&PROBES, input),
        method: text(&["syn", "echo", "?"], input),
        ..SummaryRecord::default()
    };
    windows(&mut record, input);
    counts(&mut record, input);
    if input.flag() {
        record.host_delay_p50_ns = Some(input.number());
        record.host_delay_p99_ns = Some(input.number());
        record.host_delay_max_ns = Some(input.number());
    }
    if input.flag() {
        record.worst_flow_port = Some(input.u32());
        record.worst_flow_lost = Some(input.number());
        record.flows = input.number();
    }
    record
}

fn windows(record: &mut SummaryRecord, input: &mut Input<'_>) {
    if input.u8() < 8 {
        (record.window_start_ms, record.window_end_ms) = (input.number(), input.number());
        return;
    }
    // Up to an hour and a bit ago, and a bit ahead.
    let ago = u64::from(input.u16() % 400) * WINDOW_MS;
    record.window_start_ms = NOW_MS + 12 * WINDOW_MS - ago;
    record.window_end_ms = record.window_start_ms + WINDOW_MS * (1 + u64::from(input.u8() % 3));
}

fn counts(record: &mut SummaryRecord, input: &mut Input<'_>) {
    let mut buckets = Vec::new();
    let mut value = 0_u64;
    for _ in 0..input.u8() % 8 {
        value = value.saturating_add(1).saturating_add(input.number());
        buckets.push((value, input.number()));
    }
    buckets.dedup_by_key(|(value, _)| *value);
    let held = buckets.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
    let (values, held_by) = buckets.into_iter().unzip();
    (record.bucket_ns, record.bucket_count) = (Some(values), Some(held_by));
    record.received = if input.u8() < 16 { input.number() } else { held };
    record.rtt_mean_ns = Some(input.number());
    for count in [
        &mut record.lost,
        &mut record.refused,
        &mut record.unreachable,
        &mut record.send_error,
        &mut record.late,
        &mut record.duplicate,
        &mut record.skipped,
        &mut record.receive_drops,
        &mut record.timestamp_fallbacks,
    ] {
        if input.flag() {
            *count = input.number();
        }
    }
    record.sent = if input.u8() < 16 {
        input.number()
    } else {
        [record.lost, record.refused, record.unreachable, record.send_error]
            .iter()
            .fold(record.received, |sum, count| sum.saturating_add(*count))
    };
}
