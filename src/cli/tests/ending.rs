//! The end of an agent whose probe thread hangs: the case in which `/livez` asks for a restart.
#![allow(clippy::unwrap_used)]

mod common;

use common::{dt, file};
use distributed_trace_tests::process::{Process, wait_for};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// The thread of this name.
fn thread(pid: u32, name: &str) -> std::io::Result<Option<Pid>> {
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?;
        if std::fs::read_to_string(task.path().join("comm"))?.trim() == name {
            return Ok(task.file_name().to_string_lossy().parse().ok().map(Pid::from_raw));
        }
    }
    Ok(None)
}

#[test]
fn a_probe_thread_that_hangs_does_not_hold_up_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let peers = file(&directory, "peers.toml", "");
    let mut command = dt();
    command
        .args([
            "agent", "--node", "n", "--probe", "tcp", "--method", "connect", "--http", "off",
        ])
        .args(["--listen", "127.0.0.1:0", "--peers", peers.to_str().unwrap()])
        .args([
            "--sink",
            &format!("file:{}", directory.path().join("records").display()),
        ]);
    let mut agent = Process::spawn("dt agent", &mut command).unwrap();
    agent
        .wait_for("the agent", |agent| {
            Ok(agent.stderr()?.contains("agent started").then_some(()))
        })
        .unwrap();
    let probe = thread(agent.pid(), "dt-probe").unwrap().unwrap();
    // A tracer stops one thread of many; a signal would stop them all.
    ptrace::seize(probe, ptrace::Options::empty()).unwrap();
    ptrace::interrupt(probe).unwrap();
    waitpid(probe, Some(WaitPidFlag::__WALL)).unwrap();
    agent.signal(Signal::SIGTERM).unwrap();
    // Its tracer is told of its end first.
    wait_for("the end", || {
        let seen = waitpid(probe, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG))?;
        Ok((!matches!(seen, WaitStatus::StillAlive)).then_some(()))
    })
    .unwrap();
    let finished = agent.finish().unwrap();
    assert_eq!(finished.status.code(), Some(0), "{finished}");
    assert!(finished.stderr.contains("the end took too long"), "{finished}");
}

/// An agent that knows nobody and publishes to a file of its own.
fn lonely(directory: &tempfile::TempDir, wrapper: &[&str]) -> Process {
    let peers = directory.path().join("peers.toml");
    std::fs::write(&peers, "").unwrap();
    let sink = format!("file:{}", directory.path().join("records").display());
    let words: Vec<&str> = wrapper
        .iter()
        .copied()
        .chain([env!("CARGO_BIN_EXE_dt"), "agent"])
        .collect();
    let mut command = std::process::Command::new(words[0]);
    command
        .args(&words[1..])
        .args([
            "--node",
            "n",
            "--http",
            "off",
            "--listen",
            "127.0.0.1:0",
            "--probe",
            "grpc",
        ])
        .args(["--sink", &sink, "--peers"])
        .arg(&peers);
    let mut agent = Process::spawn("dt agent", &mut command).unwrap();
    agent
        .wait_for("the start", |agent| {
            Ok(agent.stderr()?.contains("agent started").then_some(()))
        })
        .unwrap();
    agent
}

#[test]
fn a_terminal_that_closes_ends_an_agent_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let agent = lonely(&directory, &[]);
    agent.signal(Signal::SIGHUP).unwrap();
    let finished = agent.finish().unwrap();
    assert_eq!(finished.status.code(), Some(0), "{finished}");
    assert!(finished.stderr.contains("shut down"), "{finished}");
}

#[test]
fn under_nohup_an_agent_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let agent = lonely(&directory, &["nohup"]);
    agent.signal(Signal::SIGHUP).unwrap();
    // The one after it shows that the first was passed over.
    agent.signal(Signal::SIGUSR1).unwrap();
    let mut agent = agent;
    agent
        .wait_for("the next order", |agent| {
            Ok(agent.stderr()?.contains("probing switched").then_some(()))
        })
        .unwrap();
    let finished = agent.terminate().unwrap();
    assert_eq!(finished.status.code(), Some(0), "{finished}");
}
