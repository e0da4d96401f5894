use proptest::prelude::*;

use super::*;
use crate::record::tests::{origin, summary};
use crate::record::{Options, SummaryRecord};
use crate::summary::Flow;

fn record(samples: &[u64], buckets: bool) -> SummaryRecord {
    let flows = samples
        .iter()
        .take(3)
        .map(|&sample| Flow {
            port: sample as u16,
            sent: 2,
            lost: 1,
        })
        .collect();
    SummaryRecord::new(&summary(samples, flows), &origin(), 7, Options { buckets })
}

proptest! {
    #[test]
    fn both_encodings_are_lossless(
        samples in prop::collection::vec(0..100_000_000_000_u64, 0..100),
        buckets in any::<bool>(),
        name in ".{1,20}",
        payload in any::<Option<u32>>(),
    ) {
        let record = SummaryRecord { src_node: name, payload_bytes: payload, ..record(&samples, buckets) };
        for content_type in [None, Some("application/json"), Some("application/cloudevents")] {
            prop_assert_eq!(&decode(content_type, &record.to_json()).unwrap(), &record);
        }
        for content_type in [None, Some("application/protobuf"), Some("application/x-protobuf; charset=binary")] {
            prop_assert_eq!(&decode(content_type, &record.to_protobuf()).unwrap(), &record);
        }
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0..2_000_usize) {
        let _ = decode(None, &bytes);
        for own in [record(&[1, 2, 3], true).to_json(), record(&[1, 2, 3], true).to_protobuf()] {
            let at = cut % own.len();
            let _ = decode(None, &own[..at]);
            let mut changed = own;
            changed[at] = bytes.first().copied().unwrap_or(0xff);
            if let Ok(read) = decode(None, &changed) {
                let _ = read.distribution();
            }
        }
    }
}

#[test]
fn unknown_fields_and_missing_optional_ones_are_fine() {
    let json = br#"{"schema_version":2,"src_node":"a","dst_node":"b","probe":"quic","window_start_ms":0,
        "window_end_ms":10000,"sent":1,"received":0,"lost":1,"rtt_p50_ns":null,"novelty":{"x":[1]}}"#;
    let record = decode(None, json).unwrap();
    assert_eq!(
        (record.probe.as_str(), record.lost, record.bucket_ns),
        ("quic", 1, None)
    );
}

#[test]
fn counts_that_cannot_be_added_up_and_names_that_nobody_has_are_refused() {
    let valid = record(&[5], true);
    let most = SummaryRecord {
        lost: MAX_COUNT,
        sent: MAX_COUNT,
        dst_node: "x".repeat(MAX_TEXT),
        ..valid.clone()
    };
    assert!(decode(None, &most.to_json()).is_ok());
    for (broken, why) in [
        (
            SummaryRecord {
                lost: u64::MAX,
                ..valid.clone()
            },
            "`lost` is 18446744073709551615",
        ),
        (
            SummaryRecord {
                skipped: MAX_COUNT + 1,
                ..valid.clone()
            },
            "at most 9007199254740992",
        ),
        (
            SummaryRecord {
                boot_id: "x".repeat(MAX_TEXT + 1),
                ..valid.clone()
            },
            "`boot_id` has 1025 bytes",
        ),
        (
            SummaryRecord {
                window_end_ms: u64::MAX,
                ..valid.clone()
            },
            "more than 366 days",
        ),
    ] {
        let error = decode(None, &broken.to_protobuf()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn foreign_messages_are_refused_by_name() {
    let name = |bytes: &[u8]| decode(None, bytes).unwrap_err().to_string();
    assert_eq!(decode(None, b""), Err(DecodeError::Empty));
    assert!(name(br#"{"fromHostAddr":"a:4000","toHostAddr":"b:4000"}"#).contains("JSON"));
    assert!(name(b"[1,2]").contains("Protobuf"));
    assert!(name(b"\x08\x01").contains("must be given"));
    assert!(name(&vec![b'{'; MAX_RECORD_BYTES + 1]).contains("at most 1048576"));
    let valid = record(&[], true);
    let broken = SummaryRecord {
        window_end_ms: valid.window_start_ms,
        ..valid.clone()
    };
    assert!(name(&broken.to_json()).contains("window_end_ms"));
    let broken = SummaryRecord {
        received: valid.sent + 1,
        ..valid
    };
    assert!(name(&broken.to_protobuf()).contains("exceeds"));
}
