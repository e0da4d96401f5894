//! Agents that are told to end, and agents that are killed.

use crate::alarm::alarms;
use crate::mesh::{Mesh, SESSION, end, newest, sum, untouched};
use distributed_trace_tests::agent::by_pair;
use distributed_trace_tests::error::{LabError, Result};
use distributed_trace_tests::forward::forward;
use distributed_trace_tests::kafka::{self, Kafka};
use distributed_trace_tests::loopback::SUMMARIES;
use distributed_trace_tests::ping::number;
use distributed_trace_tests::process::{DEADLINE, now_ms, wait_until};
use distributed_trace_tests::topic;
use distributed_trace_tests::transactions::{Transaction, What, transactions};
use distributed_trace_tests::znodes::Znodes;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeMap;

/// A node made just before something is done to an agent: a mark in ZooKeeper's own log.
const MARK: &str = "/mark";

/// By ZooKeeper's clock, from the mark to the first transaction that `is` it, in milliseconds.
fn since_mark(mesh: &Mesh, mark: &str, is: impl Fn(&What) -> bool) -> Result<i64> {
    let log = transactions(&mesh.zookeeper.transactions_folder())?;
    let after = log
        .iter()
        .skip_while(|made| made.what != What::Created(mark.to_owned()));
    let after: Vec<&Transaction> = after.collect();
    let found = after.iter().find(|made| is(&made.what));
    match (after.first(), found) {
        (Some(mark), Some(found)) => Ok(found.time_ms - mark.time_ms),
        _ => Err(LabError::new(format!("not in ZooKeeper's log: {log:?}"))),
    }
}

/// What was sent, by destination, kind and start of the window.
fn windows(records: &[Value]) -> Result<BTreeMap<(String, String, u64), u64>> {
    let mut windows = BTreeMap::new();
    for ((peer, kind), records) in by_pair(records)? {
        for record in records {
            let key = (peer.clone(), kind.clone(), number(record, "window_start_ms")?);
            *windows.entry(key).or_default() += number(record, "sent")?;
        }
    }
    Ok(windows)
}

#[test]
fn an_agent_told_to_end_is_gone_at_once_and_its_last_window_is_delivered() -> Result {
    let kafka = Kafka::start_with(&kafka::Options {
        auto_create_topics: false,
        ..kafka::Options::default()
    });
    let (_, port) = kafka.bootstrap().rsplit_once(':').unwrap_or_default();
    let port = port.parse()?;
    let mut mesh = Mesh::start_with(3, |_, node, builder| {
        forward(node, port)?;
        Ok(builder
            .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
            .args("--sink kafka"))
    })?;
    let entries = mesh.entries("n0")?;
    assert_eq!(entries.len(), 1, "{entries:?}");
    let znodes = Znodes::connect(&mesh.zookeeper.servers())?;
    znodes.create(MARK, b"")?;
    let leaver = mesh.agents.remove(0);
    let records = end(leaver)?;
    let gone = since_mark(&mesh, MARK, |what| *what == What::Deleted(entries[0].clone()))?;
    assert!((0..=2_000).contains(&gone), "gone after {gone} ms");
    let mut published = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for message in topic::read(kafka.bootstrap(), SUMMARIES)? {
        let value = message.json()?;
        if value["src_node"] == "n0" && seen.insert(message.headers.get("ce_id").cloned()) {
            published.push(value);
        }
    }
    assert_eq!(windows(&published)?, windows(&records)?);
    let last = newest(&records)?;
    let in_last = records.iter().filter(|record| record["window_end_ms"] == last);
    assert_eq!(in_last.count(), 6, "the last window has every pair: {records:?}");
    untouched("n0", &records, &[])?;
    // To the others it was nobody's loss.
    for (i, agent) in [1, 2].into_iter().zip(std::mem::take(&mut mesh.agents)) {
        agent.scrape(mesh.node(i))?;
        untouched(&format!("n{i}"), &end(agent)?, &[])?;
    }
    Ok(())
}

#[test]
fn a_killed_agent_is_counted_as_failing_until_its_session_ends_and_never_after() -> Result {
    let mut mesh = Mesh::start(4)?;
    let znodes = Znodes::connect(&mesh.zookeeper.servers())?;
    let mut dropped_at = BTreeMap::new();
    // n2's host answers on; n3 goes together with its host.
    for victim in [2, 3] {
        let name = format!("n{victim}");
        let entries = mesh.entries(&name)?;
        assert_eq!(entries.len(), 1, "{entries:?}");
        let mark = format!("{MARK}{victim}");
        znodes.create(&mark, b"")?;
        if victim == 3 {
            // Before the process: a kernel without it would refuse for as long as it can be reached.
            mesh.node(victim).ip("link set eth0 down")?;
        }
        mesh.agents[victim].process.signal(Signal::SIGKILL)?;
        mesh.wait_until_known(&[0, 1], &name, false)?;
        let ended = since_mark(&mesh, &mark, |what| match what {
            What::SessionEnded(nodes) => nodes.contains(&entries[0]),
            _ => false,
        })?;
        // The server looks once a tick of half a second, and rounds up to it; a busy machine needs some time to kill.
        let most = i64::try_from(SESSION.as_millis())? + 2_500;
        assert!(
            (0..=most).contains(&ended),
            "{name}: its session ended after {ended} ms"
        );
        for i in [0, 1] {
            dropped_at.insert((i, name.clone()), now_ms()?);
        }
    }
    for i in [0, 1] {
        mesh.wait_for_windows(i, 7)?;
    }
    mesh.scrape(&[0, 1])?;
    let lives: Vec<_> = mesh.agents.drain(..2).map(end).collect::<Result<_>>()?;
    let alarms = alarms(lives.iter().flatten())?;
    assert!(!alarms.is_empty(), "nobody would have heard of it");
    for (i, records) in lives.into_iter().enumerate() {
        untouched(&format!("n{i}"), &records, &["n2", "n3"])?;
        for ((peer, kind), records) in by_pair(&records)? {
            let Some(dropped) = dropped_at.get(&(i, peer.clone())) else {
                continue;
            };
            let said = format!("n{i} to {peer} by {kind}: {records:?}");
            let failed = sum(&records, "lost")? + sum(&records, "refused")? + sum(&records, "unreachable")?;
            match (peer.as_str(), kind.as_str()) {
                // The kernel of that host answers echo requests all the same.
                ("n2", "icmp") => assert_eq!(failed, 0, "{said}"),
                ("n2", _) => assert!(sum(&records, "refused")? > 0, "{said}"),
                _ => assert!(failed > 0 && sum(&records, "refused")? == 0, "{said}"),
            }
            // What was in flight is decided within its time-out.
            let after = records
                .iter()
                .filter(|record| record["window_start_ms"].as_u64() >= Some(dropped + 3_000));
            assert_eq!(after.count(), 0, "dropped by {dropped}: {said}");
        }
    }
    Ok(())
}

/// As a host does whose agent is restarted by its supervisor: for a while there are two entries of one name and place.
#[test]
fn an_agent_started_again_before_its_old_session_ends_is_one_member_and_measured_on() -> Result {
    let mut mesh = Mesh::start(3)?;
    let killed = mesh.agents.remove(0);
    killed.process.signal(Signal::SIGKILL)?;
    let before = killed.records()?;
    drop(killed);
    let again = distributed_trace_tests::agent::Agent::builder(
        mesh.node(0),
        "n0",
        &distributed_trace_tests::namespaces::Lan::address(0),
    )?
    .env("SERVERS_ZK", &mesh.zookeeper.servers())
    .env("CONN_TIMEOUT", &SESSION.as_secs().to_string())
    .args("--probe icmp,tcp,grpc --window 1s --interval 100ms --timeout 2s")
    .start()?;
    mesh.agents.insert(0, again);
    mesh.wait_for_answers()?;
    wait_until("one entry", DEADLINE, || {
        Ok((mesh.entries("n0")?.len() == 1).then_some(()))
    })?;
    let since = mesh.wait_for_windows(1, 4)?;
    mesh.scrape(&[0, 1, 2])?;
    let lives: Vec<_> = mesh.agents.drain(..).map(end).collect::<Result<_>>()?;
    assert_ne!(lives[0][0]["boot_id"], before[0]["boot_id"]);
    for (i, records) in lives.iter().enumerate() {
        untouched(&format!("n{i}"), records, &["n0"])?;
        for ((peer, kind), records) in by_pair(records)? {
            let late: Vec<_> = records
                .iter()
                .copied()
                .filter(|record| record["window_start_ms"].as_u64() >= Some(since))
                .collect();
            let failed = crate::mesh::failures(&late)?;
            assert_eq!(failed, [0; 4], "n{i} to {peer} by {kind}: {late:?}");
        }
    }
    Ok(())
}
