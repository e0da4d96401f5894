//! `dt agent` with a peers file and a file sink: no service but real packets.

use distributed_trace_tests::agent::{Agent, by_pair, check_records, text, total};
use distributed_trace_tests::error::{LabError, Result};
use distributed_trace_tests::lock::take_turn;
use distributed_trace_tests::namespaces::{Lan, Namespace};
use distributed_trace_tests::ping::number;
use distributed_trace_tests::process::{DEADLINE, Process, dt, now_ms, wait_for, wait_until};
use distributed_trace_tests::python;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// One entry of a peers file: node `n{i}` of a lan, in one of two zones.
fn entry(i: usize) -> String {
    let address = Lan::address(i);
    let zone = i % 2;
    format!("[[peer]]\nnode = \"n{i}\"\naddress = \"{address}\"\nport = 4000\nzone = \"z{zone}\"\nrack = \"r{i}\"\n")
}

/// Puts a new peers file in the place of the old one at once, as an editor or a ConfigMap does.
fn write_peers(directory: &Path, text: &str) -> Result<PathBuf> {
    let (path, new) = (directory.join("peers.toml"), directory.join("peers.toml.new"));
    std::fs::write(&new, text)?;
    std::fs::rename(&new, &path)?;
    Ok(path)
}

/// When the newest window began.
fn newest_window(records: &[Value]) -> Result<Option<u64>> {
    let starts: Vec<_> = records
        .iter()
        .map(|record| number(record, "window_start_ms"))
        .collect::<Result<_>>()?;
    Ok(starts.into_iter().max())
}

/// The destinations that the newest window has records of.
fn newest_destinations(records: &[Value]) -> Result<BTreeSet<String>> {
    let newest = json!(newest_window(records)?);
    let of_newest = records.iter().filter(|record| record["window_start_ms"] == newest);
    of_newest
        .map(|record| Ok(text(record, "dst_node")?.to_owned()))
        .collect()
}

#[test]
fn three_nodes_have_a_record_of_every_pair_kind_and_window() -> Result {
    let lan = Lan::new(3)?;
    // What n2 gets from n0: every fourth echo is lost, and both are counted.
    lan.nodes[2].on_input("ip saddr 10.8.0.1 icmp type echo-request counter")?;
    lan.nodes[2].on_input("ip saddr 10.8.0.1 icmp type echo-request numgen inc mod 4 0 counter drop")?;
    let directory = tempfile::tempdir()?;
    let peers = write_peers(directory.path(), &(0..3).map(entry).collect::<String>())?;
    let mut agents = Vec::new();
    for (i, node) in lan.nodes.iter().enumerate() {
        let agent = Agent::builder(node, &format!("n{i}"), &Lan::address(i))?
            .peers(&peers)
            .args(&format!(
                "--zone z{} --rack r{i} --probe icmp,tcp,grpc --window 1s",
                i % 2
            ))
            .args("--interval 100ms --timeout 1s --grpc-interval 3s --grpc-timeout 2s")
            .start()?;
        agents.push(agent);
    }
    for agent in &mut agents {
        agent.wait_for("eight windows of both peers and all three kinds", |records| {
            let pairs = by_pair(records)?;
            Ok((pairs.len() == 6 && pairs.values().all(|records| records.len() >= 8)).then_some(()))
        })?;
    }
    for (agent, node) in agents.iter().zip(&lan.nodes) {
        // While probes are on their way, and windows are being closed.
        for _ in 0..20 {
            agent.scrape(node)?;
        }
    }
    let (status, body) = agents[0].get(&lan.nodes[0], "/peers")?;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("n1") && body.contains("n2"), "{body}");
    for path in ["/livez", "/readyz"] {
        assert_eq!(agents[0].get(&lan.nodes[0], path)?.0, 200, "{path}");
    }

    // The local switch: nothing more is sent, what is in flight is decided, and windows go on with nothing in them. So
    // that what the filter counted is what was recorded, with no probe left in flight by the end.
    for agent in &mut agents {
        agent.process.signal(Signal::SIGUSR1)?;
        agent.wait_for("a window without any probe", |records| {
            let newest = json!(newest_window(records)?);
            let mut of_newest = records.iter().filter(|record| record["window_start_ms"] == newest);
            Ok(of_newest.all(|record| record["sent"] == 0).then_some(()))
        })?;
    }
    for (i, agent) in agents.into_iter().enumerate() {
        let told = now_ms()?;
        let (finished, records) = agent.terminate()?;
        assert_eq!(finished.status.code(), Some(0), "n{i}: {finished}");
        check_records(&records, 1000)?;
        check_labels(i, &records)?;
        let last = records
            .iter()
            .map(|record| number(record, "window_end_ms"))
            .collect::<Result<Vec<_>>>()?;
        assert!(
            last.iter().max() > Some(&told),
            "n{i} published the window it was told to end in"
        );

        let hdrs: Vec<_> = records
            .iter()
            .filter_map(|record| record["hdr"].as_str())
            .filter(|hdr| !hdr.is_empty())
            .collect();
        let with: Vec<_> = records.iter().filter(|record| record["hdr"] != "").collect();
        for (decoded, record) in python::decode(&hdrs)?.into_iter().zip(with) {
            assert_eq!(
                json!(decoded.buckets.iter().map(|(value, _)| value).collect::<Vec<_>>()),
                record["bucket_ns"]
            );
            assert_eq!(
                json!(decoded.buckets.iter().map(|(_, count)| count).collect::<Vec<_>>()),
                record["bucket_count"]
            );
            assert_eq!(
                decoded.nearest_rank(0.99),
                Some(number(record, "rtt_p99_ns")?),
                "{record}"
            );
        }

        let pairs = by_pair(&records)?;
        for ((peer, kind), records) in &pairs {
            let sum = |name: &str| total(records.iter().copied(), name);
            let (sent, received, lost) = (sum("sent")?, sum("received")?, sum("lost")?);
            if (i, peer.as_str(), kind.as_str()) == (0, "n2", "icmp") {
                // Nobody else sends echoes there, so the filter's counts are the truth.
                assert_eq!(lan.nodes[2].counters()?, [sent, lost], "sent and lost from n0 to n2");
                assert!(lost >= 8, "{lost}");
            } else if kind != "grpc" {
                // gRPC fails for as long as the others' listeners are not yet there, or no more.
                assert_eq!(
                    (lost, sum("unreachable")? + sum("send_error")?),
                    (0, 0),
                    "n{i} to {peer} by {kind}"
                );
            }
            assert!(received > 0, "n{i} to {peer} by {kind}: {sent} sent");
            if kind == "grpc" {
                // One every 3 s and a window a second: most windows have none and are recorded all the same.
                assert!(
                    records.iter().any(|record| record["sent"] == 0),
                    "n{i} to {peer}: a window without a ping"
                );
            }
        }
    }
    Ok(())
}

/// Who, where and how, in each record of node `n{i}`.
fn check_labels(i: usize, records: &[Value]) -> Result {
    for record in records {
        let peer = text(record, "dst_node")?;
        let j: usize = peer
            .strip_prefix('n')
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(usize::MAX);
        assert!(j < 3 && j != i, "{record}");
        let kind = text(record, "probe")?;
        let (method, port) = match kind {
            "icmp" => ("echo", 0),
            "tcp" => ("syn", 4000),
            _ => ("ping_node", 4000),
        };
        let clock = if kind == "grpc" { "user" } else { "kernel" };
        for (name, wanted) in [
            ("src_node", json!(format!("n{i}"))),
            ("src_zone", json!(format!("z{}", i % 2))),
            ("src_rack", json!(format!("r{i}"))),
            ("dst_zone", json!(format!("z{}", j % 2))),
            ("dst_rack", json!(format!("r{j}"))),
            ("dst_ip", json!(Lan::address(j))),
            ("dst_port", json!(port)),
            ("method", json!(method)),
            ("timestamp_tx", json!(clock)),
            ("timestamp_rx", json!(clock)),
            ("timestamp_fallbacks", json!(0)),
            ("receive_drops", json!(0)),
        ] {
            if record[name] != wanted {
                return Err(LabError::new(format!("{name} is not {wanted}: {record}")));
            }
        }
    }
    Ok(())
}

#[test]
fn the_peers_file_is_read_again_when_it_changes() -> Result {
    let lan = Lan::new(3)?;
    let directory = tempfile::tempdir()?;
    let own = entry(0);
    let peers = write_peers(directory.path(), &(own.clone() + &entry(1)))?;
    let mut agent = Agent::builder(&lan.nodes[0], "n0", &Lan::address(0))?
        .peers(&peers)
        .args("--probe icmp --window 1s --interval 100ms --timeout 500ms")
        .start()?;
    let mut until = |what: &str, wanted: &[&str]| {
        agent.wait_for(what, |records| {
            let wanted: BTreeSet<_> = wanted.iter().map(|&node| node.to_owned()).collect();
            Ok((newest_destinations(records)? == wanted).then_some(()))
        })
    };
    until("records of n1", &["n1"])?;
    write_peers(directory.path(), &(own.clone() + &entry(1) + &entry(2)))?;
    until("records of n1 and n2", &["n1", "n2"])?;
    let said = agent.process.stderr()?.len();
    write_peers(directory.path(), "[[peer]]\nnode = 7\n")?;
    wait_for("a word about the broken file", || {
        let further = agent.process.stderr()?.split_off(said);
        Ok(further.contains("peers.toml").then_some(()))
    })?;
    // A broken file changes nothing: both go on.
    let seen = agent.records()?.len();
    agent.wait_for("further records of both", |records| {
        let further: BTreeSet<_> = records
            .iter()
            .skip(seen + 2)
            .filter_map(|record| record["dst_node"].as_str())
            .collect();
        Ok((further.len() == 2).then_some(()))
    })?;
    write_peers(directory.path(), &(own + &entry(2)))?;
    agent.wait_for("records of n2 alone", |records| {
        Ok((newest_destinations(records)? == BTreeSet::from(["n2".to_owned()])).then_some(()))
    })?;
    let (finished, records) = agent.terminate()?;
    assert_eq!(finished.status.code(), Some(0), "{finished}");
    for record in &records {
        assert_eq!(
            (number(record, "lost")?, number(record, "unreachable")?),
            (0, 0),
            "{record}"
        );
    }
    Ok(())
}

#[test]
fn a_broken_peers_file_at_the_start_is_an_error_that_names_it() -> Result {
    let lonely = Namespace::new("lonely")?;
    let directory = tempfile::tempdir()?;
    let broken = "[[peer]]\nnode = \"a\"\naddress = \"\"\nport = 70000\n[[peer]]\nnode = \"b\"\naddress = \"10.0.0.2\"\n\
                  port = 4000\ncolour = \"red\"\n";
    let peers = write_peers(directory.path(), broken)?;
    let agent = Agent::builder(&lonely, "n0", "10.8.0.1")?.peers(&peers).start()?;
    let finished = agent.process.finish()?.expect_code(2)?;
    for word in ["peers.toml", "70000", "colour"] {
        assert!(finished.stderr.contains(word), "{word} is missing: {}", finished.stderr);
    }
    assert_eq!(finished.stdout, "");
    Ok(())
}

#[test]
fn a_second_agent_measures_without_http_where_the_first_has_the_default_address() -> Result {
    let host = Namespace::new("host")?;
    let directory = tempfile::tempdir()?;
    let peers = write_peers(directory.path(), "")?;
    let start = |node: &str, address: &str, more: &[&str]| -> Result<Process> {
        let mut command = host.command(dt()?);
        command.args([
            "agent", "--node", node, "--listen", address, "--sink", "stdout", "--probe", "icmp",
        ]);
        Process::spawn(node, command.arg("--peers").arg(&peers).args(more))
    };
    let started = |agent: &Process| Ok(agent.stderr()?.contains("agent started").then_some(()));
    let mut first = start("first", "127.0.0.2:4000", &[])?;
    first.wait_for("the first agent", started)?;
    let mut second = start("second", "127.0.0.3:4000", &[])?;
    second.wait_for("the second agent", started)?;
    assert!(
        second.stderr()?.contains("choose an address with --http"),
        "{}",
        second.stderr()?
    );
    // Asked for by name, it has to be had.
    let third = start("third", "127.0.0.4:4000", &["--http", "127.0.0.1:9464"])?;
    let third = third.finish()?.expect_code(1)?;
    assert!(third.stderr.contains("127.0.0.1:9464"), "{}", third.stderr);
    first.terminate()?.expect_code(0)?;
    second.terminate()?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_peer_that_is_nowhere_is_counted_and_disturbs_nobody() -> Result {
    let lan = Lan::new(2)?;
    let directory = tempfile::tempdir()?;
    let nowhere = "[[peer]]\nnode = \"nowhere\"\naddress = \"192.0.2.9\"\nport = 4000\n\
                   [[peer]]\nnode = \"absent\"\naddress = \"10.8.200.200\"\nport = 4000\n";
    let peers = write_peers(directory.path(), &(entry(1) + nowhere))?;
    let mut agent = Agent::builder(&lan.nodes[0], "n0", &Lan::address(0))?
        .peers(&peers)
        .args("--probe icmp,tcp --window 1s --interval 100ms --timeout 500ms")
        .start()?;
    agent.wait_for("six windows", |records| {
        let pairs = by_pair(records)?;
        Ok((pairs.len() == 6 && pairs.values().all(|records| records.len() >= 6)).then_some(()))
    })?;
    let (finished, records) = agent.terminate()?;
    assert_eq!(finished.status.code(), Some(0), "{finished}");
    check_records(&records, 1000)?;
    for ((peer, kind), records) in by_pair(&records)? {
        let sum = |name: &str| total(records.iter().copied(), name);
        assert!(sum("sent")? > 0, "{peer} {kind}");
        match peer.as_str() {
            // No route at all.
            "nowhere" => assert_eq!(sum("unreachable")?, sum("sent")?, "{peer} {kind}"),
            // Nobody answers the question for its hardware address.
            "absent" => assert_eq!(sum("received")?, 0, "{peer} {kind}"),
            // TCP: nobody listens on n1, which is an answer.
            _ => {
                let answered = if kind == "tcp" { "refused" } else { "received" };
                assert_eq!(sum(answered)?, sum("sent")?, "{peer} {kind}");
            }
        }
    }
    Ok(())
}

/// The peak of the resident memory of a process, bytes.
fn peak_memory(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes = status.lines().find_map(|line| {
        line.strip_prefix("VmHWM:")?
            .split_whitespace()
            .next()?
            .parse::<u64>()
            .ok()
    });
    Ok(kilobytes.ok_or_else(|| LabError::new("no VmHWM in /proc"))? * 1024)
}

#[test]
fn ten_thousand_peers_fit_in_45_mb() -> Result {
    const PEERS: usize = 10_000;
    let _turn = take_turn()?;
    let lonely = Namespace::new("lonely")?;
    let directory = tempfile::tempdir()?;
    let mut text = String::new();
    for i in 0..PEERS {
        let _ = writeln!(
            text,
            "[[peer]]\nnode = \"node-{i:05}.example\"\naddress = \"127.20.{}.{}\"\nport = 4000\nzone = \"z{}\"\nrack = \"r{}\"",
            i / 250,
            i % 250 + 1,
            i / 1000,
            i / 40
        );
    }
    let peers = write_peers(directory.path(), &text)?;
    // 20,000 probes per window: the default cap of 2,000 a second.
    let mut agent = Agent::builder(&lonely, "own.example", "127.0.0.1")?
        .peers(&peers)
        .args("--probe icmp,tcp --window 10s --interval 10s --timeout 2s")
        .start()?;
    let windows = wait_for_windows(&mut agent, 2 * PEERS, 3)?;
    let peak = peak_memory(agent.process.pid())?;
    println!(
        "peak of the resident memory with {PEERS} peers and {windows} windows: {:.1} MB",
        peak as f64 / 1e6
    );
    let (finished, records) = agent.terminate()?;
    assert_eq!(finished.status.code(), Some(0), "{finished}");
    assert!(peak <= 45_000_000, "{peak} bytes");
    check_records(&records, 10_000)?;
    let pairs = by_pair(&records)?;
    assert_eq!(pairs.len(), 2 * PEERS);
    for ((peer, kind), records) in pairs {
        assert!(records.len() >= 3, "{peer} {kind}: {} windows", records.len());
        let sum = |name: &str| total(records.iter().copied(), name);
        assert_eq!(
            (sum("lost")?, sum("send_error")?, sum("receive_drops")?),
            (0, 0, 0),
            "{peer} {kind}"
        );
        // Nobody listens at the peers' port.
        assert!(sum("received")? + sum("refused")? >= 1, "{peer} {kind}");
    }
    Ok(())
}

/// Waits until `count` pairs have `windows` windows each. Counts lines first: parsing them all each time takes long.
fn wait_for_windows(agent: &mut Agent, count: usize, windows: usize) -> Result<usize> {
    wait_until("the windows", 4 * DEADLINE, || {
        if let Some(status) = agent.process.ended()? {
            return Err(LabError::new(format!(
                "the agent ended ({status}): {}",
                agent.process.stderr()?
            )));
        }
        Ok((agent.count_records()? >= count * windows).then_some(windows))
    })
}
