//! An agent that gets no processor for longer than its windows, its time-outs and its session last.

use crate::mesh::{KINDS, Mesh, SESSION, end, failures, newest, sum, untouched};
use distributed_trace_tests::agent::by_pair;
use distributed_trace_tests::error::Result;
use distributed_trace_tests::lock::take_turn;
use distributed_trace_tests::ping::number;
use distributed_trace_tests::process::{DEADLINE, wait_until};
use nix::sys::signal::Signal;
use std::time::Duration;

/// Thirty windows, a good many time-outs and sessions.
const STALL: Duration = Duration::from_secs(30);

#[test]
fn a_stopped_agent_is_dropped_comes_back_once_and_has_lost_nothing() -> Result {
    let _turn = take_turn()?;
    let mut mesh = Mesh::start(3)?;
    let before = newest(&mesh.agents[0].records()?)?;
    mesh.agents[0].process.signal(Signal::SIGSTOP)?;
    assert!(STALL > 3 * SESSION);
    // Waited for by the test itself: whoever is stopped closes no windows.
    std::thread::sleep(STALL);
    mesh.wait_until_known(&[1, 2], "n0", false)?;
    mesh.agents[0].process.signal(Signal::SIGCONT)?;
    mesh.wait_until_known(&[1, 2], "n0", true)?;
    wait_until("one entry", DEADLINE, || {
        Ok((mesh.entries("n0")?.len() == 1).then_some(()))
    })?;
    mesh.wait_for_answers()?;
    let back = mesh.wait_for_windows(0, 3)?;
    mesh.scrape(&[0, 1, 2])?;

    let lives: Vec<_> = mesh.agents.drain(..).map(end).collect::<Result<_>>()?;
    let pairs = by_pair(&lives[0])?;
    assert_eq!(pairs.len(), 2 * KINDS);
    for ((peer, kind), records) in &pairs {
        let said = format!("n0 to {peer} by {kind}: {records:?}");
        assert_eq!(failures(records)?, [0; 4], "{said}");
        assert_eq!((sum(records, "late")?, sum(records, "duplicate")?), (0, 0), "{said}");
        // Ten turns a second were due and are told as such.
        let (stalled, skipped) = (u64::try_from(STALL.as_millis())? / 100, sum(records, "skipped")?);
        assert!(skipped + 5 >= stalled, "{skipped} of {stalled} turns skipped: {said}");
        for two in records.windows(2) {
            let (ended, began) = (number(two[0], "window_end_ms")?, number(two[1], "window_start_ms")?);
            assert_eq!(ended, began, "{said}");
        }
        // No burst: a window has what falls due in it, and not what fell due before.
        for record in records {
            assert!(number(record, "sent")? <= 13, "{record}");
        }
    }
    for (i, records) in lives.iter().enumerate() {
        untouched(&format!("n{i}"), records, &["n0"])?;
        if i == 0 {
            continue;
        }
        for ((_, kind), records) in by_pair(records)?.iter().filter(|((peer, _), _)| peer == "n0") {
            let said = format!("n{i} to n0 by {kind}: {records:?}");
            let [lost, refused, unreachable, send_error] = failures(records)?;
            // Its kernel answers for it; its program doesn't.
            assert_eq!(lost + refused > 0, kind == "grpc", "{said}");
            assert_eq!((unreachable, send_error), (0, 0), "{said}");
            let around: Vec<_> = records
                .iter()
                .copied()
                .filter(|record| {
                    let start = record["window_start_ms"].as_u64();
                    start < Some(before) || start >= Some(back)
                })
                .collect();
            assert_eq!(failures(&around)?, [0; 4], "before and after it was stopped: {said}");
        }
    }
    Ok(())
}
