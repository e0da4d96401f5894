use std::sync::Arc;

use dt_probe::{Clock, Method};

use super::*;
use crate::distribution::Recorder;
use crate::{Counts, Endpoint};

fn endpoint(node: &str, zone: &str, rack: &str) -> Endpoint {
    Endpoint {
        node: node.into(),
        zone: zone.into(),
        rack: rack.into(),
        region: format!("region of {zone}").into(),
    }
}

pub(crate) fn origin() -> Origin {
    Origin {
        cluster: "c1".into(),
        agent_version: "0.1.0".into(),
        boot_id: "b00f".into(),
    }
}

pub(crate) fn summary(samples: &[u64], flows: Vec<Flow>) -> Summary {
    let mut recorder = Recorder::new();
    Summary {
        pair: Arc::new(Pair {
            source: Arc::new(endpoint("a", "z1", "r1")),
            source_ip: Some([10, 0, 0, 1].into()),
            destination: Arc::new(endpoint("b", "z2", "")),
            destination_ip: [10, 0, 0, 2].into(),
            destination_port: 4000,
            probe: ProbeKind::Tcp,
            method: Method::Syn,
            payload_bytes: None,
        }),
        window_start_ms: 1_700_000_000_000,
        window_end_ms: 1_700_000_010_000,
        counts: Counts {
            received: samples.len() as u64,
            lost: 1,
            refused: 2,
            unreachable: 3,
            send_error: 4,
            late: 5,
            duplicate: 6,
            skipped: 7,
            timestamp_fallbacks: 8,
        },
        receive_drops: 9,
        rtt: recorder.distribution(samples.iter().map(|&value| (value, 1))),
        host_delay: recorder.distribution(samples.iter().map(|&value| (value / 10, 1))),
        timestamp_tx: Clock::Kernel,
        timestamp_rx: Clock::Hardware,
        flows,
    }
}

fn record(samples: &[u64]) -> SummaryRecord {
    let flows = vec![
        Flow {
            port: 50_000,
            sent: 3,
            lost: 0,
        },
        Flow {
            port: 50_001,
            sent: 3,
            lost: 1,
        },
        Flow {
            port: 50_002,
            sent: 3,
            lost: 1,
        },
    ];
    SummaryRecord::new(&summary(samples, flows), &origin(), 42, Options::default())
}

#[test]
fn golden_json() {
    let golden = concat!(
        r#"{"schema_version":1,"cluster":"c1","agent_version":"0.1.0","boot_id":"b00f","seq":42,"#,
        r#""window_start_ms":1700000000000,"window_end_ms":1700000010000,"src_node":"a","src_ip":"10.0.0.1","#,
        r#""src_zone":"z1","src_rack":"r1","src_region":"region of z1","dst_node":"b","dst_ip":"10.0.0.2","dst_port":4000,"dst_zone":"z2","#,
        r#""dst_rack":"","dst_region":"region of z2","probe":"tcp","method":"syn","payload_bytes":null,"sent":13,"received":3,"lost":1,"#,
        r#""refused":2,"unreachable":3,"send_error":4,"late":5,"duplicate":6,"skipped":7,"receive_drops":9,"#,
        r#""rtt_min_ns":1000,"rtt_mean_ns":667333,"rtt_p50_ns":1003,"rtt_p90_ns":2007039,"rtt_p99_ns":2007039,"#,
        r#""rtt_p999_ns":2007039,"rtt_max_ns":2007039,"host_delay_p50_ns":100,"host_delay_p99_ns":200703,"#,
        r#""host_delay_max_ns":200703,"timestamp_tx":"kernel","timestamp_rx":"hardware","timestamp_fallbacks":8,"#,
        r#""flows":3,"worst_flow_port":50001,"worst_flow_lost":1,"bucket_ns":[1003,2007039],"bucket_count":[2,1],"#,
        r#""hdr":"HDR"}"#
    );
    let record = record(&[1_000, 1_000, 2_000_000]);
    let json = String::from_utf8(record.to_json()).unwrap();
    assert_eq!(json, golden.replace("HDR", &record.hdr));
}

#[test]
fn a_window_without_replies_has_nulls_and_empty_arrays() {
    let json: serde_json::Value = serde_json::from_slice(&record(&[]).to_json()).unwrap();
    for field in ["min", "mean", "p50", "p90", "p99", "p999", "max"] {
        assert_eq!(
            json[format!("rtt_{field}_ns")],
            serde_json::Value::Null,
            "rtt_{field}_ns"
        );
    }
    assert_eq!(json["host_delay_max_ns"], serde_json::Value::Null);
    assert_eq!(json["bucket_ns"], serde_json::json!([]));
    assert_eq!(json["bucket_count"], serde_json::json!([]));
    assert_eq!(json["hdr"], "");
}

#[test]
fn buckets_can_be_turned_off() {
    let off = SummaryRecord::new(&summary(&[5], vec![]), &origin(), 1, Options { buckets: false });
    let json: serde_json::Value = serde_json::from_slice(&off.to_json()).unwrap();
    assert!(json.get("bucket_ns").is_none() && json.get("bucket_count").is_none());
    assert_eq!(
        (json["flows"].as_u64(), &json["worst_flow_port"]),
        (Some(0), &serde_json::Value::Null)
    );
    assert_eq!(off.distribution().unwrap().unwrap().buckets, [(5, 1)]);
}

#[test]
fn buckets_and_hdr_hold_the_same_distribution() {
    let with = record(&[1_000, 1_000, 2_000_000, 59_999_999_999]);
    let without = SummaryRecord {
        bucket_ns: None,
        bucket_count: None,
        ..with.clone()
    };
    let neither = SummaryRecord {
        hdr: String::new(),
        ..without.clone()
    };
    assert_eq!(with.distribution().unwrap(), without.distribution().unwrap());
    assert_eq!(with.distribution().unwrap().unwrap().mean(), with.rtt_mean_ns);
    assert_eq!(neither.distribution().unwrap(), None);
}

#[test]
fn contradictions_are_errors() {
    let good = record(&[1_000, 1_000, 2_000_000]);
    let error = |change: fn(&mut SummaryRecord)| {
        let mut record = good.clone();
        change(&mut record);
        record.distribution().unwrap_err().to_string()
    };
    assert!(error(|r| r.bucket_count = Some(vec![3])).contains("2 entries, `bucket_count` 1"));
    assert!(error(|r| r.bucket_ns = Some(vec![9, 8])).contains("ascend"));
    assert!(error(|r| r.bucket_count = Some(vec![2, 2])).contains("holds 4 values where `received` is 3"));
    assert!(error(|r| r.bucket_count = Some(vec![u64::MAX, u64::MAX])).contains("too many"));
    assert!(error(|r| (r.bucket_ns, r.hdr) = (None, "!".into())).contains("reading hdr"));
}

#[test]
fn keys_cannot_collide() {
    let key = |src: &str, dst: &str| {
        let record = SummaryRecord {
            src_node: src.into(),
            dst_node: dst.into(),
            ..record(&[])
        };
        record.key()
    };
    assert_eq!(key("a", "b"), "a|b|tcp");
    assert_eq!(key("a|b", "c"), "a%7Cb|c|tcp");
    assert_ne!(key("a|b", "c"), key("a", "b|c"));
    assert_ne!(key("a%7Cb", "c"), key("a|b", "c"));
    assert_eq!(key_of(&summary(&[], vec![]).pair), "a|b|tcp");
}

#[test]
fn ce_id_is_the_boot_and_the_number() {
    assert_eq!(record(&[]).ce_id(), "b00f-42");
}
