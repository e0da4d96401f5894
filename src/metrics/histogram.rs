//! Delays counted since the start, for Prometheus.

use dt_record::Distribution;

use crate::layout::{Layout, Place};

/// A gap of so many empty native buckets is written out, since that is shorter than to say that it is there.
const SHORT_GAP: usize = 2;

/// Delays by class, of one [`Layout`]. Takes memory for the range of native buckets that was met: less than
/// 1 kB for a coarse one over three decades of delays, 3 kB for a fine one.
#[derive(Clone, Debug)]
pub struct Histogram {
    layout: &'static Layout,
    /// Counts by native bucket, from `first` on.
    natives: Vec<u64>,
    first: i16,
    /// Counts by classic class, not cumulative.
    classes: Box<[u64]>,
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
            natives: Vec::new(),
            first: 0,
            classes: vec![0; layout.bounds().len() + 1].into(),
            sum_ns: 0,
        }
    }

    /// Counts all of `more`.
    pub fn add(&mut self, more: &Distribution) {
        self.sum_ns = self.sum_ns.saturating_add(more.sum_ns);
        for &(value, count) in &more.buckets {
            let Place { native, class } = self.layout.place(value);
            let class = &mut self.classes[usize::from(class)];
            *class = class.saturating_add(count);
            let kept = self.native(native);
            *kept = kept.saturating_add(count);
        }
    }

    /// How many delays were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.classes.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.natives.is_empty()
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
        bounds
            .chain([f64::INFINITY])
            .zip(self.classes.iter().copied())
            .collect()
    }

    pub(crate) fn sparse(&self) -> Sparse {
        let mut sparse = Sparse::default();
        let mut last = 0;
        let mut gap = 0;
        for (at, &count) in self.natives.iter().enumerate() {
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

    /// The count of a native bucket, which may be new.
    fn native(&mut self, bucket: i16) -> &mut u64 {
        if self.natives.is_empty() {
            self.first = bucket;
        }
        let below = usize::from(self.first.abs_diff(bucket));
        if bucket < self.first {
            self.natives.splice(..0, std::iter::repeat_n(0, below));
            self.first = bucket;
        }
        let at = usize::from(bucket.abs_diff(self.first));
        if at >= self.natives.len() {
            // There are many histograms, and each soon has all the buckets it will ever have.
            self.natives.reserve_exact(at + 1 - self.natives.len());
            self.natives.resize(at + 1, 0);
        }
        &mut self.natives[at]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dt_record::Recorder;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::layout::{COARSE, FINE};

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
                histogram.add(&distribution);
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
            histogram.add(&Recorder::new().distribution([(nanos_of(bucket), count)]));
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
            histogram.add(&window);
            let heap = histogram.natives.capacity() * 8 + histogram.classes.len() * 8;
            assert!(heap + size_of::<Histogram>() <= most, "{heap}");
        }
    }
}
