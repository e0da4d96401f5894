use std::time::Duration;

use proptest::prelude::*;

use dt_record::Flow;

use super::*;
use crate::fixtures::{pair, summary};

fn bytes_of(summary: &Arc<Summary>) -> usize {
    Waiting::Fresh(Arc::clone(summary)).bytes()
}

fn drain(backlog: &mut Backlog) -> Vec<Arc<Summary>> {
    let now = Instant::now() + Duration::from_secs(3_600);
    std::iter::from_fn(|| backlog.pop(now)).collect()
}

proptest! {
    #[test]
    fn no_sample_is_lost_and_no_bound_exceeded(
        windows in 1..60_u64,
        pairs in 1..12_usize,
        bound in 1_000..100_000_usize,
        taken in prop::collection::vec(0..8_usize, 0..60),
    ) {
        let pairs: Vec<_> = (0..pairs).map(|n| pair(&n.to_string())).collect();
        let mut backlog = Backlog::new(bound);
        let (now, mut seen, mut merged) = (Instant::now(), Vec::new(), 0);
        for window in 0..windows {
            for pair in &pairs {
                let pushed = backlog.push(summary(pair, window), now);
                prop_assert_eq!(pushed.dropped, 0);
                merged += pushed.merged;
            }
            for _ in 0..taken.get(window as usize).copied().unwrap_or(0) {
                seen.extend(backlog.pop(now));
            }
            // One per pair is the floor; a summary of many windows has more buckets than a plain one.
            let floor = pairs.len() * (bytes_of(&summary(&pairs[0], 0)) + 16 * window as usize);
            prop_assert!(backlog.bytes() <= bound + floor, "{} bytes of {bound}", backlog.bytes());
        }
        let probes = |of: &[Arc<Summary>]| of.iter().map(|summary| summary.counts.sent()).sum::<u64>();
        let pushed = pairs.len() as u64 * windows * (windows + 1) / 2;
        prop_assert_eq!(backlog.probes() + probes(&seen), pushed);
        seen.extend(drain(&mut backlog));
        prop_assert_eq!((backlog.probes(), probes(&seen)), (0, pushed));
        prop_assert_eq!((backlog.len(), backlog.bytes(), backlog.latest.len()), (0, 0, 0));
        prop_assert_eq!(seen.len() as u64 + merged, windows * pairs.len() as u64);
        for pair in &pairs {
            let of_pair: Vec<_> = seen.iter().filter(|summary| summary.pair == *pair).collect();
            let (received, lost): (u64, u64) =
                of_pair.iter().fold((0, 0), |(r, l), s| (r + s.counts.received, l + s.counts.lost));
            prop_assert_eq!((received, lost), (windows, windows * (windows - 1) / 2));
            prop_assert_eq!(of_pair.iter().map(|s| s.rtt.count()).sum::<u64>(), windows);
            // In order, side by side, without gaps.
            prop_assert_eq!(of_pair[0].window_start_ms, 0);
            prop_assert_eq!(of_pair[of_pair.len() - 1].window_end_ms, windows * 10_000);
            prop_assert!(of_pair.windows(2).all(|two| two[0].window_end_ms == two[1].window_start_ms));
        }
    }
}

#[test]
fn the_latest_windows_stay_sharpest() {
    let pair = pair("b");
    let one = bytes_of(&summary(&pair, 0));
    let mut backlog = Backlog::new(100 * one);
    for window in 0..500 {
        backlog.push(summary(&pair, window), Instant::now());
    }
    let lengths: Vec<u64> = drain(&mut backlog)
        .iter()
        .map(|summary| summary.window_end_ms - summary.window_start_ms)
        .collect();
    assert!(lengths.len() >= 5, "{lengths:?}");
    assert_eq!(lengths.last(), Some(&10_000));
    assert!(lengths.first() > lengths.last(), "{lengths:?}");
}

#[test]
fn what_is_not_due_stays() {
    let pair = pair("b");
    let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(60));
    let mut backlog = Backlog::new(1 << 20);
    backlog.push(summary(&pair, 1), now);
    backlog.push(summary(&pair, 2), later);
    assert_eq!(backlog.pop(now).map(|summary| summary.window_start_ms), Some(10_000));
    assert_eq!(backlog.pop(now), None);
    backlog.hurry(now);
    assert_eq!(backlog.pop(now).map(|summary| summary.window_start_ms), Some(20_000));
}

#[test]
fn pairs_without_end_are_bounded_at_last() {
    let mut backlog = Backlog::new(10_000);
    let mut dropped = 0;
    for n in 0..5_000 {
        dropped += backlog.push(summary(&pair(&n.to_string()), 0), Instant::now()).dropped;
    }
    assert!(backlog.bytes() <= 10_000 * HARD_FACTOR);
    assert_eq!(dropped + backlog.len() as u64, 5_000);
}

/// Three hours without Kafka, of a node with a thousand peers and two kinds of probes, by the allocator's own count.
#[test]
fn an_outage_of_hours_takes_less_than_ten_megabytes() {
    const PEERS: usize = 1_000;
    // Each stands for nine windows of ten probes.
    const WINDOWS: u64 = 120;
    const SAMPLES: u64 = 90;
    let mut recorder = dt_record::Recorder::new();
    let mut state = 1_u64;
    let mut random = move || {
        // Knuth's, of which the upper bits are good.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    // About log-normal: the median, and the 99th percentile at five times that.
    let mut delays = |median: f64| {
        let mut delay = || {
            let normal = (0..12).map(|_| random()).sum::<f64>() - 6.0;
            (median * (0.69 * normal).exp()) as u64
        };
        let values: Vec<_> = (0..SAMPLES).map(|_| (delay(), 1)).collect();
        recorder.distribution(values)
    };
    let windows: Vec<_> = (0..500).map(|_| (delays(200_000.0), delays(30_000.0))).collect();
    let pairs: Vec<_> = (0..2 * PEERS).map(|n| pair(&n.to_string())).collect();
    let template = summary(&pairs[0], 1);
    let mut backlog = Backlog::new(DEFAULT_BOUND_BYTES);
    let run = allocation_counter::measure(|| {
        for window in 0..WINDOWS {
            for (n, pair) in pairs.iter().enumerate() {
                let (rtt, host_delay) = &windows[(n * 31 + window as usize * 7) % windows.len()];
                let flows = if n % 2 == 0 { 0 } else { 64 };
                let summary = Summary {
                    rtt: rtt.clone(),
                    host_delay: host_delay.clone(),
                    flows: (0..flows).map(|port| Flow { port, sent: 1, lost: 0 }).collect(),
                    pair: Arc::clone(pair),
                    window_start_ms: window * 10_000,
                    window_end_ms: (window + 1) * 10_000,
                    ..Summary::clone(&template)
                };
                backlog.push(Arc::new(summary), Instant::now());
            }
        }
    });
    let held = run.bytes_current;
    assert!(run.bytes_max < 10_000_000, "{run:?}, estimated {}", backlog.bytes());
    let estimated = i64::try_from(backlog.bytes()).unwrap();
    assert!(
        (held - estimated).abs() < estimated / 5,
        "{held} are held, {estimated} estimated"
    );
    let per_pair = backlog.len() as f64 / pairs.len() as f64;
    println!(
        "{} held, {} at most, {estimated} estimated, {per_pair} records per pair",
        held, run.bytes_max
    );
    let samples: u64 = drain(&mut backlog).iter().map(|summary| summary.rtt.count()).sum();
    assert_eq!(samples, SAMPLES * WINDOWS * pairs.len() as u64);
}
