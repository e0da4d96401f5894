//! Records as they are read from a topic, and what they travel with.

use dt_record::{DecodeError, MAX_RECORD_BYTES, SummaryRecord, TraceReport, decode};
use dt_sink::internals::headers;

use crate::input::Input;
use crate::memory::bounded;

/// What the header `content-type` may say.
pub(crate) const CONTENT_TYPES: [Option<&str>; 6] = [
    None,
    Some("application/json"),
    Some("application/protobuf"),
    Some("application/cloudevents+json"),
    Some("text/plain"),
    Some("\u{7f}"),
];

/// A message of the summary topic: which content type it has, and its value.
///
/// # Panics
/// Where what is read isn't the same after being written again, or a header wouldn't hold.
pub fn fuzz_record(data: &[u8]) {
    let mut input = Input::new(data);
    let content_type = *input.one(&CONTENT_TYPES);
    let value = input.rest();
    trace(value);
    let record = match bounded(value.len(), 64 * 1024, 64, || decode(content_type, value)) {
        Ok(record) => record,
        Err(why) => {
            assert!(!why.to_string().is_empty());
            assert_eq!(matches!(why, DecodeError::Empty), value.is_empty());
            return;
        }
    };
    assert!(value.len() <= MAX_RECORD_BYTES);
    let json = record.to_json();
    assert!(!json.contains(&b'\n'));
    assert_eq!(decode(None, &json).as_ref(), Ok(&record));
    let protobuf = record.to_protobuf();
    if protobuf.len() <= MAX_RECORD_BYTES {
        let same = decode(Some("application/protobuf"), &protobuf).unwrap();
        assert_eq!(same, with_both_arrays_or_none(record.clone()));
    }
    let read = bounded(value.len(), 4 << 20, 64, || record.distribution());
    if let Ok(Some(distribution)) = read {
        assert_eq!(distribution.count(), record.received);
        assert!(distribution.buckets.is_sorted_by(|a, b| a.0 < b.0));
    }
    assert_eq!(record.key().matches('|').count(), 2);
    travels(&record);
}

/// In Protobuf the one array doesn't come without the other.
fn with_both_arrays_or_none(mut record: SummaryRecord) -> SummaryRecord {
    if record.bucket_ns.is_none() || record.bucket_count.is_none() {
        (record.bucket_ns, record.bucket_count) = (None, None);
    }
    record
}

/// CloudEvents 1.0: headers are text that any client can read, the source a URI reference, the time as of RFC 3339.
fn travels(record: &SummaryRecord) {
    let headers = headers(record);
    let text = |name: &str| {
        let (_, value) = headers.iter().find(|(key, _)| key == name).unwrap();
        std::str::from_utf8(value).unwrap()
    };
    assert_eq!(text("ce_specversion"), "1.0");
    assert!(text("ce_source").bytes().all(|byte| byte.is_ascii_graphic()));
    assert_eq!(text("ce_id"), record.ce_id());
    let time = text("ce_time");
    let (date, rest) = time.split_once('T').unwrap();
    let numbers: Vec<u64> = date.split('-').map(|part| part.parse().unwrap()).collect();
    assert!(
        numbers.len() == 3 && (1..=12).contains(&numbers[1]) && (1..=31).contains(&numbers[2]),
        "{time}"
    );
    assert!(rest.len() == "00:00:00.000Z".len() && rest.ends_with('Z'), "{time}");
}

/// The original's record.
fn trace(value: &[u8]) {
    if let Ok(report) = serde_json::from_slice::<TraceReport>(value) {
        assert_eq!(
            serde_json::from_slice::<TraceReport>(&report.to_json()).unwrap(),
            report
        );
    }
}
