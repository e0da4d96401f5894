//! A host whose interface goes down and comes back, and hosts whose addresses change.

use crate::mesh::{Mesh, end, failures, newest, sum, untouched};
use distributed_trace_tests::agent::{Agent, by_pair, total};
use distributed_trace_tests::error::Result;
use distributed_trace_tests::namespaces::{Lan, Pair};
use distributed_trace_tests::process::now_ms;
use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;

/// The records of windows that began at `from` or later and ended by `until`.
fn between<'a>(records: &[&'a Value], from: u64, until: u64) -> Vec<&'a Value> {
    let within = |record: &&Value| {
        record["window_start_ms"].as_u64() >= Some(from) && record["window_end_ms"].as_u64() <= Some(until)
    };
    records.iter().copied().filter(within).collect()
}

#[test]
fn while_an_interface_is_down_its_host_alone_fails_and_all_is_well_again_after() -> Result {
    let mut mesh = Mesh::start(3)?;
    let down_at = newest(&mesh.agents[0].records()?)?;
    mesh.node(0).ip("link set eth0 down")?;
    // What an agent has recorded by now may end well before this moment.
    let down_since = now_ms()?;
    let down_until = mesh.wait_for_windows(0, 6)?;
    mesh.scrape(&[0, 1, 2])?;
    mesh.node(0).ip("link set eth0 up")?;
    mesh.wait_for_answers()?;
    let up_since = mesh.wait_for_windows(0, 3)?;
    let up_until = mesh.wait_for_windows(0, 4)?;
    mesh.scrape(&[0, 1, 2])?;
    for (i, agent) in mesh.agents.drain(..).enumerate() {
        let records = end(agent)?;
        untouched(&format!("n{i}"), &records, &["n0"])?;
        for ((peer, kind), records) in by_pair(&records)? {
            if i != 0 && peer != "n0" {
                continue;
            }
            let said = format!("n{i} to {peer} by {kind}: {records:?}");
            assert_eq!(failures(&between(&records, 0, down_at))?, [0; 4], "before: {said}");
            assert_eq!(
                failures(&between(&records, up_since, up_until))?,
                [0; 4],
                "after: {said}"
            );
            assert!(
                sum(&between(&records, up_since, up_until), "received")? > 20,
                "after: {said}"
            );
            if i == 0 && kind == "tcp" {
                // A SYN leaves with the right source, or not at all: when the link is back nobody is silent.
                assert!(
                    sum(&records, "lost")? <= 21,
                    "in flight when it went down, and no other: {said}"
                );
            }
            // In the window in which it happened there are both; what was in flight then is decided in the next.
            let down = between(&records, down_since, down_until);
            let [lost, refused, unreachable, send_error] = failures(&down)?;
            assert_eq!((sum(&down, "received")?, refused), (0, 0), "while down: {said}");
            if i == 0 && kind != "grpc" {
                // Without a route nothing leaves: this host's own fault, and told at once.
                assert!(unreachable + send_error > 20, "while down: {said}");
                assert!(lost <= 21, "only what was in flight: {said}");
            } else {
                assert!(lost + unreachable > 0, "while down: {said}");
            }
        }
    }
    Ok(())
}

/// Waits until the newest windows have answers of both kinds from this peer, none failing, from and to these addresses.
fn wait_until_well(agent: &mut Agent, peer: &str, from: &str, to: &str) -> Result {
    agent.wait_for("windows in which all is well", |records| {
        let pairs = by_pair(records)?;
        let mut of_peer = pairs.iter().filter(|((name, _), _)| name == peer);
        let well = of_peer.try_fold(0, |well, (_, records)| {
            let last = &records[records.len().saturating_sub(2)..];
            let good = sum(last, "received")? > 10 && failures(last)? == [0; 4];
            let as_said = last
                .iter()
                .all(|record| record["src_ip"] == from && record["dst_ip"] == to);
            Ok::<_, distributed_trace_tests::error::LabError>(well + usize::from(good && as_said))
        })?;
        Ok((well == 2).then_some(()))
    })
}

#[test]
fn a_host_whose_own_address_changes_measures_on_from_the_new_one() -> Result {
    let pair = Pair::new()?;
    let _listener = pair.b.enter(|| TcpListener::bind("0.0.0.0:4000"))??;
    let directory = tempfile::tempdir()?;
    let peers = directory.path().join("peers.toml");
    std::fs::write(&peers, "[[peer]]\nnode = \"b\"\naddress = \"10.9.0.2\"\nport = 4000\n")?;
    let mut agent = Agent::builder(&pair.a, "a", "10.9.0.1")?
        .peers(&peers)
        .args("--probe icmp,tcp --method syn --window 1s --interval 100ms --timeout 500ms")
        .start()?;
    wait_until_well(&mut agent, "b", "10.9.0.1", "10.9.0.2")?;
    // As by DHCP: the old one is gone, the new one is there.
    pair.a.ip("address del 10.9.0.1/24 dev eth0")?;
    pair.a.address("eth0", "10.9.0.77/24")?;
    wait_until_well(&mut agent, "b", "10.9.0.77", "10.9.0.2")?;
    agent.scrape(&pair.a)?;
    let records = end(agent)?;
    // That a packet couldn't leave by an address that isn't there any more is nothing that the network did.
    assert_eq!(total(&records, "lost")?, 0, "{records:?}");
    let failed = |record: &&Value| record["probe"] == "tcp" && record["unreachable"] != 0;
    let failed = records.iter().filter(failed).count();
    assert!(failed < 12, "the new address was found after {failed} windows");
    Ok(())
}

fn names(folder: &Path) -> Result<std::path::PathBuf> {
    let peers = folder.join("peers.toml");
    let list = "[[peer]]\nnode = \"b\"\naddress = \"b.lab\"\nport = 4000\n\
                [[peer]]\nnode = \"c\"\naddress = \"10.8.0.3\"\nport = 4000\n";
    std::fs::write(&peers, list)?;
    Ok(peers)
}

#[test]
fn a_peer_that_moves_is_followed_by_its_name() -> Result {
    let lan = Lan::new(3)?;
    let (node, moving, other) = (&lan.nodes[0], &lan.nodes[1], &lan.nodes[2]);
    let _listeners = [moving, other].map(|node| node.enter(|| TcpListener::bind("0.0.0.0:4000")));
    let directory = tempfile::tempdir()?;
    node.hosts("127.0.0.1 localhost\n10.8.0.2 b.lab\n")?;
    let peers = names(directory.path())?;
    let mut agent = Agent::builder(node, "n0", &Lan::address(0))?
        .peers(&peers)
        .args("--probe icmp,tcp --window 1s --interval 100ms --timeout 500ms")
        .start()?;
    wait_until_well(&mut agent, "b", "10.8.0.1", "10.8.0.2")?;
    moving.ip("address del 10.8.0.2/16 dev eth0")?;
    moving.address("eth0", "10.8.0.20/16")?;
    node.hosts("127.0.0.1 localhost\n10.8.0.20 b.lab\n")?;
    wait_until_well(&mut agent, "b", "10.8.0.1", "10.8.0.20")?;
    agent.scrape(node)?;
    let records = end(agent)?;
    untouched("n0", &records, &["b"])?;
    for ((peer, kind), records) in by_pair(&records)? {
        let moved = records.iter().filter(|record| record["dst_ip"] == "10.8.0.20");
        // As long as the name led to where it was, as seldom as names are looked up, its probes were lost; in the first window
        // after that there are some of them.
        let moved: Vec<_> = moved.skip(2).copied().collect();
        assert_eq!(!moved.is_empty(), peer == "b", "{peer} by {kind}: {records:?}");
        assert_eq!(failures(&moved)?, [0; 4], "{peer} by {kind}: {moved:?}");
    }
    Ok(())
}
