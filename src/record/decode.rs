//! Reading records of either encoding, from a topic that may hold anything.

use prost::Message;

use crate::hdr::HdrError;
use crate::proto;
use crate::record::SummaryRecord;

/// No record of ours comes near this size; longer ones are refused unread.
pub const MAX_RECORD_BYTES: usize = 1 << 20;
/// The greatest count accepted: up to here a number of JSON is the same to every reader (RFC 8259, section 6).
pub const MAX_COUNT: u64 = 1 << 53;
/// The longest window accepted, milliseconds: a year. Windows are an hour at most, and merge while Kafka is away.
const MAX_WINDOW_MS: u64 = 366 * 86_400_000;
/// The longest text of a field, `hdr` aside: names and labels of members have at most 261 bytes. What keeps records in memory
/// keeps these.
const MAX_TEXT: usize = 1024;

/// Why bytes are not a summary record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Nothing there: a Kafka tombstone.
    #[error("empty value; a summary record is JSON or Protobuf")]
    Empty,
    /// Longer than [`MAX_RECORD_BYTES`].
    #[error("a value of {0} bytes; a summary record has at most {MAX_RECORD_BYTES}")]
    TooLong(usize),
    /// Starts like JSON but isn't a summary record in JSON.
    #[error("not a summary record in JSON: {0}")]
    Json(String),
    /// Isn't a summary record in Protobuf.
    #[error("not a summary record in Protobuf: {0}")]
    Protobuf(String),
    /// Readable, but its fields contradict one another or lack what every record has.
    #[error("invalid summary record: {0}")]
    Invalid(String),
    /// Its histogram can't be read.
    #[error(transparent)]
    Hdr(#[from] HdrError),
}

/// Reads one record. `content_type` is the message's header, where it has one; without it, or with one that names
/// neither encoding, the first byte decides: `{` is JSON (no field of ours starts with that byte in Protobuf).
///
/// # Errors
/// Anything that isn't a summary record, by name; never a panic.
pub fn decode(content_type: Option<&str>, bytes: &[u8]) -> Result<SummaryRecord, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(DecodeError::TooLong(bytes.len()));
    }
    let named = content_type.map(str::to_ascii_lowercase);
    let looks_like_json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let json = match named.as_deref() {
        Some(name) if name.contains("json") => true,
        Some(name) if name.contains("protobuf") => false,
        _ => looks_like_json,
    };
    let record = if json {
        serde_json::from_slice(bytes).map_err(|error| DecodeError::Json(error.to_string()))?
    } else {
        let message = proto::SummaryRecord::decode(bytes).map_err(|error| DecodeError::Protobuf(error.to_string()))?;
        SummaryRecord::from(message)
    };
    check(&record)?;
    Ok(record)
}

/// What tells a summary record from some other message that happens to parse.
fn check(record: &SummaryRecord) -> Result<(), DecodeError> {
    let invalid = |what: &str| Err(DecodeError::Invalid(what.to_owned()));
    if record.schema_version == 0 {
        return invalid("`schema_version` is missing");
    }
    if record.src_node.is_empty() || record.dst_node.is_empty() || record.probe.is_empty() {
        return invalid("`src_node`, `dst_node` and `probe` must be given");
    }
    if record.window_end_ms <= record.window_start_ms {
        return invalid("`window_end_ms` must be after `window_start_ms`");
    }
    if record.window_end_ms - record.window_start_ms > MAX_WINDOW_MS {
        return invalid("a window of more than 366 days");
    }
    if record.received > record.sent {
        return invalid("`received` exceeds `sent`");
    }
    bounded(record)
}

/// Whether counts can be added up and names kept.
fn bounded(record: &SummaryRecord) -> Result<(), DecodeError> {
    let counts = [
        ("sent", record.sent),
        ("received", record.received),
        ("lost", record.lost),
        ("refused", record.refused),
        ("unreachable", record.unreachable),
        ("send_error", record.send_error),
        ("late", record.late),
        ("duplicate", record.duplicate),
        ("skipped", record.skipped),
        ("receive_drops", record.receive_drops),
        ("timestamp_fallbacks", record.timestamp_fallbacks),
        ("flows", record.flows),
        ("worst_flow_lost", record.worst_flow_lost.unwrap_or(0)),
    ];
    if let Some((name, count)) = counts.into_iter().find(|(_, count)| *count > MAX_COUNT) {
        return Err(DecodeError::Invalid(format!(
            "`{name}` is {count}; accepted: at most {MAX_COUNT}"
        )));
    }
    let texts = [
        ("cluster", &record.cluster),
        ("agent_version", &record.agent_version),
        ("boot_id", &record.boot_id),
        ("src_node", &record.src_node),
        ("src_ip", &record.src_ip),
        ("src_zone", &record.src_zone),
        ("src_rack", &record.src_rack),
        ("src_region", &record.src_region),
        ("dst_node", &record.dst_node),
        ("dst_ip", &record.dst_ip),
        ("dst_zone", &record.dst_zone),
        ("dst_rack", &record.dst_rack),
        ("dst_region", &record.dst_region),
        ("probe", &record.probe),
        ("method", &record.method),
        ("timestamp_tx", &record.timestamp_tx),
        ("timestamp_rx", &record.timestamp_rx),
    ];
    match texts.into_iter().find(|(_, text)| text.len() > MAX_TEXT) {
        Some((name, text)) => Err(DecodeError::Invalid(format!(
            "`{name}` has {} bytes; accepted: at most {MAX_TEXT}",
            text.len()
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
