//! One agent among peers, each behind a fault of its own. What was recorded is compared, kind by kind, with what each peer's
//! own packet filter counted.

use distributed_trace_tests::agent::{Agent, by_pair, check_records, total};
use distributed_trace_tests::delay::Line;
use distributed_trace_tests::error::{LabError, Result};
use distributed_trace_tests::lock::take_turn;
use distributed_trace_tests::namespaces::{Lan, Namespace};
use distributed_trace_tests::ping::number;
use nix::sys::signal::Signal;
use nix::sys::socket::{Backlog, listen};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::time::Duration;

/// A fault, as rules of the peer's packet filter and parameters of its kernel, and what may come of it.
struct Fault {
    name: &'static str,
    /// What it doesn't let in.
    input: &'static [&'static str],
    /// What it doesn't let out, or more than once.
    output: &'static [&'static str],
    kernel: &'static [(&'static str, &'static str)],
    icmp: &'static [&'static str],
    tcp: &'static [&'static str],
}

const NONE: Fault = Fault {
    name: "none",
    input: &[],
    output: &[],
    kernel: &[],
    icmp: &["received"],
    tcp: &["received"],
};

const SYN_ACK: &str = "tcp flags & (syn | ack) == syn | ack";

/// Each of the names listed for a kind must be more than 0, and all others 0.
const FAULTS: [Fault; 12] = [
    NONE,
    Fault {
        name: "one in a thousand lost",
        input: &["icmp type echo-request numgen inc mod 1000 0 drop"],
        icmp: &["received", "lost"],
        ..NONE
    },
    Fault {
        name: "a tenth lost at random",
        // Not what this host answers to a SYN-ACK: without that the peer would repeat it.
        input: &[
            "icmp type echo-request numgen random mod 10 0 drop",
            "tcp flags & (syn | ack) == syn numgen random mod 10 0 drop",
        ],
        icmp: &["received", "lost"],
        tcp: &["received", "lost"],
        ..NONE
    },
    Fault {
        name: "dead",
        input: &["drop"],
        icmp: &["lost"],
        tcp: &["lost"],
        ..NONE
    },
    Fault {
        name: "heard but not answered",
        output: &["icmp type echo-reply drop", "tcp sport 4000 drop"],
        icmp: &["lost"],
        tcp: &["lost"],
        ..NONE
    },
    Fault {
        name: "SYNs lost",
        input: &["tcp flags syn drop"],
        tcp: &["lost"],
        ..NONE
    },
    Fault {
        name: "large packets lost without a word",
        input: &["ip length > 1000 drop"],
        icmp: &["lost"],
        ..NONE
    },
    Fault {
        name: "refused",
        input: &["tcp dport 4000 reject with tcp reset"],
        tcp: &["refused"],
        ..NONE
    },
    Fault {
        name: "prohibited",
        input: &["icmp type echo-request reject with icmpx type admin-prohibited"],
        // By default a host sends few errors.
        kernel: &[("net.ipv4.icmp_ratelimit", "0")],
        icmp: &["unreachable"],
        ..NONE
    },
    Fault {
        name: "prohibited, and seldom said so",
        input: &["tcp dport 4000 reject with icmpx type admin-prohibited"],
        tcp: &["unreachable", "lost"],
        ..NONE
    },
    Fault {
        name: "answers limited",
        kernel: &[("net.ipv4.icmp_ratelimit", "1000"), ("net.ipv4.icmp_ratemask", "1")],
        icmp: &["received", "lost"],
        ..NONE
    },
    Fault {
        name: "closed",
        tcp: &["refused"],
        ..NONE
    },
];

/// Counts all that arrives and all that leaves, of what matters here, before and after the fault.
fn prepare(node: &Namespace, fault: &Fault) -> Result {
    for (key, value) in fault.kernel {
        node.sysctl(key, value)?;
    }
    node.on_input("icmp type echo-request counter")?;
    node.on_input("tcp dport 4000 tcp flags & (syn | ack) == syn counter")?;
    for rule in fault.input {
        node.on_input(rule)?;
    }
    for rule in fault.output {
        node.on_output(rule)?;
    }
    node.on_output("icmp type echo-reply counter")?;
    node.on_output(&format!("{SYN_ACK} counter"))?;
    node.on_output("tcp flags rst counter")?;
    node.on_output("icmp type destination-unreachable counter")
}

/// What a peer's filter counted, by what an agent should have counted of it.
struct Counted {
    icmp_sent: u64,
    tcp_sent: u64,
    replies: u64,
    syn_acks: u64,
    resets: u64,
    errors: u64,
}

impl Counted {
    fn of(node: &Namespace) -> Result<Counted> {
        let counters = node.counters()?;
        let &[icmp_sent, tcp_sent, replies, syn_acks, resets, errors] = counters.as_slice() else {
            return Err(LabError::new(format!("six counters: {counters:?}")));
        };
        Ok(Counted {
            icmp_sent,
            tcp_sent,
            replies,
            syn_acks,
            resets,
            errors,
        })
    }
}

const COUNTS: [&str; 7] = [
    "received",
    "lost",
    "refused",
    "unreachable",
    "send_error",
    "late",
    "duplicate",
];

/// The agent's records of one peer and kind, summed up.
fn sums(records: &[&Value]) -> Result<BTreeMap<&'static str, u64>> {
    COUNTS
        .iter()
        .chain(&["sent"])
        .map(|name| Ok((*name, total(records.iter().copied(), name)?)))
        .collect()
}

fn check(name: &str, sums: &BTreeMap<&'static str, u64>, expected: &[&str], counted: [u64; 4]) -> Result {
    let [sent, answers, resets, errors] = counted;
    let said = format!("{name}: {sums:?}; sent, answered, reset and prohibited by the filter: {counted:?}");
    let some: BTreeSet<_> = COUNTS.iter().filter(|name| sums[*name] > 0).copied().collect();
    let wanted: BTreeSet<_> = expected.iter().copied().collect();
    if some != wanted {
        return Err(LabError::new(format!("{wanted:?} expected of {said}")));
    }
    // What is answered twice is on the way from the peer, after its filter.
    let fates = [
        sums["sent"],
        sums["received"] + sums["late"],
        sums["refused"],
        sums["unreachable"],
    ];
    // Late ones have been lost before.
    let lost = sent + sums["late"] - answers - resets - errors;
    let duplicates = if sums["duplicate"] > 0 { answers } else { 0 };
    if fates != counted || (sums["lost"], sums["duplicate"]) != (lost, duplicates) {
        return Err(LabError::new(format!("not what the filter counted: {said}")));
    }
    Ok(())
}

/// A peer behind a line of its own, at 10.9.`n`.2.
fn behind_a_line(agent: &Namespace, n: usize) -> Result<(Namespace, Line)> {
    let far = Namespace::new("far")?;
    let line = Line::join(agent, &format!("eth{n}"), &far, "eth0")?;
    agent.address(&format!("eth{n}"), &format!("10.9.{n}.1/24"))?;
    far.address("eth0", &format!("10.9.{n}.2/24"))?;
    // Each knows the other before: what waits for a neighbour's address may be dropped.
    agent.run("ping", &["-c", "1", &format!("10.9.{n}.2")])?;
    Ok((far, line))
}

#[test]
fn each_fault_is_told_for_what_it_is_and_touches_nobody_else() -> Result {
    let _turn = take_turn()?;
    let lan = Lan::new(1 + FAULTS.len())?;
    let agent_node = &lan.nodes[0];
    let (late, late_line) = behind_a_line(agent_node, 1)?;
    let (swapped, swapped_line) = behind_a_line(agent_node, 2)?;
    let (twice, twice_line) = behind_a_line(agent_node, 3)?;
    // The round trip is longer than the time-out.
    late_line.set_delay(Duration::from_millis(600));
    // Its kernel would say a second time what is under way for longer than a second.
    late.sysctl("net.ipv4.tcp_synack_retries", "0")?;
    swapped_line.swap_answers(true);
    twice_line.repeat_answers(1);
    let slow = Fault {
        name: "slower than the time-out",
        icmp: &["lost", "late"],
        tcp: &["lost", "late"],
        ..NONE
    };
    let overtaken = Fault {
        name: "answers overtake each other",
        ..NONE
    };
    let repeated = Fault {
        name: "answered twice",
        icmp: &["received", "duplicate"],
        tcp: &["received", "duplicate"],
        ..NONE
    };
    let mut peers: Vec<(&Namespace, &Fault, String)> = Vec::new();
    for (i, fault) in FAULTS.iter().enumerate() {
        peers.push((&lan.nodes[i + 1], fault, Lan::address(i + 1)));
    }
    peers.push((&late, &slow, "10.9.1.2".to_owned()));
    peers.push((&swapped, &overtaken, "10.9.2.2".to_owned()));
    peers.push((&twice, &repeated, "10.9.3.2".to_owned()));
    let (mut listeners, mut list) = (Vec::new(), String::new());
    for (node, fault, address) in &peers {
        prepare(node, fault)?;
        if fault.name != "closed" {
            let listener = node.enter(|| TcpListener::bind("0.0.0.0:4000"))??;
            // Behind the slow line more than a hundred handshakes are half open at once.
            listen(&listener, Backlog::new(1_024)?)?;
            listeners.push(listener);
        }
        list += &format!(
            "[[peer]]\nnode = \"{}\"\naddress = \"{address}\"\nport = 4000\n",
            fault.name
        );
    }
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("peers.toml");
    std::fs::write(&file, list)?;
    let mut agent = Agent::builder(agent_node, "n0", &Lan::address(0))?
        .peers(&file)
        .args("--probe icmp,tcp --method syn --interval 10ms --timeout 1s --window 1s --max-rate 100000")
        .args("--icmp-payload-bytes 1000")
        .start()?;
    agent.wait_for("two of a thousand to be lost", |records| {
        let of = records.iter().filter(|r| r["dst_node"] == "one in a thousand lost");
        Ok((total(of, "lost")? >= 2).then_some(()))
    })?;
    agent.scrape(agent_node)?;
    // Nothing more is sent; what is in flight is decided, what is late comes.
    agent.process.signal(Signal::SIGUSR1)?;
    agent.wait_for("a window in which nothing happened", |records| {
        let newest = records.last().map(|record| record["window_start_ms"].clone());
        let mut of_newest = records
            .iter()
            .filter(|record| Some(&record["window_start_ms"]) == newest.as_ref());
        let quiet = |record: &Value| -> Result<bool> { Ok(number(record, "sent")? + number(record, "late")? == 0) };
        let quiet = of_newest.try_fold(true, |all, record| Ok::<_, LabError>(all && quiet(record)?))?;
        Ok((newest.is_some() && quiet).then_some(()))
    })?;
    let scrape = agent.scrape(agent_node)?;
    assert_eq!(scrape.in_flight()?, 0);
    let (finished, records) = agent.terminate()?;
    assert_eq!(finished.status.code(), Some(0), "{finished}");
    check_records(&records, 1000)?;
    let pairs = by_pair(&records)?;
    let mut wrong = Vec::new();
    for (node, fault, _) in &peers {
        let counted = Counted::of(node)?;
        let of = |kind: &str| sums(&pairs[&(fault.name.to_owned(), kind.to_owned())]);
        // Each fault's errors are of the kind that it concerns.
        let errors = |kind: &[&str]| {
            if kind.contains(&"unreachable") {
                counted.errors
            } else {
                0
            }
        };
        let icmp = [counted.icmp_sent, counted.replies, 0, errors(fault.icmp)];
        let tcp = [counted.tcp_sent, counted.syn_acks, counted.resets, errors(fault.tcp)];
        for (kind, expected, counted) in [("icmp", fault.icmp, icmp), ("tcp", fault.tcp, tcp)] {
            let checked = check(&format!("{} by {kind}", fault.name), &of(kind)?, expected, counted);
            wrong.extend(checked.err().map(|error| error.to_string()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
