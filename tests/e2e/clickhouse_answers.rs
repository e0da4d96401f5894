//! What the queries of engines/clickhouse/queries.sql should say of some records, found apart from them.

use distributed_trace_tests::error::Result;
use distributed_trace_tests::merged::{Key, Merged, fields, merge, minute, minute_and};
use distributed_trace_tests::ping::number;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What tells one pair of zones from another.
pub(crate) const ZONE: [&str; 4] = ["cluster", "src_zone", "dst_zone", "probe"];
/// What tells one pair of nodes from another.
pub(crate) const PAIR: [&str; 4] = ["cluster", "src_node", "dst_node", "probe"];

/// Whether both say the same. Shares may differ in the last digit, by which JSON's numbers are written and read.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            (a - b).abs() <= 1e-12 * a.abs()
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// A row that begins with these columns.
fn row(names: &[&str], key: &[String], rest: Value) -> Value {
    let mut row = rest;
    for (name, value) in names.iter().zip(key) {
        row[*name] = json!(value);
    }
    row
}

fn counts(merged: &Merged) -> Value {
    json!({"sent": merged.count("sent"), "received": merged.count("received"), "lost": merged.count("lost"),
        "failed_percent": merged.failed_percent(), "rtt_min_ns": merged.rtt_min_ns, "p50_ns": merged.at(500),
        "p90_ns": merged.at(900), "p99_ns": merged.at(990), "p999_ns": merged.at(999), "rtt_max_ns": merged.rtt_max_ns})
}

/// What the query over any span should say of the records in it.
pub(crate) fn over_any_span(records: &[Value]) -> Result<Vec<Value>> {
    let zones = merge(records, |record| fields(record, &ZONE))?;
    Ok(zones
        .iter()
        .map(|(key, merged)| row(&ZONE, key, counts(merged)))
        .collect())
}

/// What each query of the file should say of these records.
pub(crate) fn answers(records: &[Value]) -> Result<BTreeMap<&'static str, Vec<Value>>> {
    const BY_MINUTE: [&str; 5] = ["minute", "cluster", "src_zone", "dst_zone", "probe"];
    let mut answers = BTreeMap::new();

    let mut pairs: BTreeMap<Key, BTreeSet<Key>> = BTreeMap::new();
    for record in records {
        let pair = fields(record, &["src_node", "dst_node"])?;
        pairs.entry(minute_and(&ZONE)(record)?).or_default().insert(pair);
    }
    let zones = merge(records, minute_and(&ZONE))?;
    let by_minute = zones.iter().map(|(key, merged)| {
        let mut row = row(&BY_MINUTE, key, counts(merged));
        row["pairs"] = json!(pairs.get(key).map(BTreeSet::len));
        row
    });
    answers.insert("Pairs of zones by minute", by_minute.collect());

    let zones = merge(records, |record| fields(record, &ZONE))?;
    answers.insert("Pairs of zones over a day", over_any_span(records)?);

    let mut lines: BTreeMap<[&String; 3], BTreeMap<&String, Option<u64>>> = BTreeMap::new();
    for (key, merged) in &zones {
        if let [cluster, source, destination, probe] = &key[..] {
            let line = lines.entry([cluster, probe, source]).or_default();
            line.insert(destination, merged.at(990));
        }
    }
    let heat_map = lines.iter().map(|([cluster, probe, source], line)| {
        json!({"cluster": cluster, "probe": probe, "src_zone": source, "p99_ns_to": line})
    });
    answers.insert("The heat map of zones", heat_map.collect());

    let nodes = merge(records, |record| fields(record, &PAIR))?;
    let mut slow: Vec<_> = nodes.iter().collect();
    // Without a sample last; equals as they are, in the order of their keys.
    slow.sort_by_key(|(_, merged)| std::cmp::Reverse(merged.at(990)));
    let slow = slow.iter().take(20).map(|(key, merged)| {
        let rest = json!({"received": merged.count("received"), "p50_ns": merged.at(500), "p99_ns": merged.at(990),
            "host_delay_max_ns": merged.host_delay_max_ns});
        row(&PAIR, key, rest)
    });
    answers.insert("The worst pairs by p99", slow.collect());

    let mut failing: Vec<_> = nodes
        .iter()
        .filter(|(_, merged)| merged.failed_percent() > Some(0.0))
        .collect();
    failing.sort_by(|(_, a), (_, b)| {
        let rank = |merged: &Merged| (merged.failed_percent(), merged.count("sent"));
        rank(b).partial_cmp(&rank(a)).unwrap_or(std::cmp::Ordering::Equal)
    });
    let failing = failing.iter().take(20).map(|(key, merged)| {
        let mut rest = json!({"failed_percent": merged.failed_percent()});
        for name in ["sent", "lost", "refused", "unreachable"] {
            rest[name] = json!(merged.count(name));
        }
        row(&PAIR, key, rest)
    });
    answers.insert("The worst pairs by failed probes", failing.collect());

    let one: Vec<Value> = records
        .iter()
        .filter(|record| record["src_node"] == "n0" && record["dst_node"] == "n1")
        .cloned()
        .collect();
    let one = merge(&one, |record| {
        Ok(vec![fields(record, &["probe"])?.concat(), minute(record)?])
    })?;
    let one = one.iter().map(|(key, merged)| {
        let rest = json!({"sent": merged.count("sent"), "received": merged.count("received"), "lost": merged.count("lost"),
            "p50_ns": merged.at(500), "p99_ns": merged.at(990), "rtt_max_ns": merged.rtt_max_ns});
        row(&["probe", "minute"], key, rest)
    });
    answers.insert("One pair over time", one.collect());

    let mut last: BTreeMap<Key, u64> = BTreeMap::new();
    for record in records {
        let last = last.entry(fields(record, &PAIR)?).or_default();
        *last = number(record, "window_end_ms")?.max(*last);
    }
    let silent = last.iter().map(|(key, last)| {
        let last = format!("{}.{:03}", last / 1000, last % 1000);
        row(&PAIR, key, json!({"last": last, "width": 1}))
    });
    answers.insert("Silent pairs", silent.collect());
    Ok(answers)
}
