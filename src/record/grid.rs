//! The buckets of the records' own histograms (1 ns to 60 s, 2 significant digits, and the same beyond), numbered: what
//! keeps many distributions in little memory.

use crate::geometry;

/// The number of the bucket that holds `value` (nanoseconds), ascending with it; below [`BUCKETS`].
#[must_use]
pub fn index_of(value: u64) -> u32 {
    geometry::index_of(value)
}

/// The highest value of bucket `index`, which stands for the bucket in records; `u64::MAX` beyond the last.
#[must_use]
pub fn highest_at(index: u32) -> u64 {
    geometry::highest_at(index)
}

/// Whether `value` is the highest of its bucket: those of our own records all are.
#[must_use]
pub fn is_highest(value: u64) -> bool {
    geometry::highest_equivalent(value) == value
}

/// Numbers of buckets are below this.
pub const BUCKETS: u32 = 7424;

/// So many values between those of our own records are kept as they came where distributions are added up. Ten minutes of a probe a
/// second have no more.
pub const MOST_BETWEEN: usize = 1024;

/// Keeps what grows by adding bounded: where more than [`MOST_BETWEEN`] of `buckets`, which ascend by value (nanoseconds), come from
/// other resolutions, each of those is counted at the highest value of its bucket here, as if it had been recorded by us. That is
/// less than one hundredth more than it was. The counts stay what they are.
pub fn bound(buckets: &mut Vec<(u64, u64)>) {
    // Few buckets, as there nearly always are, need no look at each of them: this is done for each record.
    if buckets.len() <= MOST_BETWEEN || buckets.iter().filter(|(value, _)| !is_highest(*value)).count() <= MOST_BETWEEN
    {
        return;
    }
    for (value, _) in buckets.iter_mut() {
        *value = geometry::highest_equivalent(*value);
    }
    add_equal(buckets);
}

/// Makes one bucket of those with the same value, which follow upon one another.
pub fn add_equal(buckets: &mut Vec<(u64, u64)>) {
    buckets.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 = kept.1.saturating_add(next.1);
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_bucket_is_the_last() {
        assert_eq!(index_of(u64::MAX) + 1, BUCKETS);
        assert_eq!(highest_at(BUCKETS - 1), u64::MAX);
        assert_eq!(highest_at(BUCKETS), u64::MAX);
        assert_eq!(highest_at(u32::MAX), u64::MAX);
    }

    #[test]
    fn values_between_are_kept_up_to_the_bound_and_put_in_our_buckets_beyond() {
        // Above 2^20 a bucket is 2^13 wide: these have a bucket for each 82 of them.
        let between = |most: u64| (0..most).map(|i| ((1 << 20) + i * 100, 2)).collect::<Vec<_>>();
        let kept = between(MOST_BETWEEN as u64);
        let mut buckets = kept.clone();
        bound(&mut buckets);
        assert_eq!(buckets, kept);
        let mut buckets = between(MOST_BETWEEN as u64 + 1);
        bound(&mut buckets);
        assert!(buckets.len() < 20 && buckets.iter().all(|(value, _)| is_highest(*value)));
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), 2 * 1025);
        // Our own are never too many.
        let ours: Vec<_> = (0..BUCKETS).map(|index| (highest_at(index), 1)).collect();
        let mut buckets = ours.clone();
        bound(&mut buckets);
        assert_eq!(buckets, ours);
    }

    proptest! {
        #[test]
        fn a_number_and_its_highest_value_are_inverse(index in 0..BUCKETS) {
            prop_assert_eq!(index_of(highest_at(index)), index);
            prop_assert!(is_highest(highest_at(index)));
        }

        #[test]
        fn a_bucket_ends_at_its_highest_value(shift in 0..64_u32, low in any::<u64>()) {
            let value = low >> shift;
            let highest = highest_at(index_of(value));
            prop_assert!(highest >= value);
            prop_assert_eq!(is_highest(value), highest == value);
            if highest < u64::MAX {
                prop_assert_eq!(index_of(highest + 1), index_of(value) + 1);
            }
        }
    }
}
