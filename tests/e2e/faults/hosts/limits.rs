//! An agent that is kept short: of memory, of processor time, of file descriptors, of local ports.

use crate::mesh::{end, failures, sum};
use distributed_trace_tests::agent::{Agent, Builder, by_pair, check_records};
use distributed_trace_tests::error::Result;
use distributed_trace_tests::lock::take_turn;
use distributed_trace_tests::namespaces::Pair;
use distributed_trace_tests::process::{dt, status, threads};
use distributed_trace_tests::quota::Quota;
use serde_json::Value;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;

/// An agent on `a`, started by a program such as `prlimit`.
fn limited(pair: &Pair, runner: &[&str], peers: &Path) -> Result<Builder> {
    Ok(Agent::builder_of(&pair.a, runner, &dt()?, "a", "10.9.0.1")?.peers(peers))
}

/// One entry of a peers file.
fn entry(node: &str, address: &str) -> String {
    format!("[[peer]]\nnode = \"{node}\"\naddress = \"{address}\"\nport = 4000\n")
}

fn received(records: &[Value], peer: &str, kind: &str) -> Result<u64> {
    let pairs = by_pair(records)?;
    pairs
        .get(&(peer.to_owned(), kind.to_owned()))
        .map_or(Ok(0), |records| sum(records, "received"))
}

/// What an agent of this size may have: it needs 30 MiB, and its records, which nobody takes, 10 MiB more.
const DATA: u64 = 72 << 20;
const CROWD: usize = 1_000;

#[test]
fn memory_stays_within_a_limit_although_nobody_takes_the_records() -> Result {
    let _turn = take_turn()?;
    let pair = Pair::new()?;
    pair.b.ip("route add local 10.7.0.0/16 dev lo")?;
    pair.a.ip("route add 10.7.0.0/16 via 10.9.0.2")?;
    let _listener = pair.b.enter(|| TcpListener::bind("0.0.0.0:4000"))??;
    let directory = tempfile::tempdir()?;
    let (peers, mut list) = (directory.path().join("peers.toml"), String::new());
    for i in 0..CROWD {
        write!(
            list,
            "{}",
            entry(&format!("p{i}"), &format!("10.7.{}.{}", i / 250, i % 250 + 1))
        )?;
    }
    std::fs::write(&peers, list)?;
    // Memory that a program writes to, its threads' stacks among it: what is beyond is refused, which ends a program.
    let mut agent = limited(&pair, &["prlimit", &format!("--data={DATA}")], &peers)?
        .args("--probe icmp,tcp --window 1s --interval 1s --timeout 500ms --max-rate 10000")
        .args("--sink kafka --kafka-bootstrap 127.0.0.1:9")
        .start()?;
    let merged = "dt_sink_merged_total{sink=\"kafka\"}";
    let node = &pair.a;
    let limit = 2 * distributed_trace_tests::process::DEADLINE;
    distributed_trace_tests::process::wait_until("windows to merge", limit, || {
        if let Some(status) = agent.process.ended()? {
            distributed_trace_tests::fail!("ended ({status}): {}", agent.process.stderr()?);
        }
        if agent.get(node, "/livez").is_err() {
            return Ok(None);
        }
        Ok((agent.scrape(node)?.count(merged)? > 10_000).then_some(()))
    })?;
    let scrape = agent.scrape(node)?;
    assert_eq!(scrape.count("dt_sink_dropped_total{sink=\"kafka\"}")?, 0);
    let main = threads(agent.process.pid())?.swap_remove(0);
    println!(
        "{CROWD} peers: {}, {}",
        status(&main, "VmData")?,
        status(&main, "VmHWM")?
    );
    let records = end(agent)?;
    check_records(&records, 1000)?;
    let pairs = by_pair(&records)?;
    assert_eq!(pairs.len(), 2 * CROWD);
    for (pair, records) in pairs {
        assert_eq!(failures(&records)?, [0; 4], "{pair:?}: {records:?}");
    }
    Ok(())
}

/// Less than the agent wants at this rate.
const PERCENT: u64 = 4;

#[test]
fn a_quota_of_processor_time_costs_turns_and_neither_loss_nor_delay() -> Result {
    let _turn = take_turn()?;
    let pair = Pair::new()?;
    let _listener = pair.b.enter(|| TcpListener::bind("0.0.0.0:4000"))??;
    let directory = tempfile::tempdir()?;
    let (peers, mut list) = (directory.path().join("peers.toml"), String::new());
    for i in 10..40 {
        pair.b.address("eth0", &format!("10.9.0.{i}/24"))?;
        write!(list, "{}", entry(&format!("p{i}"), &format!("10.9.0.{i}")))?;
    }
    std::fs::write(&peers, list)?;
    let mut agent = limited(&pair, &[], &peers)?
        .args("--probe icmp,tcp --method syn --window 1s --interval 20ms --timeout 500ms --max-rate 100000")
        .start()?;
    agent.wait_for("answers", |records| {
        Ok((received(records, "p39", "icmp")? > 20).then_some(()))
    })?;
    let before = agent.records()?.len();
    let quota = Quota::impose(agent.process.pid(), PERCENT)?;
    agent.wait_for("five windows under the quota", |records| {
        Ok((records.len() >= before + 5 * 60).then_some(()))
    })?;
    assert!(quota.throttled()? > 10, "the quota was never used up");
    agent.scrape(&pair.a)?;
    drop(quota);
    let records = end(agent)?;
    let pairs = by_pair(&records)?;
    assert_eq!(pairs.len(), 60);
    let mut skipped = 0;
    for ((peer, kind), records) in pairs {
        let said = format!("{peer} by {kind}: {records:?}");
        assert_eq!(failures(&records)?, [0; 4], "{said}");
        assert!(sum(&records, "received")? > 20, "{said}");
        skipped += sum(&records, "skipped")?;
        // The program is held for up to a tenth of a second at a time; its packets aren't.
        let mut medians: Vec<_> = records
            .iter()
            .filter_map(|record| record["rtt_p50_ns"].as_u64())
            .collect();
        medians.sort_unstable();
        assert!(medians[medians.len() / 2] < 5_000_000, "{said}");
    }
    assert!(skipped > 0, "turns that can't be had are told as skipped");
    Ok(())
}

/// Peers that answer, and one whose host drops all that comes: handshakes with it hold what they were given.
fn with_a_hole(pair: &Pair, folder: &Path) -> Result<std::path::PathBuf> {
    for address in ["10.9.0.3/24", "10.9.0.4/24"] {
        pair.b.address("eth0", address)?;
    }
    pair.b.on_input("ip daddr 10.9.0.4 drop")?;
    let peers = folder.join("peers.toml");
    let list = entry("b", "10.9.0.2") + &entry("c", "10.9.0.3") + &entry("hole", "10.9.0.4");
    std::fs::write(&peers, list)?;
    Ok(peers)
}

/// Runs an agent that probes by `connect()` until it has had to do without often, as `missed` of its records of the hole says.
fn run_short(pair: &Pair, mut agent: Agent, missed: &str) -> Result<Vec<Value>> {
    agent.wait_for("answers of every kind", |records| {
        let mut all = true;
        for kind in ["icmp", "tcp", "grpc"] {
            all &= received(records, "b", kind)? > 10 && received(records, "c", kind)? > 10;
        }
        Ok(all.then_some(()))
    })?;
    agent.wait_for("handshakes that can't be begun", |records| {
        let pairs = by_pair(records)?;
        let hole = &pairs[&("hole".to_owned(), "tcp".to_owned())];
        Ok((sum(hole, missed)? > 100 && sum(hole, "lost")? > 0).then_some(()))
    })?;
    agent.scrape(&pair.a)?;
    end(agent)
}

/// The hole's silence is its own; what this host couldn't do is told as such; the others aren't touched.
fn check_short(records: &[Value], missed: &str) -> Result {
    check_records(records, 1000)?;
    for ((peer, kind), records) in by_pair(records)? {
        let said = format!("{peer} by {kind}: {records:?}");
        let [lost, refused, unreachable, send_error] = failures(&records)?;
        if peer == "hole" {
            assert_eq!(sum(&records, "received")?, 0, "{said}");
            assert!(lost > 0 && refused == 0 && unreachable == 0, "{said}");
            match (kind.as_str(), missed) {
                ("tcp", "send_error") => assert!(send_error > 0, "{said}"),
                // Its connections to the hole are made from the same ports.
                ("grpc", "send_error") => {}
                _ => assert_eq!(send_error, 0, "{said}"),
            }
        } else {
            assert_eq!([lost, refused, unreachable, send_error], [0; 4], "{said}");
        }
    }
    Ok(())
}

/// The far end of gRPC: an agent that probes nobody.
fn answering(pair: &Pair, folder: &Path) -> Result<Agent> {
    let nobody = folder.join("nobody.toml");
    std::fs::write(&nobody, "")?;
    Agent::builder(&pair.b, "b", "10.9.0.2")?.peers(&nobody).start()
}

const BY_CONNECT: &str = "--probe icmp,tcp,grpc --method connect --window 1s --interval 10ms --timeout 1s --grpc-interval 100ms --max-rate 100000";

#[test]
fn out_of_local_ports_only_the_peer_that_holds_them_all_goes_without() -> Result {
    let pair = Pair::new()?;
    let directory = tempfile::tempdir()?;
    let peers = with_a_hole(&pair, directory.path())?;
    let far = answering(&pair, directory.path())?;
    // A hundred handshakes with the hole are due in its time-out, and each place has twenty ports.
    pair.a.sysctl("net.ipv4.ip_local_port_range", "50000 50019")?;
    let agent = limited(&pair, &[], &peers)?.args(BY_CONNECT).start()?;
    let records = run_short(&pair, agent, "send_error")?;
    end(far)?;
    check_short(&records, "send_error")
}

#[test]
fn short_of_file_descriptors_handshakes_wait_their_turn_and_none_is_lost_by_it() -> Result {
    let pair = Pair::new()?;
    let directory = tempfile::tempdir()?;
    let peers = with_a_hole(&pair, directory.path())?;
    let far = answering(&pair, directory.path())?;
    // Half of them are for handshakes: those with the hole are a hundred at a time.
    let agent = limited(&pair, &["prlimit", "--nofile=64:64"], &peers)?
        .args(BY_CONNECT)
        .start()?;
    let records = run_short(&pair, agent, "skipped")?;
    end(far)?;
    check_short(&records, "skipped")
}
