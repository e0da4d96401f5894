//! Whoever hasn't seen a probe can't answer it, however much else he knows and guesses.

#![allow(clippy::unwrap_used, reason = "tests")]

mod host;

use std::collections::HashSet;

use dt_probe::{Fate, Protocol, What};
use host::{Host, Probe, after};

/// Of 2^32 and 2^64 possible ones. The guesses are the same on every run, so that none hits by chance tomorrow.
const GUESSES: u64 = 1 << 20;
const KEYS: u32 = 4_096;

fn syns() -> Protocol {
    Protocol::Syn {
        ports: (61_000..61_064).collect(),
    }
}

/// A sequence of numbers that look random: SplitMix64.
fn number(at: u64) -> u64 {
    let mut z = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn syn_ack(probe: &Probe, acknowledgement: u32) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..2].copy_from_slice(&probe.bytes[2..4]);
    bytes[2..4].copy_from_slice(&probe.bytes[..2]);
    bytes[8..12].copy_from_slice(&acknowledgement.to_be_bytes());
    (bytes[12], bytes[13]) = (0x50, 0x12);
    bytes
}

/// What was told of probes, by whether they were received.
fn told(host: &mut Host) -> Vec<bool> {
    let events = std::iter::from_fn(|| host.lane.poll_event());
    events.map(|event| matches!(event.what, What::Received(_))).collect()
}

#[test]
fn guessed_acknowledgements_match_no_probe() {
    let mut host = Host::new(syns());
    let probes = host.send(50, after(0));
    for guess in 0..GUESSES {
        let probe = &probes[guess as usize % probes.len()];
        let acknowledgement = match guess % 4 {
            // Any at all; near one's own; and what is right for another.
            0 | 1 => number(guess) as u32,
            2 => probe.isn().wrapping_add(2 + (guess / 200) as u32),
            _ => probes[(guess as usize / 4 + 1 + guess as usize) % probes.len()]
                .isn()
                .wrapping_add(1),
        };
        if acknowledgement != probe.isn().wrapping_add(1) {
            host.receive(&syn_ack(probe, acknowledgement), probe, after(1));
        } else {
            // A guess that is right is none.
            host.receive(&[], probe, after(1));
        }
    }
    assert_eq!((host.lane.stats().invalid, host.lane.in_flight()), (GUESSES, 50));
    assert!(told(&mut host).is_empty());
    // They would have arrived.
    for probe in &probes {
        host.receive(&syn_ack(probe, probe.isn().wrapping_add(1)), probe, after(1));
    }
    assert_eq!(told(&mut host), [true; 50]);
}

/// Without the key, the number of one and the same probe is as good as drawn by lot: it takes all of 2^32 to be sure to hit.
#[test]
fn initial_sequence_numbers_depend_on_the_key_in_every_bit() {
    let numbers: Vec<u32> = (0..KEYS)
        .map(|key| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&key.to_be_bytes());
            Host::with_key(syns(), bytes).send(1, after(0))[0].isn()
        })
        .collect();
    let distinct: HashSet<u32> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len());
    for bit in 0..32 {
        let set = numbers.iter().filter(|number| *number >> bit & 1 == 1).count();
        // Five standard deviations (32 each) from the half.
        assert!(
            set.abs_diff(KEYS as usize / 2) < 160,
            "bit {bit} is set in {set} of {KEYS}"
        );
    }
}

/// Nor does whom a node probes learn from the numbers of its own probes what those to others have.
#[test]
fn numbers_for_one_target_say_nothing_of_those_for_another() {
    let mut host = Host::new(syns());
    let mut differences = HashSet::new();
    for round in 0..20 {
        let probes = host.send(100, after(round));
        for pair in probes.windows(2) {
            assert!(differences.insert(pair[1].isn().wrapping_sub(pair[0].isn())));
        }
        host.expire(after(2_000 + round));
        while host.lane.poll_event().is_some() {}
    }
}

#[test]
fn guessed_cookies_match_no_probe() {
    let mut host = Host::echo();
    let probes = host.send(50, after(0));
    for guess in 0..GUESSES {
        let probe = &probes[guess as usize % probes.len()];
        let mut reply = probe.bytes.clone();
        reply[0] = 0;
        reply[16..24].copy_from_slice(&number(guess).to_be_bytes());
        seal(&mut reply);
        host.receive(&reply, probe, after(1));
    }
    assert_eq!((host.lane.stats().invalid, host.lane.in_flight()), (GUESSES, 50));
    assert!(told(&mut host).is_empty());
}

/// An ICMP error over IPv4 may quote no more than 8 bytes of an echo request: of all 2^32 that can stand in them one is believed.
#[test]
fn a_short_quote_has_to_name_both_identifier_and_number() {
    let mut host = Host::echo();
    let probes = host.send(50, after(0));
    let probe = &probes[7];
    let mut quote: [u8; 8] = *probe.bytes.first_chunk().unwrap();
    let number = u16::from_be_bytes([quote[6], quote[7]]);
    for guess in 0..=u16::MAX {
        if guess != number {
            quote[6..8].copy_from_slice(&guess.to_be_bytes());
            host.lane.handle_icmp_error(&quote, probe.to, after(1));
        }
    }
    quote[6..8].copy_from_slice(&number.to_be_bytes());
    let identifier = u16::from_be_bytes([quote[4], quote[5]]);
    for guess in 0..=u16::MAX {
        if guess != identifier {
            quote[4..6].copy_from_slice(&guess.to_be_bytes());
            host.lane.handle_icmp_error(&quote, probe.to, after(1));
        }
    }
    let stats = host.lane.stats();
    assert_eq!((stats.invalid, stats.unmatched_errors), (65_535, 65_535), "{stats:?}");
    assert_eq!(host.lane.in_flight(), 50);
    quote[4..6].copy_from_slice(&identifier.to_be_bytes());
    host.lane.handle_icmp_error(&quote, probe.to, after(1));
    let event = host.lane.poll_event().unwrap();
    assert_eq!(event.what, What::Failed(Fate::Unreachable));
}

fn seal(bytes: &mut [u8]) {
    bytes[2..4].fill(0);
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    bytes[2..4].copy_from_slice(&checksum.to_be_bytes());
}
