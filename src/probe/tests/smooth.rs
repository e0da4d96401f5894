//! No 100 ms holds more than three times its share of the probes: while all goes well, while targets come and go, when
//! the period changes, and after the driver was kept from its work. A burst would be a load on the network and on the
//! hosts probed that nobody asked for, and would measure itself.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails here")]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use dt_probe::time::{MILLISECOND, SECOND};
use dt_probe::{Lane, LaneConfig, Mode, Mono, Protocol, TargetId, TargetSpec, Wall};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const SPAN: u64 = 100 * MILLISECOND;

/// A lane, and a driver that counts what leaves in each 100 ms.
struct Driver {
    lane: Lane,
    now: u64,
    tick: u64,
    rng: SmallRng,
    targets: u32,
    period: u64,
    /// When the probes of the last 100 ms left.
    recent: VecDeque<u64>,
    /// The most of them at any time, as a multiple of their share.
    fullest: f64,
    sent: u64,
}

impl Driver {
    fn new(targets: u32, period: u64, tick: u64, seed: u64) -> Driver {
        let config = LaneConfig {
            protocol: Protocol::Echo {
                identifier: 1,
                identifier_v6: 1,
                payload_bytes: 56,
            },
            mode: Mode::Continuous { period_ns: period },
            timeout_ns: SECOND,
            // Far above what the schedule asks for: it alone is to keep the probes apart.
            rate: 1_000_000,
            capacity: 65_536,
            key: [1; 16],
            seed,
            tx_stamps: false,
            rx_stamps: false,
            phase_start: 0,
            first_sequence: 0,
        };
        let mut driver = Driver {
            lane: Lane::new(config, Mono(SECOND)).unwrap(),
            now: SECOND,
            tick,
            rng: SmallRng::seed_from_u64(seed),
            targets: 0,
            period,
            recent: VecDeque::new(),
            fullest: 0.0,
            sent: 0,
        };
        driver.add(0..targets);
        driver
    }

    fn add(&mut self, ids: std::ops::Range<u32>) {
        for id in ids {
            let [_, high, middle, low] = id.to_be_bytes();
            let spec = TargetSpec {
                id: TargetId(id),
                address: SocketAddr::new(IpAddr::from([10, high, middle, low]), 0),
                source: None,
            };
            self.lane.add(spec, Mono(self.now)).unwrap();
            self.targets += 1;
        }
    }

    fn remove(&mut self, ids: std::ops::Range<u32>) {
        for id in ids {
            self.lane.remove(TargetId(id), Mono(self.now));
            self.targets -= 1;
        }
    }

    fn set_period(&mut self, period: u64) {
        self.lane.set_period(period, Mono(self.now));
        self.period = period;
    }

    /// Turns a tick apart, each up to a fifth of it late, as a busy host's are.
    fn run(&mut self, nanos: u64) {
        let end = self.now + nanos;
        let mut due = self.now;
        while due < end {
            due += self.tick;
            self.now = due + self.rng.random_range(0..self.tick / 5);
            self.turn();
        }
    }

    /// The driver doesn't get to run for so long.
    fn stall(&mut self, nanos: u64) {
        self.now += nanos;
        self.turn();
    }

    fn turn(&mut self) {
        let mut buf = [0; 128];
        let mono = Mono(self.now);
        self.lane.handle_timeout(mono, &mut |_| {});
        while let Some(transmit) = self.lane.poll_transmit(mono, &mut buf) {
            self.lane.handle_sent(transmit.key, mono, Wall(self.now), 0);
            self.recent.push_back(self.now);
            self.sent += 1;
        }
        while self.lane.poll_event().is_some() {}
        while self.recent.front().is_some_and(|sent| self.now - sent >= SPAN) {
            self.recent.pop_front();
        }
        let share = f64::from(self.targets) * SPAN as f64 / self.period as f64;
        self.fullest = self.fullest.max(self.recent.len() as f64 / share);
    }

    #[track_caller]
    fn expect(&mut self, most: f64, what: &str) {
        assert!(
            self.fullest <= most,
            "{what}: {} targets per {} ns in turns of {} ns: 100 ms held {:.2} times their share",
            self.targets,
            self.period,
            self.tick,
            self.fullest
        );
        self.fullest = 0.0;
    }
}

/// The loads that matter, each in the turns that the probe thread makes of it.
fn drivers(seed: u64) -> Vec<Driver> {
    [
        (100, SECOND, 20),
        (500, SECOND, 20),
        (2_000, SECOND, 20),
        (10_000, SECOND, 6),
        (2_500, 10 * SECOND, 20),
        (10_000, 10 * SECOND, 20),
        (100_000, 50 * SECOND, 20),
    ]
    .map(|(targets, period, tick)| Driver::new(targets, period, tick * MILLISECOND, seed))
    .into()
}

#[test]
fn an_even_stream_leaves_evenly() {
    for seed in 0..2 {
        for mut driver in drivers(seed) {
            let periods = 3;
            driver.run(periods * driver.period);
            let expected = u64::from(driver.targets) * periods;
            let sent = driver.sent;
            assert!(sent.abs_diff(expected) * 50 <= expected, "{sent} of {expected}");
            // A tick more or less, and phases that aren't quite even.
            driver.expect(1.7, "from the start on");
        }
    }
}

#[test]
fn targets_may_come_and_go() {
    for seed in 0..2 {
        for mut driver in drivers(seed) {
            let half = driver.targets / 2;
            driver.run(SECOND);
            driver.remove(half..2 * half);
            driver.run(SECOND);
            // What had left before the half went is measured by the share of those that stayed.
            driver.expect(3.0, "half of them gone");
            driver.add(half..2 * half);
            driver.run(driver.period + SECOND);
            driver.expect(3.0, "and back");
            driver.add(2 * half..4 * half);
            driver.run(driver.period + SECOND);
            driver.expect(3.0, "as many again");
        }
    }
}

#[test]
fn the_period_may_change() {
    for seed in 0..2 {
        for mut driver in drivers(seed) {
            let period = driver.period;
            driver.run(SECOND);
            for new in [period * 2, period * 2 / 3, period] {
                driver.set_period(new);
                // Its share is another one from here on.
                driver.recent.clear();
                driver.run(period + SECOND);
                driver.expect(3.0, "another period");
            }
        }
    }
}

#[test]
fn after_a_stall_nothing_is_made_up_for_in_a_burst() {
    for seed in 0..2 {
        for mut driver in drivers(seed) {
            driver.run(2 * SECOND);
            for millis in [30, 100, 240, 300, 1_000, 5_000] {
                driver.stall(millis * MILLISECOND);
                driver.run(3 * SECOND);
                driver.expect(3.0, "after a stall");
            }
        }
    }
}
