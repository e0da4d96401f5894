use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer, V2Serializer};
use proptest::prelude::*;

use super::*;
use crate::distribution::Recorder;

fn of(samples: &[u64]) -> Distribution {
    Recorder::new().distribution(samples.iter().map(|&value| (value, 1)))
}

fn dense(samples: &[u64], low: u64, high: u64, digits: u8) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(low, high, digits).unwrap();
    for &sample in samples {
        histogram.saturating_record(sample);
    }
    histogram
}

fn buckets_of(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    histogram
        .iter_recorded()
        .map(|at| (at.value_iterated_to(), at.count_at_value()))
        .collect()
}

proptest! {
    #[test]
    fn the_library_reads_what_we_write(samples in prop::collection::vec(0..70_000_000_000_u64, 1..400)) {
        let bytes = STANDARD.decode(encode(&of(&samples))).unwrap();
        let read: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        prop_assert_eq!(read, dense(&samples.iter().map(|&s| s.clamp(1, 60_000_000_000)).collect::<Vec<_>>(), 1, 60_000_000_000, 2));
    }

    #[test]
    fn every_byte_is_the_librarys(samples in prop::collection::vec((1..=60_000_000_000_u64, 1..=u64::MAX >> 8, 0..56_u32), 1..60)) {
        let mut histogram = dense(&[], 1, 60_000_000_000, 2);
        for (value, count, shift) in &samples {
            histogram.record_n(*value, (count >> shift).max(1)).unwrap();
        }
        let distribution = Distribution { buckets: buckets_of(&histogram), sum_ns: 0 };
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&histogram, &mut bytes).unwrap();
        prop_assert_eq!(v2(&distribution), bytes);
    }

    #[test]
    fn we_read_what_we_write(samples in prop::collection::vec(0..70_000_000_000_u64, 0..400)) {
        let distribution = of(&samples);
        prop_assert_eq!(decode(&encode(&distribution)).unwrap().buckets, distribution.buckets);
    }

    #[test]
    fn we_read_any_parameters_of_the_library(
        samples in prop::collection::vec(0..u64::MAX / 4, 0..200),
        low in 1..5_000_u64,
        digits in 0..=5_u8,
        compress in any::<bool>(),
    ) {
        let histogram = dense(&samples, low, u64::MAX / 2, digits);
        let mut bytes = Vec::new();
        if compress {
            V2DeflateSerializer::new().serialize(&histogram, &mut bytes).unwrap();
        } else {
            V2Serializer::new().serialize(&histogram, &mut bytes).unwrap();
        }
        prop_assert_eq!(decode(&STANDARD.encode(&bytes)).unwrap().buckets, buckets_of(&histogram));
    }

    #[test]
    fn stored_blocks_inflate_to_the_payload(payload in prop::collection::vec(any::<u8>(), 0..200_000)) {
        let bytes = compressed(&payload);
        let mut inflated = Vec::new();
        ZlibDecoder::new(&bytes[8..]).read_to_end(&mut inflated).unwrap();
        prop_assert_eq!(inflated, payload);
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), flip in 0..100_usize) {
        let _ = decode(&STANDARD.encode(&bytes));
        // Our own bytes with one byte changed, so that the deeper branches are met too.
        let mut own = Vec::new();
        V2Serializer::new().serialize(&dense(&[1, 1_000, 1_000_000], 1, 60_000_000_000, 2), &mut own).unwrap();
        let at = flip % own.len();
        own[at] = bytes.first().copied().unwrap_or(0);
        let _ = decode(&STANDARD.encode(&own));
    }
}

#[test]
fn golden() {
    // Checked once with Python's hdrhistogram: 3 values, 1000 (twice) and 2,000,000.
    let text = encode(&of(&[1_000, 1_000, 2_000_000]));
    assert_eq!(text, GOLDEN);
    assert_eq!(decode(&text).unwrap().buckets, [(1_003, 2), (2_007_039, 1)]);
}

const GOLDEN: &str = "HISTFAAAADl4AQEuANH/HISTEwAAAAYAAAAAAAAAAgAAAAAAAAABAAAADfhHWAA/8AAAAAAAAPMHBPEVAm9CBik=";

#[test]
fn empty_is_the_empty_string_and_back() {
    assert_eq!(encode(&Distribution::default()), "");
    assert_eq!(decode("").unwrap(), Distribution::default());
}

#[test]
fn what_cannot_be_read_is_named() {
    let message = |bytes: &[u8]| decode(&STANDARD.encode(bytes)).unwrap_err().to_string();
    assert!(
        decode("not base64!")
            .unwrap_err()
            .to_string()
            .starts_with("reading hdr")
    );
    assert!(message(&[1, 2]).contains("truncated header"));
    assert!(message(&[0x1c, 0x84, 0x93, 0x01, 0, 0, 0, 0]).contains("unknown cookie"));
    let mut own = Vec::new();
    V2Serializer::new()
        .serialize(&dense(&[1_000], 1, 60_000_000_000, 2), &mut own)
        .unwrap();
    assert!(message(&own[..own.len() - 1]).contains("truncated counts"));
    own[11] = 1;
    assert!(message(&own).contains("shifted or scaled"));
}

#[test]
fn an_inflate_bomb_is_refused() {
    use flate2::Compression;
    use flate2::read::ZlibEncoder;
    let mut zlib = Vec::new();
    ZlibEncoder::new(&vec![0_u8; 50 << 20][..], Compression::best())
        .read_to_end(&mut zlib)
        .unwrap();
    let mut bytes = V2_COMPRESSED_COOKIE.to_be_bytes().to_vec();
    bytes.extend_from_slice(&(zlib.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&zlib);
    assert!(
        decode(&STANDARD.encode(&bytes))
            .unwrap_err()
            .to_string()
            .contains("inflates to more")
    );
}

#[test]
fn counts_beyond_the_format_do_not_panic() {
    let text = encode(&Distribution {
        buckets: vec![(1_003, u64::MAX)],
        sum_ns: 0,
    });
    assert_eq!(decode(&text).unwrap().buckets, [(1_003, i64::MAX as u64)]);
    let twice = Distribution {
        buckets: vec![(70_000_000_000, u64::MAX), (80_000_000_000, u64::MAX)],
        sum_ns: 0,
    };
    // Both lie in the highest bucket, whose count stops where the format ends.
    let highest = geometry::highest_equivalent(60_000_000_000);
    assert_eq!(decode(&encode(&twice)).unwrap().buckets, [(highest, i64::MAX as u64)]);
}
