//! The `hdr` field: base64 of the HdrHistogram V2 compressed encoding
//! (<https://github.com/HdrHistogram/HdrHistogram/blob/master/src/main/java/org/HdrHistogram/AbstractHistogram.java>,
//! `encodeIntoCompressedByteBuffer`).
//!
//! Written with a zlib *stored* block (RFC 1950, RFC 1951 section 3.2.4): every decoder takes it, and it costs a tenth
//! of deflate, which would make the many small histograms larger anyway. Read sparsely and within bounds: what comes
//! from a topic may claim any length, and a dense counts array of hostile parameters would be tens of megabytes.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;

use crate::distribution::Distribution;
use crate::geometry::{self, DIGITS, Geometry, HIGHEST_NS, LOWEST_NS};

const V2_COOKIE: u32 = 0x1c84_9303 | 0x10;
const V2_COMPRESSED_COOKIE: u32 = 0x1c84_9304 | 0x10;
/// Bytes of the inner header: cookie, payload length, offset, digits, lowest, highest, ratio.
const HEADER_BYTES: usize = 40;
/// What an inflated histogram may hold at most: twice the densest one of 3 digits over all of 64 bits.
const MAX_INFLATED_BYTES: u64 = 1 << 20;
/// The most buckets that hold something: more than 3 digits over all of 64 bits have (56,320). Of more digits a histogram may
/// have millions, and a text of a kilobyte may inflate to as many.
pub(crate) const MAX_BUCKETS: usize = 1 << 16;
/// The longest stored block (RFC 1951: a 16-bit length).
const MAX_STORED_BYTES: usize = 0xffff;

/// Why an `hdr` string could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reading hdr (base64 of an HdrHistogram V2 or V2 compressed encoding): {0}")]
pub struct HdrError(String);

fn bad(what: impl Into<String>) -> HdrError {
    HdrError(what.into())
}

/// The field's text; empty for an empty distribution.
#[must_use]
pub fn encode(distribution: &Distribution) -> String {
    if distribution.is_empty() {
        return String::new();
    }
    STANDARD.encode(compressed(&v2(distribution)))
}

/// The V2 encoding, written from the buckets there are: a dense histogram in between would cost three times as much.
fn v2(distribution: &Distribution) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + 3 * distribution.buckets.len());
    bytes.extend_from_slice(&V2_COOKIE.to_be_bytes());
    // The payload's length, written below; the normalizing offset.
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&u32::from(DIGITS).to_be_bytes());
    bytes.extend_from_slice(&LOWEST_NS.to_be_bytes());
    bytes.extend_from_slice(&HIGHEST_NS.to_be_bytes());
    bytes.extend_from_slice(&1_f64.to_be_bytes());
    let mut next = 0;
    let mut buckets = distribution
        .buckets
        .iter()
        .copied()
        .map(|(value, count)| (index_of(value), count))
        .peekable();
    while let Some((index, mut count)) = buckets.next() {
        // Distributions of a finer resolution were merged in: several of theirs are one of ours.
        while let Some((_, more)) = buckets.next_if(|(same, _)| *same == index) {
            count = count.saturating_add(more);
        }
        // A run of zeros stands as its negative length, a single one as itself.
        match index - next {
            0 => {}
            1 => put_zigzag(&mut bytes, 0),
            zeros => put_zigzag(&mut bytes, -i64::from(zeros)),
        }
        // The encoding is signed.
        put_zigzag(&mut bytes, i64::try_from(count).unwrap_or(i64::MAX));
        next = index + 1;
    }
    let length = (bytes.len() - HEADER_BYTES) as u32;
    bytes[4..8].copy_from_slice(&length.to_be_bytes());
    bytes
}

fn index_of(value: u64) -> u32 {
    geometry::index_of(value.clamp(LOWEST_NS, HIGHEST_NS))
}

/// A zigzag LEB128 number of the format: at most nine bytes, the ninth with all of its bits.
fn put_zigzag(bytes: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    for _ in 0..8 {
        if rest < 0x80 {
            bytes.push(rest as u8);
            return;
        }
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

/// `payload` in the compressed envelope: cookie, length, zlib stream of stored blocks.
fn compressed(payload: &[u8]) -> Vec<u8> {
    let mut zlib = vec![0x78, 0x01];
    let mut blocks = payload.chunks(MAX_STORED_BYTES).peekable();
    while let Some(block) = blocks.next() {
        zlib.push(u8::from(blocks.peek().is_none()));
        // `chunks` bounds the length.
        let length = block.len() as u16;
        zlib.extend_from_slice(&length.to_le_bytes());
        zlib.extend_from_slice(&(!length).to_le_bytes());
        zlib.extend_from_slice(block);
    }
    zlib.extend_from_slice(&adler32(payload).to_be_bytes());
    let mut out = Vec::with_capacity(8 + zlib.len());
    out.extend_from_slice(&V2_COMPRESSED_COOKIE.to_be_bytes());
    out.extend_from_slice(&(zlib.len() as u32).to_be_bytes());
    out.append(&mut zlib);
    out
}

/// RFC 1950 section 8.
fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    // The longest run that cannot overflow 32 bits before the remainder is taken.
    const RUN: usize = 5_552;
    let (mut a, mut b) = (1_u32, 0_u32);
    for run in bytes.chunks(RUN) {
        for &byte in run {
            a += u32::from(byte);
            b += a;
        }
        a %= MODULUS;
        b %= MODULUS;
    }
    (b << 16) | a
}

/// The buckets of an `hdr` field of any V2 parameters, compressed or not; empty for `""`. The sum is not part of the
/// encoding: `sum_ns` is estimated from the buckets' highest values; [`crate::SummaryRecord::distribution`] does better.
///
/// # Errors
/// Text that is not base64, another format, or an encoding outside the bounds (1 MiB inflated).
pub fn decode(text: &str) -> Result<Distribution, HdrError> {
    if text.is_empty() {
        return Ok(Distribution::default());
    }
    let bytes = STANDARD.decode(text).map_err(|error| bad(error.to_string()))?;
    match (read_u32(&bytes, 0)?, bytes.get(8..)) {
        (V2_COOKIE, _) => decode_v2(&bytes),
        (V2_COMPRESSED_COOKIE, Some(zlib)) => {
            let mut inner = Vec::new();
            ZlibDecoder::new(zlib)
                .take(MAX_INFLATED_BYTES + 1)
                .read_to_end(&mut inner)
                .map_err(|error| bad(format!("inflate: {error}")))?;
            if inner.len() as u64 > MAX_INFLATED_BYTES {
                return Err(bad(format!("inflates to more than {MAX_INFLATED_BYTES} bytes")));
            }
            decode_v2(&inner)
        }
        (cookie, _) => Err(bad(format!("unknown cookie {cookie:#010x}"))),
    }
}

fn decode_v2(bytes: &[u8]) -> Result<Distribution, HdrError> {
    let cookie = read_u32(bytes, 0)?;
    if cookie != V2_COOKIE {
        return Err(bad(format!("unknown inner cookie {cookie:#010x}")));
    }
    let length = read_u32(bytes, 4)? as usize;
    let (offset, digits) = (read_u32(bytes, 8)?, read_u32(bytes, 12)?);
    let (lowest, ratio) = (read_u64(bytes, 16)?, f64::from_bits(read_u64(bytes, 32)?));
    if offset != 0 || ratio != 1.0 {
        return Err(bad(format!(
            "shifted or scaled values (offset {offset}, ratio {ratio}) are not supported"
        )));
    }
    let geometry = Geometry::new(lowest, digits).ok_or_else(|| {
        bad(format!(
            "lowest {lowest} with {digits} digits; accepted: 1 or more with 0 to 5"
        ))
    })?;
    let payload = bytes[HEADER_BYTES..]
        .get(..length)
        .ok_or_else(|| bad("truncated counts"))?;
    let mut distribution = Distribution::default();
    let (mut index, mut rest) = (0_u64, payload);
    while let Some((number, after)) = read_zigzag(rest)? {
        rest = after;
        if number < 0 {
            index = index
                .checked_add(number.unsigned_abs())
                .ok_or_else(|| bad("a run of zeros out of range"))?;
            continue;
        }
        if number > 0 {
            let value = geometry
                .highest_at(index)
                .ok_or_else(|| bad("a bucket beyond 64 bits"))?;
            if distribution.buckets.len() == MAX_BUCKETS {
                return Err(bad(format!("more than {MAX_BUCKETS} buckets that hold something")));
            }
            let count = number.unsigned_abs();
            distribution.buckets.push((value, count));
            distribution.sum_ns = distribution
                .sum_ns
                .saturating_add(u128::from(value) * u128::from(count));
        }
        index += 1;
    }
    Ok(distribution)
}

fn read_u32(bytes: &[u8], at: usize) -> Result<u32, HdrError> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field
        .map(|field| u32::from_be_bytes(*field))
        .ok_or_else(|| bad("truncated header"))
}

fn read_u64(bytes: &[u8], at: usize) -> Result<u64, HdrError> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field
        .map(|field| u64::from_be_bytes(*field))
        .ok_or_else(|| bad("truncated header"))
}

/// One number of the counts: LEB128 of at most nine bytes, the ninth whole, zig-zag signed. `None` at the end.
fn read_zigzag(bytes: &[u8]) -> Result<Option<(i64, &[u8])>, HdrError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut value = 0_u64;
    for (at, &byte) in bytes.iter().take(9).enumerate() {
        let last = at == 8 || byte & 0x80 == 0;
        let part = if at == 8 { byte } else { byte & 0x7f };
        value |= u64::from(part) << (7 * at);
        if last {
            let number = ((value >> 1) as i64) ^ -((value & 1) as i64);
            return Ok(Some((number, &bytes[at + 1..])));
        }
    }
    Err(bad("truncated count"))
}

#[cfg(test)]
#[path = "hdr_tests.rs"]
mod tests;
