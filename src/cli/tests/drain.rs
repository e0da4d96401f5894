//! `dt drain`: an agent leaves the mesh, answers on, and ends in order.
#![allow(clippy::unwrap_used)]

mod common;

use common::{dt, run};
use distributed_trace_tests::process::{Process, wait_for};
use distributed_trace_tests::znodes::Znodes;
use distributed_trace_tests::zookeeper::ZooKeeper;
use nix::sys::signal::Signal;

const MEMBERS: &str = "/distributed_trace/heart_beat_nodes";

#[test]
fn a_drained_agent_is_no_member_and_still_answers() {
    let zookeeper = ZooKeeper::start().unwrap();
    let znodes = Znodes::connect(&zookeeper.servers()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let sink = format!("file:{}", directory.path().join("records").display());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let mut command = dt();
    command
        .args(["agent", "--node", "n", "--http", "off", "--probe", "grpc"])
        .args(["--listen", &address, "--sink", &sink])
        .args(["--zookeeper-servers", &zookeeper.servers()]);
    let mut agent = Process::spawn("dt agent", &mut command).unwrap();
    agent
        .wait_for("the registration", |_| {
            Ok((znodes.children(MEMBERS)?.len() == 1).then_some(()))
        })
        .unwrap();

    let pid = agent.pid().to_string();
    // Twice: nothing changes the second time.
    for _ in 0..2 {
        let ran = run(&["drain", "--pid", &pid, "--wait", "0"], &[]);
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (Some(0), "", ""),
            "{ran:?}"
        );
    }
    agent
        .wait_for("an empty membership", |_| {
            Ok(znodes.children(MEMBERS)?.is_empty().then_some(()))
        })
        .unwrap();
    std::net::TcpStream::connect(&address).unwrap();
    assert_eq!(agent.ended().unwrap(), None);
    let finished = agent.terminate().unwrap();
    assert_eq!(finished.status.code(), Some(0), "{finished}");
}

#[test]
fn nobody_else_is_signalled() {
    let mut other = Process::spawn("sleep", std::process::Command::new("sleep").arg("1000")).unwrap();
    // Between fork and exec it is still this test, whose handlers are others.
    wait_for("sleep to be itself", || {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", other.pid()))?;
        Ok((name.trim() == "sleep").then_some(()))
    })
    .unwrap();
    let ran = run(&["drain", "--pid", &other.pid().to_string()], &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.err.contains("doesn't wait for SIGUSR2"), "{ran:?}");
    assert_eq!(other.ended().unwrap(), None);
    other.signal(Signal::SIGKILL).unwrap();

    let ran = run(&["drain", "--pid", "0"], &[]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
}
