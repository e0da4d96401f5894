//! A distribution in few bytes, for the many that a collector keeps, and an agent that can't hand its own over.

use smallvec::{Array, SmallVec};

use crate::distribution::Distribution;
use crate::grid;

/// The buckets of a [`Distribution`], each as the distance from the one before and its count, in LEB128. What comes from our
/// own records is written by numbers of buckets, two to three bytes each, or one where it follows upon the one before, as most do
/// in a distribution of many values; other resolutions by their values, which keeps them as fine as they came as long as there are at most
/// [`grid::MOST_BETWEEN`] of them: beyond that they are counted in our own buckets, so that no producer takes more memory than that.
/// `N` bytes lie in the struct itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packed<const N: usize>(SmallVec<[u8; N]>)
where
    [u8; N]: Array<Item = u8>;

/// Working memory of adding.
#[derive(Debug, Default)]
pub struct Scratch {
    buckets: Vec<(u64, u64)>,
    bytes: Vec<u8>,
}

/// The first byte says what the distances are between.
const NUMBERS: u8 = 0;
const VALUES: u8 = 1;
/// The lowest bit of what is twice the count: the distance follows, and is not 1.
const APART: u64 = 1;
/// The largest count that leaves room for that bit.
const MOST_NUMBERED: u64 = u64::MAX >> 1;

impl<const N: usize> Packed<N>
where
    [u8; N]: Array<Item = u8>,
{
    /// Adds `more`: counts exactly, values of other resolutions up to [`grid::bound`]. `scratch` is working memory.
    pub fn add(&mut self, more: &Distribution, scratch: &mut Scratch) {
        if more.buckets.is_empty() {
            return;
        }
        if !self.add_numbered(more, &mut scratch.bytes) {
            self.add_values(more, scratch);
        }
        // Its memory is kept where it is enough.
        let bytes = &scratch.bytes;
        self.0.clear();
        if self.0.capacity() < bytes.len() {
            self.0.reserve_exact(roomy(bytes.len()));
        }
        self.0.extend_from_slice(bytes);
    }

    /// Writes the sum to `bytes` where all is of our own resolution, as it nearly always is: without a look at any value that
    /// is there already. False where it isn't, or a count is too large for that.
    fn add_numbered(&self, more: &Distribution, bytes: &mut Vec<u8>) -> bool {
        let ours = self.0.first().is_none_or(|kind| *kind == NUMBERS);
        if !ours || !more.buckets.iter().all(is_numbered) {
            return false;
        }
        let mut numbered = Numbered::begin(bytes);
        let kept = Numbers::new(self.0.get(1..).unwrap_or_default());
        let more = more
            .buckets
            .iter()
            .map(|(value, count)| (grid::index_of(*value).into(), *count));
        let mut fits = true;
        merge(kept, more, |at, count| {
            fits &= count <= MOST_NUMBERED;
            numbered.put(at, count);
        });
        fits
    }

    fn add_values(&self, more: &Distribution, scratch: &mut Scratch) {
        let Scratch { buckets, bytes } = scratch;
        buckets.clear();
        merge(self.iter(), more.buckets.iter().copied(), |value, count| {
            buckets.push((value, count));
        });
        grid::bound(buckets);
        pack(buckets, bytes);
    }

    /// The buckets, ascending by value.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let (kind, mut rest) = match self.0.split_first() {
            Some((kind, rest)) => (*kind, rest),
            None => (NUMBERS, &[][..]),
        };
        let (mut numbers, mut last) = (Numbers::new(rest), 0_u64);
        std::iter::from_fn(move || {
            if kind != NUMBERS {
                last = last.saturating_add(read(&mut rest)?);
                return Some((last, read(&mut rest)?));
            }
            let (at, count) = numbers.next()?;
            Some((grid::highest_at(u32::try_from(at).unwrap_or(u32::MAX)), count))
        })
    }

    /// Bytes beside the struct itself.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        if self.0.spilled() { self.0.capacity() } else { 0 }
    }
}

/// Hands over the buckets of both, which ascend, in order, and those of the same place as one.
fn merge(
    kept: impl Iterator<Item = (u64, u64)>,
    more: impl Iterator<Item = (u64, u64)>,
    mut put: impl FnMut(u64, u64),
) {
    let mut more = more.peekable();
    for (at, mut count) in kept {
        while let Some((before, count)) = more.next_if(|(theirs, _)| *theirs < at) {
            put(before, count);
        }
        if let Some((_, theirs)) = more.next_if(|(theirs, _)| *theirs == at) {
            count = count.saturating_add(theirs);
        }
        put(at, count);
    }
    more.for_each(|(at, count)| put(at, count));
}

/// Whether a bucket can be written by its number.
fn is_numbered((value, count): &(u64, u64)) -> bool {
    grid::is_highest(*value) && *count <= MOST_NUMBERED
}

/// How much memory is taken for `length` bytes, so that it needn't be taken anew each time that a few are added: that costs more
/// than all of the adding. As much as the system's allocator has in one piece, which holds 8 bytes itself.
fn roomy(length: usize) -> usize {
    (length + 8).next_multiple_of(32) - 8
}

/// Buckets written by their numbers, which ascend.
struct Numbered<'a> {
    bytes: &'a mut Vec<u8>,
    last: u64,
}

impl<'a> Numbered<'a> {
    fn begin(bytes: &'a mut Vec<u8>) -> Self {
        bytes.clear();
        bytes.push(NUMBERS);
        Self { bytes, last: 0 }
    }

    fn put(&mut self, at: u64, count: u64) {
        let distance = at.saturating_sub(self.last);
        if distance == 1 {
            write(self.bytes, count << 1);
        } else {
            write(self.bytes, count << 1 | APART);
            write(self.bytes, distance);
        }
        self.last = at;
    }
}

/// Reads what [`Numbered`] has written: numbers of buckets, and their counts.
struct Numbers<'a> {
    rest: &'a [u8],
    at: u64,
}

impl<'a> Numbers<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self { rest, at: 0 }
    }
}

impl Iterator for Numbers<'_> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        let first = read(&mut self.rest)?;
        let distance = if first & APART == 0 { 1 } else { read(&mut self.rest)? };
        self.at = self.at.saturating_add(distance);
        Some((self.at, first >> 1))
    }
}

/// Writes buckets that ascend by value.
fn pack(buckets: &[(u64, u64)], bytes: &mut Vec<u8>) {
    if buckets.iter().all(is_numbered) {
        let mut numbered = Numbered::begin(bytes);
        for (value, count) in buckets {
            numbered.put(grid::index_of(*value).into(), *count);
        }
        return;
    }
    bytes.clear();
    bytes.push(VALUES);
    let mut last = 0;
    for (value, count) in buckets {
        write(bytes, value.saturating_sub(last));
        write(bytes, *count);
        last = *value;
    }
}

fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    let mut shift = 0;
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift = (shift + 7).min(63);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::distribution::Recorder;
    use crate::geometry;

    fn unpacked(packed: &Packed<24>) -> Vec<(u64, u64)> {
        packed.iter().collect()
    }

    proptest! {
        #[test]
        fn adding_is_what_recording_all_at_once_gives(windows in vec(vec((0..100_000_000_u64, 1..300_u64), 0..40), 0..6)) {
            let (mut packed, mut scratch, mut recorder) = (Packed::<24>::default(), Scratch::default(), Recorder::new());
            for window in &windows {
                packed.add(&recorder.distribution(window.iter().copied()), &mut scratch);
            }
            let all = recorder.distribution(windows.iter().flatten().copied());
            prop_assert_eq!(unpacked(&packed), all.buckets);
        }

        #[test]
        fn other_resolutions_keep_their_values(fine in vec((any::<u64>(), 1..u64::MAX), 0..20)) {
            let mut buckets = fine;
            buckets.sort_unstable();
            buckets.dedup_by_key(|(value, _)| *value);
            let mut packed = Packed::<24>::default();
            let mut scratch = Scratch::default();
            packed.add(&Distribution { buckets: buckets.clone(), sum_ns: 0 }, &mut scratch);
            prop_assert_eq!(unpacked(&packed), buckets);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Raw nanoseconds, window after window, of which there are up to three times as many as are kept.
        #[test]
        fn any_number_of_values_is_bounded_and_off_by_a_bucket_at_most(
            windows in vec(vec((1_000_u64..1_000_000_000, 1..5_u64), 1..100), 1..60),
        ) {
            let (mut packed, mut scratch, mut all) = (Packed::<24>::default(), Scratch::default(), Vec::new());
            for mut buckets in windows {
                buckets.sort_unstable();
                grid::add_equal(&mut buckets);
                all.extend_from_slice(&buckets);
                packed.add(&Distribution { buckets, sum_ns: 0 }, &mut scratch);
                let between = packed.iter().filter(|(value, _)| !grid::is_highest(*value)).count();
                prop_assert!(between <= grid::MOST_BETWEEN);
            }
            all.sort_unstable();
            let (kept, all) = [unpacked(&packed), all].map(|buckets| Distribution { buckets, sum_ns: 0 }).into();
            prop_assert_eq!(kept.count(), all.count());
            prop_assert!(kept.buckets.is_sorted_by(|a, b| a.0 < b.0));
            for q in [0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
                let (kept, exact) = (kept.quantile(q).unwrap(), all.quantile(q).unwrap());
                prop_assert!(exact <= kept && kept <= geometry::highest_equivalent(exact), "{} for {}", kept, exact);
            }
        }
    }

    #[test]
    fn the_window_of_ten_probes_needs_no_memory_of_its_own() {
        let mut recorder = Recorder::new();
        let window = recorder.distribution((0..10).map(|i| (90_000 + i * 1_000, 1)));
        let mut packed = Packed::<24>::default();
        packed.add(&window, &mut Scratch::default());
        assert_eq!(packed.heap_bytes(), 0);
    }
}
