//! `dt health` of a real agent: well, not ready, stuck, gone, and not to be asked. Each in a network namespace, where all
//! ports are its own.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use common::{Ran, file, ran, run};
use distributed_trace_tests::namespaces::Namespace;
use distributed_trace_tests::process::Process;
use nix::sys::signal::Signal;

/// The binary inside, with no variable of this process but the path.
fn dt(namespace: &Namespace) -> Command {
    let mut command = namespace.command(env!("CARGO_BIN_EXE_dt"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// An agent that says on its standard output what it measures by gRPC; well, as far as it can say.
fn agent(namespace: &Namespace, arguments: &[&str]) -> Process {
    let mut command = dt(namespace);
    command
        .args(["agent", "--node", "n", "--probe", "grpc", "--sink", "stdout"])
        .args(arguments);
    let mut agent = Process::spawn("dt agent", &mut command).unwrap();
    agent
        .wait_for("its health", |_| {
            Ok((health(namespace, &[], &[]).code == Some(0)).then_some(()))
        })
        .unwrap();
    agent
}

fn health(namespace: &Namespace, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = dt(namespace);
    command.arg("health").args(arguments).envs(environment.iter().copied());
    ran(command.output().unwrap())
}

/// What is expected of a run that is not well: nothing on standard output, and each of `parts` on the other.
fn unwell(ran: &Ran, code: i32, parts: &[&str]) {
    assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{ran:?}");
    for part in parts {
        assert!(ran.err.contains(part), "{part:?} is missing: {ran:?}");
    }
}

#[test]
fn a_well_agent_is_found_by_default_flag_variable_and_file() {
    let namespace = Namespace::new("health").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let peers = file(&directory, "peers.toml", "");
    let mut agent = agent(&namespace, &["--peers", peers.to_str().unwrap()]);
    let config = file(&directory, "dt.toml", "http = \"[::1]:9464\"\nwindow = \"20s\"\n");
    let config = config.to_str().unwrap();
    for (arguments, environment) in [
        (&[][..], &[][..]),
        (&["--http", "127.0.0.1:9464"], &[]),
        (&[], &[("DT_HTTP", "127.0.0.2:9464")]),
        // A flag wins.
        (&["--http", "0.0.0.0:9464"], &[("DT_CONFIG", config)]),
    ] {
        let ran = health(&namespace, arguments, environment);
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (Some(0), "ok\n", ""),
            "{ran:?}"
        );
    }
    let ran = health(&namespace, &[], &[("DT_CONFIG", config)]);
    unwell(&ran, 1, &["http://[::1]:9464/livez", "refused"]);
    // A round without peers is done at once, but not before the first look at the file.
    agent
        .wait_for("readiness", |_| {
            Ok((health(&namespace, &["--ready"], &[]).code == Some(0)).then_some(()))
        })
        .unwrap();
    // Stopped, its port still takes connections.
    agent.signal(Signal::SIGSTOP).unwrap();
    let ran = health(&namespace, &["--timeout", "200ms"], &[]);
    unwell(&ran, 1, &["http://127.0.0.1:9464/livez", "no answer within 200ms"]);
    agent.signal(Signal::SIGKILL).unwrap();
}

#[test]
fn an_agent_without_its_membership_lives_but_is_not_ready() {
    let namespace = Namespace::new("health").unwrap();
    let agent = agent(&namespace, &[]);
    let ran = health(&namespace, &["--ready"], &[]);
    unwell(&ran, 1, &["http://127.0.0.1:9464/readyz: 503", "regist"]);
    assert_eq!(agent.terminate().unwrap().status.code(), Some(0));
}

#[test]
fn nobody_to_ask() {
    let namespace = Namespace::new("health").unwrap();
    unwell(&health(&namespace, &[], &[]), 1, &["127.0.0.1:9464", "refused"]);
    // Somebody else's port: an answer that is none of an agent's.
    let other = namespace.enter(|| TcpListener::bind("127.0.0.1:22")).unwrap().unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(b"SSH-2.0-OpenSSH\r\n").unwrap();
    });
    let ran = health(&namespace, &["--http", "127.0.0.1:22"], &[]);
    unwell(&ran, 1, &["http://127.0.0.1:22/livez"]);
    answering.join().unwrap();
}

#[test]
fn what_cannot_be_asked() {
    unwell(
        &run(&["health"], &[("DT_HTTP", "off")]),
        1,
        &["off", "accepted", "DT_HTTP"],
    );
    for (arguments, parts) in [
        (["--http", "127.0.0.1:0"], ["--http", "accepted"]),
        (["--http", "nonsense"], ["nonsense", "accepted"]),
        (["--timeout", "0"], ["--timeout", "accepted"]),
        (["--timeout", "2m"], ["--timeout", "accepted"]),
    ] {
        let ran = run(&["health", arguments[0], arguments[1]], &[]);
        unwell(&ran, 2, &parts);
    }
}
