//! Agents on one ZooKeeper, each on a host of its own, and what must hold of their records whatever happens to one of them.

use distributed_trace_tests::agent::{Agent, Builder, by_pair, text, total};
use distributed_trace_tests::error::{Context, LabError, Result};
use distributed_trace_tests::fail;
use distributed_trace_tests::forward::forward;
use distributed_trace_tests::namespaces::{Lan, Namespace};
use distributed_trace_tests::ping::number;
use distributed_trace_tests::process::{DEADLINE, wait_until};
use distributed_trace_tests::znodes::Znodes;
use distributed_trace_tests::zookeeper::ZooKeeper;
use serde_json::Value;
use std::time::Duration;

pub(crate) const MEMBERS: &str = "/distributed_trace/heart_beat_nodes";
pub(crate) const KINDS: usize = 3;
/// The shortest that the servers of the lab are sure to notice in time on a busy machine.
pub(crate) const SESSION: Duration = Duration::from_secs(3);
const FAILURES: [&str; 4] = ["lost", "refused", "unreachable", "send_error"];

pub(crate) struct Mesh {
    pub(crate) zookeeper: ZooKeeper,
    pub(crate) lan: Lan,
    pub(crate) agents: Vec<Agent>,
}

/// The end of the latest window that an agent has recorded.
pub(crate) fn newest(records: &[Value]) -> Result<u64> {
    let ends = records.iter().map(|record| number(record, "window_end_ms"));
    Ok(ends.collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or(0))
}

/// Waits for records, of windows after those there are now, in which so many others answered by every kind.
pub(crate) fn wait_for_answers(agent: &mut Agent, others: usize) -> Result {
    let since = newest(&agent.records()?)?;
    agent.wait_for("answers of all", |records| {
        let fresh: Vec<_> = records
            .iter()
            .filter(|record| record["window_start_ms"].as_u64() >= Some(since) && record["received"].as_u64() > Some(0))
            .cloned()
            .collect();
        Ok((by_pair(&fresh)?.len() == others * KINDS).then_some(()))
    })
}

impl Mesh {
    /// `count` agents that have all measured each other.
    pub(crate) fn start(count: usize) -> Result<Mesh> {
        Mesh::start_with(count, |_, _, builder| Ok(builder))
    }

    /// As [`Mesh::start`], each agent prepared further by its number and host.
    pub(crate) fn start_with(
        count: usize,
        prepare: impl Fn(usize, &Namespace, Builder) -> Result<Builder>,
    ) -> Result<Mesh> {
        let zookeeper = ZooKeeper::start()?;
        let lan = Lan::new(count)?;
        let mut agents = Vec::new();
        for (i, node) in lan.nodes.iter().enumerate() {
            forward(node, zookeeper.address().port())?;
            let builder = Agent::builder(node, &format!("n{i}"), &Lan::address(i))?
                .env("SERVERS_ZK", &zookeeper.servers())
                .env("CONN_TIMEOUT", &SESSION.as_secs().to_string())
                .args("--probe icmp,tcp,grpc --window 1s --interval 100ms --timeout 2s");
            agents.push(prepare(i, node, builder)?.start()?);
        }
        let mut mesh = Mesh { zookeeper, lan, agents };
        mesh.wait_for_answers()?;
        Ok(mesh)
    }

    /// Waits until all measure all others.
    pub(crate) fn wait_for_answers(&mut self) -> Result {
        let others = self.agents.len() - 1;
        self.agents
            .iter_mut()
            .try_for_each(|agent| wait_for_answers(agent, others))
    }

    pub(crate) fn node(&self, i: usize) -> &Namespace {
        &self.lan.nodes[i]
    }

    /// The names of the peers that an agent probes.
    pub(crate) fn peers(&self, i: usize) -> Result<Vec<String>> {
        let (_, body) = self.agents[i].get(self.node(i), "/peers")?;
        let peers: Vec<Value> = serde_json::from_str(&body).during(body)?;
        peers.iter().map(|peer| Ok(text(peer, "node")?.to_owned())).collect()
    }

    /// Waits until these agents probe `peer` no more, or probe it.
    pub(crate) fn wait_until_known(&self, agents: &[usize], peer: &str, known: bool) -> Result {
        for i in agents {
            wait_until("news of a peer", DEADLINE, || {
                Ok((self.peers(*i)?.iter().any(|name| name == peer) == known).then_some(()))
            })
            .during(format!("n{i} of {peer}"))?;
        }
        Ok(())
    }

    /// The path of each entry of this node in ZooKeeper.
    pub(crate) fn entries(&self, node: &str) -> Result<Vec<String>> {
        let znodes = Znodes::connect(&self.zookeeper.servers())?;
        let mut found = Vec::new();
        for (name, data) in znodes.children_data(MEMBERS)? {
            let member: Value = serde_json::from_slice(&data)?;
            if member["node"] == node {
                found.push(format!("{MEMBERS}/{name}"));
            }
        }
        Ok(found)
    }

    /// Waits until an agent has closed so many windows more.
    pub(crate) fn wait_for_windows(&mut self, i: usize, windows: u64) -> Result<u64> {
        let since = newest(&self.agents[i].records()?)?;
        self.agents[i].wait_for("more windows", |records| {
            let now = newest(records)?;
            Ok((now >= since + windows * 1_000).then_some(now))
        })
    }

    /// The books of these agents balance at this moment.
    pub(crate) fn scrape(&self, agents: &[usize]) -> Result {
        for i in agents {
            self.agents[*i].scrape(self.node(*i)).during(format!("n{i}"))?;
        }
        Ok(())
    }
}

/// The sum of a count over records, for those of one pair and kind as [`by_pair`] gives them.
pub(crate) fn sum(records: &[&Value], name: &str) -> Result<u64> {
    total(records.iter().copied(), name)
}

/// What failed, by fate.
pub(crate) fn failures(records: &[&Value]) -> Result<[u64; 4]> {
    let mut failed = [0; 4];
    for (count, name) in failed.iter_mut().zip(FAILURES) {
        *count = sum(records, name)?;
    }
    Ok(failed)
}

/// Whoever isn't concerned measured on as if nothing were: between the agents that are not in `concerned`, nothing failed,
/// no window is missing and none is without a probe but for the first and the last.
pub(crate) fn untouched(agent: &str, records: &[Value], concerned: &[&str]) -> Result {
    if concerned.contains(&agent) {
        return Ok(());
    }
    for ((peer, kind), records) in by_pair(records)? {
        let said = format!("{agent} to {peer} by {kind}");
        if concerned.contains(&peer.as_str()) {
            continue;
        }
        if failures(&records)? != [0; 4] {
            fail!("{said}: {FAILURES:?} are {:?}", failures(&records)?);
        }
        for two in records.windows(2) {
            let (before, after) = (number(two[0], "window_end_ms")?, number(two[1], "window_start_ms")?);
            if before != after {
                fail!("{said}: a window ended at {before}, the next began at {after}");
            }
        }
        let inner = records.len().saturating_sub(1);
        let mut inner = records.iter().take(inner).skip(1);
        if let Some(idle) = inner.find(|record| record["sent"] == 0) {
            fail!("{said}: a window without a probe: {idle}");
        }
    }
    Ok(())
}

/// Ends an agent; its records, if it ended well.
pub(crate) fn end(agent: Agent) -> Result<Vec<Value>> {
    let (finished, records) = agent.terminate()?;
    if finished.status.code() != Some(0) {
        return Err(LabError::new(format!("{finished}")));
    }
    Ok(records)
}
