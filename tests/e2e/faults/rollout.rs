//! Roll-outs: agents that leave, are restarted, and come back are nobody's loss.

use crate::alarm::alarms;
use crate::mesh::wait_for_answers;
use distributed_trace_tests::agent::{Agent, by_pair, total};
use distributed_trace_tests::error::Result;
use distributed_trace_tests::forward::forward;
use distributed_trace_tests::namespaces::Lan;
use distributed_trace_tests::zookeeper::ZooKeeper;
use nix::sys::signal::Signal;

const AGENTS: usize = 3;

fn start(zookeeper: &ZooKeeper, lan: &Lan, i: usize) -> Result<Agent> {
    Agent::builder(&lan.nodes[i], &format!("n{i}"), &Lan::address(i))?
        .env("SERVERS_ZK", &zookeeper.servers())
        .args("--probe icmp,tcp,grpc --window 1s --interval 100ms --timeout 2s")
        .start()
}

fn wait_for_all(agents: &mut [Agent]) -> Result {
    agents
        .iter_mut()
        .try_for_each(|agent| wait_for_answers(agent, AGENTS - 1))
}

#[test]
fn a_restart_of_all_agents_one_by_one_is_nobodys_loss() -> Result {
    let zookeeper = ZooKeeper::start()?;
    let lan = Lan::new(AGENTS)?;
    let mut agents = Vec::new();
    for (i, node) in lan.nodes.iter().enumerate() {
        forward(node, zookeeper.address().port())?;
        agents.push(start(&zookeeper, &lan, i)?);
    }
    wait_for_all(&mut agents)?;
    let mut lives = Vec::new();
    for i in 0..AGENTS {
        let leaver = agents.remove(0);
        if i == 0 {
            // One announces that it leaves, and goes on answering for a while.
            leaver.process.signal(Signal::SIGUSR2)?;
            for other in &mut agents {
                let before = other.records()?.len();
                other.wait_for("windows without it", |records| {
                    let newest = records.last().map(|record| &record["window_start_ms"]);
                    let mut of_newest = records
                        .iter()
                        .filter(|record| Some(&record["window_start_ms"]) == newest);
                    Ok((records.len() > before && of_newest.all(|record| record["dst_node"] != "n0")).then_some(()))
                })?;
            }
        }
        // The others are simply ended.
        let (finished, records) = leaver.terminate()?;
        assert_eq!(finished.status.code(), Some(0), "{finished}");
        lives.push((format!("n{i}"), records));
        agents.push(start(&zookeeper, &lan, i)?);
        wait_for_all(&mut agents)?;
    }
    for (i, agent) in agents.into_iter().enumerate() {
        let (finished, records) = agent.terminate()?;
        assert_eq!(finished.status.code(), Some(0), "{finished}");
        lives.push((format!("n{i} again"), records));
    }
    let alarms = alarms(lives.iter().flat_map(|(_, records)| records))?;
    assert!(alarms.is_empty(), "{}", alarms.join("\n"));
    for (node, records) in &lives {
        for ((peer, kind), records) in by_pair(records)? {
            let failed: Vec<_> = ["lost", "refused", "unreachable", "send_error", "late"]
                .iter()
                .map(|name| Ok((*name, total(records.iter().copied(), name)?)))
                .collect::<Result<_>>()?;
            assert!(
                failed.iter().all(|(_, count)| *count == 0),
                "{node} to {peer} by {kind}: {failed:?}"
            );
        }
    }
    Ok(())
}
