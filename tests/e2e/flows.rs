//! A path that loses all of one flow, beside one that loses as much of all flows alike: the records tell them apart.

use distributed_trace_tests::agent::{Agent, check_records, text, total};
use distributed_trace_tests::error::{LabError, Result};
use distributed_trace_tests::namespaces::Lan;
use distributed_trace_tests::ping::number;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::TcpListener;

/// The source ports of the agent: one flow each.
const PORTS: std::ops::RangeInclusive<u64> = 61_000..=61_015;
/// The one that doesn't get through to n1.
const BAD: u64 = 61_005;
/// So many probes must have been lost on either path.
const LOST: u64 = 5;

fn of<'a>(records: &'a [Value], node: &'a str) -> impl Iterator<Item = &'a Value> {
    records.iter().filter(move |record| record["dst_node"] == node)
}

#[test]
fn a_lost_flow_is_one_bad_port_and_not_loss_at_random() -> Result {
    let lan = Lan::new(3)?;
    let mut listeners = Vec::new();
    let mut peers = String::new();
    for (i, node) in lan.nodes.iter().enumerate().skip(1) {
        listeners.push(node.enter(|| TcpListener::bind("0.0.0.0:4000"))??);
        let address = Lan::address(i);
        peers += &format!("[[peer]]\nnode = \"n{i}\"\naddress = \"{address}\"\nport = 4000\n");
        node.on_input("tcp dport 4000 tcp flags syn counter")?;
    }
    lan.nodes[1].on_input(&format!("tcp dport 4000 tcp sport {BAD} counter drop"))?;
    // One in fifteen: it comes to another one of the sixteen ports every time.
    lan.nodes[2].on_input("tcp dport 4000 tcp flags syn numgen inc mod 15 0 counter drop")?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("peers.toml");
    std::fs::write(&file, peers)?;

    // A port is free again, its last probe lost or answered, when its turn comes: 16 x 100 ms are longer than the time-out.
    let mut agent = Agent::builder(&lan.nodes[0], "n0", &Lan::address(0))?
        .peers(&file)
        .args("--probe tcp --method syn --interval 100ms --timeout 1s --window 2s")
        .args("--source-ports 16 --source-port-range 61000-61015")
        .start()?;
    agent.wait_for("losses on both paths", |records| {
        let enough = |node| Ok::<_, LabError>(total(of(records, node), "lost")? >= LOST);
        Ok((enough("n1")? && enough("n2")?).then_some(()))
    })?;
    // Nothing more is sent, so that what the filters counted is what was recorded.
    agent.process.signal(Signal::SIGUSR1)?;
    agent.wait_for("a window without any probe", |records| {
        let newest = records.last().map(|record| record["window_start_ms"].clone());
        let mut of_newest = records
            .iter()
            .filter(|record| Some(&record["window_start_ms"]) == newest.as_ref());
        Ok((newest.is_some() && of_newest.all(|record| record["sent"] == 0)).then_some(()))
    })?;
    let (finished, records) = agent.terminate()?;
    assert_eq!(finished.status.code(), Some(0), "{finished}");
    check_records(&records, 2_000)?;

    for (i, node) in [(1, "n1"), (2, "n2")] {
        let (sent, lost) = (total(of(&records, node), "sent")?, total(of(&records, node), "lost")?);
        assert_eq!(lan.nodes[i].counters()?, [sent, lost], "sent and lost to {node}");
        assert_eq!(total(of(&records, node), "received")? + lost, sent, "{node}");
    }
    let mut worst = [BTreeSet::new(), BTreeSet::new()];
    for record in &records {
        let (sent, lost) = (number(record, "sent")?, number(record, "lost")?);
        if sent == 0 {
            assert_eq!(number(record, "flows")?, 0, "{record}");
            assert!(
                record["worst_flow_port"].is_null() && record["worst_flow_lost"].is_null(),
                "{record}"
            );
            continue;
        }
        // Every probe from the next port, so as many flows as probes until all have had their turn; but for a lost one at
        // either end of the window, which is decided later than its neighbours.
        let (flows, most) = (number(record, "flows")?, sent.min(16));
        assert!((most.saturating_sub(2)..=most).contains(&flows), "{record}");
        let port = number(record, "worst_flow_port")?;
        assert!(PORTS.contains(&port), "{record}");
        let is_n1 = text(record, "dst_node")? == "n1";
        if is_n1 {
            assert_eq!(
                number(record, "worst_flow_lost")?,
                lost,
                "all losses are of one flow: {record}"
            );
        }
        if lost > 0 {
            worst[usize::from(!is_n1)].insert(port);
        }
    }
    assert_eq!(worst[0], BTreeSet::from([BAD]), "the port that n1 doesn't hear");
    assert!(worst[1].len() > 2, "n2 loses of many flows: {worst:?}");
    Ok(())
}
