//! The kill switch: one node in ZooKeeper stops the probes of all agents within one interval, while they answer others.

use distributed_trace_tests::agent::{Agent, by_pair, total};
use distributed_trace_tests::capture::Capture;
use distributed_trace_tests::error::Result;
use distributed_trace_tests::forward::forward;
use distributed_trace_tests::namespaces::Lan;
use distributed_trace_tests::original::ping_once;
use distributed_trace_tests::ping::number;
use distributed_trace_tests::process::now_ms;
use distributed_trace_tests::wire::{Seen, see};
use distributed_trace_tests::znodes::Znodes;
use distributed_trace_tests::zookeeper::ZooKeeper;
use std::collections::BTreeMap;

const AGENTS: usize = 3;
const KINDS: usize = 3;
const SWITCH: &str = "/distributed_trace/control/probing";
/// Windows are twice as long, so each holds a probe of each pair and kind.
const INTERVAL_MS: u64 = 2_000;

/// Waits for two windows, one after the other, that began at `since` or later and whose records, one for each pair and kind,
/// all fulfil `condition`.
fn two_windows(agent: &mut Agent, since: u64, what: &str, condition: fn(u64) -> bool) -> Result {
    agent.wait_for(what, |records| {
        let mut windows: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for record in records {
            let start = number(record, "window_start_ms")?;
            if start >= since {
                windows.entry(start).or_default().push(number(record, "sent")?);
            }
        }
        let good: Vec<_> = windows
            .values()
            .map(|sent| sent.len() == (AGENTS - 1) * KINDS && sent.iter().all(|sent| condition(*sent)))
            .collect();
        Ok(good.windows(2).any(|two| two == [true, true]).then_some(()))
    })
}

#[test]
fn all_agents_stop_within_one_interval_and_answer_all_the_same() -> Result {
    let zookeeper = ZooKeeper::start()?;
    let lan = Lan::new(AGENTS + 1)?;
    let mut agents = Vec::new();
    for i in 0..AGENTS {
        let node = &lan.nodes[i];
        forward(node, zookeeper.address().port())?;
        let agent = Agent::builder(node, &format!("n{i}"), &Lan::address(i))?
            .env("SERVERS_ZK", &zookeeper.servers())
            .args("--probe icmp,tcp,grpc --interval 2s --timeout 1s --window 4s");
        agents.push(agent.start()?);
    }
    let started = now_ms()?;
    for agent in &mut agents {
        two_windows(agent, started, "probes of all pairs", |sent| sent > 0)?;
    }
    let captures: Vec<_> = lan.nodes[..AGENTS]
        .iter()
        .map(|node| Capture::start(node, "eth0"))
        .collect::<Result<_>>()?;
    let znodes = Znodes::connect(&zookeeper.servers())?;
    znodes.create_lasting(SWITCH, br#"{"enabled":false}"#)?;
    let off = now_ms()?;
    for agent in &mut agents {
        two_windows(agent, off + INTERVAL_MS, "two windows without a probe", |sent| {
            sent == 0
        })?;
    }
    let outsider = &lan.nodes[AGENTS];
    for (i, agent) in agents.iter().enumerate() {
        ping_once(outsider, &format!("{}:4000", Lan::address(i)))??;
        outsider.run("ping", &["-c", "1", "-W", "10", &Lan::address(i)])?;
        assert_eq!(agent.get(&lan.nodes[i], "/livez")?.0, 200);
        assert_eq!(agent.scrape(&lan.nodes[i])?.get("dt_probing_enabled")?, 0.0);
    }
    // What left each node after the switch was thrown: no more than one interval's probes.
    for (i, capture) in captures.into_iter().enumerate() {
        let frames = capture.stop()?;
        let late = |wanted: fn(&Seen) -> bool| {
            let after = frames
                .0
                .iter()
                .filter(|frame| frame.outgoing && frame.stamp_ns > off * 1_000_000);
            after.filter_map(|frame| see(&frame.bytes)).filter(wanted).count()
        };
        let requests = late(|seen| matches!(seen, Seen::Request(_)));
        let syns = late(|seen| matches!(seen, Seen::Syn(_)));
        assert!(
            requests < AGENTS && syns < AGENTS,
            "n{i} sent {requests} echo requests and {syns} SYNs after the switch was thrown"
        );
    }
    for agent in &agents {
        for ((peer, kind), records) in by_pair(&agent.records()?)? {
            let after = records
                .into_iter()
                .filter(|record| record["window_start_ms"].as_u64() >= Some(off));
            let sent = total(after, "sent")?;
            assert!(
                sent <= 1,
                "{sent} probes of {peer} by {kind} after the switch was thrown"
            );
        }
    }
    znodes.set(SWITCH, br#"{"enabled":true}"#)?;
    let on = now_ms()?;
    for agent in &mut agents {
        two_windows(agent, on, "probes of all pairs again", |sent| sent > 0)?;
    }
    for agent in agents {
        let (finished, _) = agent.terminate()?;
        assert_eq!(finished.status.code(), Some(0), "{finished}");
    }
    Ok(())
}
