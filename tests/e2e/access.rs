//! Agents with the mesh's credential for ZooKeeper, with another, with none, and an agent of the original, in one mesh whose
//! nodes strangers may read and join, and can't change.

use distributed_trace_tests::agent::{Agent, by_pair, total};
use distributed_trace_tests::error::{LabError, Result};
use distributed_trace_tests::forward::forward;
use distributed_trace_tests::namespaces::Lan;
use distributed_trace_tests::original::{Options, Original};
use distributed_trace_tests::process::wait_for;
use distributed_trace_tests::znodes::Znodes;
use distributed_trace_tests::zookeeper::ZooKeeper;
use std::time::Duration;

const MEMBERS: &str = "/distributed_trace/heart_beat_nodes";
const SWITCH: &str = "/distributed_trace/control/probing";
const SECRET: &str = "swordfish";

fn start(zookeeper: &ZooKeeper, lan: &Lan, i: usize, password: Option<&str>, acl: &str) -> Result<Agent> {
    let mut agent = Agent::builder(&lan.nodes[i], &format!("n{i}"), &Lan::address(i))?
        .env("SERVERS_ZK", &zookeeper.servers())
        .args("--probe icmp,grpc --window 1s --interval 100ms --timeout 2s");
    if let Some(password) = password {
        let file = agent.directory().join("auth");
        std::fs::write(&file, format!("dt:{password}\n"))?;
        agent = agent
            .args("--zookeeper-acl")
            .args(acl)
            .args(&format!("--zookeeper-auth-file {}", file.display()));
    }
    agent.start()
}

fn original(zookeeper: &ZooKeeper, lan: &Lan, i: usize) -> Result<Original> {
    let options = Options {
        address: format!("{}:4000", Lan::address(i)).parse()?,
        zookeeper: zookeeper.servers(),
        // Its reports go nowhere, which it bears.
        kafka: "127.0.0.1:1".to_owned(),
        path: MEMBERS.to_owned(),
        topic: "originals".to_owned(),
        poll_interval: Duration::from_millis(500),
    };
    Original::start(&lan.nodes[i], options)
}

/// Waits until these have answered this agent's ICMP probes and pings.
fn reaches(agent: &mut Agent, others: &[String]) -> Result {
    agent.wait_for("answers of all others", |records| {
        let pairs = by_pair(records)?;
        let mut all = true;
        for other in others {
            for kind in ["icmp", "grpc"] {
                let records = pairs.get(&(other.clone(), kind.to_owned()));
                all &= records.map_or(Ok(0), |records| total(records.iter().copied(), "received"))? > 0;
            }
        }
        Ok(all.then_some(()))
    })
}

#[test]
fn who_has_the_credential_alone_changes_what_all_may_read_and_join() -> Result {
    const ORIGINAL: usize = 4;
    let zookeeper = ZooKeeper::start()?;
    let lan = Lan::new(5)?;
    for node in &lan.nodes {
        forward(node, zookeeper.address().port())?;
    }
    let passwords = [Some(SECRET), Some(SECRET), Some("guessed"), None];
    let mut agents = Vec::new();
    for (i, password) in passwords.into_iter().enumerate() {
        agents.push(start(&zookeeper, &lan, i, password, "read")?);
        if i == 0 {
            // It makes what all share.
            wait_for("the first agent's switch", || {
                let names = Znodes::connect(&zookeeper.servers())?.children("/distributed_trace/control")?;
                Ok((names.len() == 1).then_some(()))
            })?;
        }
    }
    let old = original(&zookeeper, &lan, ORIGINAL)?;
    for (i, agent) in agents.iter_mut().enumerate() {
        let mut others: Vec<_> = (0..passwords.len())
            .filter(|j| *j != i)
            .map(|j| format!("n{j}"))
            .collect();
        others.push(format!("{}:4000", Lan::address(ORIGINAL)));
        reaches(agent, &others)?;
    }
    wait_for("the original's pings of all, itself too", || {
        let state = old.state();
        if let Some(death) = state.death {
            return Err(LabError::new(format!("the original ended: {death}")));
        }
        let answered: std::collections::BTreeSet<_> = state.answered.into_iter().collect();
        Ok((answered.len() == passwords.len() + 1).then_some(()))
    })?;

    let stranger = Znodes::connect(&zookeeper.servers())?;
    let entries = stranger.children(MEMBERS)?;
    assert_eq!(entries.len(), passwords.len() + 1, "{entries:?}");
    for entry in &entries {
        let path = format!("{MEMBERS}/{entry}");
        let refused = stranger.delete(&path);
        assert!(
            refused
                .as_ref()
                .is_err_and(|error| error.to_string().contains("not authorized")),
            "a stranger deletes {entry}: {refused:?}"
        );
        // Entries of those without a credential are as ever.
        let own = [0, 1, 2]
            .iter()
            .any(|i| entry.contains(&format!("-{}:", Lan::address(*i))));
        assert!(
            !own || stranger.set(&path, b"{}").is_err(),
            "a stranger changes {entry}"
        );
    }
    assert!(
        stranger.set(SWITCH, br#"{"enabled":false}"#).is_err(),
        "a stranger uses the switch"
    );
    assert!(stranger.delete(SWITCH).is_err(), "a stranger deletes the switch");

    for (i, agent) in agents.iter().enumerate() {
        let node = &lan.nodes[i];
        let foreign = if i == 2 { 4.0 } else { 0.0 };
        wait_for("what is said of the credential", || {
            let shown = agent.scrape(node)?.get("dt_membership_nodes_foreign")?;
            Ok((shown == foreign).then_some(()))
        })?;
        for path in ["/peers", "/metrics", "/readyz"] {
            let (_, body) = agent.get(node, path)?;
            assert!(!body.contains(SECRET), "n{i}: {path} shows the secret");
        }
    }
    let said = agents[2].process.stderr()?;
    assert!(said.contains("is it another user or password than theirs"), "{said}");

    let operator = Znodes::connect_as(&zookeeper.servers(), &format!("dt:{SECRET}"))?;
    operator.set(SWITCH, br#"{"enabled":false}"#)?;
    for (i, agent) in agents.iter().enumerate() {
        wait_for("the switch", || {
            let shown = agent.scrape(&lan.nodes[i])?.get("dt_probing_enabled")?;
            Ok((shown == 0.0).then_some(()))
        })?;
    }
    assert_eq!(old.state().death, None);
    // All leave in order, whether they may delete their entries or not.
    for agent in agents {
        let (finished, _) = agent.terminate()?;
        assert_eq!(finished.status.code(), Some(0), "{finished}");
        assert!(!finished.stderr.contains(SECRET), "{finished}");
    }
    assert_eq!(stranger.children(MEMBERS)?.len(), 1, "the original's is left");
    Ok(())
}

#[test]
fn in_private_only_who_has_it_takes_part_and_it_may_be_mended_while_an_agent_runs() -> Result {
    let zookeeper = ZooKeeper::start()?;
    let lan = Lan::new(5)?;
    for node in &lan.nodes {
        forward(node, zookeeper.address().port())?;
    }
    let mut one = start(&zookeeper, &lan, 0, Some(SECRET), "private")?;
    let mut two = start(&zookeeper, &lan, 1, Some(SECRET), "private")?;
    reaches(&mut one, &["n1".to_owned()])?;
    let mut wrong = start(&zookeeper, &lan, 2, Some("guessed"), "private")?;
    let none = start(&zookeeper, &lan, 3, None, "open")?;
    let old = original(&zookeeper, &lan, 4)?;
    wait_for("the original's end", || Ok(old.state().death))?;
    for (i, agent) in [(2, &wrong), (3, &none)] {
        wait_for("what is said of the credential", || {
            let scrape = agent.scrape(&lan.nodes[i])?;
            let denied = scrape.get("dt_membership_denied_total")? > 0.0;
            Ok((denied && agent.process.stderr()?.contains("zookeeper.auth_file")).then_some(()))
        })?;
        assert_eq!(agent.scrape(&lan.nodes[i])?.get("dt_members")?, 0.0);
        assert_eq!(agent.get(&lan.nodes[i], "/livez")?.0, 200);
    }
    let auth = wrong.records_path().with_file_name("auth");
    std::fs::write(auth, format!("dt:{SECRET}\n"))?;
    reaches(&mut wrong, &["n0".to_owned(), "n1".to_owned()])?;
    reaches(&mut two, &["n0".to_owned(), "n2".to_owned()])?;
    for agent in [one, two, wrong, none] {
        let (finished, _) = agent.terminate()?;
        assert_eq!(finished.status.code(), Some(0), "{finished}");
    }
    Ok(())
}
