//! One host, its driver and its network, driven through a scenario and checked against the model after every call.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use dt_probe::time::{MILLISECOND, SECOND};
use dt_probe::{
    Clock, Event, Lane, LaneConfig, Mode, Mono, Protocol, TargetId, TargetSpec, Transmit, Wall, capacity_for,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::clock::Clocks;
use crate::model::{Model, Presence, Target};
use crate::network::Incoming;
use crate::scenario::{Scenario, Tally};

pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) rng: SmallRng,
    pub(crate) clocks: Clocks,
    pub(crate) lane: Lane,
    pub(crate) model: Model,
    /// By arrival and an ordinal.
    pub(crate) network: BTreeMap<(u64, u64), Incoming>,
    pub(crate) ordinal: u64,
    pub(crate) stamps: Vec<(u64, Transmit, Vec<u8>, Wall)>,
    /// When each probe in flight really left.
    pub(crate) left: HashMap<u64, u64>,
    pub(crate) addresses: HashMap<TargetId, SocketAddr>,
    pub(crate) last_poll: HashMap<TargetId, u64>,
    pub(crate) polled: HashMap<TargetId, u32>,
    pub(crate) next_step: u64,
    pub(crate) is_enabled: bool,
    pub(crate) tally: Tally,
    /// Packets dropped that the lane wasn't told of yet.
    pub(crate) drops: u64,
}

impl World {
    pub(crate) fn new(scenario: Scenario) -> World {
        let start = 1_000_000_007;
        let config = LaneConfig {
            protocol: scenario.protocol.clone(),
            mode: scenario.mode,
            timeout_ns: scenario.timeout_ns,
            rate: scenario.rate,
            capacity: scenario.capacity,
            key: scenario.seed.to_be_bytes().repeat(2).try_into().unwrap(),
            seed: scenario.seed,
            tx_stamps: scenario.tx_stamps && scenario.protocol != Protocol::Connect,
            rx_stamps: scenario.rx_stamps && scenario.protocol != Protocol::Connect,
            phase_start: 0,
            first_sequence: scenario.first_sequence,
        };
        let model = Model {
            timeout: scenario.timeout_ns,
            capacity: u64::from(scenario.capacity.next_power_of_two()),
            tx: config.tx_stamps,
            rx: config.rx_stamps,
            is_connect: scenario.protocol == Protocol::Connect,
            next: scenario.first_sequence,
            probes: HashMap::new(),
            undecided: BTreeSet::new(),
            targets: HashMap::new(),
            suspect_before: scenario.first_sequence,
            own_drops: 0,
            dropped_before: 0,
            slept_before: scenario.first_sequence,
            voided: 0,
            expected: Vec::new(),
            invalid: 0,
            stale: 0,
            fallbacks: 0,
            decided: 0,
        };
        assert!(capacity_for(scenario.rate, scenario.timeout_ns).is_power_of_two());
        World {
            rng: SmallRng::seed_from_u64(!scenario.seed),
            clocks: Clocks::new(start),
            lane: Lane::new(config, Mono(start)).unwrap(),
            model,
            network: BTreeMap::new(),
            ordinal: 0,
            stamps: Vec::new(),
            left: HashMap::new(),
            addresses: HashMap::new(),
            last_poll: HashMap::new(),
            polled: HashMap::new(),
            next_step: start.saturating_add(scenario.steps_every),
            is_enabled: true,
            tally: Tally::default(),
            drops: 0,
            scenario,
        }
    }

    pub(crate) fn run(mut self) -> Tally {
        for id in 0..self.scenario.targets {
            self.add(TargetId(id));
        }
        let end = self.clocks.now + self.scenario.duration;
        while self.clocks.now < end && !self.lane.is_finished() {
            self.tick(true);
        }
        if matches!(self.scenario.mode, Mode::Counted { .. }) && self.lane.is_finished() {
            self.check_counts();
        }
        for id in 0..self.scenario.targets {
            self.remove(TargetId(id));
        }
        let mut ticks = 0;
        while self.lane.in_flight() > 0 {
            self.tick(false);
            ticks += 1;
            assert!(
                ticks < 100_000,
                "{}: in flight for ever: {}",
                self.scenario.seed,
                self.lane.in_flight()
            );
        }
        assert!(self.lane.is_finished() && self.lane.next_wakeup().is_none_or(|wake| wake.0 > 0));
        assert!(
            self.model.targets.is_empty(),
            "{}: not gone: {:?}",
            self.scenario.seed,
            self.model.targets
        );
        let stats = self.lane.stats();
        let seed = self.scenario.seed;
        assert_eq!(stats.sent, self.model.decided, "{seed}: sent and decided");
        assert_eq!(stats.invalid, self.model.invalid, "{seed}: invalid");
        assert_eq!(stats.stale, self.model.stale, "{seed}: stale");
        assert_eq!(stats.clock_fallbacks, self.model.fallbacks, "{seed}: fallbacks");
        assert_eq!(stats.voided, self.model.voided, "{seed}: voided");
        assert_eq!(stats.events_dropped, 0);
        self.tally.voided = stats.voided;
        self.tally.stale = stats.stale;
        self.tally.invalid = stats.invalid;
        self.tally.fallbacks = stats.clock_fallbacks;
        self.tally.skipped = stats.skipped;
        self.tally
    }

    /// A counted lane sends just so many to each target that stayed.
    pub(crate) fn check_counts(&self) {
        let Mode::Counted { count, .. } = self.scenario.mode else {
            return;
        };
        for (id, target) in &self.model.targets {
            if target.presence == Presence::Active {
                assert_eq!(
                    self.polled.get(id),
                    Some(&count),
                    "{}: probes to {id:?}",
                    self.scenario.seed
                );
            }
        }
        assert_eq!(self.lane.stats().skipped, 0, "{}", self.scenario.seed);
    }

    /// One round of the driver, in the order that the lane asks for.
    pub(crate) fn tick(&mut self, churn: bool) {
        let wake = self
            .lane
            .next_wakeup()
            .map_or(self.clocks.now + 10 * MILLISECOND, |wake| wake.0);
        let due = wake
            .max(self.clocks.now + 1_000)
            .min(self.clocks.now + 50 * MILLISECOND);
        let stall = if self.rng.random_bool(self.scenario.stall) {
            self.rng.random_range(0..3 * SECOND)
        } else {
            0
        };
        let late = self.rng.random_range(0..self.scenario.tick);
        self.pass(due + late + stall);
        self.suspend();

        if churn {
            self.churn();
        }
        self.receive(Mono(due));
        self.errors();
        self.lane.settle(Mono(self.clocks.now));
        self.model.settle();
        self.compare_unordered("settle");
        let drops = std::mem::take(&mut self.drops);
        self.lane.note_receive_drops(drops);
        if drops > 0 {
            self.model.dropped(drops);
        }
        self.expire();
        self.transmit();
        assert_eq!(
            self.lane.in_flight(),
            self.model.in_flight(),
            "{}: in flight",
            self.scenario.seed
        );
        assert_eq!(
            self.lane.stats().sent,
            self.model.decided + self.model.in_flight() as u64
        );
        let stats = self.lane.stats();
        let open = self.lane.in_flight() + self.lane.untold();
        assert_eq!(
            stats.sent,
            stats.told + stats.voided + open as u64,
            "{}: the books",
            self.scenario.seed
        );
        self.check_wakeup();
    }

    /// A driver that did everything must be let sleep.
    pub(crate) fn check_wakeup(&mut self) {
        self.expire();
        let mut buf = [0; 1500];
        if self.scenario.unsent == 0.0 {
            assert_eq!(self.lane.poll_transmit(Mono(self.clocks.now), &mut buf), None);
            let wake = self.lane.next_wakeup();
            assert!(
                wake.is_none_or(|wake| wake.0 > self.clocks.now),
                "{}: to wake at {wake:?}, now {}",
                self.scenario.seed,
                self.clocks.now
            );
        }
    }

    pub(crate) fn pass(&mut self, until: u64) {
        while self.next_step < until {
            self.clocks.now = self.next_step.max(self.clocks.now);
            let by = if self.rng.random_bool(0.1) {
                // A leap second.
                -(SECOND as i64)
            } else {
                self.rng.random_range(-50_000_000..50_000_000)
            };
            self.clocks.step(by);
            self.next_step += self.scenario.steps_every;
        }
        self.clocks.now = until.max(self.clocks.now);
    }

    /// Sleeps for a while: the monotonic clock stands still, the wall clock and the network go on.
    pub(crate) fn suspend(&mut self) {
        if self.rng.random_bool(self.scenario.suspend) {
            self.clocks.step(self.rng.random_range(1..100) * MILLISECOND as i64);
            self.lane.note_suspend();
            self.model.slept_before = self.model.next;
        }
    }

    pub(crate) fn churn(&mut self) {
        if self.rng.random_bool(self.scenario.churn) {
            let id = TargetId(self.rng.random_range(0..self.scenario.targets));
            match self.model.targets.get(&id) {
                Some(Target {
                    presence: Presence::Active,
                    ..
                }) => self.remove(id),
                Some(_) => {
                    let spec = TargetSpec {
                        id,
                        address: self.addresses[&id],
                        source: None,
                    };
                    assert!(
                        self.lane.add(spec, Mono(self.clocks.now)).is_err(),
                        "an id was given twice"
                    );
                }
                None => self.add(id),
            }
        }
        if self.rng.random_bool(self.scenario.churn / 10.0) {
            self.is_enabled = !self.is_enabled;
            self.lane.set_enabled(self.is_enabled, Mono(self.clocks.now));
        }
        if self.rng.random_bool(self.scenario.churn / 10.0) {
            self.lane
                .set_period(self.rng.random_range(0..SECOND), Mono(self.clocks.now));
        }
        if self.rng.random_bool(self.scenario.churn / 10.0) {
            self.lane.note_stamp_overflow();
            self.model.suspect_before = self.model.next;
        }
    }

    pub(crate) fn add(&mut self, id: TargetId) {
        // Every third target is probed over IPv6; an id comes back with another address, or with the same one.
        let host = id.0 as u16 + if self.rng.random_bool(0.5) { 0 } else { 1000 };
        let port = if matches!(self.scenario.protocol, Protocol::Echo { .. }) {
            0
        } else {
            4000
        };
        let address: SocketAddr = if id.0.is_multiple_of(3) {
            SocketAddr::new(format!("fd00::{host:x}").parse().unwrap(), port)
        } else {
            SocketAddr::new(IpAddr::from([10, 1, (host >> 8) as u8, host as u8]), port)
        };
        let source = Some(if address.is_ipv4() {
            IpAddr::from([10, 0, 0, 1])
        } else {
            "fd00:1::1".parse().unwrap()
        });
        self.lane
            .add(TargetSpec { id, address, source }, Mono(self.clocks.now))
            .unwrap();
        self.addresses.insert(id, address);
        self.model.targets.insert(
            id,
            Target {
                presence: Presence::Active,
                in_flight: 0,
            },
        );
        self.polled.remove(&id);
        self.last_poll.remove(&id);
    }

    pub(crate) fn remove(&mut self, id: TargetId) {
        self.lane.remove(id, Mono(self.clocks.now));
        if self
            .model
            .targets
            .get(&id)
            .is_some_and(|target| target.presence == Presence::Active)
        {
            self.model.remove(id);
        }
        self.compare("remove");
    }

    pub(crate) fn rx_stamp(&self, arrived: u64) -> Option<(Wall, Clock)> {
        self.model.rx.then(|| (self.clocks.wall_at(arrived), Clock::Kernel))
    }

    /// The events of the last call, which must be those that the model expects.
    pub(crate) fn compare(&mut self, call: &str) -> Vec<Event> {
        let events: Vec<Event> = std::iter::from_fn(|| self.lane.poll_event()).collect();
        let expected = std::mem::take(&mut self.model.expected);
        self.same(call, &events, &expected);
        events
    }

    /// As [`World::compare`], where the order isn't promised.
    pub(crate) fn compare_unordered(&mut self, call: &str) {
        let mut events: Vec<Event> = std::iter::from_fn(|| self.lane.poll_event()).collect();
        self.model.expected.sort_by_key(|event| format!("{event:?}"));
        events.sort_by_key(|event| format!("{event:?}"));
        let expected = std::mem::take(&mut self.model.expected);
        self.same(call, &events, &expected);
    }

    pub(crate) fn same(&mut self, call: &str, events: &[Event], expected: &[Event]) {
        assert_eq!(
            events, expected,
            "{}: events of {call}, against the model's",
            self.scenario.seed
        );
        for event in events {
            self.tally.count(event.what);
        }
    }
}
