//! Where the buckets of an HdrHistogram lie, for the parameters of our records and for any others met in the wild.

use hdrhistogram::Histogram;

/// The least value a record's histogram tells from others, nanoseconds.
pub(crate) const LOWEST_NS: u64 = 1;
/// The greatest value a record's histogram holds: 60 s, the longest time-out there is.
pub(crate) const HIGHEST_NS: u64 = 60_000_000_000;
/// Significant decimal digits kept in a record's histogram.
pub(crate) const DIGITS: u8 = 2;
/// What a histogram of [`DIGITS`] divides each power of two into (counted over two of them): 2^8 >= 2 * 10^2.
const SUB_BUCKET_BITS: u32 = 8;

/// An empty dense histogram of the records' parameters.
pub(crate) fn scratch() -> Histogram<u64> {
    match Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS) {
        Ok(histogram) => histogram,
        // The parameters are constants that every test uses.
        Err(error) => unreachable!("histogram of {LOWEST_NS}..{HIGHEST_NS} ns, {DIGITS} digits: {error}"),
    }
}

/// The lowest value that shares a bucket with `value` at the records' resolution.
pub(crate) fn lowest_equivalent(value: u64) -> u64 {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(SUB_BUCKET_BITS);
    (value >> shift) << shift
}

/// The highest value that shares a bucket with `value` at the records' resolution.
pub(crate) fn highest_equivalent(value: u64) -> u64 {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(SUB_BUCKET_BITS);
    value | ((1 << shift) - 1)
}

/// The place of a value's bucket in the counts array at the records' resolution.
pub(crate) fn index_of(value: u64) -> u32 {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(SUB_BUCKET_BITS);
    // Half of the sub-buckets of every row but the first lie below the row before.
    (shift << (SUB_BUCKET_BITS - 1)) + (value >> shift) as u32
}

/// The highest value of the bucket at `index`: the inverse of [`index_of`]. Saturates beyond 64 bits.
pub(crate) fn highest_at(index: u32) -> u64 {
    const HALF: u32 = 1 << (SUB_BUCKET_BITS - 1);
    if index < 2 * HALF {
        return u64::from(index);
    }
    let shift = index / HALF - 1;
    let next = u128::from(index - shift * HALF + 1) << shift.min(u64::BITS);
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

/// The layout that a V2 header describes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    /// log2 of the width of the narrowest bucket.
    unit_magnitude: u32,
    /// log2 of half the number of sub-buckets.
    half_magnitude: u32,
}

impl Geometry {
    /// The layout for values from `lowest` on with `digits` (0..=5) significant digits; `None` outside the format.
    pub(crate) fn new(lowest: u64, digits: u32) -> Option<Geometry> {
        if lowest == 0 || digits > 5 {
            return None;
        }
        let single_unit = 2 * 10_u64.pow(digits);
        let count_magnitude = single_unit.next_power_of_two().ilog2();
        Some(Geometry {
            unit_magnitude: lowest.ilog2(),
            half_magnitude: count_magnitude.max(1) - 1,
        })
    }

    /// The highest equivalent value of the bucket at `index` of the counts array; `None` where it exceeds 64 bits.
    pub(crate) fn highest_at(self, index: u64) -> Option<u64> {
        let half = 1_u64 << self.half_magnitude;
        let (bucket, sub_bucket) = match index >> self.half_magnitude {
            0 => (0, index),
            row => (row - 1, (index & (half - 1)) + half),
        };
        let shift = u32::try_from(bucket)
            .ok()?
            .checked_add(self.unit_magnitude)
            .filter(|&bits| bits < u64::BITS)?;
        let next = u128::from(sub_bucket + 1) << shift;
        u64::try_from(next - 1).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_bucket_lies_where_the_library_has_it(value in 1..u64::MAX / 4, low in 1..1_000_u64, digits in 0..=5_u8) {
            let high = (u64::MAX / 2).max(low * 2);
            let mut library = Histogram::<u64>::new_with_bounds(low, high, digits).unwrap();
            library.record(value).unwrap();
            let geometry = Geometry::new(low, u32::from(digits)).unwrap();
            // The counts array is dense: the recorded bucket is the only one, so search for it by bisection.
            let wanted = library.highest_equivalent(value);
            let (mut from, mut to) = (0_u64, 64 << 18);
            while from < to {
                let middle = (from + to) / 2;
                if geometry.highest_at(middle).is_some_and(|at| at < wanted) { from = middle + 1 } else { to = middle }
            }
            prop_assert_eq!(geometry.highest_at(from), Some(wanted));
        }

        #[test]
        fn equivalent_values_are_the_librarys(value in 1..=HIGHEST_NS) {
            prop_assert_eq!(lowest_equivalent(value), scratch().lowest_equivalent(value));
            prop_assert_eq!(highest_equivalent(value), scratch().highest_equivalent(value));
            let geometry = Geometry::new(LOWEST_NS, u32::from(DIGITS)).unwrap();
            prop_assert_eq!(geometry.highest_at(index_of(value).into()), Some(highest_equivalent(value)));
        }
    }
}
