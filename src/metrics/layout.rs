//! Which class a delay falls into: tables from the buckets of our own records to those of Prometheus.

use std::sync::LazyLock;

use dt_record::grid;

/// Below this, in seconds, a native histogram tells nothing apart: a little less than one nanosecond, so that all that is
/// recorded lies above.
pub const ZERO_THRESHOLD: f64 = 1.0 / (1 << 30) as f64;

/// The classes of a histogram of delays, both ways that Prometheus knows.
#[derive(Debug)]
pub struct Layout {
    schema: i8,
    bounds: &'static [u64],
    /// By number of the record's bucket.
    places: Box<[Place]>,
}

/// Where the values of one bucket of a record go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The bucket of the native histogram: it ends at `2^(native / 2^schema)` seconds.
    pub(crate) native: i16,
    /// The class of the classic one.
    pub(crate) class: u8,
}

/// For what there is little of: native schema 5 (each bucket ends 2.2 % above the one before), 19 classic classes from 10 us
/// to 10 s.
pub static FINE: LazyLock<Layout> = LazyLock::new(|| {
    const BOUNDS: [u64; 19] = [
        10_000,
        25_000,
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        1_000_000_000,
        2_500_000_000,
        5_000_000_000,
        10_000_000_000,
    ];
    Layout::new(5, &BOUNDS)
});

/// For what there is one of for each node: native schema 3 (9.1 %), ten classic classes from 50 us to 1 s.
pub static COARSE: LazyLock<Layout> = LazyLock::new(|| {
    const BOUNDS: [u64; 10] = [
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        100_000_000,
        1_000_000_000,
    ];
    Layout::new(3, &BOUNDS)
});

/// By class of [`FINE`]: that of [`COARSE`], whose bounds are all bounds of the other.
static COARSE_CLASSES: LazyLock<Box<[u8]>> = LazyLock::new(|| {
    let class = |nanos: &u64| COARSE.bounds.partition_point(|bound| bound < nanos) as u8;
    FINE.bounds.iter().chain([&u64::MAX]).map(class).collect()
});

/// The native bucket of [`COARSE`] for one of [`FINE`]: where four of the one end, one of the other does.
pub(crate) fn coarse_native(native: i16) -> i16 {
    (native + 3) >> 2
}

/// The class of [`COARSE`] for one of [`FINE`].
pub(crate) fn coarse_class(class: u8) -> u8 {
    COARSE_CLASSES[usize::from(class)]
}

impl Layout {
    /// A bucket of a record goes where its highest value belongs, which is what quantiles of records are read as. So a value
    /// may be taken for up to 0.8 % more than it is, never for less.
    fn new(schema: i8, bounds: &'static [u64]) -> Layout {
        let places = (0..grid::BUCKETS).map(|bucket| {
            // What takes no time at all counts as one nanosecond, as in records.
            let nanos = grid::highest_at(bucket).max(1);
            let at = (nanos as f64 / 1e9).log2() * f64::from(1_u32 << schema);
            Place {
                native: at.ceil() as i16,
                class: bounds.partition_point(|bound| *bound < nanos) as u8,
            }
        });
        Layout {
            schema,
            bounds,
            places: places.collect(),
        }
    }

    /// The resolution of the native histogram: each power of two is divided by two so many times.
    #[must_use]
    pub fn schema(&self) -> i32 {
        self.schema.into()
    }

    /// Upper bounds of the classic classes, nanoseconds; a further class holds what is beyond the last.
    #[must_use]
    pub fn bounds(&self) -> &'static [u64] {
        self.bounds
    }

    /// How many classic classes.
    pub(crate) fn classes(&self) -> usize {
        self.bounds.len() + 1
    }

    pub(crate) fn place(&self, nanos: u64) -> Place {
        self.places[grid::index_of(nanos) as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket_or_just_below(nanos in 1..60_000_000_000_u64) {
            for layout in [&*FINE, &*COARSE] {
                let place = layout.place(nanos);
                let growth = 2_f64.powf(1.0 / f64::from(1 << layout.schema()));
                let upper = growth.powi(place.native.into());
                let seconds = nanos as f64 / 1e9;
                prop_assert!(seconds <= upper * (1.0 + 1e-12));
                prop_assert!(seconds * 1.008 > upper / growth || nanos < 128);
                let bounds = layout.bounds();
                let class = usize::from(place.class);
                prop_assert!(class == bounds.len() || nanos <= bounds[class]);
                prop_assert!(class == 0 || nanos as f64 * 1.008 > bounds[class - 1] as f64);
            }
        }
    }

    #[test]
    fn the_coarse_place_follows_from_the_fine_one() {
        for bucket in 0..grid::BUCKETS {
            let nanos = grid::highest_at(bucket);
            let (fine, coarse) = (FINE.place(nanos), COARSE.place(nanos));
            let followed = (coarse_native(fine.native), coarse_class(fine.class));
            assert_eq!(followed, (coarse.native, coarse.class), "{nanos} ns");
        }
    }

    #[test]
    fn all_that_can_be_recorded_lies_above_zero() {
        const { assert!(ZERO_THRESHOLD < 1e-9) };
        for layout in [&*FINE, &*COARSE] {
            let lowest = f64::from(layout.place(0).native) / f64::from(1 << layout.schema());
            assert!(lowest.exp2() >= 1e-9, "{lowest}");
            assert_eq!(usize::from(layout.place(u64::MAX).class), layout.bounds().len());
        }
    }
}
