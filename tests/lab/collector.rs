//! What `dt collect` makes of records: its sums from zone to zone.

use crate::agent::get;
use crate::error::{LabError, Result};
use crate::kafka::Kafka;
use crate::loopback::free_port;
use crate::merged::{Key, Merged, fields};
use crate::ping::number;
use crate::process::{Process, dt};
use crate::topic::{self, Record};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;

const TOPIC: &str = "collected";
const LAST: &str = "last";

/// The collector's sums over the last hour by source zone, destination zone and kind of probe, of records that come twice.
///
/// # Errors
/// Where it doesn't answer.
pub fn zones(kafka: &Kafka, records: &[Record]) -> Result<BTreeMap<Key, Value>> {
    let first = records.first().ok_or_else(|| LabError::new("no records"))?;
    let mut last = first.json()?;
    for name in ["boot_id", "src_node", "src_zone", "dst_zone"] {
        last[name] = json!(LAST);
    }
    // A node that probes itself is not believed.
    last["dst_node"] = json!("another");
    let last = Record {
        value: last.to_string().into_bytes(),
        ..first.clone()
    };
    // In one partition, so that all is read once the last is.
    let messages = records.iter().chain(records).chain([&last]).map(|record| Record {
        partition: 0,
        ..record.clone()
    });
    topic::write(kafka.bootstrap(), TOPIC, &messages.collect::<Vec<_>>())?;

    let http = format!("127.0.0.1:{}", free_port("127.0.0.1")?);
    let mut command = Command::new(dt()?);
    command.args([
        "collect",
        "--bootstrap",
        kafka.bootstrap(),
        "--topic",
        TOPIC,
        "--http",
        &http,
    ]);
    // Alone, it has nobody to share with.
    command.args(["--window", "1s", "--rollup-topic", "off"]);
    let mut collector = Process::spawn("dt collect", &mut command)?;
    let mut cells = collector.wait_for("the last record", |_| {
        let Some((200, body)) = get(&http, "/api/v1/zones?view=1h").ok() else {
            return Ok(None);
        };
        let answer: Value = serde_json::from_str(&body)?;
        let cells = answer["zones"].as_array().into_iter().flatten();
        let cells: BTreeMap<Key, Value> = cells
            .map(|cell| Ok((fields(cell, &["src_zone", "dst_zone", "probe"])?, cell.clone())))
            .collect::<Result<_>>()?;
        Ok(cells.keys().any(|key| key[0] == LAST).then_some(cells))
    })?;
    collector.terminate()?.expect_code(0)?;
    cells.retain(|key, _| key[0] != LAST);
    Ok(cells)
}

/// The collector shows what the records add up to, each counted once.
///
/// # Panics
/// Where it shows something else.
///
/// # Errors
/// As [`zones`].
pub fn check(kafka: &Kafka, records: &[Record], expected: &BTreeMap<Key, Merged>) -> Result {
    let cells = zones(kafka, records)?;
    assert_eq!(cells.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (key, merged) in expected {
        let cell = &cells[key];
        for name in [
            "sent",
            "received",
            "lost",
            "refused",
            "unreachable",
            "send_error",
            "skipped",
        ] {
            assert_eq!(number(cell, name)?, merged.count(name), "{name} of {key:?}: {cell}");
        }
        for (name, thousandths) in [
            ("rtt_p50_ns", 500),
            ("rtt_p90_ns", 900),
            ("rtt_p99_ns", 990),
            ("rtt_p999_ns", 999),
        ] {
            assert_eq!(cell[name].as_u64(), merged.at(thousandths), "{name} of {key:?}: {cell}");
        }
        assert_eq!(buckets(cell), merged.buckets, "{key:?}");
    }
    Ok(())
}

/// The buckets of one of [`zones`].
#[must_use]
pub fn buckets(cell: &Value) -> BTreeMap<u64, u64> {
    let numbers = |name: &str| -> Vec<u64> {
        let array = cell[name].as_array().into_iter().flatten();
        array.filter_map(Value::as_u64).collect()
    };
    numbers("bucket_ns").into_iter().zip(numbers("bucket_count")).collect()
}
