//! Whether a record can be true: what contradicts itself, or says what no agent can have measured, is not added to what others
//! measured.
//!
//! Records of other producers are welcome, with other resolutions and without the fields that may be missing. So only that is
//! refused which the record's description rules out, and delays are compared with a margin for how coarse they may be.

use dt_record::{DecodeError, Distribution, SummaryRecord};

/// The greatest count of probes or answers. A pair is probed every 10 ms at most, so this is more than a year; and 4 billion
/// such records would have to be added before a sum of 64 bits were full.
const MAX_COUNT: u64 = u32::MAX as u64;
/// The greatest delay, two hours. A probe is answered within a minute or lost; a histogram that others made may reach an hour,
/// and its last bucket somewhat further.
const MAX_DELAY_NS: u64 = 7_200_000_000_000;
/// The longest time that one record may cover, 31 days: an agent merges windows while Kafka is away.
const MAX_LENGTH_MS: u64 = 31 * 24 * 3_600_000;

/// Refuses `record`, whose histogram is `rtt`, where it can't be true.
///
/// # Errors
/// Which fields, and why.
pub(crate) fn check(record: &SummaryRecord, rtt: Option<&Distribution>) -> Result<(), DecodeError> {
    let checks = [ends, counts, histogram, round_trips, host_delays];
    let reason = checks.iter().find_map(|check| check(record, rtt).err());
    reason.map_or(Ok(()), |reason| Err(DecodeError::Invalid(reason)))
}

type Checked = Result<(), String>;

fn ends(record: &SummaryRecord, _: Option<&Distribution>) -> Checked {
    if record.src_node == record.dst_node {
        return Err("`src_node` and `dst_node` are the same; a node doesn't probe itself".to_owned());
    }
    let length = record.window_end_ms.saturating_sub(record.window_start_ms);
    if length > MAX_LENGTH_MS {
        return Err(format!(
            "the window is {length} ms long; accepted: at most {MAX_LENGTH_MS}, 31 days"
        ));
    }
    Ok(())
}

fn counts(record: &SummaryRecord, _: Option<&Distribution>) -> Checked {
    let fates = [
        record.received,
        record.lost,
        record.refused,
        record.unreachable,
        record.send_error,
    ];
    let sum = fates.iter().fold(0, |sum: u64, fate| sum.saturating_add(*fate));
    if record.sent != sum {
        return Err(format!(
            "`sent` is {}; accepted: the sum of `received`, `lost`, `refused`, `unreachable` and `send_error`, {sum}",
            record.sent
        ));
    }
    // `receive_drops` counts packets of the whole host, of anybody's: it is taken as it is, and never added up over pairs.
    let bounded = [
        ("sent", record.sent),
        ("late", record.late),
        ("duplicate", record.duplicate),
        ("skipped", record.skipped),
        ("timestamp_fallbacks", record.timestamp_fallbacks),
    ];
    match bounded.into_iter().find(|(_, count)| *count > MAX_COUNT) {
        Some((name, count)) => Err(format!("`{name}` is {count}; accepted: at most {MAX_COUNT}")),
        None => Ok(()),
    }
}

fn histogram(record: &SummaryRecord, rtt: Option<&Distribution>) -> Checked {
    let Some(rtt) = rtt else {
        return Err(format!(
            "`received` is {}, and there is neither `hdr` nor `bucket_ns` and `bucket_count`",
            record.received
        ));
    };
    match rtt.max() {
        Some(max) if max > MAX_DELAY_NS => Err(format!(
            "the histogram reaches {max} ns; accepted: at most {MAX_DELAY_NS}"
        )),
        _ => Ok(()),
    }
}

fn round_trips(record: &SummaryRecord, rtt: Option<&Distribution>) -> Checked {
    if record.received == 0 {
        return Ok(());
    }
    ascending(&[
        ("rtt_min_ns", record.rtt_min_ns),
        ("rtt_p50_ns", record.rtt_p50_ns),
        ("rtt_p90_ns", record.rtt_p90_ns),
        ("rtt_p99_ns", record.rtt_p99_ns),
        ("rtt_p999_ns", record.rtt_p999_ns),
        ("rtt_max_ns", record.rtt_max_ns),
    ])?;
    // The sum that counts is taken from the mean.
    let mean = ("rtt_mean_ns", record.rtt_mean_ns);
    ascending(&[
        ("rtt_min_ns", record.rtt_min_ns),
        mean,
        ("rtt_max_ns", record.rtt_max_ns),
    ])?;
    ascending(&[
        ("the least of the histogram", rtt.and_then(Distribution::min)),
        mean,
        ("the greatest of the histogram", rtt.and_then(Distribution::max)),
    ])
}

fn host_delays(record: &SummaryRecord, _: Option<&Distribution>) -> Checked {
    ascending(&[
        ("host_delay_p50_ns", record.host_delay_p50_ns),
        ("host_delay_p99_ns", record.host_delay_p99_ns),
        ("host_delay_max_ns", record.host_delay_max_ns),
    ])
}

/// Whether delays that are given are believable and in order.
fn ascending(delays: &[(&str, Option<u64>)]) -> Checked {
    let mut last: Option<(&str, u64)> = None;
    for (name, delay) in delays.iter().filter_map(|(name, delay)| Some((*name, (*delay)?))) {
        if delay > MAX_DELAY_NS {
            return Err(format!("{name} is {delay}; accepted: at most {MAX_DELAY_NS}"));
        }
        if let Some((lesser, least)) = last
            && is_clearly_above(least, delay)
        {
            return Err(format!("{name} is {delay}, less than {lesser}, {least}"));
        }
        last = Some((name, delay));
    }
    Ok(())
}

/// Some producers take a percentile from the histogram, where it is the highest value of its bucket, and the greatest value as it
/// was. Buckets of one digit are a sixteenth wide, and may count in microseconds.
fn is_clearly_above(value: u64, other: u64) -> bool {
    value > other.saturating_add(other / 8).saturating_add(1_024)
}

#[cfg(test)]
#[path = "sound_tests.rs"]
mod tests;
