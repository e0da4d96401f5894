//! A broker that is killed for a minute under two agents: they probe on as if nothing were, and afterwards the topic holds each
//! probe that they sent, once.

use distributed_trace_tests::agent::{Agent, by_pair, text, total};
use distributed_trace_tests::error::{LabError, Result};
use distributed_trace_tests::forward::forward;
use distributed_trace_tests::kafka::{Kafka, Options};
use distributed_trace_tests::lock::take_turn;
use distributed_trace_tests::loopback::SUMMARIES;
use distributed_trace_tests::namespaces::Lan;
use distributed_trace_tests::ping::number;
use distributed_trace_tests::process::{DEADLINE, wait_until};
use distributed_trace_tests::topic;
use serde_json::Value;
use std::collections::BTreeMap;

const OUTAGE_MS: u64 = 60_000;
const COUNTS: [&str; 7] = [
    "sent",
    "received",
    "lost",
    "refused",
    "unreachable",
    "send_error",
    "skipped",
];

/// The records in the topic, repeats dropped as a consumer drops them.
fn in_topic(kafka: &Kafka) -> Result<Vec<Value>> {
    let mut records = BTreeMap::new();
    for record in topic::read(kafka.bootstrap(), SUMMARIES)? {
        let id = record.headers.get("ce_id").cloned();
        let id = id.ok_or_else(|| LabError::new("a record without ce_id"))?;
        records.insert(id, record.json()?);
    }
    Ok(records.into_values().collect())
}

fn newest(records: &[Value]) -> Result<u64> {
    let ends = records.iter().map(|record| number(record, "window_end_ms"));
    Ok(ends.collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or(0))
}

/// By source, destination and kind: the first and the last moment, and what the probes in between came to.
type Sums = BTreeMap<String, (u64, u64, Vec<u64>)>;

fn sums(records: &[Value]) -> Result<Sums> {
    let mut by_source: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for record in records {
        let source = text(record, "src_node")?.to_owned();
        by_source.entry(source).or_default().push(record.clone());
    }
    let mut sums = BTreeMap::new();
    for (source, records) in by_source {
        for ((destination, kind), records) in by_pair(&records)? {
            let bounds = |name| {
                let bounds = records.iter().map(|record| number(record, name));
                bounds.collect::<Result<Vec<_>>>()
            };
            let first = bounds("window_start_ms")?.into_iter().min().unwrap_or(0);
            let last = bounds("window_end_ms")?.into_iter().max().unwrap_or(0);
            let counts = COUNTS.map(|name| total(records.iter().copied(), name));
            let counts = counts.into_iter().collect::<Result<Vec<_>>>()?;
            sums.insert(format!("{source} {destination} {kind}"), (first, last, counts));
        }
    }
    Ok(sums)
}

#[test]
fn a_minute_without_a_broker_costs_no_probe_and_no_record() -> Result {
    let _turn = take_turn()?;
    let mut kafka = Kafka::start_with(&Options {
        auto_create_topics: false,
        ..Options::default()
    });
    let (_, port) = kafka.bootstrap().rsplit_once(':').unwrap_or_default();
    let port = port.parse()?;
    let lan = Lan::new(2)?;
    let mut agents = Vec::new();
    for (i, node) in lan.nodes.iter().enumerate() {
        forward(node, port)?;
        let builder = Agent::builder(node, &format!("n{i}"), &Lan::address(i))?;
        let peers = builder.directory().join("peers.toml");
        let other = 1 - i;
        std::fs::write(
            &peers,
            format!(
                "[[peer]]\nnode = \"n{other}\"\naddress = \"{}\"\nport = 4000\n",
                Lan::address(other)
            ),
        )?;
        let agent = builder
            .peers(&peers)
            .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
            .args("--sink kafka --probe icmp,tcp --window 1s --interval 100ms --timeout 1s")
            .start()?;
        agents.push(agent);
    }
    wait_until("records of both", DEADLINE, || {
        Ok((sums(&in_topic(&kafka)?)?.len() == 4).then_some(()))
    })?;

    kafka.kill();
    let killed = newest(&agents[0].records()?)?;
    for (agent, node) in agents.iter_mut().zip(&lan.nodes) {
        // The sums of its books come out right at any moment.
        agent.scrape(node)?;
        wait_until("a minute of windows", 2 * DEADLINE, || {
            Ok((newest(&agent.records()?)? >= killed + OUTAGE_MS).then_some(()))
        })?;
        let scrape = agent.scrape(node)?;
        assert_eq!(scrape.count("dt_sink_connected{sink=\"kafka\"}")?, 0);
        let trouble = scrape.count("dt_sink_trouble{sink=\"kafka\",reason=\"unreachable\"}")?;
        assert_eq!(trouble, 1);
        assert!(scrape.count("dt_sink_backlog_probes{sink=\"kafka\"}")? > 600);
    }
    kafka.start_again();
    wait_until("fresh windows", DEADLINE, || {
        Ok((newest(&in_topic(&kafka)?)? > killed + OUTAGE_MS).then_some(()))
    })?;

    let mut written = Vec::new();
    for agent in agents {
        let (finished, records) = agent.terminate()?;
        assert_eq!(finished.status.code(), Some(0), "{finished}");
        assert!(!finished.stderr.contains("records not published"), "{finished}");
        for ((peer, kind), records) in by_pair(&records)? {
            for two in records.windows(2) {
                let (before, after) = (number(two[0], "window_end_ms")?, number(two[1], "window_start_ms")?);
                assert_eq!(before, after, "to {peer} by {kind}: probing stopped");
            }
            // The first window and the last ones are not whole.
            let whole = records.len().saturating_sub(3);
            let inner = || records.iter().copied().skip(1).take(whole);
            let due = total(inner(), "sent")? + total(inner(), "skipped")?;
            // A window that a busy machine closed late is longer than the others.
            let ends = inner().next().zip(inner().next_back());
            let (first, last) = ends.ok_or_else(|| LabError::new("no whole window"))?;
            let wanted = (number(last, "window_end_ms")? - number(first, "window_start_ms")?) / 100;
            assert!(
                wanted > 600 && due.abs_diff(wanted) <= wanted / 50,
                "to {peer} by {kind}: {due} probes in {whole} windows"
            );
        }
        written.extend(records);
    }
    let (written, published) = (sums(&written)?, sums(&in_topic(&kafka)?)?);
    assert_eq!(written, published, "what the files say, and what the topic says");
    // Whoever ended first was missed by the other at most.
    let (_, _, counts) = &written["n0 n1 icmp"];
    assert_eq!(counts[2..6], [0; 4], "{written:?}");
    Ok(())
}
