//! The delays of one window of one target, in as little memory as they need: 8 bytes a probe while they are few, sparse
//! histograms when they are many.

use smallvec::SmallVec;

/// So many are kept one by one; more are folded into the histogram.
const FEW: usize = 4096;

/// Room is made for so many more at least: growing one by one leaves a gap in the heap for each size that was outgrown, and
/// of 100,000 targets these gaps are as much as the samples.
const LEAST_GROWTH: usize = 3;

/// The largest value that can be kept, in nanoseconds: 68.7 s. Larger ones are kept as this one.
const MAX_VALUE: u64 = (MAX_UNITS as u64) << 5;
const MAX_UNITS: u32 = (1 << 31) - 2;
const IN_UNITS: u32 = 1 << 31;
/// Stands for a delay that isn't known; no value packs to it.
const ABSENT: u32 = u32::MAX;

/// A value in 32 bits: exact below 2^31 ns, in units of 32 ns above.
const fn pack(value: u64) -> u32 {
    if value < IN_UNITS as u64 {
        value as u32
    } else if value >= MAX_VALUE {
        IN_UNITS | MAX_UNITS
    } else {
        // At most MAX_UNITS, since `value` is below MAX_VALUE, a multiple of the unit.
        IN_UNITS | ((value + 16) >> 5) as u32
    }
}

const fn unpack(packed: u32) -> u64 {
    if packed < IN_UNITS {
        packed as u64
    } else {
        ((packed - IN_UNITS) as u64) << 5
    }
}

/// Values per octave of a bucket's width: the resolution of an HdrHistogram of 2 significant digits with lowest value 1,
/// whose buckets are the same, so that recording these there loses nothing more.
const PER_OCTAVE: u32 = 128;

/// The number of a value's bucket; ascending with the value.
const fn bucket(value: u64) -> u32 {
    let shift = shift_of(value);
    shift * PER_OCTAVE + (value >> shift) as u32
}

const fn shift_of(value: u64) -> u32 {
    // Values below 2 * PER_OCTAVE have buckets of their own.
    (u64::BITS - (value | 1).leading_zeros()).saturating_sub(PER_OCTAVE.trailing_zeros() + 1)
}

/// The highest value of a bucket.
const fn highest(bucket: u32) -> u64 {
    if bucket < 2 * PER_OCTAVE {
        return bucket as u64;
    }
    let shift = bucket / PER_OCTAVE - 1;
    let low = ((bucket - shift * PER_OCTAVE) as u64) << shift;
    low + (1 << shift) - 1
}

/// The delays of a window's probes: the round trip of each, and what of it this host added, where that is known.
///
/// Up to 4,096 probes are kept to the nanosecond (to 32 ns above 2.1 s), and saturate at 68.7 s. More fall into the
/// buckets of an HdrHistogram of 2 significant digits, of which there are at most 3,840 in all, so memory is bounded by
/// 160 KB. [`clear`](Samples::clear) keeps what was allocated for single probes, so that a window like the last one
/// allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// By column. The first two lie in the struct: one probe per target and window is the common case of a large mesh.
    few: SmallVec<[[u32; 2]; 2]>,
    /// Only where there were many; by column.
    many: Option<Box<[Histogram; 2]>>,
}

const RTT: usize = 0;
const HOST_DELAY: usize = 1;

#[derive(Clone, Debug, Default)]
struct Histogram {
    /// (bucket, count), ascending by bucket.
    buckets: Vec<(u32, u64)>,
    /// Of the values themselves, saturating.
    sum: u64,
}

impl Samples {
    /// None yet.
    #[must_use]
    pub const fn new() -> Samples {
        Samples {
            few: SmallVec::new_const(),
            many: None,
        }
    }

    /// Adds a probe's delays in nanoseconds.
    pub fn record(&mut self, rtt: u64, host_delay: Option<u64>) {
        if self.few.len() == FEW {
            self.fold();
        }
        if self.few.len() == self.few.capacity() {
            self.few.reserve_exact(LEAST_GROWTH.max(self.few.len() / 2));
        }
        self.few.push([pack(rtt), host_delay.map_or(ABSENT, pack)]);
    }

    /// The round trips.
    #[must_use]
    pub fn rtt(&self) -> Delays<'_> {
        Delays {
            samples: self,
            column: RTT,
        }
    }

    /// What this host added to each, of the probes of which that is known.
    #[must_use]
    pub fn host_delay(&self) -> Delays<'_> {
        Delays {
            samples: self,
            column: HOST_DELAY,
        }
    }

    /// Forgets all probes and keeps the memory of the first 4,096.
    pub fn clear(&mut self) {
        self.few.clear();
        self.many = None;
    }

    /// Moves the single probes into the histograms.
    fn fold(&mut self) {
        let many = self.many.get_or_insert_default();
        for (column, histogram) in many.iter_mut().enumerate() {
            self.few.sort_unstable_by_key(|probe| probe[column]);
            let known = self.few.iter().map(|probe| probe[column]);
            histogram.add(known.filter(|packed| *packed != ABSENT).map(unpack));
        }
        self.few.clear();
    }
}

impl Histogram {
    /// Adds values that come ascending.
    fn add(&mut self, values: impl Iterator<Item = u64>) {
        let buckets = &mut self.buckets;
        let known = buckets.len();
        let mut next = 0;
        for value in values {
            self.sum = self.sum.saturating_add(value);
            let bucket = bucket(value);
            // Both are ascending: the counts known already on the left, those that are new grow at the end.
            while next < known && buckets[next].0 < bucket {
                next += 1;
            }
            match buckets[next..known].first_mut() {
                Some(found) if found.0 == bucket => found.1 += 1,
                _ => match buckets[known..].last_mut() {
                    Some(newest) if newest.0 == bucket => newest.1 += 1,
                    _ => buckets.push((bucket, 1)),
                },
            }
        }
        buckets.sort_unstable_by_key(|(bucket, _)| *bucket);
    }
}

/// One of the two delays of a window's probes, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Delays<'a> {
    samples: &'a Samples,
    column: usize,
}

impl<'a> Delays<'a> {
    fn few(self) -> impl Iterator<Item = u64> + 'a {
        let known = self.samples.few.iter().map(move |probe| probe[self.column]);
        known.filter(|packed| *packed != ABSENT).map(unpack)
    }

    fn many(self) -> Option<&'a Histogram> {
        Some(&self.samples.many.as_deref()?[self.column])
    }

    /// Number of values.
    #[must_use]
    pub fn len(self) -> u64 {
        let many: u64 = self
            .many()
            .into_iter()
            .flat_map(|many| &many.buckets)
            .map(|(_, count)| count)
            .sum();
        self.few().count() as u64 + many
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    /// The sum of the values, exact however many there are (to 32 ns for values above 2.1 s), saturating.
    #[must_use]
    pub fn sum(self) -> u64 {
        let many = self.many().map_or(0, |many| many.sum);
        self.few().fold(many, u64::saturating_add)
    }

    /// Every value with its count, in no order; a value may come more than once. Those in buckets come as the highest
    /// value of their bucket.
    pub fn iter(self) -> impl Iterator<Item = (u64, u64)> + 'a {
        let many = self.many().into_iter().flat_map(|many| &many.buckets);
        let many = many.map(|(bucket, count)| (highest(*bucket), *count));
        self.few().map(|value| (value, 1)).chain(many)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bag(delays: Delays<'_>) -> Vec<u64> {
        let mut all: Vec<u64> = delays
            .iter()
            .flat_map(|(value, count)| std::iter::repeat_n(value, count as usize))
            .collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn the_edges_of_packing() {
        for exact in [0, 1, (1 << 31) - 1, 1 << 31, MAX_VALUE] {
            assert_eq!(unpack(pack(exact)), exact);
        }
        assert_eq!(unpack(pack((1 << 31) + 15)), 1 << 31);
        assert_eq!(unpack(pack((1 << 31) + 16)), (1 << 31) + 32);
        assert_eq!(unpack(pack(MAX_VALUE - 1)), MAX_VALUE);
        assert_eq!(unpack(pack(u64::MAX)), MAX_VALUE);
        assert_eq!(MAX_VALUE, 68_719_476_672);
        assert_ne!(pack(u64::MAX), ABSENT);
    }

    #[test]
    fn buckets_are_those_of_an_hdr_histogram_of_two_digits() {
        // By hand from the definition: 256 buckets of 1, then 128 of 2, of 4, and so on.
        for (value, high) in [
            (0, 0),
            (255, 255),
            (256, 257),
            (257, 257),
            (511, 511),
            (512, 515),
            (1000, 1003),
        ] {
            assert_eq!(highest(bucket(value)), high, "{value}");
        }
        let buckets = bucket(MAX_VALUE) + 1;
        assert!(buckets <= 3_840, "{buckets}");
        let mut next = 0;
        for number in 0..buckets {
            assert_eq!(bucket(next), number, "the lowest value of a bucket");
            assert_eq!(bucket(highest(number)), number, "the highest");
            next = highest(number) + 1;
        }
    }

    #[test]
    fn memory_is_bounded_and_kept() {
        let mut samples = Samples::new();
        for value in 0..1_000_000_u64 {
            samples.record(
                value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 28,
                (value % 2 == 0).then_some(value),
            );
        }
        assert_eq!((samples.rtt().len(), samples.host_delay().len()), (1_000_000, 500_000));
        let buckets = |delays: Delays<'_>| delays.many().map_or(0, |many| many.buckets.len());
        assert!(samples.few.capacity() <= 2 * FEW && buckets(samples.rtt()) <= 3_840);
        assert!((1..3_840).contains(&buckets(samples.host_delay())));
        samples.clear();
        for delays in [samples.rtt(), samples.host_delay()] {
            assert!(delays.is_empty() && delays.sum() == 0 && delays.iter().next().is_none());
        }
        assert!(samples.few.capacity() >= FEW);
    }

    proptest! {
        #[test]
        fn a_value_is_off_by_less_than_half_a_unit(value: u64) {
            let kept = unpack(pack(value));
            let unit = if value < 1 << 31 { 0 } else { 16 };
            prop_assert!(value > MAX_VALUE || kept.abs_diff(value) <= unit);
        }

        #[test]
        fn packing_keeps_the_order(a in 0..70_000_000_000_u64, b in 0..70_000_000_000_u64) {
            prop_assert!((a <= b) <= (pack(a) <= pack(b)) && (a <= b) <= (bucket(a) <= bucket(b)));
        }

        #[test]
        fn few_samples_are_exact(values in prop::collection::vec(0..1_u64 << 31, 0..200)) {
            let mut samples = Samples::new();
            values.iter().for_each(|value| samples.record(*value, value.checked_sub(1 << 30)));
            let mut sorted = values.clone();
            sorted.sort_unstable();
            prop_assert_eq!(bag(samples.rtt()), sorted.clone());
            prop_assert_eq!(samples.rtt().sum(), values.iter().sum::<u64>());
            let known: Vec<_> = sorted.iter().filter_map(|value| value.checked_sub(1 << 30)).collect();
            prop_assert_eq!(bag(samples.host_delay()), known);
        }

        #[test]
        fn many_samples_keep_their_buckets(seed: u64, count in FEW..4 * FEW) {
            let mut values: Vec<u64> = (0..count as u64).map(|n| {
                let mixed = n.wrapping_add(seed).wrapping_mul(GOLDEN);
                (mixed >> 33) >> (mixed % 28)
            }).collect();
            let mut samples = Samples::new();
            values.iter().for_each(|value| samples.record(*value, Some(value / 3)));
            values.sort_unstable();
            let buckets = |values: &[u64]| values.iter().map(|value| bucket(*value)).collect::<Vec<_>>();
            let thirds: Vec<_> = values.iter().map(|value| value / 3).collect();
            for (delays, values) in [(samples.rtt(), values), (samples.host_delay(), thirds)] {
                prop_assert_eq!(delays.len(), count as u64);
                prop_assert_eq!(delays.sum(), values.iter().sum::<u64>());
                prop_assert_eq!(buckets(&bag(delays)), buckets(&values));
            }
        }
    }

    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
}
