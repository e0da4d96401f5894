//! Delays counted since the start, for Prometheus.

use crate::layout::Layout;
use crate::placed::Placed;

/// A gap of so many empty native buckets is written out, since that is shorter than to say that it is there.
const SHORT_GAP: usize = 2;

/// Delays by class, of one [`Layout`]. Takes memory for the range of native buckets that was met: less than
/// 1 kB for a coarse one over three decades of delays, 3 kB for a fine one.
#[derive(Clone, Debug)]
pub struct Histogram {
    layout: &'static Layout,
    /// Counts by classic class, not cumulative; then those by native bucket, from `first` on. Together, since where there are
    /// many histograms each look at another place costs more than all the counting.
    cells: Vec<u64>,
    first: i16,
    sum_ns: u128,
}

/// The native buckets as they are transmitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sparse {
    /// Distance from the end of the span before (of the first: its number), and how many buckets.
    pub(crate) spans: Vec<(i32, u32)>,
    /// The count of each bucket as its difference from the one before.
    pub(crate) deltas: Vec<i64>,
}

impl Histogram {
    /// Nothing counted.
    #[must_use]
    pub fn new(layout: &'static Layout) -> Histogram {
        Histogram {
            layout,
            cells: Vec::new(),
            first: 0,
            sum_ns: 0,
        }
    }

    /// Counts all of `more`, which is of the same layout.
    pub fn add(&mut self, more: &Placed) {
        debug_assert!(
            std::ptr::eq(self.layout, more.layout),
            "histograms of different layouts"
        );
        let (Some((lowest, _)), Some((highest, _))) = (more.natives.first(), more.natives.last()) else {
            return;
        };
        self.make_room(*lowest, *highest);
        self.sum_ns = self.sum_ns.saturating_add(more.sum_ns);
        let (classes, natives) = self.cells.split_at_mut(self.layout.classes());
        for &(class, count) in &more.classes {
            let kept = &mut classes[usize::from(class)];
            *kept = kept.saturating_add(count);
        }
        for &(native, count) in &more.natives {
            let kept = &mut natives[usize::from(native.abs_diff(self.first))];
            *kept = kept.saturating_add(count);
        }
    }

    /// How many delays were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.parts().0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    pub(crate) fn layout(&self) -> &'static Layout {
        self.layout
    }

    pub(crate) fn sum_seconds(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }

    /// (upper bound in seconds, count), not cumulative. The last has no bound, without which PromQL knows no quantile.
    pub(crate) fn classes(&self) -> Vec<(f64, u64)> {
        let bounds = self.layout.bounds().iter().map(|nanos| *nanos as f64 / 1e9);
        let counts = self.parts().0.iter().copied().chain(std::iter::repeat(0));
        bounds.chain([f64::INFINITY]).zip(counts).collect()
    }

    pub(crate) fn sparse(&self) -> Sparse {
        let mut sparse = Sparse::default();
        let mut last = 0;
        let mut gap = 0;
        for (at, &count) in self.parts().1.iter().enumerate() {
            if count == 0 {
                gap += 1;
                continue;
            }
            match sparse.spans.last_mut() {
                Some(span) if gap <= SHORT_GAP => {
                    span.1 += gap as u32 + 1;
                    for _ in 0..std::mem::take(&mut gap) {
                        sparse.deltas.push(-std::mem::take(&mut last));
                    }
                }
                Some(_) => sparse.spans.push((gap as i32, 1)),
                None => sparse.spans.push((i32::from(self.first) + at as i32, 1)),
            }
            gap = 0;
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            sparse.deltas.push(count - last);
            last = count;
        }
        sparse
    }

    /// Counts by class, and by native bucket from the first on.
    fn parts(&self) -> (&[u64], &[u64]) {
        self.cells.split_at(self.layout.classes().min(self.cells.len()))
    }

    /// Makes room for the native buckets from `lowest` to `highest`. There are many histograms, and each soon has all the
    /// buckets it will ever have: no more is taken than is needed.
    fn make_room(&mut self, lowest: i16, highest: i16) {
        let classes = self.layout.classes();
        if self.cells.is_empty() {
            self.first = lowest;
            self.cells.resize(classes, 0);
        }
        let below = usize::from(self.first.abs_diff(lowest));
        if lowest < self.first {
            self.cells.reserve_exact(below);
            self.cells.splice(classes..classes, std::iter::repeat_n(0, below));
            self.first = lowest;
        }
        let needed = classes + usize::from(highest.abs_diff(self.first)) + 1;
        if needed > self.cells.len() {
            self.cells.reserve_exact(needed - self.cells.len());
            self.cells.resize(needed, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dt_record::{Distribution, Recorder};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::layout::{COARSE, FINE};

    fn placed(layout: &Layout, distribution: &Distribution) -> Placed {
        let fine = Placed::fine(distribution);
        if std::ptr::eq(layout, &*FINE) {
            fine
        } else {
            fine.coarse()
        }
    }

    /// The counts that a reader of `sparse` finds, by bucket.
    fn read(sparse: &Sparse) -> BTreeMap<i32, i64> {
        let mut read = BTreeMap::new();
        let (mut at, mut count) = (0, 0);
        let mut deltas = sparse.deltas.iter();
        for (offset, length) in &sparse.spans {
            at += offset;
            for _ in 0..*length {
                count += deltas.next().expect("as many as the spans are long");
                if count > 0 {
                    read.insert(at, count);
                }
                at += 1;
            }
        }
        assert_eq!(deltas.next(), None);
        read
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_counted(
            windows in vec(vec((0..6_000_000_000_u64, 1..200_u64), 0..30), 0..6),
            fine in any::<bool>(),
        ) {
            let layout = if fine { &*FINE } else { &*COARSE };
            let (mut histogram, mut recorder) = (Histogram::new(layout), Recorder::new());
            let (mut natives, mut classes) = (BTreeMap::new(), vec![0_u64; layout.bounds().len() + 1]);
            let mut sum_ns = 0_u128;
            for window in &windows {
                let distribution = recorder.distribution(window.iter().copied());
                histogram.add(&placed(layout, &distribution));
                sum_ns += distribution.sum_ns;
                for (value, count) in &distribution.buckets {
                    let end = (*value as f64 / 1e9).log2() * f64::from(1 << layout.schema());
                    *natives.entry(end.ceil() as i32).or_insert(0) += *count as i64;
                    classes[layout.bounds().partition_point(|bound| bound < value)] += count;
                }
            }
            prop_assert_eq!(read(&histogram.sparse()), natives);
            prop_assert_eq!(histogram.classes().iter().map(|(_, count)| *count).collect::<Vec<_>>(), classes);
            prop_assert_eq!(histogram.count(), windows.iter().flatten().map(|(_, count)| count).sum::<u64>());
            prop_assert_eq!(histogram.is_empty(), histogram.count() == 0);
            prop_assert!((histogram.sum_seconds() - sum_ns as f64 / 1e9).abs() < 1e-6);
        }
    }

    #[test]
    fn a_short_gap_is_written_out_and_a_long_one_is_not() {
        let nanos_of = |bucket: i32| {
            let seconds = (f64::from(bucket) / 8.0 - 0.05).exp2();
            (seconds * 1e9) as u64
        };
        let mut histogram = Histogram::new(&COARSE);
        for (bucket, count) in [(-80, 5), (-77, 2), (-70, 3)] {
            histogram.add(&placed(
                &COARSE,
                &Recorder::new().distribution([(nanos_of(bucket), count)]),
            ));
        }
        let sparse = histogram.sparse();
        assert_eq!(sparse.spans, [(-80, 4), (6, 1)]);
        assert_eq!(sparse.deltas, [5, -5, 0, 2, 1]);
    }

    #[test]
    fn it_is_as_small_as_it_says() {
        let mut recorder = Recorder::new();
        // Three decades of delays.
        let window = recorder.distribution((0..1_000).map(|i| (50_000 + i * i * 50, 1)));
        for (layout, most) in [(&*COARSE, 900), (&*FINE, 3_000)] {
            let mut histogram = Histogram::new(layout);
            histogram.add(&placed(layout, &window));
            let heap = histogram.cells.capacity() * 8;
            assert!(heap + size_of::<Histogram>() <= most, "{heap}");
        }
    }
}
