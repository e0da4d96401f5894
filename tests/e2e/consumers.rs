//! Every example of docs/consumers.md, run as it stands against a real Kafka that holds records of real agents: those that
//! merge histograms find what the records' buckets say.

use distributed_trace_tests::error::{Context, LabError, Result};
use distributed_trace_tests::kafka::Kafka;
use distributed_trace_tests::loopback::{Mesh, SUMMARIES};
use distributed_trace_tests::ping::number;
use distributed_trace_tests::process::{Process, dt};
use distributed_trace_tests::topic;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const GUIDE: &str = include_str!("../../docs/consumers.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A repeat, a message that is none of ours, and a tombstone.
fn disturb(kafka: &Kafka) -> Result {
    let records = topic::read(kafka.bootstrap(), SUMMARIES)?;
    let received = |record: &topic::Record| Ok::<_, LabError>(number(&record.json()?, "received")? > 0);
    let mut repeated = None;
    for record in &records {
        if received(record)? {
            repeated = Some(record);
        }
    }
    let repeated = repeated.ok_or_else(|| LabError::new("no record with answers"))?;
    let foreign = topic::Record {
        key: Some("x".to_owned()),
        headers: BTreeMap::new(),
        value: br#"{"hello": 1}"#.to_vec(),
        ..repeated.clone()
    };
    let tombstone = topic::Record {
        headers: BTreeMap::new(),
        value: Vec::new(),
        ..repeated.clone()
    };
    topic::write(kafka.bootstrap(), SUMMARIES, &[repeated.clone(), foreign, tombstone])?;
    let after = topic::read(kafka.bootstrap(), SUMMARIES)?.len();
    assert_eq!(after, records.len() + 3);
    Ok(())
}

/// What the records say, merged by their buckets: a line for each pair and kind, as the examples print them.
fn expected(kafka: &Kafka) -> Result<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut pairs: BTreeMap<String, BTreeMap<u64, u64>> = BTreeMap::new();
    for record in topic::read(kafka.bootstrap(), SUMMARIES)? {
        let Some(id) = record.headers.get("ce_id") else {
            continue;
        };
        if record.value.is_empty() || !seen.insert(id.clone()) {
            continue;
        }
        let value = record.json()?;
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let pair = format!("{} -> {} {}", text("src_node"), text("dst_node"), text("probe"));
        let numbers = |name: &str| -> Vec<u64> {
            let array = value[name].as_array();
            array.into_iter().flatten().filter_map(Value::as_u64).collect()
        };
        let buckets = pairs.entry(pair).or_default();
        for (ns, count) in numbers("bucket_ns").into_iter().zip(numbers("bucket_count")) {
            *buckets.entry(ns).or_default() += count;
        }
    }
    let line = |(pair, buckets): (&String, &BTreeMap<u64, u64>)| {
        let samples: u64 = buckets.values().sum();
        let at = |percent: u64| {
            let rank = (percent * samples).div_ceil(100);
            let mut seen = 0;
            buckets.iter().find_map(|(ns, count)| {
                seen += count;
                (seen >= rank).then_some(*ns)
            })
        };
        let (p50, p99) = (at(50).unwrap_or(0), at(99).unwrap_or(0));
        format!("{pair} n={samples} p50={p50} p99={p99}")
    };
    Ok(pairs.iter().map(line).collect())
}

/// The shell examples of the guide, each with the heading above it.
fn examples() -> Vec<(&'static str, String)> {
    let mut heading = "";
    let mut found = Vec::new();
    let mut lines = GUIDE.lines();
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("## ") {
            heading = text;
        } else if line == "```sh" {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            found.push((heading, block.join("\n")));
        }
    }
    found
}

fn run(heading: &str, example: &str, kafka: &Kafka) -> Result<String> {
    let cache = match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"),
    };
    let beside = dt()?.parent().map(Path::to_owned).unwrap_or_default();
    let mut path = vec![beside, cache.join("distributed-trace/python/bin")];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    // Where Go's own installer puts it.
    path.push("/usr/local/go/bin".into());
    let mut shell = Command::new("bash");
    shell
        .args(["-euc", &example.replace("127.0.0.1:9092", kafka.bootstrap())])
        .current_dir(root())
        .env("PATH", std::env::join_paths(path)?);
    let ran = Process::spawn(heading, &mut shell)?.finish_within(Duration::from_secs(300))?;
    Ok(ran
        .expect_code(0)
        .during("scripts/test --install installs what the examples need")?
        .stdout)
}

#[test]
fn every_example_reads_what_the_agents_wrote() -> Result {
    let kafka = Kafka::start();
    let mesh = Mesh::start(&kafka, &["z1", "z2"], "")?;
    // Two ways, three kinds.
    mesh.wait_for(&kafka, 6, "received")?;
    let (ours, others): (Vec<_>, Vec<_>) = examples().into_iter().partition(|(heading, _)| *heading == "dt");
    for (heading, example) in ours {
        // It ends when it has something to say that nobody reads: while more comes.
        let printed = run(heading, &example, &kafka)?;
        assert_eq!(printed.lines().count(), 3, "{printed}");
    }
    mesh.end()?;

    disturb(&kafka)?;
    let expected = expected(&kafka)?;
    assert_eq!(expected.len(), 6, "{expected:?}");
    let there = topic::read(kafka.bootstrap(), SUMMARIES)?.len();

    let mut merging = Vec::new();
    for (heading, example) in others {
        let printed = run(heading, &example, &kafka)?;
        let lines: Vec<&str> = printed.lines().filter(|line| !line.is_empty()).collect();
        match heading {
            // The last one finds nothing lost here; the first two print every message, the tombstone as an empty line.
            "kcat" => assert!(
                lines.len() > 2 * (there - 1),
                "{} lines of {there} messages",
                lines.len()
            ),
            // Besides, it complains about its time-out.
            "Kafka's console consumer" => {
                let messages = lines.iter().filter(|line| line.contains('\t')).count();
                assert_eq!(messages, there, "{printed}");
            }
            merges => {
                assert_eq!(lines, expected, "{merges}");
                merging.push(merges);
            }
        }
    }
    assert_eq!(merging, ["Python", "Java", "Go", "Without a library"]);
    Ok(())
}
