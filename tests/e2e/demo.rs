//! `dt demo`: the whole mesh on this machine, with and without the privilege for raw sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use distributed_trace_tests::error::Result;
use distributed_trace_tests::process::{Process, dt, wait_for};
use serde_json::{Value, json};

/// Agents of the demo, and so 30 ordered pairs.
const PAIRS: usize = 6 * 5;

/// So long it waits at most with its page for numbers of all pairs, a second less: a slow machine may need longer.
const PAGE_WAITS: Duration = Duration::from_secs(5);

/// Starts the demo on a free port; the address of the page is in what it prints.
fn start(mut command: Command) -> Result<(Process, String)> {
    command.args(["demo", "--http", "127.0.0.1:0"]);
    let mut demo = Process::spawn("demo", &mut command)?;
    let address = demo.wait_for("the page's address", |demo| {
        let text = demo.stdout()?;
        let after = text.split_once("http://").map(|(_, after)| after);
        Ok(after.and_then(|after| Some(after.split_once('\n')?.0.to_owned())))
    })?;
    Ok((demo, address))
}

/// `dt` without any capability.
fn unprivileged() -> Result<Command> {
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"])
        .arg(dt()?);
    Ok(command)
}

fn get(address: &str, path: &str) -> Result<(String, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Ok((head.to_owned(), body.to_owned()))
}

fn pairs(address: &str) -> Result<Vec<Value>> {
    let (head, body) = get(address, "/api/v1/pairs")?;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    Ok(serde_json::from_str(&body)?)
}

/// All pairs by each of these kinds: in the first answer of the page, but where the page came because it waits no longer.
fn all_pairs(started: Instant, address: &str, probes: &[&str]) -> Result<Vec<Value>> {
    let in_time = started.elapsed() < PAGE_WAITS;
    let first = pairs(address)?;
    let are_all = |found: &[Value]| {
        probes.iter().all(|probe| of(found, probe).len() == PAIRS)
            && found.iter().all(|pair| pair["sent"].as_u64() >= Some(1))
    };
    if in_time || are_all(&first) {
        return Ok(first);
    }
    wait_for("numbers of all pairs", || {
        let found = pairs(address)?;
        Ok(are_all(&found).then_some(found))
    })
}

fn of<'a>(pairs: &'a [Value], probe: &str) -> Vec<&'a Value> {
    pairs.iter().filter(|pair| pair["probe"] == probe).collect()
}

#[test]
fn every_pair_and_kind_has_numbers_from_the_first_answer() -> Result {
    let started = Instant::now();
    let (demo, address) = start(Command::new(dt()?))?;
    let kinds = ["icmp", "tcp", "grpc"];
    let pairs = all_pairs(started, &address, &kinds)?;
    for probe in kinds {
        let pairs = of(&pairs, probe);
        assert_eq!(pairs.len(), PAIRS, "{probe}");
        for pair in pairs {
            assert!(pair["sent"].as_u64() >= Some(1), "{pair}");
            assert_ne!(pair["src_node"], pair["dst_node"]);
        }
    }
    let stamped = of(&pairs, "icmp");
    assert!(
        stamped
            .iter()
            .all(|pair| pair["timestamp_tx"] == "kernel" && pair["timestamp_rx"] == "kernel")
    );
    assert!(of(&pairs, "tcp").iter().all(|pair| pair["method"] == "syn"));
    let (head, page) = get(&address, "/")?;
    assert!(
        head.to_ascii_lowercase()
            .contains("content-security-policy: default-src 'self'"),
        "{head}"
    );
    assert!(page.contains(r#"<link rel="alternate" type="application/json" href="/api/v1/pairs">"#));
    demo.terminate()?.expect_code(0)?;
    Ok(())
}

#[test]
fn without_the_privilege_it_measures_what_it_can_and_says_what_to_do() -> Result {
    let started = Instant::now();
    let (demo, address) = start(unprivileged()?)?;
    let pairs = all_pairs(started, &address, &["tcp", "grpc"])?;
    assert_eq!(of(&pairs, "icmp").len(), 0);
    let tcp = of(&pairs, "tcp");
    assert_eq!((tcp.len(), of(&pairs, "grpc").len()), (PAIRS, PAIRS));
    assert!(
        tcp.iter()
            .all(|pair| pair["method"] == "connect" && pair["timestamp_tx"] == "kernel")
    );
    let said = demo.stdout()?;
    for word in ["CAP_NET_RAW", "ping_group_range", "connect()"] {
        assert!(said.contains(word), "{word} is missing:\n{said}");
    }
    demo.terminate()?.expect_code(0)?;
    Ok(())
}

/// Starts the demo with a fault, and waits until its page names it: the kind, and the subject's parts that aren't empty.
fn named(mut command: Command, fault: &str, kind: &str, subject: &Value) -> Result {
    command.env("DT_DEMO_FAULT", fault).env("DT_DEMO_FAULT_AFTER", "3s");
    let (demo, address) = start(command)?;
    let about = |(part, expected): (&String, &Value), found: &Value| found["subject"][part] == *expected;
    wait_for(&format!("{kind} for {fault}"), || {
        let told: Value = serde_json::from_str(&get(&address, "/api/v1/findings")?.1)?;
        let parts = subject.as_object().into_iter().flatten();
        let is_it = |found: &&Value| found["kind"] == kind && parts.clone().all(|part| about(part, found));
        let findings = told["findings"].as_array().into_iter().flatten();
        Ok(findings.clone().any(|found| is_it(&found)).then_some(()))
    })?;
    demo.terminate()?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_fault_is_brought_in_and_named() -> Result {
    for (fault, kind, subject) in [
        ("dead-node", "node_down", json!({"nodes": ["node-5"]})),
        (
            "slow-pair",
            "one_direction",
            json!({"source": "node-3", "destination": "node-4"}),
        ),
        ("busy-node", "node_slow", json!({"nodes": ["node-6"]})),
        (
            "zone-loss",
            "one_direction",
            json!({"source": "zone-a", "destination": "zone-b"}),
        ),
    ] {
        named(Command::new(dt()?), fault, kind, &subject)?;
    }
    Ok(())
}

#[test]
fn a_fault_is_named_without_the_privilege_too() -> Result {
    for (fault, from, to) in [("lossy-pair", "node-2", "node-5"), ("zone-loss", "zone-a", "zone-b")] {
        let subject = json!({"source": from, "destination": to});
        named(unprivileged()?, fault, "one_direction", &subject)?;
    }
    Ok(())
}

#[test]
fn a_port_in_use_and_an_outside_address_are_refused() -> Result {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let refused = Process::run("demo", Command::new(dt()?).args(["demo", "--http", &address]))?.expect_code(1)?;
    assert!(
        refused.stderr.contains(&address) && refused.stderr.contains("--http"),
        "{}",
        refused.stderr
    );
    let outside = Process::run("demo", Command::new(dt()?).args(["demo", "--http", "0.0.0.0:8080"]))?.expect_code(2)?;
    assert!(outside.stderr.contains("this machine only"), "{}", outside.stderr);
    Ok(())
}
