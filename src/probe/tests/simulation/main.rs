//! Lanes in virtual time over a seeded network that delays, loses, reorders, repeats, refuses and forges, on a host whose
//! clock is stepped, whose driver stalls, whose stamps get lost, and whose targets come and go. A reference model, as
//! simple as it can be, predicts every event; a lane that says anything else fails with its seed.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails here")]

mod clock;
mod model;
mod network;
mod packets;
mod receive;
mod scenario;
mod send;
mod world;

use dt_probe::time::{MILLISECOND, SECOND};
use dt_probe::{Mode, Protocol};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use scenario::{Scenario, Tally};
use world::World;

fn random(protocol: u8, seed: u64) -> Scenario {
    let mut rng = SmallRng::seed_from_u64(seed);
    let rng = &mut rng;
    let chance = |rng: &mut SmallRng, most: f64| {
        if rng.random_bool(0.5) {
            0.0
        } else {
            rng.random_range(0.0..most)
        }
    };
    Scenario {
        seed,
        protocol: match protocol {
            0 => Protocol::Echo {
                identifier: rng.random(),
                identifier_v6: rng.random(),
                payload_bytes: rng.random_range(16..100),
            },
            1 => Protocol::Syn {
                ports: (50_000..50_000 + rng.random_range(1..70)).collect(),
            },
            _ => Protocol::Connect,
        },
        mode: if rng.random_bool(0.7) {
            Mode::Continuous {
                period_ns: rng.random_range(0..1200 * MILLISECOND),
            }
        } else {
            let period_ns = if rng.random_bool(0.5) {
                0
            } else {
                rng.random_range(0..500 * MILLISECOND)
            };
            Mode::Counted {
                count: rng.random_range(1..40),
                period_ns,
            }
        },
        timeout_ns: rng.random_range(MILLISECOND..2 * SECOND),
        rate: if rng.random_bool(0.3) {
            rng.random_range(1..100)
        } else {
            rng.random_range(100..20_000)
        },
        capacity: if rng.random_bool(0.3) {
            rng.random_range(1..64)
        } else {
            rng.random_range(64..5000)
        },
        first_sequence: match rng.random_range(0..4) {
            0 => 0,
            1 => 65_536 - rng.random_range(1..100),
            2 => (1 << 32) - rng.random_range(1..100),
            _ => rng.random_range(0..1 << 62),
        },
        tx_stamps: rng.random_bool(0.8),
        rx_stamps: rng.random_bool(0.9),
        looped_stamps: rng.random_bool(0.3),
        targets: rng.random_range(1..40),
        duration: rng.random_range(SECOND..5 * SECOND),
        delay: rng.random_range(1_000..300 * MILLISECOND),
        loss: chance(rng, 0.5),
        repeat: chance(rng, 0.3),
        refuse: chance(rng, 0.3),
        icmp: chance(rng, 0.3),
        forge: chance(rng, 1.0),
        no_route: chance(rng, 0.1),
        send_failure: chance(rng, 0.1),
        unsent: chance(rng, 0.3),
        missing_stamp: chance(rng, 0.2),
        steps_every: if rng.random_bool(0.4) {
            rng.random_range(10 * MILLISECOND..SECOND)
        } else {
            u64::MAX
        },
        stall: chance(rng, 0.05),
        own_drop: if rng.random_bool(0.8) { 0.0 } else { chance(rng, 0.3) },
        suspend: if rng.random_bool(0.8) { 0.0 } else { chance(rng, 0.05) },
        churn: chance(rng, 0.2),
        tick: rng.random_range(1..20 * MILLISECOND),
    }
}

fn run(protocol: u8, seeds: std::ops::Range<u64>) {
    let mut seen = Tally::default();
    for seed in seeds {
        seen.add(&World::new(random(protocol, seed)).run());
    }
    let connect = protocol == 2;
    let all = [
        seen.received,
        seen.lost,
        seen.unreachable,
        seen.send_error,
        seen.skipped,
        seen.gone,
    ];
    assert!(
        all.iter().all(|count| *count > 1000),
        "the scenarios test too little: {seen:?}"
    );
    assert!(protocol == 0 || seen.refused > 1000, "{seen:?}");
    assert!(seen.voided > 500, "{seen:?}");
    assert!(
        connect || seen.late > 1000 && seen.duplicate > 1000 && seen.stale > 1000,
        "{seen:?}"
    );
    assert!(connect || seen.invalid > 1000 && seen.fallbacks > 1000, "{seen:?}");
}

#[test]
fn echo() {
    run(0, 0..1200);
}

#[test]
fn syn() {
    run(1, 0..1200);
}

#[test]
fn connect() {
    run(2, 0..600);
}
