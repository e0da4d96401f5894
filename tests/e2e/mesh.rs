//! The main job on real input: three agents and a stand-in for the Go original on one real ZooKeeper and one real Kafka,
//! read by tools that are not ours.

use distributed_trace_tests::agent::{Agent, text, total};
use distributed_trace_tests::error::{Context, LabError, Result};
use distributed_trace_tests::forward::forward;
use distributed_trace_tests::kafka::{self, Kafka};
use distributed_trace_tests::lock::take_turn;
use distributed_trace_tests::loopback::SUMMARIES;
use distributed_trace_tests::merged::COUNTS;
use distributed_trace_tests::namespaces::Lan;
use distributed_trace_tests::original::{Options, Original, ping_once};
use distributed_trace_tests::ping::number;
use distributed_trace_tests::process::{DEADLINE, Process, wait_for, wait_until};
use distributed_trace_tests::python;
use distributed_trace_tests::topic::{self, Record};
use distributed_trace_tests::znodes::Znodes;
use distributed_trace_tests::zookeeper::ZooKeeper;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const REPORTS: &str = "distributedTrace";
const MEMBERS: &str = "/distributed_trace/heart_beat_nodes";
const KINDS: [&str; 3] = ["icmp", "tcp", "grpc"];
const AGENTS: usize = 3;

/// Source, destination and probe kind.
type Pair = (String, String, String);

fn pair_of(record: &Value) -> Result<Pair> {
    let part = |name| Ok::<_, LabError>(text(record, name)?.to_owned());
    Ok((part("src_node")?, part("dst_node")?, part("probe")?))
}

/// All that must be measured: every agent to every other node, the original (named by its address) included.
fn all_pairs() -> BTreeSet<Pair> {
    let original = format!("{}:4000", Lan::address(AGENTS));
    let mut pairs = BTreeSet::new();
    for from in 0..AGENTS {
        let others = (0..AGENTS)
            .filter(|to| *to != from)
            .map(|to| format!("n{to}"))
            .chain([original.clone()]);
        for (to, kind) in others.flat_map(|to| KINDS.map(|kind| (to.clone(), kind.to_owned()))) {
            pairs.insert((format!("n{from}"), to, kind));
        }
    }
    pairs
}

/// The records of the summary topic, repeats dropped as a consumer drops them.
fn summaries(kafka: &Kafka) -> Result<Vec<(Record, Value)>> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for record in topic::read(kafka.bootstrap(), SUMMARIES)? {
        let id = record
            .headers
            .get("ce_id")
            .cloned()
            .ok_or_else(|| LabError::new("a record without ce_id"))?;
        if seen.insert(id) {
            let value = record.json()?;
            all.push((record, value));
        }
    }
    Ok(all)
}

/// Waits until `wanted` pairs have answered probes in records whose window begins at `after` or later.
fn wait_for_pairs(kafka: &Kafka, what: &str, wanted: &BTreeSet<Pair>, after: u64) -> Result<Vec<(Record, Value)>> {
    wait_until(what, 2 * DEADLINE, || {
        let records = summaries(kafka)?;
        let mut found = BTreeSet::new();
        for (_, value) in &records {
            if number(value, "received")? > 0 && number(value, "window_start_ms")? >= after {
                found.insert(pair_of(value)?);
            }
        }
        Ok(found.is_superset(wanted).then_some(records))
    })
}

#[test]
fn a_mixed_mesh_measures_itself_and_others_read_it() -> Result {
    let _turn = take_turn()?;
    let mut zookeeper = ZooKeeper::stopped()?;
    let mut kafka = Kafka::new_stopped(&kafka::Options {
        auto_create_topics: false,
        ..kafka::Options::default()
    });
    let (_, kafka_port) = kafka.bootstrap().rsplit_once(':').unwrap_or_default();
    let kafka_port = kafka_port.parse()?;
    let lan = Lan::new(AGENTS + 1)?;
    let mut agents = Vec::new();
    for (i, node) in lan.nodes.iter().enumerate() {
        forward(node, zookeeper.address().port())?;
        forward(node, kafka_port)?;
        if i < AGENTS {
            let agent = Agent::builder(node, &format!("n{i}"), &Lan::address(i))?
                .env("SERVERS_ZK", &zookeeper.servers())
                .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
                .args("--sink kafka --window 2s --interval 200ms --timeout 1s --grpc-interval 500ms")
                .start()?;
            agents.push(agent);
        }
    }

    // Neither service is there yet: gRPC answers, nothing exits.
    for (i, agent) in agents.iter_mut().enumerate() {
        wait_for("gRPC", || {
            Ok(ping_once(&lan.nodes[AGENTS], &format!("{}:4000", Lan::address(i)))?.ok())
        })?;
        assert_eq!(agent.get(&lan.nodes[i], "/livez")?.0, 200);
        assert_ne!(agent.get(&lan.nodes[i], "/readyz")?.0, 200, "nothing is registered yet");
        assert_eq!(agent.process.ended()?, None, "{}", agent.process.stderr()?);
    }
    zookeeper.restart()?;
    kafka.start_again();
    let original = Original::start(
        &lan.nodes[AGENTS],
        Options {
            address: format!("{}:4000", Lan::address(AGENTS)).parse()?,
            zookeeper: zookeeper.servers(),
            kafka: kafka.bootstrap().to_owned(),
            path: MEMBERS.to_owned(),
            topic: REPORTS.to_owned(),
            poll_interval: Duration::from_secs(2),
        },
    )?;
    let wanted = all_pairs();
    let records = wait_for_pairs(&kafka, "answers of all ordered pairs by all kinds", &wanted, 0)?;
    check_messages(&records)?;
    check_histograms(&records)?;
    for (i, agent) in agents.iter().enumerate() {
        wait_for("readiness", || {
            Ok((agent.get(&lan.nodes[i], "/readyz")?.0 == 200).then_some(()))
        })?;
    }
    check_reports(&kafka)?;
    others_read(&kafka)?;
    check_members(&zookeeper)?;

    // A broker that is killed and comes back, while windows go by.
    kafka.kill();
    let newest = |records: &[(Record, Value)]| -> Result<u64> {
        records
            .iter()
            .map(|(_, value)| number(value, "window_start_ms"))
            .try_fold(0, |max, start| Ok(max.max(start?)))
    };
    let before = newest(&records)?;
    agents[0].wait_for("windows without a broker", |records| {
        let newest = newest_of_file(records)?;
        Ok((newest >= before + 10_000).then_some(()))
    })?;
    kafka.start_again();
    let records = wait_for_pairs(
        &kafka,
        "fresh windows after the broker's return",
        &wanted,
        before + 12_000,
    )?;
    assert_eq!(original.state().death, None);
    assert_eq!(
        original.state().answered.iter().collect::<BTreeSet<_>>().len(),
        AGENTS + 1,
        "{:?}",
        original.state()
    );
    drop(records);

    // One leaves: its member node is gone before it is, and the others stop measuring it.
    let znodes = Znodes::connect(&zookeeper.servers())?;
    let mut files = Vec::new();
    let leaver = agents.remove(0);
    let (finished, file) = leaver.terminate()?;
    let members = znodes.children(MEMBERS)?;
    assert_eq!(finished.status.code(), Some(0), "{finished}");
    assert_eq!(members.len(), AGENTS, "the leaver is gone at once: {members:?}");
    assert!(
        !members
            .iter()
            .any(|name| name.contains(&format!("{}:4000", Lan::address(0)))),
        "{members:?}"
    );
    let left = newest_of_file(&file)?;
    files.push(file);
    agents[0].wait_for("windows without the leaver", |records| {
        let newest = newest_of_file(records)?;
        let of_newest = records
            .iter()
            .filter(|record| record["window_start_ms"] == json!(newest));
        let still = of_newest.filter(|record| record["dst_node"] == "n0").count();
        Ok((newest > left + 4000 && still == 0).then_some(()))
    })?;
    for agent in agents {
        let (finished, file) = agent.terminate()?;
        assert_eq!(finished.status.code(), Some(0), "{finished}");
        files.push(file);
    }
    assert_eq!(original.state().death, None);

    // Not one sample is lost on the way, through an outage and all: both sinks of each agent hold the same sums.
    let records: Vec<_> = summaries(&kafka)?.into_iter().map(|(_, value)| value).collect();
    check_sequence(&records)?;
    let by_file = sums(files.iter().flatten())?;
    let by_kafka = sums(&records)?;
    assert_eq!(by_file.keys().collect::<Vec<_>>(), by_kafka.keys().collect::<Vec<_>>());
    for (pair, sum) in &by_file {
        assert_eq!(
            Some(sum),
            by_kafka.get(pair),
            "{pair:?}: what the file says, what Kafka says"
        );
    }
    Ok(())
}

fn newest_of_file(records: &[Value]) -> Result<u64> {
    records
        .iter()
        .map(|record| number(record, "window_start_ms"))
        .try_fold(0, |max, start| Ok(max.max(start?)))
}

/// The counts of each pair over all its records.
fn sums<'a>(records: impl IntoIterator<Item = &'a Value>) -> Result<BTreeMap<Pair, Vec<u64>>> {
    let mut pairs: BTreeMap<Pair, Vec<&Value>> = BTreeMap::new();
    for record in records {
        pairs.entry(pair_of(record)?).or_default().push(record);
    }
    pairs
        .into_iter()
        .map(|(pair, records)| {
            let counts = COUNTS
                .iter()
                .map(|name| total(records.iter().copied(), name))
                .collect::<Result<Vec<_>>>()?;
            let samples: u64 = records
                .iter()
                .flat_map(|record| record["bucket_count"].as_array())
                .flatten()
                .filter_map(Value::as_u64)
                .sum();
            Ok((pair, counts.into_iter().chain([samples]).collect()))
        })
        .collect()
}

/// Keys, headers and partitions.
fn check_messages(records: &[(Record, Value)]) -> Result {
    let mut partitions: BTreeMap<&str, i32> = BTreeMap::new();
    for (record, value) in records {
        let (source, destination, kind) = pair_of(value)?;
        let key = record.key.as_deref().unwrap_or_default();
        assert_eq!(key, format!("{source}|{destination}|{kind}"));
        let partition = partitions.entry(key).or_insert(record.partition);
        assert_eq!(*partition, record.partition, "{key} stays in one partition");
        assert!((0..12).contains(&record.partition), "{}", record.partition);
        for (name, wanted) in [
            ("content-type", "json"),
            ("ce_specversion", "1.0"),
            ("ce_type", ""),
            ("ce_source", ""),
        ] {
            let header = record
                .headers
                .get(name)
                .ok_or_else(|| LabError::new(format!("no header {name}")))?;
            assert!(header.contains(wanted), "{name}: {header}");
        }
    }
    Ok(())
}

/// `seq` of each life of an agent counts from 1 without gaps.
fn check_sequence(records: &[Value]) -> Result {
    let mut lives: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for record in records {
        lives
            .entry(text(record, "boot_id")?)
            .or_default()
            .insert(number(record, "seq")?);
    }
    assert_eq!(lives.len(), AGENTS);
    for (life, numbers) in lives {
        assert_eq!(numbers.first(), Some(&1), "{life}");
        assert_eq!(numbers.last(), Some(&(numbers.len() as u64)), "{life}: no gaps");
    }
    Ok(())
}

/// A decoder that is not ours finds the same counts and the same percentiles.
fn check_histograms(records: &[(Record, Value)]) -> Result {
    let with: Vec<_> = records
        .iter()
        .map(|(_, value)| value)
        .filter(|value| value["hdr"] != "")
        .collect();
    let texts = with
        .iter()
        .map(|value| text(value, "hdr"))
        .collect::<Result<Vec<_>>>()?;
    for (decoded, value) in python::decode(&texts)?.into_iter().zip(with) {
        assert_eq!(decoded.count, number(value, "received")?, "{value}");
        for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
            assert_eq!(
                decoded.nearest_rank(q),
                Some(number(value, &format!("rtt_{name}_ns"))?),
                "{name}: {value}"
            );
        }
    }
    Ok(())
}

/// TraceReports of every ordered pair, in the original's form, from agents and the original alike.
fn check_reports(kafka: &Kafka) -> Result {
    let address = |i| format!("{}:4000", Lan::address(i));
    wait_for("a report of each pair", || {
        let mut found = BTreeSet::new();
        for record in topic::read(kafka.bootstrap(), REPORTS)? {
            let report = record.json()?;
            assert!(record.key.is_none() && record.headers.is_empty(), "{record:?}");
            let known = ["fromHostAddr", "toHostAddr", "responseTiming", "isTransmissionSuccess"];
            let keys: BTreeSet<_> = report
                .as_object()
                .into_iter()
                .flat_map(|object| object.keys())
                .collect();
            assert!(keys.iter().all(|key| known.contains(&key.as_str())), "{report}");
            if report["isTransmissionSuccess"] == true {
                found.insert((
                    text(&report, "fromHostAddr")?.to_owned(),
                    text(&report, "toHostAddr")?.to_owned(),
                ));
            }
        }
        let wanted = (0..=AGENTS)
            .flat_map(|from| (0..=AGENTS).map(move |to| (from, to)))
            .filter(|(from, to)| from != to);
        Ok(wanted
            .map(|(from, to)| (address(from), address(to)))
            .all(|pair| found.contains(&pair))
            .then_some(()))
    })
}

/// kcat and Kafka's own console consumer see every record that was there before they were started.
fn others_read(kafka: &Kafka) -> Result {
    let there = topic::read(kafka.bootstrap(), SUMMARIES)?.len();
    assert!(there > 0);
    let mut kcat = std::process::Command::new("kcat");
    kcat.args([
        "-b",
        kafka.bootstrap(),
        "-t",
        SUMMARIES,
        "-C",
        "-e",
        "-q",
        "-o",
        "beginning",
        "-f",
        "%k\\t%s\\n",
    ]);
    let read = Process::run("kcat", &mut kcat)
        .during("is the package kcat installed?")?
        .expect_code(0)?;
    check_lines("kcat", &read.stdout, there)?;

    let mut java = kafka.java(&["-Xmx128m"]);
    java.args([
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        "--bootstrap-server",
        kafka.bootstrap(),
    ])
    .args([
        "--topic",
        SUMMARIES,
        "--from-beginning",
        "--max-messages",
        &there.to_string(),
    ])
    .args(["--property", "print.key=true"]);
    let read = Process::run("the console consumer", &mut java)?.expect_code(0)?;
    check_lines("the console consumer", &read.stdout, there)
}

fn check_lines(reader: &str, text: &str, at_least: usize) -> Result {
    let mut lines = 0;
    for line in text.lines() {
        let (key, value) = line
            .split_once('\t')
            .ok_or_else(|| LabError::new(format!("{reader}: {line}")))?;
        let value: Value = serde_json::from_str(value).during(format!("{reader}: {line}"))?;
        let (source, destination, kind) = pair_of(&value)?;
        assert_eq!(key, format!("{source}|{destination}|{kind}"), "{reader}");
        lines += 1;
    }
    assert!(lines >= at_least, "{reader} read {lines} of {at_least} records");
    Ok(())
}

/// What is registered can be read by the original, and names it by nothing but the data.
fn check_members(zookeeper: &ZooKeeper) -> Result {
    let members = Znodes::connect(&zookeeper.servers())?.children_data(MEMBERS)?;
    assert_eq!(members.len(), AGENTS + 1);
    for (name, data) in members {
        let member: Value = serde_json::from_slice(&data).during(format!("the data of {name}"))?;
        let address = text(&member, "My_address")?;
        assert!((0..=AGENTS).any(|i| Lan::address(i) == address), "{member}");
        assert_eq!(number(&member, "My_port")?, 4000);
        assert!(
            member["Poll_timeout"].is_u64() && member["Poll_interval"].is_u64(),
            "{member}"
        );
        let sequence = name.strip_prefix("_c_").and_then(|rest| rest.strip_prefix(&rest[..32]));
        assert!(
            sequence.is_some_and(|rest| rest.starts_with(&format!("-{address}:4000"))),
            "{name}"
        );
    }
    Ok(())
}
