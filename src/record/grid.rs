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
