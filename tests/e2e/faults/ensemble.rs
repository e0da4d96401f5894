//! Agents on a ZooKeeper ensemble of three that loses its leader, a follower, all its processor time, and its way to an agent:
//! whatever happens to it, who is known is probed on, and afterwards everybody is registered once.

use crate::mesh::{MEMBERS, newest};
use distributed_trace_tests::agent::{Agent, by_pair, text, total};
use distributed_trace_tests::ensemble::Ensemble;
use distributed_trace_tests::error::{Context, Result};
use distributed_trace_tests::forward::forward;
use distributed_trace_tests::namespaces::{Lan, Namespace};
use distributed_trace_tests::ping::number;
use distributed_trace_tests::process::{DEADLINE, wait_until};
use distributed_trace_tests::znodes::Znodes;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::time::Duration;

/// Long enough for an election on a busy machine.
const SESSION: Duration = Duration::from_secs(6);

/// Each has three others: so many that those who vanish together are taken for a fault of the service.
const AGENTS: usize = 4;

/// The addresses of all members, in order.
fn registered(znodes: &Znodes) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (_, data) in znodes.children_data(MEMBERS)? {
        let member: Value = serde_json::from_slice(&data)?;
        found.push(text(&member, "My_address")?.to_owned());
    }
    found.sort();
    Ok(found)
}

struct Mesh {
    lan: Lan,
    agents: Vec<Agent>,
    ensemble: Ensemble,
    /// Of the next member that isn't there.
    strangers: usize,
}

impl Mesh {
    /// Agents without an ensemble.
    fn start() -> Result<Mesh> {
        let ensemble = Ensemble::stopped()?;
        let lan = Lan::new(AGENTS)?;
        let mut agents = Vec::new();
        for (i, node) in lan.nodes.iter().enumerate() {
            for address in ensemble.addresses() {
                forward(node, address.port())?;
            }
            let agent = Agent::builder(node, &format!("n{i}"), &Lan::address(i))?
                .env("SERVERS_ZK", &ensemble.connect_string())
                .env("CONN_TIMEOUT", &SESSION.as_secs().to_string())
                .args("--probe icmp,tcp --window 1s --interval 100ms --timeout 2s")
                .start()?;
            agents.push(agent);
        }
        Ok(Mesh {
            lan,
            agents,
            ensemble,
            strangers: 0,
        })
    }

    fn node(&self, i: usize) -> &Namespace {
        &self.lan.nodes[i]
    }

    /// The names of the peers that an agent probes.
    fn peers(&self, i: usize) -> Result<Vec<String>> {
        let (_, body) = self.agents[i].get(self.node(i), "/peers")?;
        let peers: Vec<Value> = serde_json::from_str(&body).during(body)?;
        peers.iter().map(|peer| Ok(text(peer, "node")?.to_owned())).collect()
    }

    /// Waits until the first `agents` are registered, each once, and hear of who comes: a member that nobody answers for.
    fn settle(&mut self, what: &str, agents: usize) -> Result {
        let mut wanted: Vec<_> = (0..agents).map(Lan::address).collect();
        wanted.sort();
        let servers = self.ensemble.connect_string();
        let mut seen = String::new();
        let once = wait_until("everybody to be registered once", DEADLINE, || {
            // Servers that are still at their election may let somebody in and drop him again.
            let found = Znodes::connect(&servers).and_then(|znodes| Ok((registered(&znodes)?, znodes)));
            seen = found
                .as_ref()
                .map_or_else(ToString::to_string, |(found, _)| format!("{found:?}"));
            Ok(found.ok().filter(|(found, _)| *found == wanted))
        });
        let (_, znodes) = once.during(format!("{what}: {seen}"))?;
        self.strangers += 1;
        let stranger = format!("10.8.9.{}:4000", self.strangers);
        let data = format!("{{\"My_address\":\"10.8.9.{}\",\"My_port\":4000}}", self.strangers);
        znodes.create(&format!("{MEMBERS}/stranger"), data.as_bytes())?;
        for here in [true, false] {
            for i in 0..agents {
                wait_until("news of the stranger", DEADLINE, || {
                    Ok((self.peers(i)?.contains(&stranger) == here).then_some(()))
                })
                .during(format!("{what}: n{i}"))?;
            }
            if here {
                znodes.delete(&format!("{MEMBERS}/stranger"))?;
            }
        }
        for i in 0..agents {
            let (agent, node) = (&self.agents[i], &self.lan.nodes[i]);
            agent.scrape(node)?;
        }
        Ok(())
    }
}

#[test]
fn an_ensemble_that_fails_in_any_way_stops_no_probe_and_loses_no_member() -> Result {
    let mut mesh = Mesh::start()?;
    // Nothing is there to register with; gRPC is answered, and nothing exits.
    for (i, agent) in mesh.agents.iter_mut().enumerate() {
        agent.wait_for("its HTTP", |_| Ok(Some(())))?;
        wait_until("/livez", DEADLINE, || {
            Ok(agent
                .get(&mesh.lan.nodes[i], "/livez")
                .ok()
                .filter(|(status, _)| *status == 200))
        })?;
    }
    mesh.ensemble.start_all()?;
    mesh.settle("started after the agents", AGENTS)?;

    let leader = mesh.ensemble.leader()?;
    mesh.ensemble.server(leader).kill()?;
    mesh.ensemble.leader()?;
    mesh.settle("the leader killed", AGENTS)?;
    mesh.ensemble.start_all()?;

    let follower = (mesh.ensemble.leader()? + 1) % 3;
    mesh.ensemble.server(follower).pause()?;
    mesh.settle("a follower paused", AGENTS)?;
    mesh.ensemble.server(follower).resume()?;

    mesh.ensemble.pause_all()?;
    std::thread::sleep(3 * SESSION);
    mesh.ensemble.resume_all()?;
    mesh.settle("all frozen for three session time-outs", AGENTS)?;

    // One agent is cut off from all servers. Its session ends, and the others stop probing it; it goes on.
    let ports: Vec<_> = mesh
        .ensemble
        .addresses()
        .iter()
        .map(|address| address.port().to_string())
        .collect();
    mesh.node(0)
        .on_output(&format!("tcp dport {{ {} }} drop", ports.join(", ")))?;
    wait_until("the others to drop it", DEADLINE, || {
        Ok((!mesh.peers(1)?.contains(&"n0".to_owned())).then_some(()))
    })?;
    let since = newest(&mesh.agents[0].records()?)?;
    mesh.agents[0].wait_for("windows of its own", |records| {
        Ok((newest(records)? > since + 2_000).then_some(()))
    })?;
    mesh.node(0).nft("flush ruleset")?;
    mesh.settle("a partition healed", AGENTS)?;

    // One is killed: whoever knows it counts its refusals until its session has ended.
    let Some(killed) = mesh.agents.pop() else { return Ok(()) };
    killed.process.signal(Signal::SIGKILL)?;
    wait_until("the others to drop the killed one", DEADLINE, || {
        let known = (0..AGENTS - 1)
            .map(|i| Ok::<_, distributed_trace_tests::error::LabError>(mesh.peers(i)?.contains(&"n3".to_owned())));
        let known = known.collect::<Result<Vec<_>>>()?;
        Ok((!known.contains(&true)).then_some(()))
    })?;
    mesh.settle("an agent killed", AGENTS - 1)?;

    for (i, agent) in mesh.agents.into_iter().enumerate() {
        let (finished, records) = agent.terminate()?;
        assert_eq!(finished.status.code(), Some(0), "{finished}");
        for ((peer, kind), records) in by_pair(&records)? {
            let said = format!("n{i} to {peer} by {kind}");
            let sum = |name| total(records.iter().copied(), name);
            match peer.as_str() {
                "n0" | "n1" | "n2" => {
                    let failed = [sum("lost")?, sum("refused")?, sum("unreachable")?, sum("send_error")?];
                    assert_eq!(failed, [0; 4], "{said}");
                }
                "n3" => assert_eq!(sum("refused")? > 0, kind == "tcp", "{said}: {records:?}"),
                stranger => assert!(stranger.starts_with("10.8.9."), "{said}"),
            }
            // The others had to drop n0 for a time; nobody else was dropped by anybody.
            if peer == "n0" || !peer.starts_with('n') {
                continue;
            }
            for two in records.windows(2) {
                let (before, after) = (number(two[0], "window_end_ms")?, number(two[1], "window_start_ms")?);
                assert_eq!(before, after, "{said}: probing stopped");
            }
            let idle = records
                .iter()
                .skip(1)
                .rev()
                .skip(1)
                .filter(|record| record["sent"] == 0);
            assert!(peer == "n3" || idle.count() == 0, "{said}: windows without a probe");
        }
    }
    Ok(())
}
