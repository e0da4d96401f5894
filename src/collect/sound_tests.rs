use std::sync::Arc;

use dt_probe::{Clock, Counts, Method, ProbeKind};
use dt_record::{Endpoint, Options, Origin, Pair, Recorder, Summary, hdr};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn record(rtts: &[u64], counts: Counts) -> SummaryRecord {
    let end = |name: &str| Endpoint {
        node: name.into(),
        zone: "".into(),
        rack: "".into(),
        region: "".into(),
    };
    let mut recorder = Recorder::new();
    let summary = Summary {
        pair: Arc::new(Pair {
            source: Arc::new(end("a")),
            source_ip: None,
            destination: Arc::new(end("b")),
            destination_ip: [127, 0, 0, 2].into(),
            destination_port: 0,
            probe: ProbeKind::Icmp,
            method: Method::Echo,
            payload_bytes: None,
        }),
        window_start_ms: 10_000,
        window_end_ms: 20_000,
        counts: Counts {
            received: rtts.len() as u64,
            ..counts
        },
        receive_drops: 0,
        rtt: recorder.distribution(rtts.iter().map(|ns| (*ns, 1))),
        host_delay: recorder.distribution(rtts.iter().map(|ns| (ns / 3, 1))),
        timestamp_tx: Clock::Kernel,
        timestamp_rx: Clock::Kernel,
        flows: Vec::new(),
    };
    SummaryRecord::new(&summary, &Origin::default(), 1, Options::default())
}

fn checked(record: &SummaryRecord) -> Result<(), String> {
    let rtt = record.distribution().map_err(|error| error.to_string())?;
    check(record, rtt.as_ref()).map_err(|error| error.to_string())
}

/// Values far apart and close together, up to the greatest that an agent records.
fn delays() -> impl Strategy<Value = Vec<u64>> {
    vec(
        (0..36_u32, any::<u64>()).prop_map(|(bits, ns)| ns >> (63 - bits)),
        0..60,
    )
}

proptest! {
    #[test]
    fn what_an_agent_writes_is_sound(rtts in delays(), others in any::<[u32; 4]>(), buckets in any::<bool>()) {
        let [lost, refused, skipped, late] = others.map(|count| u64::from(count / 4));
        let mut record = record(&rtts, Counts { lost, refused, skipped, late, ..Counts::default() });
        if !buckets {
            (record.bucket_ns, record.bucket_count) = (None, None);
        }
        prop_assert_eq!(checked(&record), Ok(()));
    }

    #[test]
    fn the_least_and_greatest_may_be_exact_where_percentiles_are_of_buckets(rtts in delays()) {
        let mut record = record(&rtts, Counts::default());
        let exact = |ns: &u64| (*ns).clamp(1, 60_000_000_000);
        record.rtt_min_ns = rtts.iter().min().map(exact);
        record.rtt_max_ns = rtts.iter().max().map(exact);
        prop_assert_eq!(checked(&record), Ok(()));
    }

    #[test]
    fn no_sum_of_sound_records_overflows(sent in any::<u64>(), lost in any::<u64>(), late in any::<u64>()) {
        let record = SummaryRecord { sent, lost, late, ..record(&[], Counts::default()) };
        if checked(&record).is_ok() {
            for count in [record.sent, record.lost, record.late] {
                prop_assert!(count.checked_mul(1 << 32).is_some());
            }
        }
    }
}

#[test]
fn histograms_of_any_resolution_are_sound() {
    for (digits, low, high) in [
        (1, 1, 60_000_000_000),
        (3, 1_000, 3_600_000_000_000),
        (5, 1, 60_000_000_000),
    ] {
        let mut histogram = hdrhistogram::Histogram::<u64>::new_with_bounds(low, high, digits).unwrap();
        let values = [1_500, 20_000, 30_001, high];
        for value in values {
            histogram.record(value).unwrap();
        }
        let buckets: Vec<_> = histogram
            .iter_recorded()
            .map(|at| (at.value_iterated_to(), at.count_at_value()))
            .collect();
        let distribution = Distribution { buckets, sum_ns: 0 };
        let record = SummaryRecord {
            sent: 4,
            received: 4,
            hdr: hdr::encode(&distribution),
            bucket_ns: Some(distribution.buckets.iter().map(|(value, _)| *value).collect()),
            bucket_count: Some(distribution.buckets.iter().map(|(_, count)| *count).collect()),
            // Exact, as a producer may know it, beside percentiles that are not.
            rtt_min_ns: Some(1_500),
            rtt_mean_ns: Some(values.iter().sum::<u64>() / 4),
            rtt_p50_ns: Some(histogram.value_at_quantile(0.5)),
            rtt_p90_ns: Some(histogram.value_at_quantile(0.9)),
            rtt_max_ns: Some(high),
            ..record(&[], Counts::default())
        };
        assert_eq!(checked(&record), Ok(()), "{digits} digits");
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let valid = || record(&[10_000, 20_000, 30_000], Counts::default());
    let hour = 3_600_000_000_000;
    type Change = fn(&mut SummaryRecord);
    let cases: &[(&str, Change)] = &[
        ("`sent` is 99", |record| record.sent = 99),
        ("the sum of", |record| record.lost = 1),
        ("at most 4294967295", |record| {
            record.lost = 1 << 32;
            record.sent = record.lost + 3;
        }),
        ("`late` is", |record| record.late = 1 << 33),
        ("`skipped` is", |record| record.skipped = 1 << 33),
        ("the same", |record| record.dst_node = "a".to_owned()),
        ("31 days", |record| {
            record.window_start_ms = 0;
            record.window_end_ms = MAX_LENGTH_MS + 1;
        }),
        ("neither `hdr`", |record| {
            (record.bucket_ns, record.bucket_count) = (None, None);
            record.hdr.clear();
        }),
        ("rtt_p90_ns is 9000, less than rtt_p50_ns", |record| {
            record.rtt_p90_ns = Some(9_000);
        }),
        ("rtt_max_ns is 1, less than", |record| record.rtt_max_ns = Some(1)),
        ("less than rtt_min_ns, 99999999", |record| {
            record.rtt_min_ns = Some(99_999_999)
        }),
        ("rtt_mean_ns is 1,", |record| record.rtt_mean_ns = Some(1)),
        ("rtt_mean_ns is 18446744073709551615", |record| {
            record.rtt_mean_ns = Some(u64::MAX);
        }),
        (
            "the greatest of the histogram is 30079, less than rtt_mean_ns",
            |record| {
                (record.rtt_mean_ns, record.rtt_max_ns) = (Some(50_000), Some(60_000));
            },
        ),
        ("host_delay_p99_ns is 0", |record| record.host_delay_p99_ns = Some(0)),
        ("host_delay_max_ns is", |record| {
            record.host_delay_max_ns = Some(u64::MAX)
        }),
        ("the histogram reaches", |record| {
            record.bucket_ns = Some(vec![1, 2, u64::MAX]);
            record.rtt_mean_ns = None;
        }),
    ];
    assert_eq!(checked(&valid()), Ok(()));
    for (why, change) in cases {
        let mut record = valid();
        change(&mut record);
        let reason = checked(&record).unwrap_err();
        assert!(reason.contains(why), "{why}: {reason}");
    }
    let slow = SummaryRecord {
        host_delay_max_ns: Some(hour),
        ..valid()
    };
    assert_eq!(checked(&slow), Ok(()), "slow is no contradiction");
}
