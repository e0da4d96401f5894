//! One host, its driver and its network, driven through a scenario and checked against the model after every call.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use dt_probe::time::{MILLISECOND, SECOND};
use dt_probe::{
    Arrival, Clock, ConnectOutcome, Event, Fate, Lane, LaneConfig, MIN_PAIR_INTERVAL, Mode, Mono, Protocol, Sample,
    SendFailure, TargetId, TargetSpec, Transmit, Wall, What, capacity_for,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::clock::{Clocks, Reading};
use crate::model::{Model, Presence, Reply, Stage, Target};
use crate::packets;

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) protocol: Protocol,
    pub(crate) mode: Mode,
    pub(crate) timeout_ns: u64,
    pub(crate) rate: u32,
    pub(crate) capacity: u32,
    pub(crate) first_sequence: u64,
    pub(crate) tx_stamps: bool,
    pub(crate) rx_stamps: bool,
    /// The kernel gives packets back instead of keys.
    pub(crate) looped_stamps: bool,
    pub(crate) targets: u32,
    pub(crate) duration: u64,
    /// The longest usual round trip.
    pub(crate) delay: u64,
    pub(crate) loss: f64,
    pub(crate) repeat: f64,
    pub(crate) refuse: f64,
    pub(crate) icmp: f64,
    pub(crate) forge: f64,
    pub(crate) no_route: f64,
    pub(crate) send_failure: f64,
    pub(crate) unsent: f64,
    pub(crate) missing_stamp: f64,
    pub(crate) steps_every: u64,
    pub(crate) stall: f64,
    pub(crate) churn: f64,
    pub(crate) tick: u64,
}

/// Something on its way to the host.
#[derive(Clone, Debug)]
enum Incoming {
    Answer {
        sequence: u64,
        from: IpAddr,
        bytes: Vec<u8>,
        refused: bool,
        sent: u64,
    },
    Forged {
        from: IpAddr,
        bytes: Vec<u8>,
    },
    IcmpError {
        sequence: u64,
        destination: IpAddr,
        quote: Vec<u8>,
    },
    Connected {
        sequence: u64,
        outcome: ConnectOutcome,
    },
}

/// What was seen, so that a test knows that it tested something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) refused: u64,
    pub(crate) unreachable: u64,
    pub(crate) send_error: u64,
    pub(crate) late: u64,
    pub(crate) duplicate: u64,
    pub(crate) gone: u64,
    pub(crate) skipped: u64,
    pub(crate) stale: u64,
    pub(crate) invalid: u64,
    pub(crate) fallbacks: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.received += other.received;
        self.lost += other.lost;
        self.refused += other.refused;
        self.unreachable += other.unreachable;
        self.send_error += other.send_error;
        self.late += other.late;
        self.duplicate += other.duplicate;
        self.gone += other.gone;
        self.skipped += other.skipped;
        self.stale += other.stale;
        self.invalid += other.invalid;
        self.fallbacks += other.fallbacks;
    }

    fn count(&mut self, what: What) {
        match what {
            What::Received(_) => self.received += 1,
            What::Failed(Fate::Lost) => self.lost += 1,
            What::Failed(Fate::Refused) => self.refused += 1,
            What::Failed(Fate::Unreachable) => self.unreachable += 1,
            What::Failed(Fate::SendError) => self.send_error += 1,
            What::Failed(Fate::Received) => panic!("a failure that was received"),
            What::Late => self.late += 1,
            What::Duplicate => self.duplicate += 1,
            What::Gone => self.gone += 1,
            What::Skipped(_) => {}
        }
    }
}

pub(crate) struct World {
    scenario: Scenario,
    rng: SmallRng,
    clocks: Clocks,
    lane: Lane,
    model: Model,
    /// By arrival and an ordinal.
    network: BTreeMap<(u64, u64), Incoming>,
    ordinal: u64,
    stamps: Vec<(u64, Transmit, Vec<u8>, Wall)>,
    /// When each probe in flight really left.
    left: HashMap<u64, u64>,
    addresses: HashMap<TargetId, SocketAddr>,
    last_poll: HashMap<TargetId, u64>,
    polled: HashMap<TargetId, u32>,
    next_step: u64,
    is_enabled: bool,
    tally: Tally,
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
        assert_eq!(stats.events_dropped, 0);
        self.tally.stale = stats.stale;
        self.tally.invalid = stats.invalid;
        self.tally.fallbacks = stats.clock_fallbacks;
        self.tally.skipped = stats.skipped;
        self.tally
    }

    /// A counted lane sends just so many to each target that stayed.
    fn check_counts(&self) {
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
    fn tick(&mut self, churn: bool) {
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

        if churn {
            self.churn();
        }
        self.receive(Mono(due));
        self.errors();
        self.lane.settle(Mono(self.clocks.now));
        self.model.settle();
        self.compare_unordered("settle");
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
        self.check_wakeup();
    }

    /// A driver that did everything must be let sleep.
    fn check_wakeup(&mut self) {
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

    fn pass(&mut self, until: u64) {
        while self.next_step < until {
            self.clocks.now = self.next_step.max(self.clocks.now);
            let by = self.rng.random_range(-50_000_000..50_000_000);
            self.clocks.step(by);
            self.next_step += self.scenario.steps_every;
        }
        self.clocks.now = until.max(self.clocks.now);
    }

    fn churn(&mut self) {
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

    fn add(&mut self, id: TargetId) {
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

    fn remove(&mut self, id: TargetId) {
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

    fn receive(&mut self, due: Mono) {
        let arrived: Vec<(u64, u64)> = self
            .network
            .range(..(self.clocks.now + 1, 0))
            .map(|(key, _)| *key)
            .collect();
        for key in arrived {
            // Reading takes time as well.
            self.clocks.now += self.rng.random_range(0..5_000);
            let reading = self.clocks.read();
            match self.network.remove(&key).unwrap() {
                Incoming::Answer {
                    sequence,
                    from,
                    bytes,
                    refused,
                    sent,
                } => {
                    self.answer(key.0, due, &reading, sequence, from, &bytes, refused, sent);
                }
                Incoming::Forged { from, bytes } => {
                    self.lane
                        .handle_packet(&bytes, from, self.rx_stamp(key.0), arrival(&reading, due));
                    self.model.invalid += 1;
                    self.compare("forged packet");
                }
                Incoming::IcmpError {
                    sequence,
                    destination,
                    quote,
                } => {
                    self.lane.handle_icmp_error(&quote, destination, reading.mono);
                    self.model.icmp_error(sequence, reading.mono.0);
                    self.compare("ICMP error");
                }
                Incoming::Connected { sequence, outcome } => self.connected(sequence, outcome, &reading),
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one variant")]
    fn answer(
        &mut self,
        arrived: u64,
        due: Mono,
        reading: &Reading,
        sequence: u64,
        from: IpAddr,
        bytes: &[u8],
        refused: bool,
        sent: u64,
    ) {
        let stamp = self.rx_stamp(arrived);
        self.lane.handle_packet(bytes, from, stamp, arrival(reading, due));
        let reply = Reply {
            stamp: stamp.map(|(wall, _)| wall),
            wall: reading.wall,
            mono: reading.mono.0,
            epoch: reading.epoch,
            due: Wall(due.0.checked_add_signed(reading.wall_minus_mono).unwrap()),
        };
        self.model.reply(sequence, refused, reply);
        for event in self.compare("answer") {
            if let What::Received(sample) = event.what {
                check_truth(&sample, arrived - sent, reading.mono.0 - sent, self.scenario.seed);
            }
        }
    }

    fn connected(&mut self, sequence: u64, outcome: ConnectOutcome, reading: &Reading) {
        const PORT: u16 = 33_333;
        self.lane.handle_connected(sequence as u32, outcome, PORT, reading.mono);
        let is_open = self.model.undecided.contains(&sequence);
        if is_open {
            self.model.probes.get_mut(&sequence).unwrap().port = PORT;
            let fate = match outcome {
                ConnectOutcome::Established {
                    retransmitted: true, ..
                } => Some(Fate::Lost),
                ConnectOutcome::Established { rtt_ns, .. } => {
                    let clock = Clock::Kernel;
                    let sample = Sample {
                        rtt_ns,
                        host_delay_ns: None,
                        tx: clock,
                        rx: clock,
                        fallback: false,
                    };
                    self.model.answered(sequence, rtt_ns, What::Received(sample));
                    None
                }
                ConnectOutcome::Refused => Some(Fate::Refused),
                ConnectOutcome::Unreachable => Some(Fate::Unreachable),
                ConnectOutcome::Failed => Some(Fate::SendError),
            };
            if let Some(fate) = fate {
                self.model.decide(sequence, Stage::Answered, What::Failed(fate));
            }
        }
        self.compare("connected");
    }

    fn errors(&mut self) {
        for (sequence, transmit, bytes, wall) in std::mem::take(&mut self.stamps) {
            if self.scenario.looped_stamps {
                self.lane
                    .handle_tx_stamp_packet(&bytes, transmit.destination.ip(), wall, Clock::Kernel);
            } else {
                self.lane.handle_tx_stamp(transmit.key, wall, Clock::Kernel);
            }
            self.model.stamped(sequence, wall);
            self.compare("transmit stamp");
        }
    }

    fn expire(&mut self) {
        let now = self.clocks.now;
        self.model.expire(now);
        let mut cancelled = Vec::new();
        self.lane.handle_timeout(Mono(now), &mut |key| cancelled.push(key));
        assert!(self.scenario.protocol == Protocol::Connect || cancelled.is_empty());
        self.compare("timeout");
        if self.scenario.protocol == Protocol::Connect {
            // What is cancelled says nothing any more.
            self.network.retain(|_, incoming| {
                !matches!(incoming, Incoming::Connected { sequence, .. } if cancelled.contains(&(*sequence as u32)))
            });
        }
    }

    fn transmit(&mut self) {
        loop {
            let mut batch = Vec::new();
            let mut buf = [0; 1500];
            while batch.len() < 64 {
                let Some(transmit) = self.lane.poll_transmit(Mono(self.clocks.now), &mut buf) else {
                    break;
                };
                let sequence = self.polled(&transmit, &buf[..transmit.len]);
                batch.push((sequence, transmit, buf[..transmit.len].to_vec()));
            }
            self.drop_skipped();
            if batch.is_empty() {
                return;
            }
            self.send(batch);
            if self.scenario.unsent > 0.0 && self.rng.random_bool(0.5) {
                return;
            }
        }
    }

    fn polled(&mut self, transmit: &Transmit, bytes: &[u8]) -> u64 {
        assert!(self.is_enabled, "sent while disabled");
        let seed = self.scenario.seed;
        let active = |id: &TargetId| {
            self.model
                .targets
                .get(id)
                .is_some_and(|t| t.presence == Presence::Active)
        };
        let id = *self
            .addresses
            .iter()
            .find(|(id, address)| **address == transmit.destination && active(id))
            .unwrap()
            .0;
        let port = if matches!(self.scenario.protocol, Protocol::Syn { .. }) {
            u16::from_be_bytes([bytes[0], bytes[1]])
        } else {
            0
        };
        let last = self.last_poll.insert(id, self.clocks.now);
        let is_spaced = last.is_none_or(|last| self.clocks.now - last >= MIN_PAIR_INTERVAL);
        assert!(
            is_spaced || self.lane_is_counted(),
            "{seed}: two probes of a pair within 10 ms"
        );
        *self.polled.entry(id).or_default() += 1;
        let sequence = self.model.polled(id, port, self.clocks.now);
        assert_eq!(transmit.key, sequence as u32, "{seed}: key");
        if port != 0 {
            let undecided = &self.model.undecided;
            let clash = undecided
                .iter()
                .filter(|other| **other != sequence)
                .map(|other| &self.model.probes[other]);
            for other in clash {
                let same = self.addresses[&other.target] == transmit.destination && other.port == port;
                assert!(!same, "{seed}: a four-tuple twice in flight");
            }
        }
        sequence
    }

    fn lane_is_counted(&self) -> bool {
        matches!(self.scenario.mode, Mode::Counted { .. })
    }

    /// Skipped turns come of their own accord; nothing else may.
    fn drop_skipped(&mut self) {
        while let Some(event) = self.lane.poll_event() {
            assert!(
                matches!(event.what, What::Skipped(1..)),
                "{}: {event:?} of polling",
                self.scenario.seed
            );
            assert!(matches!(self.scenario.mode, Mode::Continuous { .. }));
        }
    }

    fn send(&mut self, batch: Vec<(u64, Transmit, Vec<u8>)>) {
        let reading = self.clocks.read();
        let taken = if self.rng.random_bool(self.scenario.unsent) {
            self.rng.random_range(0..=batch.len())
        } else {
            batch.len()
        };
        for (sequence, transmit, bytes) in &batch[..taken] {
            self.clocks.now += self.rng.random_range(100..5_000);
            let failure = if self.rng.random_bool(self.scenario.no_route) {
                Some((SendFailure::Unreachable, Fate::Unreachable))
            } else if self.rng.random_bool(self.scenario.send_failure) {
                Some((SendFailure::Failed, Fate::SendError))
            } else {
                None
            };
            if let Some((failure, fate)) = failure {
                self.lane.handle_send_failed(transmit.key, failure, reading.mono);
                self.model.decide(*sequence, Stage::Answered, What::Failed(fate));
                self.compare("failed send");
                continue;
            }
            self.lane
                .handle_sent(transmit.key, reading.mono, reading.wall, reading.epoch);
            self.model.sent(*sequence, &reading);
            self.leaves(*sequence, transmit, bytes);
        }
        for (sequence, transmit, _) in batch[taken..].iter().rev() {
            self.lane.handle_unsent(transmit.key);
            let id = self.model.probes[sequence].target;
            *self.polled.get_mut(&id).unwrap() -= 1;
            // It will be sent again at once, which isn't another probe.
            self.last_poll.remove(&id);
            self.model.unsent(*sequence);
            self.compare("unsent");
        }
    }

    /// The network takes a packet, at this moment.
    fn leaves(&mut self, sequence: u64, transmit: &Transmit, bytes: &[u8]) {
        let now = self.clocks.now;
        self.left.insert(sequence, now);
        let wall = self.clocks.wall_at(now);
        if self.model.tx && !self.rng.random_bool(self.scenario.missing_stamp) {
            self.stamps.push((sequence, *transmit, bytes.to_vec(), wall));
        }
        if self.scenario.protocol == Protocol::Connect {
            self.connects(sequence);
            return;
        }
        let from = transmit.destination.ip();
        let is_echo = matches!(self.scenario.protocol, Protocol::Echo { .. });
        let refused = !is_echo && self.rng.random_bool(self.scenario.refuse);
        let answer = if is_echo {
            packets::echo_reply(bytes)
        } else {
            packets::syn_answer(bytes, refused)
        };
        if self.rng.random_bool(self.scenario.forge) {
            let forged = packets::forge(&mut self.rng, &answer, is_echo);
            self.arrives(Incoming::Forged { from, bytes: forged });
            // The right packet from the wrong host.
            let other = if from.is_ipv4() {
                IpAddr::from([10, 9, 9, 9])
            } else {
                "fd00::9:9".parse().unwrap()
            };
            self.arrives(Incoming::Forged {
                from: other,
                bytes: answer.clone(),
            });
        }
        if self.rng.random_bool(self.scenario.icmp) {
            let is_short = from.is_ipv4() && self.rng.random_bool(0.5);
            let quote = if is_short { bytes[..8].to_vec() } else { bytes.to_vec() };
            self.arrives(Incoming::IcmpError {
                sequence,
                destination: from,
                quote,
            });
        }
        if !self.rng.random_bool(self.scenario.loss) {
            let copies = if self.rng.random_bool(self.scenario.repeat) {
                3
            } else {
                1
            };
            for _ in 0..copies {
                self.arrives(Incoming::Answer {
                    sequence,
                    from,
                    bytes: answer.clone(),
                    refused,
                    sent: now,
                });
            }
        }
    }

    fn connects(&mut self, sequence: u64) {
        if self.rng.random_bool(self.scenario.loss) {
            return;
        }
        let rtt_ns = self.rng.random_range(1_000..self.scenario.delay.max(2_000) * 2);
        let outcome = if self.rng.random_bool(self.scenario.refuse) {
            ConnectOutcome::Refused
        } else if self.rng.random_bool(self.scenario.icmp) {
            ConnectOutcome::Unreachable
        } else if self.rng.random_bool(self.scenario.send_failure) {
            ConnectOutcome::Failed
        } else {
            let retransmitted = self.rng.random_bool(self.scenario.repeat);
            ConnectOutcome::Established {
                rtt_ns,
                user_rtt_ns: rtt_ns + 500,
                retransmitted,
            }
        };
        self.arrives(Incoming::Connected { sequence, outcome });
    }

    fn arrives(&mut self, incoming: Incoming) {
        let usual = self.rng.random_range(100..self.scenario.delay);
        // Now and then far beyond any time-out.
        let extra = if self.rng.random_bool(0.05) {
            self.rng.random_range(0..4 * SECOND)
        } else {
            0
        };
        self.ordinal += 1;
        self.network
            .insert((self.clocks.now + usual + extra, self.ordinal), incoming);
    }

    fn rx_stamp(&self, arrived: u64) -> Option<(Wall, Clock)> {
        self.model.rx.then(|| (self.clocks.wall_at(arrived), Clock::Kernel))
    }

    /// The events of the last call, which must be those that the model expects.
    fn compare(&mut self, call: &str) -> Vec<Event> {
        let events: Vec<Event> = std::iter::from_fn(|| self.lane.poll_event()).collect();
        let expected = std::mem::take(&mut self.model.expected);
        self.same(call, &events, &expected);
        events
    }

    /// As [`World::compare`], where the order isn't promised.
    fn compare_unordered(&mut self, call: &str) {
        let mut events: Vec<Event> = std::iter::from_fn(|| self.lane.poll_event()).collect();
        self.model.expected.sort_by_key(|event| format!("{event:?}"));
        events.sort_by_key(|event| format!("{event:?}"));
        let expected = std::mem::take(&mut self.model.expected);
        self.same(call, &events, &expected);
    }

    fn same(&mut self, call: &str, events: &[Event], expected: &[Event]) {
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

fn arrival(reading: &Reading, due: Mono) -> Arrival {
    Arrival {
        read_mono: reading.mono,
        read_wall: reading.wall,
        due_mono: due,
        epoch: reading.epoch,
        wall_minus_mono: reading.wall_minus_mono,
    }
}

/// Whatever the clocks did, no sample is shorter than the truth, none longer than what the host saw, and one that
/// claims two kernel stamps is the truth.
fn check_truth(sample: &Sample, truth: u64, seen: u64, seed: u64) {
    // The user's clock is read once for a batch, before its first packet leaves.
    let batch = 64 * 5_000;
    assert!(
        sample.rtt_ns >= truth.max(1),
        "{seed}: {sample:?} is shorter than the true {truth} ns"
    );
    assert!(
        sample.rtt_ns <= seen + batch,
        "{seed}: {sample:?} is longer than the {seen} ns seen"
    );
    if sample.tx == Clock::Kernel && sample.rx == Clock::Kernel {
        assert_eq!(sample.rtt_ns, truth.max(1), "{seed}: {sample:?} by kernel stamps");
    }
    if sample.tx == Clock::User {
        assert!(sample.fallback || sample.rx == Clock::User || sample.host_delay_ns.is_none());
    }
}
