use proptest::prelude::*;

use super::*;

fn of(samples: &[u64]) -> Distribution {
    Recorder::new().distribution(samples.iter().map(|&value| (value, 1)))
}

proptest! {
    #[test]
    fn quantiles_are_the_nearest_rank_of_the_sorted_samples(
        mut samples in prop::collection::vec(1..60_000_000_000_u64, 1..300),
        q in 0.0..=1.0_f64,
    ) {
        let distribution = of(&samples);
        samples.sort_unstable();
        let rank = ((q * samples.len() as f64).ceil() as usize).max(1);
        let exact = samples[rank - 1];
        let reported = distribution.quantile(q).unwrap();
        prop_assert_eq!(reported, geometry::scratch().highest_equivalent(exact));
        // Two digits: a bucket is at most 1/128 of its value wide.
        prop_assert!(reported >= exact && reported - exact <= exact / 128);
    }

    #[test]
    fn agrees_with_the_library(samples in prop::collection::vec(1..60_000_000_000_u64, 1..300)) {
        let mut library = geometry::scratch();
        for &sample in &samples {
            library.record(sample).unwrap();
        }
        let distribution = of(&samples);
        prop_assert_eq!(distribution.count(), library.len());
        prop_assert_eq!(distribution.min(), Some(library.min()));
        prop_assert_eq!(distribution.max(), Some(library.max()));
        // Not 0.0, for which the crate reports the lowest equivalent value instead.
        for q in [0.5, 0.9, 0.99, 0.999, 1.0] {
            prop_assert_eq!(distribution.quantile(q), Some(library.value_at_quantile(q)));
        }
        let sum: u128 = samples.iter().map(|&sample| u128::from(sample)).sum();
        let n = samples.len() as u128;
        prop_assert_eq!(u128::from(distribution.mean().unwrap()), (2 * sum + n) / (2 * n));
    }

    #[test]
    fn merging_is_recording_everything_at_once(
        a in prop::collection::vec(0..u64::MAX, 0..100),
        b in prop::collection::vec(0..u64::MAX, 0..100),
    ) {
        let mut merged = of(&a);
        merged.merge(&of(&b));
        prop_assert_eq!(merged, of(&[a, b].concat()));
    }
}

#[test]
fn percentiles_of_the_records_take_exact_ranks() {
    // q * n is computed in floating point: it must not round past a whole rank.
    for n in 1..20_000_u64 {
        let ranks = Distribution {
            buckets: (1..=n).map(|rank| (rank, 1)).collect(),
            sum_ns: 0,
        };
        if n % 997 != 0 && n > 1_100 {
            continue;
        }
        for per_mille in [500, 900, 990, 999] {
            assert_eq!(
                ranks.quantile(per_mille as f64 / 1000.0),
                Some((per_mille * n).div_ceil(1000)),
                "{per_mille} of {n}"
            );
        }
    }
}

#[test]
fn values_saturate_at_both_ends() {
    let distribution = of(&[0, u64::MAX]);
    assert_eq!(distribution.sum_ns, 60_000_000_001);
    assert_eq!(distribution.min(), Some(1));
    assert_eq!(
        distribution.max(),
        Some(geometry::scratch().highest_equivalent(60_000_000_000))
    );
}

#[test]
fn nothing_recorded_has_no_numbers() {
    let mut recorder = Recorder::new();
    recorder.distribution([(5, 1)]);
    let empty = recorder.distribution([(7, 0)]);
    assert_eq!(empty, Distribution::default());
    assert_eq!(
        (empty.min(), empty.max(), empty.mean(), empty.quantile(0.5)),
        (None, None, None, None)
    );
}

#[test]
fn hostile_counts_saturate() {
    let mut distribution = Distribution {
        buckets: vec![(1, u64::MAX), (2, u64::MAX)],
        sum_ns: u128::MAX,
    };
    distribution.merge(&distribution.clone());
    assert_eq!(distribution.count(), u64::MAX);
    assert_eq!(distribution.quantile(f64::NAN), Some(1));
    assert_eq!(distribution.quantile(1.0), Some(2), "the last is the last");
    assert_eq!(distribution.mean(), Some(u64::MAX));
}
