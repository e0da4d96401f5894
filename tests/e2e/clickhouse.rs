//! The files of engines/clickhouse, run by ClickHouse in a process (chdb) on a real Kafka that holds records of real agents:
//! tables and queries say what the records say, added up apart from them, whatever comes twice, late or from elsewhere.

#[path = "clickhouse_answers.rs"]
mod answers;

use answers::{PAIR, ZONE, answers, over_any_span, same};
use distributed_trace_tests::collector;
use distributed_trace_tests::error::{LabError, Result};
use distributed_trace_tests::kafka::Kafka;
use distributed_trace_tests::loopback::{SUMMARIES, measure};
use distributed_trace_tests::merged::{COUNTS, Merged, fields, merge, minute_and, once};
use distributed_trace_tests::ping::number;
use distributed_trace_tests::process::{Process, wait_for};
use distributed_trace_tests::python;
use distributed_trace_tests::topic::{self, Record};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const LATE: &str = "late";
const HALF_AN_HOUR_MS: u64 = 1_800_000;

fn values(records: &[Record]) -> Result<Vec<Value>> {
    records.iter().map(Record::json).collect()
}

/// What is in the topic beside records, and why it is refused.
fn foreign(record: &Record) -> Result<Vec<(&'static str, Record)>> {
    let with = |change: &dyn Fn(&mut Value)| -> Result<Record> {
        let mut value = record.json()?;
        change(&mut value);
        Ok(Record {
            value: value.to_string().into_bytes(),
            ..record.clone()
        })
    };
    let other = Record {
        headers: BTreeMap::new(),
        ..record.clone()
    };
    let garbage = Record {
        value: b"garbage".to_vec(),
        ..record.clone()
    };
    Ok(vec![
        ("unreadable", garbage),
        ("unreadable", with(&|value| value["sent"] = json!("many"))?),
        ("foreign", other),
        ("incomplete", with(&|value| value["boot_id"] = json!(""))?),
        (
            "impossible window",
            with(&|value| value["window_end_ms"] = json!(u64::MAX))?,
        ),
        (
            "buckets of two lengths",
            with(&|value| value["bucket_ns"] = json!([1]))?,
        ),
    ])
}

/// The same records as of another run half an hour ago: late by far. The last windows end with a minute. One is missing, some
/// have no buckets and a field that nobody knows, and one host's buffers dropped two packets in each window.
fn late(records: &[Value]) -> Result<Vec<Value>> {
    let ends: Vec<u64> = records
        .iter()
        .map(|record| number(record, "window_end_ms"))
        .collect::<Result<_>>()?;
    let ago = HALF_AN_HOUR_MS + ends.iter().max().copied().unwrap_or_default() % 60_000;
    let mut late = Vec::new();
    for record in once(records)? {
        let mut record = record.clone();
        for bound in ["window_start_ms", "window_end_ms"] {
            record[bound] = json!(number(&record, bound)? - ago);
        }
        record["boot_id"] = json!(format!("late-{}", record["boot_id"].as_str().unwrap_or_default()));
        let (node, seq) = (record["src_node"].clone(), number(&record, "seq")?);
        if node == "n0" {
            record["receive_drops"] = json!(2);
        }
        if node == "n1" && seq == 5 {
            continue;
        }
        let stripped =
            node == "n2" && record["dst_node"] == "n0" && record["probe"] == "icmp" && number(&record, "received")? > 0;
        if let Some(fields) = record.as_object_mut()
            && stripped
        {
            fields.remove("bucket_ns");
            fields.remove("bucket_count");
            // As far as ClickHouse is concerned, which doesn't read it.
            fields.insert("hdr".to_owned(), json!(""));
            fields.insert("novelty".to_owned(), json!({"x": [1, null]}));
        }
        late.push(record);
    }
    Ok(late)
}

/// Runs the files on each topic in turn; what they say after each.
fn run(kafka: &Kafka, parameters: &Value, topics: &[(&str, usize)]) -> Result<Vec<Value>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines/clickhouse.py");
    let mut command = Command::new(python::interpreter());
    command.arg(script).args([kafka.bootstrap(), &parameters.to_string()]);
    command.args(topics.iter().map(|(topic, messages)| format!("{topic}={messages}")));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let ran = Process::spawn("chdb (scripts/test --install installs it)", &mut command)?;
    let ran = ran.finish_within(Duration::from_secs(300))?.expect_code(0)?;
    ran.stdout.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn rows<'a>(found: &'a Value, pointer: &str) -> Result<&'a [Value]> {
    let rows = found.pointer(pointer).and_then(Value::as_array);
    rows.map(Vec::as_slice)
        .ok_or_else(|| LabError::new(format!("no rows {pointer}")))
}

/// A table by minute against the records: the same groups, and in each the same sums and the same distribution.
fn check_table(rows: &[Value], names: &[&str], records: &[Value]) -> Result {
    let expected = merge(records, minute_and(names))?;
    assert_eq!(rows.len(), expected.len(), "groups by {names:?}");
    for row in rows {
        let mut key = vec![row["minute"].as_str().unwrap_or_default().to_owned()];
        key.extend(fields(row, names)?);
        let merged = expected
            .get(&key)
            .ok_or_else(|| LabError::new(format!("no records say {key:?}")))?;
        let buckets = row["buckets"].as_object().into_iter().flatten();
        let found = Merged {
            records: number(row, "records")?,
            counts: COUNTS
                .iter()
                .map(|name| Ok((*name, number(row, name)?)))
                .collect::<Result<_>>()?,
            rtt_min_ns: row["rtt_min_ns"].as_u64(),
            rtt_max_ns: row["rtt_max_ns"].as_u64(),
            host_delay_max_ns: row["host_delay_max_ns"].as_u64(),
            buckets: buckets
                .map(|(value, count)| Ok((value.parse()?, count.as_u64().unwrap_or_default())))
                .collect::<Result<_>>()?,
        };
        assert_eq!(found, *merged, "{key:?}");
    }
    Ok(())
}

/// A query says this, row by row.
fn check_query(found: &Value, title: &str, expected: &[Value]) -> Result {
    let found = rows(found, &format!("/queries/{title}"))?;
    assert_eq!(found.len(), expected.len(), "{title}: {found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(same(found, expected), "{title}: {found}, not {expected}");
    }
    Ok(())
}

/// What the tables hold and the queries say once these records are there.
fn check(found: &Value, records: &[Value]) -> Result {
    check_table(rows(found, "/tables/zone_minutes")?, &ZONE, records)?;
    check_table(rows(found, "/tables/pair_minutes")?, &PAIR, records)?;
    for (title, expected) in answers(records)? {
        check_query(found, title, &expected)?;
    }
    let refreshes = rows(found, "/queries/Refreshes")?;
    assert!(
        refreshes.len() == 2 && refreshes.iter().all(|refresh| refresh["exception"] == ""),
        "{refreshes:?}"
    );
    Ok(())
}

#[test]
fn clickhouse_says_what_the_records_say() -> Result {
    let kafka = Kafka::start();
    let measured = measure(&kafka)?;
    let records = values(&measured)?;
    for name in ["received", "lost", "refused"] {
        let total = records.iter().map(|record| number(record, name)).sum::<Result<u64>>()?;
        assert!(total > 0, "nothing {name}: the records are too poor for this test");
    }
    // dt's own sums: the collector's.
    let zones = merge(&records, |record| fields(record, &["src_zone", "dst_zone", "probe"]))?;
    collector::check(&kafka, &measured, &zones)?;

    // In the topic: each record twice, and what is none of ours. In the other: records that are late.
    let like = &measured[0];
    let foreign = foreign(like)?;
    let tombstone = Record {
        value: Vec::new(),
        ..like.clone()
    };
    let beside = foreign.iter().map(|(_, record)| record).chain([&tombstone]);
    topic::write(kafka.bootstrap(), SUMMARIES, measured.iter().chain(beside))?;
    let late = late(&records)?;
    let late_records = late.iter().map(|value| Record {
        partition: 0,
        value: value.to_string().into_bytes(),
        ..like.clone()
    });
    topic::write(kafka.bootstrap(), LATE, &late_records.collect::<Vec<_>>())?;
    // Silent is who has been silent for long enough.
    let ends: Vec<u64> = records
        .iter()
        .map(|record| number(record, "window_end_ms"))
        .collect::<Result<_>>()?;
    let end = ends.iter().max().copied().unwrap_or_default();
    let silent = Duration::from_millis(end + 3500);
    wait_for("the windows to be long past", || {
        Ok((SystemTime::now().duration_since(UNIX_EPOCH)? > silent).then_some(()))
    })?;

    let messages = 2 * measured.len() + foreign.len();
    // The span of what was measured, which what is late lies outside of.
    let from = ends.iter().min().copied().unwrap_or_default() - 1000;
    let parameters = json!({"src": "n0", "dst": "n1", "from": from, "to": end});
    let found = run(
        &kafka,
        &parameters,
        &[(SUMMARIES, messages), (SUMMARIES, messages), (LATE, late.len())],
    )?;
    let [first, again, later] = &found[..] else {
        return Err(LabError::new(format!("{} answers", found.len())));
    };
    check(first, &records)?;
    for title in ["Own drops", "Missing records", "Records without buckets"] {
        assert_eq!(first["queries"][title], json!([]), "{title}");
    }
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for (reason, _) in &foreign {
        *reasons.entry(reason).or_default() += 1;
    }
    let refused: BTreeMap<&str, u64> = rows(first, "/queries/Rejected messages")?
        .iter()
        .filter_map(|row| Some((row["refusal"].as_str()?, row["messages"].as_u64()?)))
        .collect();
    assert_eq!(refused, reasons);

    // Everything once more, as where Kafka has lost the group's offsets.
    check(again, &records)?;
    assert_eq!(
        again["queries"]["Rejected messages"],
        first["queries"]["Rejected messages"]
    );

    let all = [&records[..], &late[..]].concat();
    check(later, &all)?;
    for found in [first, later] {
        let title = "Pairs of zones in any span";
        check_query(found, title, &over_any_span(&records)?)?;
    }
    // Only the minutes of which something came were counted anew.
    let groups = |names: &[&str]| Ok::<_, LabError>(json!(merge(&late, minute_and(names))?.len()));
    assert_eq!(later["written"]["refresh_zone_minutes"], groups(&ZONE)?);
    assert_eq!(later["written"]["refresh_pair_minutes"], groups(&PAIR)?);

    let of = |node: &'static str| late.iter().filter(move |record| record["src_node"] == node);
    let windows: BTreeSet<_> = of("n0")
        .map(|record| number(record, "window_start_ms"))
        .collect::<Result<_>>()?;
    let drops = json!([{"cluster": "", "src_node": "n0", "drops": 2 * windows.len()}]);
    assert_eq!(later["queries"]["Own drops"], drops);
    let boot_id = of("n1").next().map(|record| record["boot_id"].clone());
    let missing = json!([{"cluster": "", "src_node": "n1", "boot_id": boot_id, "missing": 1}]);
    assert_eq!(later["queries"]["Missing records"], missing);
    let without: Vec<_> = late.iter().filter(|record| record["novelty"].is_object()).collect();
    let samples: u64 = without
        .iter()
        .map(|record| number(record, "received"))
        .sum::<Result<_>>()?;
    let without = json!([{"cluster": "", "src_node": "n2", "records": without.len(), "samples": samples}]);
    assert_eq!(later["queries"]["Records without buckets"], without);
    Ok(())
}
