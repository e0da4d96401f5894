//! Whoever may write to ZooKeeper must not be able to make agents probe whom he likes.

use distributed_trace_tests::agent::{Agent, by_pair, check_records, total};
use distributed_trace_tests::capture::Capture;
use distributed_trace_tests::error::{Context, Result};
use distributed_trace_tests::forward::forward;
use distributed_trace_tests::namespaces::Lan;
use distributed_trace_tests::process::wait_for;
use distributed_trace_tests::wire::{Seen, see};
use distributed_trace_tests::znodes::Znodes;
use distributed_trace_tests::zookeeper::ZooKeeper;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::time::Instant;

const MEMBERS: &str = "/distributed_trace/heart_beat_nodes";
/// A host that is no agent's: its one open port accepts and never answers.
const VICTIM: usize = 2;
/// A node whose agent is not there at first.
const LATE: usize = 3;

#[test]
fn members_that_may_not_be_probed_or_never_answer_are_left_in_peace() -> Result {
    let zookeeper = ZooKeeper::start()?;
    let lan = Lan::new(4)?;
    let victim = Lan::address(VICTIM);
    let _silent = lan.nodes[VICTIM].enter(|| TcpListener::bind((Lan::address(VICTIM), 7000)))??;
    let capture = Capture::start(&lan.nodes[VICTIM], "eth0")?;
    let mut agents = Vec::new();
    // One of them doesn't ping, and has to ask all the same.
    for (i, kinds) in ["icmp,tcp,grpc", "icmp,tcp"].iter().enumerate() {
        let node = &lan.nodes[i];
        forward(node, zookeeper.address().port())?;
        node.hosts(&format!(
            "127.0.0.1 localhost\n169.254.169.254 metadata.lab\n{} alias.lab\n{} late.lab\n",
            Lan::address(1),
            Lan::address(LATE)
        ))?;
        let agent = Agent::builder(node, &format!("n{i}"), &Lan::address(i))?
            .env("SERVERS_ZK", &zookeeper.servers())
            .args("--window 1s --interval 100ms --timeout 500ms --probe")
            .args(kinds)
            .start()?;
        agents.push(agent);
    }
    let znodes = Znodes::connect(&zookeeper.servers())?;
    wait_for("both members", || {
        Ok((znodes.children(MEMBERS)?.len() == 2).then_some(()))
    })?;
    let mut members = vec![
        ("metadata", "169.254.169.254", 80),
        ("named", "metadata.lab", 80),
        ("mapped", "::ffff:169.254.169.254", 81),
        ("public", "198.51.100.7", 443),
        ("alias", "alias.lab", 4000),
        ("late", "late.lab", 4000),
    ];
    members.extend((7000..7006).map(|port| ("", victim.as_str(), port)));
    for (node, address, port) in members {
        let data = json!({"My_address": address, "My_port": port, "node": node}).to_string();
        znodes.create(&format!("{MEMBERS}/{address}:{port}"), data.as_bytes())?;
    }

    for (i, agent) in agents.iter_mut().enumerate() {
        let node = &lan.nodes[i];
        let other = format!("n{}", 1 - i);
        agent.wait_for("records of the other agent", |records| {
            let pairs = by_pair(records)?;
            let of = |kind: &str| pairs.get(&(other.clone(), kind.to_owned()));
            let received = |kind| of(kind).map_or(Ok(0), |records| total(records.iter().copied(), "received"));
            Ok((received("icmp")? > 0 && received("tcp")? > 0).then_some(()))
        })?;
        wait_for("the refusals and the strangers", || {
            let (_, metrics) = agent.get(node, "/metrics")?;
            let shows = |line: &str| metrics.lines().any(|shown| shown == line);
            // The alias leads to the other agent of the one and to the other itself: its own place it doesn't claim.
            let refused = if i == 0 { 5 } else { 4 };
            let shown = [
                format!("dt_peers_refused {refused}.0"),
                "dt_peers_strangers 7.0".to_owned(),
            ];
            Ok(shown.iter().all(|line| shows(line)).then_some(()))
        })?;
        let peers: Value = serde_json::from_str(&agent.get(node, "/peers")?.1).during("/peers")?;
        let problem = |name: &str| {
            let peer = peers.as_array().into_iter().flatten().find(|peer| peer["node"] == name);
            peer.map_or(Value::Null, |peer| peer["problem"].clone()).to_string()
        };
        for name in ["metadata", "named", "mapped"] {
            assert!(
                problem(name).contains("169.254.169.254 is link-local"),
                "{name}: {peers}"
            );
        }
        assert!(problem("public").contains("zookeeper.allowed_networks"), "{peers}");
        assert!(
            problem(&format!("{victim}:7000")).contains("never answered PingNode"),
            "{peers}"
        );
        assert!(problem("late").contains("never answered PingNode"), "{peers}");
        assert_eq!(problem(&other), "null", "{peers}");
        if i == 0 {
            assert!(problem("alias").contains("n1 has the same address and port"), "{peers}");
        }
        // Which is not its fault: the round is done.
        wait_for("readiness", || Ok((agent.get(node, "/readyz")?.0 == 200).then_some(())))?;
    }

    // The agent that was late is found out, by those who ping and those who don't.
    let directory = tempfile::tempdir()?;
    let peers = directory.path().join("peers.toml");
    std::fs::write(&peers, "")?;
    let late = Agent::builder(&lan.nodes[LATE], "late", &Lan::address(LATE))?
        .peers(&peers)
        .args("--probe tcp")
        .start()?;
    for agent in &mut agents {
        agent.wait_for("answers of the late one", |records| {
            let pairs = by_pair(records)?;
            let records = |kind: &str| pairs.get(&("late".to_owned(), kind.to_owned()));
            let received = |kind| records(kind).map_or(Ok(0), |records| total(records.iter().copied(), "received"));
            Ok((received("icmp")? > 10 && received("tcp")? > 10).then_some(()))
        })?;
    }
    let frames = capture.stop()?;
    drop(late);
    for (i, agent) in agents.into_iter().enumerate() {
        let (finished, records) = agent.terminate()?;
        assert_eq!(finished.status.code(), Some(0), "{finished}");
        // Nobody's way changes here: who may not be probed isn't begun again and again.
        assert!(!finished.stderr.contains("the way to a peer"), "{finished}");
        check_records(&records, 1000)?;
        let pairs = by_pair(&records)?;
        assert!(
            i == 0 || pairs.keys().all(|(_, kind)| kind != "grpc"),
            "{:?}",
            pairs.keys()
        );
        for name in ["metadata", "named", "mapped", "public"] {
            assert!(pairs.keys().all(|(node, _)| node != name), "{name} has records");
        }
        // Records of who is only asked: there, and nothing sent.
        for kind in ["icmp", "tcp"] {
            let records = pairs.get(&(format!("{victim}:7000"), kind.to_owned()));
            let records = records.map(Vec::as_slice).unwrap_or_default();
            assert!(records.len() > 1, "{kind}");
            assert_eq!(total(records.iter().copied(), "sent")?, 0, "{kind}");
        }
        if i == 0 {
            let asked = pairs
                .iter()
                .filter(|((node, kind), _)| node.starts_with(&victim) && kind == "grpc");
            let mut lost = 0;
            for (_, records) in asked {
                lost += total(records.iter().copied(), "lost")? + total(records.iter().copied(), "refused")?;
            }
            assert!(lost > 0, "what came of asking stands in the records");
        }
    }
    // The third party saw nothing but one connection in ten seconds, whatever number of members is said to be there.
    let seen = |frame: &distributed_trace_tests::tap::Frame| (!frame.outgoing).then(|| see(&frame.bytes)).flatten();
    for i in 0..2 {
        let source: Vec<u8> = Lan::address(i)
            .parse::<std::net::Ipv4Addr>()
            .during("an address")?
            .octets()
            .to_vec();
        let of_agent = frames
            .0
            .iter()
            .filter(|frame| frame.bytes.get(26..30) == Some(&source[..]));
        let syns: Vec<u64> = of_agent
            .filter_map(|frame| match seen(frame)? {
                Seen::Syn(_) => Some(frame.stamp_ns),
                _ => None,
            })
            .collect();
        assert!(!syns.is_empty(), "n{i} asked");
        let gaps: Vec<u64> = syns.windows(2).map(|two| two[1] - two[0]).collect();
        // The agent counts from when it decides to ask, and the packet leaves a little later.
        assert!(gaps.iter().all(|gap| *gap >= 9_500_000_000), "n{i}: {gaps:?}");
    }
    assert_eq!(
        frames.count(|seen| matches!(seen, Seen::Request(_))),
        0,
        "no echo request"
    );
    Ok(())
}

/// Whoever answers is asked by nobody more often because somebody gives it other names.
#[test]
fn a_member_is_not_asked_anew_by_each_of_its_names() -> Result {
    let zookeeper = ZooKeeper::start()?;
    let lan = Lan::new(2)?;
    let [node, other] = [&lan.nodes[0], &lan.nodes[1]];
    let directory = tempfile::tempdir()?;
    let peers = directory.path().join("peers.toml");
    std::fs::write(&peers, "")?;
    let named = Agent::builder(other, "named", &Lan::address(1))?
        .peers(&peers)
        .args("--probe icmp")
        .start()?;
    forward(node, zookeeper.address().port())?;
    // It doesn't ping its peers: all that comes is asked because of a name.
    let agent = Agent::builder(node, "n0", &Lan::address(0))?
        .env("SERVERS_ZK", &zookeeper.servers())
        .args("--window 1s --interval 100ms --timeout 500ms --probe icmp")
        .start()?;
    let znodes = Znodes::connect(&zookeeper.servers())?;
    wait_for(
        "the member",
        || Ok((znodes.children(MEMBERS)?.len() == 1).then_some(())),
    )?;
    let address = Lan::address(1);
    let (path, began) = (format!("{MEMBERS}/{address}:4000"), Instant::now());
    let data = |name: &str| json!({"My_address": address, "My_port": 4000, "node": name}).to_string();
    znodes.create(&path, data("name").as_bytes())?;
    let known = |name: &str| {
        wait_for(name, || {
            let (_, peers) = agent.get(node, "/peers")?;
            eprintln!("{peers}");
            Ok(peers.contains(&format!("\"{name}\"")).then_some(()))
        })
    };
    for round in 0..10 {
        (0..10).try_for_each(|n| znodes.set(&path, data(&format!("name-{round}-{n}")).as_bytes()))?;
        known(&format!("name-{round}-9"))?;
    }
    wait_for("echoes of the last name", || {
        let (_, peers) = agent.get(node, "/peers")?;
        let peers: Value = serde_json::from_str(&peers).during("/peers")?;
        let problem = |peer: &Value| peer["problem"].is_null();
        Ok(peers
            .as_array()
            .is_some_and(|all| all.iter().all(problem))
            .then_some(()))
    })?;
    let accepted = named.scrape(other)?.get("dt_grpc_connections_total")?;
    // While one is under way others may be, before anything is known of the place.
    let periods = began.elapsed().as_secs() / 10 + 1;
    assert!(
        (1.0..=4.0 * periods as f64).contains(&accepted),
        "{accepted} connections in {:?}",
        began.elapsed()
    );
    Ok(())
}
