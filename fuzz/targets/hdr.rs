//! Histograms as they stand in records.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dt_record::hdr;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

use crate::memory::bounded;

/// What a small text may make its reader take: a histogram of 3 digits over all of 64 bits, and what inflates to it.
const MOST_BYTES: usize = 4 << 20;

/// The text of a histogram; what isn't base64 is taken for what it would be the base64 of.
///
/// # Panics
/// Where it is read otherwise than by the other implementation, or isn't the same after being written again.
pub fn fuzz_hdr(data: &[u8]) {
    let text = match std::str::from_utf8(data) {
        Ok(text) if STANDARD.decode(text).is_ok() => text.to_owned(),
        _ => STANDARD.encode(data),
    };
    let Ok(read) = bounded(text.len(), MOST_BYTES, 32, || hdr::decode(&text)) else {
        return;
    };
    assert!(read.buckets.is_sorted_by(|a, b| a.0 < b.0), "{read:?}");
    assert!(read.buckets.iter().all(|(_, count)| *count > 0));
    assert_eq!(read.is_empty(), read.count() == 0);
    for quantile in [0.0, 0.5, 0.99, 1.0] {
        assert_eq!(read.quantile(quantile).is_some(), !read.is_empty());
    }
    assert!(read.quantile(1.0) == read.max() && read.min() <= read.max());
    if let Some(theirs) = by_the_library(&text) {
        let ours: Vec<_> = read.buckets.clone();
        assert_eq!(ours, theirs);
    }
    // By the records' resolution and within their range, from then on the same for ever.
    let once = hdr::decode(&hdr::encode(&read)).unwrap();
    let twice = hdr::decode(&hdr::encode(&once)).unwrap();
    assert_eq!(once, twice);
    assert!(once.count() == read.count().min(once.count()) && once.buckets.len() <= read.buckets.len());
}

/// The buckets by another implementation, where that takes it and wouldn't take too much memory for it.
fn by_the_library(text: &str) -> Option<Vec<(u64, u64)>> {
    let bytes = STANDARD.decode(text).ok()?;
    let inner = match bytes.first_chunk()? {
        [0x1c, 0x84, 0x93, 0x13] => bytes.clone(),
        _ => {
            use std::io::Read;
            let mut inner = Vec::new();
            let inflated = flate2::read::ZlibDecoder::new(bytes.get(8..)?);
            inflated.take(1 << 20).read_to_end(&mut inner).ok()?;
            inner
        }
    };
    let word = |at: usize| Some(u64::from_be_bytes(*inner.get(at..)?.first_chunk()?));
    let digits = u32::from_be_bytes(*inner.get(12..)?.first_chunk()?);
    let (lowest, highest) = (word(16)?, word(24)?);
    // It panics at a run of 2^63 zeros.
    let is_huge = |run: &[u8]| run.iter().all(|byte| *byte >= 0x80);
    if inner.windows(8).any(is_huge) {
        return None;
    }
    if digits > 3 || lowest == 0 || lowest > 1 << 40 || highest > 1 << 62 {
        return None;
    }
    let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut &*inner).ok()?;
    let recorded = histogram.iter_recorded();
    Some(
        recorded
            .map(|at| (at.value_iterated_to(), at.count_at_value()))
            .collect(),
    )
}
