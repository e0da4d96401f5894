//! An agent that gets no processor for seconds: its replies wait in the kernel, and afterwards nothing is made up for.

use distributed_trace_tests::agent::{Agent, by_pair, total};
use distributed_trace_tests::capture::{Capture, Frames};
use distributed_trace_tests::delay::DelayedPair;
use distributed_trace_tests::error::Result;
use distributed_trace_tests::lock::take_turn;
use distributed_trace_tests::namespaces::Namespace;
use distributed_trace_tests::ping::number;
use distributed_trace_tests::process::wait_for;
use distributed_trace_tests::wire::{Seen, reply_with, see};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::time::Duration;

/// From one probe of a kind to the next.
const PERIOD_MS: u64 = 20;
/// Longer than any time-out of this test, and than the agent's memory of late replies.
const STALL: Duration = Duration::from_secs(6);
/// One way; a reply is always under way when the agent is stopped.
const DELAY: Duration = Duration::from_millis(50);

fn newest_end(records: &[Value]) -> Result<u64> {
    let ends = records.iter().map(|record| number(record, "window_end_ms"));
    Ok(ends.collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or(0))
}

/// The most probes of a kind that left within any 100 ms.
fn busiest(frames: &Frames, from: &str, is_probe: impl Fn(Seen) -> bool) -> usize {
    let source: std::net::Ipv4Addr = from.parse().unwrap_or(std::net::Ipv4Addr::UNSPECIFIED);
    let ours = |bytes: &[u8]| bytes.get(26..30) == Some(&source.octets()[..]);
    let left: Vec<u64> = frames
        .0
        .iter()
        .filter(|frame| ours(&frame.bytes) && see(&frame.bytes).is_some_and(&is_probe))
        .map(|frame| frame.stamp_ns)
        .collect();
    let within = |start: u64| {
        left.iter()
            .filter(|at| (start..start + 100_000_000).contains(*at))
            .count()
    };
    left.iter().map(|start| within(*start)).max().unwrap_or(0)
}

/// The packets that the raw ICMP socket of this namespace has dropped.
fn raw_drops(namespace: &Namespace) -> Result<u64> {
    let table = namespace.run("cat", &["/proc/net/raw"])?;
    // Where other sockets have the port stands the protocol's number.
    let rows = table
        .lines()
        .filter(|line| line.split_whitespace().nth(1) == Some("00000000:0001"));
    Ok(rows
        .filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok())
        .sum())
}

/// While the agent is stopped somebody who has seen its probes fills its receive buffer; the true answers come after that.
#[test]
fn answers_that_find_the_buffer_full_are_skipped_and_not_lost() -> Result {
    let _turn = take_turn()?;
    let line = DelayedPair::new(Duration::from_millis(400))?;
    let directory = tempfile::tempdir()?;
    let peers = directory.path().join("peers.toml");
    std::fs::write(&peers, "[[peer]]\nnode = \"b\"\naddress = \"10.9.0.2\"\nport = 4000\n")?;
    let mut agent = Agent::builder(&line.ends.a, "a", "10.9.0.1")?
        .peers(&peers)
        .args("--probe icmp --window 1s --interval 10ms --timeout 2s")
        .start()?;
    agent.wait_for("answers", |records| {
        Ok(records
            .last()
            .is_some_and(|last| number(last, "received").is_ok_and(|n| n > 50))
            .then_some(()))
    })?;
    let mut beside = line.beside_a()?;
    let request = wait_for("a request", || {
        let frame = beside.receive()?.map(|frame| frame.bytes);
        Ok(frame.filter(|bytes| matches!(see(bytes), Some(Seen::Request(_)))))
    })?;
    // Right but for the cookie: no filter can tell it.
    let forged = reply_with(&request, |icmp| icmp[16..24].fill(0xaa));
    agent.process.signal(Signal::SIGSTOP)?;
    wait_for("a full buffer", || {
        for _ in 0..1_000 {
            beside.send(&forged)?;
        }
        Ok((raw_drops(&line.ends.a)? > 0).then_some(()))
    })?;
    // All that was in flight comes and finds it full.
    std::thread::sleep(Duration::from_secs(1));
    agent.process.signal(Signal::SIGCONT)?;
    let voided = |metrics: &str| {
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("dt_probes_voided_total{probe=\"icmp\"} "));
        line.and_then(|count| count.parse::<u64>().ok())
    };
    let voided = wait_for("void probes", || {
        Ok(voided(&agent.get(&line.ends.a, "/metrics")?.1).filter(|voided| *voided >= 10))
    });
    let (finished, records) = agent.terminate()?;
    assert_eq!(finished.status.code(), Some(0), "{finished}");
    let voided = voided?;
    let sum = |name| total(&records, name);
    for nothing in ["lost", "send_error", "unreachable", "late", "duplicate"] {
        assert_eq!(sum(nothing)?, 0, "{nothing}: {records:?}");
    }
    // Of the 80 in flight at least those of the last 100 ms before the stop.
    assert!(sum("skipped")? >= voided, "{voided}: {records:?}");
    assert!(sum("receive_drops")? >= voided, "{voided}: {records:?}");
    assert!(sum("received")? > 50, "{records:?}");
    Ok(())
}

#[test]
fn a_stall_is_skipped_turns_and_neither_a_burst_nor_loss() -> Result {
    let _turn = take_turn()?;
    let line = DelayedPair::new(DELAY)?;
    let directory = tempfile::tempdir()?;
    let peers = directory.path().join("peers.toml");
    std::fs::write(
        &peers,
        "[[peer]]\nnode = \"a\"\naddress = \"10.9.0.1\"\nport = 4000\n[[peer]]\nnode = \"b\"\naddress = \"10.9.0.2\"\nport = 4000\n",
    )?;
    let timing = format!("--probe icmp,tcp,grpc --window 1s --interval {PERIOD_MS}ms --timeout 2s");
    let start = |node, name, address| Agent::builder(node, name, address)?.peers(&peers).args(&timing).start();
    let mut far = start(&line.ends.b, "b", "10.9.0.2")?;
    let mut agent = start(&line.ends.a, "a", "10.9.0.1")?;
    for one in [&mut far, &mut agent] {
        one.wait_for("answers of every kind", |records| {
            let pairs = by_pair(records)?;
            let answered = pairs
                .values()
                .filter(|of| of.last().is_some_and(|last| last["received"] != 0));
            Ok((answered.count() == 3).then_some(()))
        })?;
    }
    // What was lost while the agents came up is not the point.
    let before = agent.records()?.len();
    let capture = Capture::start(&line.ends.a, "eth0")?;
    agent.process.signal(Signal::SIGSTOP)?;
    std::thread::sleep(STALL);
    agent.process.signal(Signal::SIGCONT)?;
    let stalled_until = newest_end(&agent.records()?)? + u64::try_from(STALL.as_millis())?;
    agent.wait_for("two windows after the stall", |records| {
        Ok((newest_end(records)? > stalled_until + 3_000).then_some(()))
    })?;
    let frames = capture.stop()?;
    let (_, metrics) = agent.get(&line.ends.a, "/metrics")?;
    let until = newest_end(&agent.records()?)?;
    let (finished, records) = agent.terminate()?;
    assert_eq!(finished.status.code(), Some(0), "{finished}");

    let whole: Vec<_> = records[before..]
        .iter()
        .filter(|record| record["window_end_ms"].as_u64() <= Some(until))
        .cloned()
        .collect();
    let span = newest_end(&whole)? - number(&whole[0], "window_start_ms")?;
    for ((_, kind), records) in by_pair(&whole)? {
        let sum = |name| total(records.iter().copied(), name);
        let said = format!("{kind}: {records:?}");
        for nothing in ["lost", "send_error", "unreachable", "refused", "late", "receive_drops"] {
            assert_eq!(sum(nothing)?, 0, "{nothing} of {said}");
        }
        assert!(sum("received")? > 50, "{said}");
        let (sent, skipped) = (sum("sent")?, sum("skipped")?);
        let stalled = u64::try_from(STALL.as_millis())? / PERIOD_MS;
        assert!(skipped >= stalled - 5, "{skipped} of {stalled} turns skipped: {said}");
        // Every turn is in the one or in the other, but for those in flight at either end.
        let due = span / PERIOD_MS;
        assert!(
            (sent + skipped).abs_diff(due) <= 50,
            "{sent} sent, {skipped} skipped of {due} due: {said}"
        );
        if kind != "grpc" {
            // Whatever was in flight was answered while nobody read it, and took no longer for that.
            let longest = records.iter().filter_map(|record| record["rtt_max_ns"].as_u64()).max();
            assert!(longest < Some(1_000_000_000), "{longest:?} ns: {said}");
        }
    }
    let share = 100 / usize::try_from(PERIOD_MS)?;
    for (kind, most) in [
        (
            "icmp",
            busiest(&frames, "10.9.0.1", |seen| matches!(seen, Seen::Request(_))),
        ),
        ("tcp", busiest(&frames, "10.9.0.1", |seen| matches!(seen, Seen::Syn(_)))),
    ] {
        assert!(
            (1..=3 * share).contains(&most),
            "{most} {kind} probes within 100 ms, whose share is {share}"
        );
    }
    let late = metrics
        .lines()
        .find_map(|line| line.strip_prefix("dt_probe_thread_late_seconds_sum "))
        .and_then(|sum| sum.parse::<f64>().ok());
    assert!(late > Some(STALL.as_secs_f64() - 1.0), "the thread was late: {late:?}");
    Ok(())
}
