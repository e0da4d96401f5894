//! What others put on the wire and under the members' path must be counted or skipped, never believed and never fatal.

use distributed_trace_tests::agent::{Agent, check_records};
use distributed_trace_tests::capture::Capture;
use distributed_trace_tests::error::{LabError, Result};
use distributed_trace_tests::forward::forward;
use distributed_trace_tests::namespaces::{Lan, Pair};
use distributed_trace_tests::ping::{Ping, Rights, expect_counts, number};
use distributed_trace_tests::process::wait_for;
use distributed_trace_tests::tap::Tap;
use distributed_trace_tests::wire::{HEADERS, Seen, reply_with, seal, see};
use distributed_trace_tests::znodes::Znodes;
use distributed_trace_tests::zookeeper::ZooKeeper;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Frames made of a captured answer that must not be taken for one: bits flipped at every place, cut short everywhere.
fn forgeries(answer: &[u8]) -> Vec<Vec<u8>> {
    let mut forged = Vec::new();
    // Not the sequence number alone: with the cookie left as it was, every other part has to be noticed too.
    for place in HEADERS..answer.len() {
        let mut frame = answer.to_vec();
        frame[place] ^= 0x41;
        forged.push(frame);
    }
    for length in HEADERS..answer.len() {
        // Both with a header that says so and one that promises more than there is.
        let mut frame = answer[..length].to_vec();
        forged.push(frame.clone());
        let total = u16::try_from(length - 14).unwrap_or(u16::MAX).to_be_bytes();
        frame[16..18].copy_from_slice(&total);
        forged.push(frame);
    }
    forged
}

/// Answers of `b` are changed into forgeries of themselves while `a` probes; the true ones are dropped on the way out.
///
/// With `honest`, true answers are sent in the same way instead: the control that shows that a forgery would arrive.
fn probe_amid_forgeries(arguments: &str, drop_answers: &str, honest: bool) -> Result {
    let pair = Pair::new()?;
    let _listener = pair.b.enter(|| TcpListener::bind("10.9.0.2:7000"))??;
    pair.b.on_output(drop_answers)?;
    // A second link, on which answers come back to be copied from: taken from one honest run.
    let other = Pair::new()?;
    let _other_listener = other.b.enter(|| TcpListener::bind("10.9.0.2:7000"))??;
    let capture = Capture::start(&other.a, "eth0")?;
    Ping::new(&other.a, Rights::All)?
        .args(&format!("{arguments} -c 3 -i 10ms 10.9.0.2{}", port(arguments)))
        .report()?;
    let frames = capture.stop()?;
    let is_answer = |frame: &[u8]| matches!(see(frame), Some(Seen::Reply(_) | Seen::SynAck(_)));
    let template = frames.0.iter().map(|frame| &frame.bytes).find(|bytes| is_answer(bytes));
    let template = template
        .ok_or_else(|| LabError::new("the honest run has no answer"))?
        .clone();

    let mut watching = Tap::open(&pair.b, "eth0")?;
    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicU64::new(0));
    let forger = std::thread::spawn({
        let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
        move || -> Result {
            while !stop.load(Ordering::Acquire) {
                let Some(frame) = watching.receive()? else { continue };
                let bytes = frame.bytes;
                if frame.outgoing || !matches!(see(&bytes), Some(Seen::Request(_) | Seen::Syn(_))) {
                    continue;
                }
                // Addressed as the true answer would be: hardware and IP addresses, ports or identifier of the probe.
                let mut answer = template.clone();
                answer[..6].copy_from_slice(&bytes[6..12]);
                answer[6..12].copy_from_slice(&bytes[..6]);
                if bytes[23] == 1 {
                    // Identifier and sequence right, the payload that of another run: the cookie is wrong.
                    answer[38..42].copy_from_slice(&bytes[38..42]);
                } else {
                    let ports = [&bytes[36..38], &bytes[34..36]].concat();
                    answer[34..38].copy_from_slice(&ports);
                }
                if honest {
                    let mut truth = true_answer(&bytes, answer);
                    seal(&mut truth);
                    watching.send(&truth)?;
                    continue;
                }
                for mut frame in std::iter::once(answer.clone()).chain(forgeries(&answer)) {
                    // What only the checksum would have told apart from the template is a forgery all the same.
                    seal(&mut frame);
                    // A frame may be too short for the interface.
                    if watching.send(&frame).is_ok() {
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            Ok(())
        }
    });
    let report = Ping::new(&pair.a, Rights::All)?
        .args(&format!("{arguments} -c 20 -i 20ms -t 1s 10.9.0.2{}", port(arguments)))
        .report();
    stop.store(true, Ordering::Release);
    forger.join().map_err(|_| LabError::new("the forger panicked"))??;
    let report = report?;
    if honest {
        return expect_counts(&report.targets[0], &[("received", 20)]);
    }
    expect_counts(&report.targets[0], &[("lost", 20)])?;
    assert!(sent.load(Ordering::Relaxed) > 20 * 20, "forgeries were sent");
    Ok(())
}

/// What the target would answer to `probe`: its own payload, or the number that acknowledges it. `draft` has the
/// addresses, ports and identifier right already.
fn true_answer(probe: &[u8], mut draft: Vec<u8>) -> Vec<u8> {
    if probe[23] == 1 {
        draft[HEADERS + 4..].copy_from_slice(&probe[HEADERS + 4..]);
    } else {
        let sequence = u32::from_be_bytes([probe[38], probe[39], probe[40], probe[41]]);
        draft[42..46].copy_from_slice(&sequence.wrapping_add(1).to_be_bytes());
    }
    draft
}

fn port(arguments: &str) -> &'static str {
    if arguments.contains("tcp") { ":7000" } else { "" }
}

#[test]
fn forged_and_truncated_echo_replies_are_not_believed() -> Result {
    for honest in [false, true] {
        probe_amid_forgeries("", "icmp type echo-reply drop", honest)?;
    }
    Ok(())
}

#[test]
fn forged_and_truncated_syn_acks_are_not_believed() -> Result {
    for honest in [false, true] {
        probe_amid_forgeries(
            "--proto tcp --method syn",
            "tcp flags & (syn|ack) == (syn|ack) drop",
            honest,
        )?;
    }
    Ok(())
}

/// So many of each kind for each probe.
const TIMES: usize = 10;

#[test]
fn a_flood_of_foreign_and_forged_replies_loses_us_nothing() -> Result {
    const COUNT: u64 = 2_000;
    let pair = Pair::new()?;
    let mut watching = Tap::open(&pair.b, "eth0")?;
    let stop = Arc::new(AtomicBool::new(false));
    let flood = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || -> Result<usize> {
            let mut sent = 0;
            loop {
                // Nobody waits for it: what is left to answer when all probes have been sent is answered yet.
                let Some(frame) = watching.receive()? else {
                    if stop.load(Ordering::Acquire) {
                        return Ok(sent);
                    }
                    continue;
                };
                let request = frame.bytes;
                if frame.outgoing || !matches!(see(&request), Some(Seen::Request(_))) {
                    continue;
                }
                for n in 0..TIMES {
                    // Somebody else's reply; one to our identifier with another payload; and one that only its cookie
                    // tells from the true one, which no filter can.
                    let foreign = reply_with(&request, |icmp| icmp[4] ^= 0x55);
                    let misdirected = reply_with(&request, |icmp| icmp[8..].fill(n as u8));
                    let forged = reply_with(&request, |icmp| icmp[16..24].fill(n as u8));
                    for frame in [foreign, misdirected, forged] {
                        watching.send(&frame)?;
                        sent += 1;
                    }
                }
            }
        }
    });
    let report = Ping::new(&pair.a, Rights::All)?
        .args(&format!("-c {COUNT} -i 1ms -t 2s 10.9.0.2"))
        .report();
    stop.store(true, Ordering::Release);
    let sent = flood.join().map_err(|_| LabError::new("the flood panicked"))??;
    let report = report?;
    assert!(sent >= 3 * TIMES * (COUNT as usize - 1), "{sent} frames");
    expect_counts(&report.targets[0], &[("received", COUNT)])?;
    let target = &report.targets[0];
    assert!(target.get("skipped").is_none(), "{target}");
    assert_eq!(number(target, "timestamps.fallbacks")?, 0, "{target}");
    assert_eq!(number(&report.summary, "receive_drops")?, 0, "{}", report.summary);
    Ok(())
}

#[test]
fn rubbish_under_the_members_path_is_skipped_and_counted() -> Result {
    const MEMBERS: &str = "/distributed_trace/heart_beat_nodes";
    let zookeeper = ZooKeeper::start()?;
    let lan = Lan::new(2)?;
    let mut agents = Vec::new();
    for (i, node) in lan.nodes.iter().enumerate() {
        forward(node, zookeeper.address().port())?;
        let agent = Agent::builder(node, &format!("n{i}"), &Lan::address(i))?
            .env("SERVERS_ZK", &zookeeper.servers())
            .args("--probe icmp,tcp --window 1s --interval 100ms --timeout 500ms")
            .start()?;
        agents.push(agent);
    }
    let znodes = Znodes::connect(&zookeeper.servers())?;
    wait_for("both members", || {
        Ok((znodes.children(MEMBERS)?.len() == 2).then_some(()))
    })?;
    let big = vec![b'x'; 900_000];
    let rubbish: [&[u8]; 9] = [
        b"",
        b"not json",
        b"[]",
        b"\xff\xfe",
        br#"{"My_address":7,"My_port":4000}"#,
        br#"{"My_address":"","My_port":4000}"#,
        br#"{"My_address":"10.8.0.9","My_port":0}"#,
        br#"{"My_address":"10.8.0.9","My_port":70000}"#,
        &big,
    ];
    for (i, data) in rubbish.iter().enumerate() {
        znodes.create(&format!("{MEMBERS}/_c_{i:032x}-10.8.0.9:4000{i:010}"), data)?;
    }
    // A good one after all of them shows that they were read and passed over.
    znodes.create(
        &format!("{MEMBERS}/good"),
        br#"{"My_address":"10.8.0.2","My_port":4001}"#,
    )?;
    for agent in &mut agents[..1] {
        agent.wait_for("records of the good member", |records| {
            Ok(records
                .iter()
                .any(|record| record["dst_node"] == "10.8.0.2:4001")
                .then_some(()))
        })?;
    }
    // Entries are read side by side, and the largest takes longest.
    wait_for("all of them to be counted", || {
        let (_, metrics) = agents[0].get(&lan.nodes[0], "/metrics")?;
        let malformed = metrics
            .lines()
            .filter(|line| !line.starts_with('#') && line.contains("malformed"))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum::<f64>();
        Ok((malformed >= rubbish.len() as f64).then_some(()))
    })?;
    for agent in agents {
        let (finished, records) = agent.terminate()?;
        assert_eq!(finished.status.code(), Some(0), "{finished}");
        assert!(!finished.stderr.contains("panicked"), "{finished}");
        check_records(&records, 1000)?;
        let known = ["n0", "n1", "10.8.0.2:4001"];
        assert!(
            records
                .iter()
                .all(|record| known.iter().any(|node| record["dst_node"] == *node))
        );
    }
    Ok(())
}
