//! Whoever can reach an agent's ports must not be able to keep it from measuring, or others from being answered.

use distributed_trace_tests::agent::{Agent, by_pair, check_records, total};
use distributed_trace_tests::error::Result;
use distributed_trace_tests::namespaces::{Namespace, Pair};
use distributed_trace_tests::original::ping_once;
use distributed_trace_tests::ping::number;
use distributed_trace_tests::process::{status, wait_for};
use serde_json::Value;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// What callers say that mean harm: nothing, halves, garbage, requests whose answers nobody reads.
const WORDS: [&[u8]; 9] = [
    b"",
    b"G",
    b"GET /peers HTTP/1.1\r\nHost: a\r\nX: ",
    b"GET /peers HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x04\0\0\0\0\0",
    b"\x16\x03\x01\x02\x00\x01",
    b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
];
/// So many connections are held open, the oldest replaced by a new one.
const HELD: usize = 2_000;

/// Calls `address` again and again from inside of a namespace.
struct Crowd {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    fn start(from: &Namespace, address: &'static str) -> Result<Crowd> {
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&calls));
        let thread = from.spawn(move || {
            let mut held = std::collections::VecDeque::new();
            for words in WORDS.iter().cycle() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                if let Ok(mut stream) = TcpStream::connect(address) {
                    let _ = stream.write_all(words);
                    held.push_back(stream);
                    counted.fetch_add(1, Ordering::Release);
                }
                if held.len() > HELD {
                    held.pop_front();
                }
            }
        })?;
        Ok(Crowd {
            stop,
            calls,
            thread: Some(thread),
        })
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn peers(folder: &Path, other: &str, address: &str) -> Result<PathBuf> {
    let path = folder.join(format!("of-{other}.toml"));
    let text = format!("[[peer]]\nnode = \"{other}\"\naddress = \"{address}\"\nport = 4000\n");
    std::fs::write(&path, text)?;
    Ok(path)
}

fn newest(records: &[Value]) -> Result<u64> {
    let starts = records.iter().map(|record| number(record, "window_start_ms"));
    starts.into_iter().try_fold(0, |newest, start| Ok(newest.max(start?)))
}

#[test]
fn a_crowd_at_both_ports_keeps_nobody_from_probing_and_from_being_answered() -> Result {
    let (pair, folder) = (Pair::new()?, tempfile::tempdir()?);
    let arguments = "--window 1s --interval 100ms --timeout 1s";
    let mut a = Agent::builder(&pair.a, "a", "10.9.0.1")?
        .peers(&peers(folder.path(), "b", "10.9.0.2")?)
        .args(arguments)
        .http("0.0.0.0:9464")
        .start()?;
    let mut b = Agent::builder(&pair.b, "b", "10.9.0.2")?
        .peers(&peers(folder.path(), "a", "10.9.0.1")?)
        .args(arguments)
        .start()?;
    let begun = b.wait_for("windows", |records| {
        let newest = newest(records)?;
        Ok((newest > 0 && records.len() > 6).then_some(newest))
    })?;
    let crowds = [
        Crowd::start(&pair.b, "10.9.0.1:4000")?,
        Crowd::start(&pair.b, "10.9.0.1:9464")?,
    ];
    for crowd in &crowds {
        a.process.wait_for("a crowd", |_| {
            Ok((crowd.calls.load(Ordering::Acquire) > 3_000).then_some(()))
        })?;
    }
    // In the midst of them: health, metrics and pings are answered, over new connections from elsewhere.
    for _ in 0..20 {
        assert_eq!(a.get(&pair.a, "/livez")?.0, 200);
        ping_once(&pair.a, "10.9.0.1:4000")??;
    }
    let (status, metrics) = a.get(&pair.a, "/metrics")?;
    assert_eq!(status, 200);
    for port in ["grpc", "http"] {
        let name = format!("dt_{port}_connections_pushed_out_total ");
        let pushed_out = metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok());
        assert!(pushed_out.unwrap_or(0) > 0, "{name}: {metrics}");
    }
    for agent in [&mut a, &mut b] {
        agent.wait_for("windows amid the crowds", |records| {
            Ok((newest(records)? > begun + 5_000).then_some(()))
        })?;
    }
    drop(crowds);
    for (agent, other) in [(a, "b"), (b, "a")] {
        let (finished, records) = agent.terminate()?;
        assert_eq!(finished.status.code(), Some(0), "{finished}");
        assert!(!finished.stderr.contains("panicked"), "{finished}");
        check_records(&records, 1000)?;
        let pairs = by_pair(&records)?;
        for kind in ["icmp", "tcp", "grpc"] {
            let records = pairs.get(&(other.to_owned(), kind.to_owned()));
            let records = records.map(Vec::as_slice).unwrap_or_default();
            let of = |name: &str| total(records.iter().copied(), name);
            // The end of the other may cost the last ones.
            assert!(of("received")? > 50, "{kind}: {records:?}");
            let amid = records.iter().filter(|record| {
                number(record, "window_start_ms").is_ok_and(|start| (begun..begun + 5_000).contains(&start))
            });
            for record in amid {
                assert_eq!(record["sent"], record["received"], "{record}");
            }
        }
    }
    Ok(())
}

/// A call that asks for much and never ends: a header of so many letters, and a message that is cut short.
fn unfinished_call(stream: u32, letters: usize) -> Vec<u8> {
    let frame = |kind: u8, flags: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        [&head[..], payload].concat()
    };
    // `:method POST`, `:scheme http` and `:path` from HTTP/2's table, then `x`, whose length is 127 and 7 bits a byte.
    let mut headers = b"\x83\x86\x04\x1f/message.WorkerService/PingNode\0\x01x\x7f".to_vec();
    let beyond = letters - 127;
    headers.extend([(beyond % 128 + 128) as u8, (beyond / 128) as u8]);
    headers.extend(vec![b'm'; letters]);
    let message = [&b"\0\0\0\x0f\xa0\x0a"[..], &[b'm'; 1_494]].concat();
    [frame(1, 4, &headers), frame(0, 0, &message)].concat()
}

#[test]
fn what_one_address_can_make_an_agent_hold_is_bounded() -> Result {
    const CONNECTIONS: usize = 600;
    // An agent without peers has some 15 MiB. 256 connections with 8 calls each may cost it 40 MiB
    // more; unbounded these would be half a gigabyte.
    const BOUND_KIB: u64 = 64 * 1024;
    let (pair, folder) = (Pair::new()?, tempfile::tempdir()?);
    let none = folder.path().join("none.toml");
    std::fs::write(&none, "")?;
    let agent = Agent::builder(&pair.a, "a", "10.9.0.1")?
        .peers(&none)
        .http("0.0.0.0:9464")
        .start()?;
    wait_for("an agent that answers", || {
        Ok(agent.get(&pair.a, "/livez").is_ok().then_some(()))
    })?;
    // As many and as large as there ever were, and as are allowed.
    let words = [(32, 7_500), (8, 1_400)].map(|(calls, letters)| {
        let calls = (0..calls).flat_map(|n| unfinished_call(2 * n + 1, letters));
        let begun = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        begun.iter().copied().chain(calls).collect::<Vec<u8>>()
    });
    let held = pair.b.enter(|| {
        let mut held = Vec::new();
        for words in words.iter().cycle().take(CONNECTIONS) {
            let mut stream = TcpStream::connect("10.9.0.1:4000")?;
            // It may be closed in the midst of them.
            let _ = stream.write_all(words);
            held.push(stream);
        }
        Ok::<_, std::io::Error>(held)
    })??;
    let scrape = wait_for("all of them to have come", || {
        let scrape = agent.scrape(&pair.a)?;
        Ok((scrape.count("dt_grpc_connections_total")? >= CONNECTIONS as u64).then_some(scrape))
    })?;
    let open = scrape.count("dt_grpc_connections_open")?;
    assert!(open <= 256 + 64, "{open}: as many as may be open, and leave");
    ping_once(&pair.a, "10.9.0.1:4000")??;
    let text = std::fs::read_to_string(format!("/proc/{}/status", agent.process.pid()))?;
    let peak: u64 = status(&text, "VmHWM")?.trim_end_matches(" kB").trim().parse()?;
    assert!(peak < BOUND_KIB, "{peak} KiB");
    drop(held);
    let (finished, _) = agent.terminate()?;
    assert_eq!(finished.status.code(), Some(0), "{finished}");
    Ok(())
}

#[test]
fn both_ports_can_be_turned_off() -> Result {
    let (pair, folder) = (Pair::new()?, tempfile::tempdir()?);
    let _listener = pair.b.enter(|| TcpListener::bind("10.9.0.2:4000"))??;
    let mut agent = Agent::builder(&pair.a, "a", "10.9.0.1")?
        .peers(&peers(folder.path(), "b", "10.9.0.2")?)
        .args("--window 1s --interval 100ms --probe icmp,tcp")
        .listen("off")
        .http("off")
        .start()?;
    agent.wait_for("answers", |records| {
        let pairs = by_pair(records)?;
        let icmp = pairs.get(&("b".to_owned(), "icmp".to_owned()));
        let received = icmp.map_or(Ok(0), |records| total(records.iter().copied(), "received"))?;
        Ok((received > 10).then_some(()))
    })?;
    let listening = pair.a.run("ss", &["-Hltn"])?;
    assert_eq!(listening.trim(), "", "nobody listens");
    let (finished, _) = agent.terminate()?;
    assert_eq!(finished.status.code(), Some(0), "{finished}");
    Ok(())
}
