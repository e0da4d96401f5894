//! Whoever can send packets to a node, knows whom it probes, and guesses the rest, must not be able to make up a figure.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use distributed_trace_tests::agent::{Agent, check_records, total};
use distributed_trace_tests::error::{LabError, Result};
use distributed_trace_tests::forge::{Forger, ICMP, TCP, sealed};
use distributed_trace_tests::namespaces::Pair;
use distributed_trace_tests::process::wait_for;
use distributed_trace_tests::tap::Tap;
use distributed_trace_tests::wire::{HEADERS, Seen, see};

/// Two no-operations, an end and a filler: as harmless as options can be.
const OPTIONS: [u8; 4] = [1, 1, 0, 0];
const MTU: usize = 1_500;
/// Small enough to take a TCP header apart.
const TINY: usize = 28;
/// Beyond what is kept of a packet.
const OVERSIZED: usize = 4_000;
/// So many probes are met with one of each.
const PROBES: usize = 100;

/// What was sent, by probe kind and kind of forgery.
type Sent = BTreeMap<(&'static str, &'static str), u64>;

/// A packet as it is to be sent: its protocol, its options, its body, and how long its fragments may be.
type Draft = (u8, &'static [u8], Vec<u8>, usize);

/// What a blind forger makes of an echo request, but for the mark that all requests of a run begin with: without it the kernel's
/// filter would let nothing pass, and there would be nothing to see.
fn against_echo(forger: &Forger, request: &[u8]) -> Vec<(&'static str, Draft)> {
    let mut reply = request.to_vec();
    reply[0] = 0;
    let guessed = |at: usize| {
        let mut guessed = reply.clone();
        guessed[at] ^= 0x5a;
        sealed(guessed)
    };
    let mut long = guessed(16);
    long.resize(OVERSIZED, 0x77);
    let mut broken = reply.clone();
    broken[2] ^= 1;
    // Another number, and with it the cookie of another probe.
    let mut other = request.to_vec();
    other[6] ^= 0x5a;
    other[12] ^= 0x5a;
    vec![
        ("cookie", (ICMP, &[], guessed(16), MTU)),
        ("sequence", (ICMP, &[], guessed(7), MTU)),
        ("options", (ICMP, &OPTIONS, guessed(16), MTU)),
        ("truncated", (ICMP, &[], sealed(reply[..20].to_vec()), MTU)),
        ("fragments", (ICMP, &[], guessed(16), 44)),
        ("oversized", (ICMP, &[], sealed(long), MTU)),
        ("checksum", (ICMP, &[], broken, MTU)),
        ("error", (ICMP, &[], forger.error(3, 1, ICMP, &other), MTU)),
        ("short error", (ICMP, &[], forger.error(3, 3, ICMP, &other[..8]), MTU)),
        (
            "time exceeded",
            (ICMP, &OPTIONS, forger.error(11, 0, ICMP, &other), MTU),
        ),
    ]
}

/// What a blind forger makes of a SYN. He is given the ports, which he would have to guess as well.
fn against_syn(forger: &Forger, syn: &[u8]) -> Vec<(&'static str, Draft)> {
    let mut answer = syn.to_vec();
    answer[..4].rotate_left(2);
    answer[4..8].copy_from_slice(&[9, 9, 9, 9]);
    let isn = u32::from_be_bytes([syn[4], syn[5], syn[6], syn[7]]);
    // One too little, and near the truth and far from it.
    let guess = |flags: u8, difference: u32| {
        let mut guess = answer.clone();
        guess[8..12].copy_from_slice(&isn.wrapping_add(1).wrapping_add(difference).to_be_bytes());
        guess[13] = flags;
        forger.segment(guess)
    };
    let (syn_ack, reset) = (0x12, 0x14);
    let mut bare = guess(0x04, 0);
    bare[8..12].fill(0);
    let mut long = guess(syn_ack, 1 << 12);
    long.resize(OVERSIZED, 0x77);
    let mut other = syn.to_vec();
    other[5] ^= 0x5a;
    vec![
        ("syn-ack", (TCP, &[], guess(syn_ack, u32::MAX), MTU)),
        ("next", (TCP, &[], guess(syn_ack, 1 << 12), MTU)),
        ("reset", (TCP, &[], guess(reset, 0x8765_4321), MTU)),
        ("bare reset", (TCP, &[], forger.segment(bare), MTU)),
        ("options", (TCP, &OPTIONS, guess(reset, 7), MTU)),
        ("truncated", (TCP, &[], guess(syn_ack, 0)[..16].to_vec(), MTU)),
        ("fragments", (TCP, &[], guess(reset, 7), TINY)),
        ("oversized", (TCP, &[], forger.segment(long), MTU)),
        ("error", (ICMP, &[], forger.error(3, 1, TCP, &other), MTU)),
        ("short error", (ICMP, &[], forger.error(3, 3, TCP, &other[..8]), MTU)),
        ("time exceeded", (ICMP, &OPTIONS, forger.error(11, 0, TCP, &other), MTU)),
    ]
}

/// Meets the first probes of each kind with one forgery of each sort; what is sent is added to `sent`.
fn forge(mut tap: Tap, stop: &AtomicBool, sent: &Mutex<Sent>) -> Result {
    let (mut identification, mut met) = (0, [0; 2]);
    while !stop.load(Ordering::Acquire) {
        let Some(frame) = tap.receive()? else { continue };
        if frame.outgoing {
            continue;
        }
        let (kind, make): (_, fn(&Forger, &[u8]) -> Vec<_>) = match see(&frame.bytes) {
            Some(Seen::Request(_)) => ("icmp", against_echo),
            Some(Seen::Syn(_)) => ("tcp", against_syn),
            _ => continue,
        };
        let met = &mut met[usize::from(kind == "tcp")];
        if *met >= PROBES {
            continue;
        }
        *met += 1;
        let Some(mut forger) = Forger::facing(&frame.bytes, identification) else {
            continue;
        };
        for (name, (protocol, options, body, mtu)) in make(&forger, &frame.bytes[HEADERS..]) {
            for frame in forger.frames(protocol, options, &body, mtu) {
                tap.send(&frame)?;
            }
            let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
            *sent.entry((kind, name)).or_default() += 1;
        }
        identification += 100;
    }
    Ok(())
}

/// While an agent probes one peer, forgeries of every kind come. With `answers` the peer's own answers come too.
fn amid_forgeries(answers: bool) -> Result {
    let pair = Pair::new()?;
    let _listener = pair.b.enter(|| TcpListener::bind("10.9.0.2:4000"))??;
    if !answers {
        pair.b.on_output("icmp type echo-reply drop")?;
        pair.b.on_output("tcp flags & (syn|ack) == (syn|ack) drop")?;
    }
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Sent::new())));
    let forger = std::thread::spawn({
        let tap = Tap::open(&pair.b, "eth0")?;
        let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
        move || forge(tap, &stop, &sent)
    });
    let directory = tempfile::tempdir()?;
    let peers = directory.path().join("peers.toml");
    std::fs::write(&peers, "[[peer]]\nnode = \"b\"\naddress = \"10.9.0.2\"\nport = 4000\n")?;
    let agent = Agent::builder(&pair.a, "a", "10.9.0.1")?
        .peers(&peers)
        .args("--probe icmp,tcp --interval 50ms --timeout 500ms --window 1s --method syn")
        .start()?;
    let all = || sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
    wait_for("all forgeries to be sent", || {
        let kinds = all();
        let full = kinds.len() == 21 && kinds.values().all(|count| *count == PROBES as u64);
        Ok((full || forger.is_finished()).then_some(()))
    })?;
    let expected = |kind: &str| -> u64 {
        all()
            .iter()
            .filter(|((of, _), _)| *of == kind)
            .map(|(_, count)| count)
            .sum()
    };
    wait_for("all forgeries to be counted", || {
        let page = agent.scrape(&pair.a)?;
        let counted = |kind: &str| page.count(&format!("dt_packets_invalid_total{{probe=\"{kind}\"}}"));
        let (icmp, tcp) = (counted("icmp")?, counted("tcp")?);
        assert!(
            icmp <= expected("icmp") && tcp <= expected("tcp"),
            "{icmp} {tcp} {:?}",
            all()
        );
        Ok(((icmp, tcp) == (expected("icmp"), expected("tcp"))).then_some(()))
    })
    .map_err(|error| match agent.scrape(&pair.a) {
        Ok(page) => LabError::new(format!("{error}; sent: {:?}; {page:?}", all())),
        Err(other) => other,
    })?;
    let (finished, records) = agent.terminate()?;
    stop.store(true, Ordering::Release);
    forger.join().map_err(|_| LabError::new("the forger panicked"))??;
    assert_eq!(finished.status.code(), Some(0), "{finished}");
    check_records(&records, 1000)?;
    for kind in ["icmp", "tcp"] {
        let of = |field: &str| total(records.iter().filter(|record| record["probe"] == kind), field);
        let decided = of("sent")?;
        assert!(decided >= PROBES as u64, "{kind}: {decided} probes");
        let truth = if answers { "received" } else { "lost" };
        assert_eq!(of(truth)?, decided, "{kind}: {records:?}");
        for invented in ["late", "duplicate"] {
            assert_eq!(of(invented)?, 0, "{kind}: {invented}");
        }
    }
    Ok(())
}

#[test]
fn forgeries_beside_true_answers_change_nothing_and_are_counted() -> Result {
    amid_forgeries(true)
}

#[test]
fn forgeries_alone_answer_for_nobody_and_are_counted() -> Result {
    amid_forgeries(false)
}
