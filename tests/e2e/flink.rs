//! `flink CLASSPATH`: the job of engines/flink, run by Flink in a process of its own on a real Kafka that holds records of real
//! agents, each of them twice, and what is none of ours: each minute it writes is what the records say, added up apart from it.
//!
//! `scripts/test-engines` builds the job, fetches Flink and runs this.

use distributed_trace_tests::agent::text;
use distributed_trace_tests::collector;
use distributed_trace_tests::error::{Context, LabError, Result};
use distributed_trace_tests::kafka::{Kafka, Options};
use distributed_trace_tests::loopback::measure;
use distributed_trace_tests::merged::{Key, Merged, fields, merge, minute, minute_and};
use distributed_trace_tests::ping::number;
use distributed_trace_tests::process::Process;
use distributed_trace_tests::python;
use distributed_trace_tests::topic::{self, Record};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const ZONE: [&str; 4] = ["cluster", "src_zone", "dst_zone", "probe"];
const PARTITIONS: usize = 4;
const INPUT: &str = "input";
const OUTPUT: &str = "distributedTrace.zoneMinutes";
const UNREADABLE: &str = "AAAA";
const HALF_AN_HOUR_MS: i64 = 1_800_000;
/// Another program's histogram: 3 digits, up to an hour; 7,129 ns three times, 12,345 ns twice, and 70 s.
const FINER: &str = "HISTFAAAACt4nJNpmSzMwMDAxQABzFCaEch0M9ixgMH+A0TgtTXbfB6WqS+YmACQDQex";

/// The same records as of another run, in whose time they end later.
fn moved(records: &[Value], run: &str, later_ms: i64) -> Result<Vec<Value>> {
    let mut moved = records.to_vec();
    for record in &mut moved {
        for bound in ["window_start_ms", "window_end_ms"] {
            record[bound] = json!(number(record, bound)?.saturating_add_signed(later_ms));
        }
        record["boot_id"] = json!(format!("{run}-{}", text(record, "boot_id")?));
    }
    Ok(moved)
}

/// Records of nodes whose clocks are a day ahead, some in each partition: what comes after them is not late. That can be told
/// where all else is a little ahead too, since time goes as far as this machine's clock.
fn ahead(like: &Value) -> Result<Vec<Value>> {
    let mut ahead = Vec::new();
    for n in 0..16 {
        let mut record = moved(std::slice::from_ref(like), &format!("ahead-{n}"), 86_400_000)?;
        record[0]["src_node"] = json!(format!("ahead-{n}"));
        ahead.append(&mut record);
    }
    Ok(ahead)
}

/// The first run, half an hour before the second: the last windows end with a minute, two records have another program's
/// histogram, and one has what is none.
fn first(measured: &[Value]) -> Result<Vec<Value>> {
    let ends: Vec<u64> = measured
        .iter()
        .map(|record| number(record, "window_end_ms"))
        .collect::<Result<_>>()?;
    let odd = i64::try_from(ends.iter().max().copied().unwrap_or_default() % 60_000)?;
    let mut records = moved(measured, "first", HALF_AN_HOUR_MS - odd)?;
    let mut with_histogram = records.iter_mut().filter(|record| record["hdr"] != "");
    for hdr in [FINER, FINER, UNREADABLE] {
        let record = with_histogram.next();
        record.ok_or_else(|| LabError::new("too few records with a histogram"))?["hdr"] = json!(hdr);
    }
    Ok(records)
}

/// What has to be skipped.
fn foreign(like: &Record) -> Result<Vec<Record>> {
    let with = |name: &str, value: Value| -> Result<Record> {
        let mut record = like.json()?;
        record["boot_id"] = json!("foreign");
        record[name] = value;
        Ok(Record {
            value: record.to_string().into_bytes(),
            ..like.clone()
        })
    };
    let raw = |text: &str| Record {
        value: text.as_bytes().to_vec(),
        ..like.clone()
    };
    let mut other = with("x", json!(1))?;
    other.headers = BTreeMap::new();
    Ok(vec![
        other,
        raw("garbage"),
        raw("[1, {\"sent\": 1}]"),
        raw("{\"hello\": 1}"),
        raw(""),
        with("boot_id", json!(""))?,
        with("sent", json!("many"))?,
        with("window_end_ms", json!(9_000_000_000_000_000_000_u64))?,
        with("window_end_ms", json!(null))?,
    ])
}

/// The file of the job, with this broker and topic, read up to the topic's present end.
fn job(kafka: &Kafka, directory: &Path) -> Result<std::path::PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engines/flink/zone-minutes.sql");
    let mut text = std::fs::read_to_string(&file).during(file.display())?;
    for (from, to, times) in [
        ("127.0.0.1:9092", kafka.bootstrap(), 2),
        ("'distributedTrace.summaries'", &format!("'{INPUT}'"), 1),
        (
            "'scan.startup.mode' = 'group-offsets'",
            // And time goes on with each message, not now and then, so that what is late is late each time.
            "'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset', \
             'scan.watermark.emit.strategy' = 'on-event'",
            1,
        ),
    ] {
        assert_eq!(text.matches(from).count(), times, "{from} in {}", file.display());
        text = text.replace(from, to);
    }
    let path = directory.join("zone-minutes.sql");
    // What fails is not tried again for ever.
    std::fs::write(&path, format!("SET 'restart-strategy.type' = 'none';\n{text}"))?;
    Ok(path)
}

/// A message of the job says what the records say.
fn check(row: &Value, merged: &Merged, key: &Key) -> Result {
    for name in ["sent", "received", "lost", "refused", "unreachable", "send_error"] {
        assert_eq!(number(row, name)?, merged.count(name), "{name} of {key:?}");
    }
    assert_eq!(number(row, "records")?, merged.records, "{key:?}");
    assert_eq!(number(row, "window_end_ms")?, number(row, "window_start_ms")? + 60_000);
    for (name, expected) in [
        ("rtt_min_ns", merged.rtt_min_ns),
        ("rtt_p50_ns", merged.at(500)),
        ("rtt_p90_ns", merged.at(900)),
        ("rtt_p99_ns", merged.at(990)),
        ("rtt_p999_ns", merged.at(999)),
        ("rtt_max_ns", merged.rtt_max_ns),
    ] {
        assert_eq!(row[name].as_u64(), expected, "{name} of {key:?}");
    }
    assert_eq!(buckets_of(row)?, merged.buckets, "{key:?}");
    Ok(())
}

/// The buckets of a message's histogram.
fn buckets_of(row: &Value) -> Result<BTreeMap<u64, u64>> {
    Ok(match text(row, "hdr")? {
        "" => BTreeMap::new(),
        hdr => python::decode(&[hdr])?
            .into_iter()
            .flat_map(|decoded| decoded.buckets)
            .collect(),
    })
}

fn run(classpath: &str) -> Result {
    let kafka = Kafka::start_with(&Options {
        properties: vec![("num.partitions".to_owned(), PARTITIONS.to_string())],
        ..Options::default()
    });
    let directory = tempfile::tempdir()?;
    let measured = measure(&kafka)?;
    let like = &Record {
        partition: -1,
        ..measured[0].clone()
    };
    let values: Vec<Value> = measured.iter().map(Record::json).collect::<Result<_>>()?;
    let second = moved(&values, "second", 2 * HALF_AN_HOUR_MS)?;
    let mut runs = [&first(&values)?[..], &second].concat();
    runs.sort_by_key(|record| record["window_end_ms"].as_u64());
    let mut records = ahead(&like.json()?)?;
    let ahead = records.len();
    records.append(&mut runs);
    let message = |value: &Value| {
        let key = fields(value, &["src_node", "dst_node", "probe"])?.join("|");
        Ok(Record {
            key: Some(key),
            value: value.to_string().into_bytes(),
            ..like.clone()
        })
    };
    let messages = records.iter().map(message).collect::<Result<Vec<_>>>()?;
    let foreign = foreign(like)?;
    topic::write(
        kafka.bootstrap(),
        INPUT,
        foreign.iter().chain(&messages).chain(&messages),
    )?;
    let there = topic::read(kafka.bootstrap(), INPUT)?;
    assert_eq!(there.len(), foreign.len() + 2 * messages.len());
    let keys: BTreeSet<_> = messages.iter().take(ahead).map(|message| &message.key).collect();
    let hold: BTreeSet<_> = there
        .iter()
        .filter(|message| keys.contains(&message.key))
        .map(|message| message.partition)
        .collect();
    assert_eq!(hold.len(), PARTITIONS, "a node that is ahead in each partition");

    let mut java = Command::new("java");
    java.args([
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-cp",
        classpath,
        "distributedtrace.RunSql",
    ]);
    java.arg(job(&kafka, directory.path())?);
    Process::spawn("Flink", &mut java)?
        .finish_within(Duration::from_secs(300))?
        .expect_code(0)?;

    let readable: Vec<Value> = records
        .iter()
        .map(|record| match record["hdr"].as_str() {
            Some(UNREADABLE) => {
                let mut record = record.clone();
                record["hdr"] = json!("");
                record
            }
            _ => record.clone(),
        })
        .collect();
    let expected = merge(&readable, minute_and(&ZONE))?;
    let (mut seen, mut unreadable) = (BTreeMap::new(), 0);
    for message in topic::read(kafka.bootstrap(), OUTPUT)? {
        let row = message.json()?;
        let mut key = vec![(number(&row, "window_start_ms")? / 1000).to_string()];
        key.extend(fields(&row, &ZONE)?);
        let merged = expected
            .get(&key)
            .ok_or_else(|| LabError::new(format!("no records say {row}")))?;
        check(&row, merged, &key)?;
        unreadable += number(&row, "unreadable")?;
        assert!(
            seen.insert(key, row).is_none(),
            "twice: {}",
            message.key.unwrap_or_default()
        );
    }
    assert_eq!(
        (seen.len(), unreadable),
        (expected.len(), 1),
        "minutes of pairs of zones, and unreadable histograms"
    );
    // The second run is nothing but what was measured.
    let minutes: BTreeSet<String> = second.iter().map(minute).collect::<Result<_>>()?;
    let of_second = seen.iter().filter(|(key, _)| minutes.contains(&key[0]));
    check_collector(&collector::zones(&kafka, &measured)?, of_second.map(|(_, row)| row))?;
    println!(
        "Flink merged {} records into {} minutes of pairs of zones: as the records say, and dt collect",
        records.len(),
        seen.len()
    );
    Ok(())
}

/// The sums of some minutes are the collector's.
fn check_collector<'a>(cells: &BTreeMap<Key, Value>, rows: impl Iterator<Item = &'a Value>) -> Result {
    let mut sums: BTreeMap<Key, (u64, u64, BTreeMap<u64, u64>)> = BTreeMap::new();
    for row in rows {
        let (sent, lost, buckets) = sums
            .entry(fields(row, &["src_zone", "dst_zone", "probe"])?)
            .or_default();
        *sent += number(row, "sent")?;
        *lost += number(row, "lost")?;
        for (value, count) in buckets_of(row)? {
            *buckets.entry(value).or_default() += count;
        }
    }
    assert_eq!(sums.keys().collect::<Vec<_>>(), cells.keys().collect::<Vec<_>>());
    for (key, sum) in sums {
        let cell = &cells[&key];
        assert_eq!(
            sum,
            (number(cell, "sent")?, number(cell, "lost")?, collector::buckets(cell)),
            "{key:?}"
        );
    }
    Ok(())
}

fn main() -> Result {
    match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [classpath] => run(classpath),
        _ => Err(LabError::new(
            "usage: flink CLASSPATH; scripts/test-engines builds what it needs and runs it",
        )),
    }
}
