//! A host whose wall clock is set by an hour, ahead and back.

use crate::mesh::{Mesh, end, failures, newest, sum, untouched};
use distributed_trace_tests::agent::by_pair;
use distributed_trace_tests::clock::{Clock, Step};
use distributed_trace_tests::error::{Context, Result};
use distributed_trace_tests::forward::forward;
use distributed_trace_tests::kafka::{self, Kafka};
use distributed_trace_tests::lock::take_turn;
use distributed_trace_tests::loopback::SUMMARIES;
use distributed_trace_tests::ping::number;
use distributed_trace_tests::process::{DEADLINE, wait_until};
use distributed_trace_tests::topic;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// More than the hour that a broker lets a message be ahead of its own clock.
const HOUR: Duration = Duration::from_secs(3_660);

/// Probes by destination, kind and window, of records read once.
fn sent(records: &[Value]) -> Result<BTreeMap<(String, String), u64>> {
    let pairs = by_pair(records)?;
    pairs
        .into_iter()
        .map(|(pair, records)| Ok((pair, sum(&records, "sent")?)))
        .collect()
}

/// What n0 has published, repeats dropped.
fn published(kafka: &Kafka) -> Result<Vec<Value>> {
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    for message in topic::read(kafka.bootstrap(), SUMMARIES)? {
        let value = message.json()?;
        if value["src_node"] == "n0" && seen.insert(message.headers.get("ce_id").cloned()) {
            all.push(value);
        }
    }
    Ok(all)
}

#[test]
fn a_clock_set_by_an_hour_either_way_costs_no_sample_and_invents_no_delay() -> Result {
    let _turn = take_turn()?;
    let kafka = Kafka::start_with(&kafka::Options {
        auto_create_topics: false,
        ..kafka::Options::default()
    });
    let (_, port) = kafka.bootstrap().rsplit_once(':').unwrap_or_default();
    let port = port.parse()?;
    let clock = Clock::new()?;
    let mut mesh = Mesh::start_with(3, |i, node, builder| {
        forward(node, port)?;
        let builder = builder
            .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
            .args("--sink kafka");
        Ok(if i == 0 { clock.give_to(builder) } else { builder })
    })?;
    let mut stepped = 0.0;
    let at_first = newest(&mesh.agents[0].records()?)?;
    for step in [
        Step::Ahead(HOUR),
        Step::Ahead(Duration::ZERO),
        Step::Behind(HOUR),
        Step::Behind(Duration::ZERO),
    ] {
        clock.step(step)?;
        stepped += 1.0;
        wait_until("the step to be seen", DEADLINE, || {
            let steps = mesh.agents[0].scrape(mesh.node(0))?.get("dt_clock_steps_total")?;
            Ok((steps >= stepped).then_some(()))
        })?;
        // Five windows more, whatever they are called, reach Kafka while the clock shows that.
        let before = published(&kafka)?.len();
        let waited = mesh.agents[0].process.wait_for("records in Kafka", |_| {
            Ok((published(&kafka)?.len() >= before + 5 * 6).then_some(()))
        });
        waited.during(format!("{step:?}"))?;
        mesh.scrape(&[0, 1, 2])?;
    }
    let mut agents = mesh.agents.drain(..);
    let Some(stepping) = agents.next() else { return Ok(()) };
    let records = end(stepping)?;
    for (i, agent) in [1, 2].into_iter().zip(agents) {
        untouched(&format!("n{i}"), &end(agent)?, &[])?;
    }
    assert_eq!(sent(&published(&kafka)?)?, sent(&records)?);
    let starts: BTreeSet<_> = records.iter().filter_map(|r| r["window_start_ms"].as_u64()).collect();
    let hour = u64::try_from(HOUR.as_millis())?;
    let near = |of: u64| starts.iter().filter(|start| start.abs_diff(of) < 600_000).count();
    for of in [at_first, at_first + hour, at_first - hour] {
        assert!(near(of) >= 3, "windows around {of}: {starts:?}");
    }
    for record in &records {
        let (start, end) = (number(record, "window_start_ms")?, number(record, "window_end_ms")?);
        // A window during which the clock was set is as long as it was to be.
        assert!(
            start % 1_000 == 0 && end % 1_000 == 0 && end - start <= 10_000,
            "{record}"
        );
        for time in ["rtt_max_ns", "host_delay_max_ns"] {
            assert!(record[time].as_u64().unwrap_or(0) < 1_000_000_000, "{time}: {record}");
        }
    }
    for (pair, records) in by_pair(&records)? {
        assert_eq!(failures(&records)?, [0; 4], "{pair:?}: {records:?}");
    }
    Ok(())
}
