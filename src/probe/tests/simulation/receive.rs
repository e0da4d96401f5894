//! What the host reads, and what the model makes of it.

use std::net::IpAddr;

use dt_probe::{Arrival, Clock, ConnectOutcome, Fate, Mono, Protocol, Sample, Wall, What};
use rand::Rng;

use crate::clock::Reading;
use crate::model::{Reply, Stage};
use crate::network::Incoming;
use crate::world::World;

impl World {
    pub(crate) fn receive(&mut self, due: Mono) {
        let arrived: Vec<(u64, u64)> = self
            .network
            .range(..(self.clocks.now + 1, 0))
            .map(|(key, _)| *key)
            .collect();
        for key in arrived {
            // Reading takes time as well.
            self.clocks.now += self.rng.random_range(0..5_000);
            let reading = self.clocks.read();
            let incoming = self.network.remove(&key).unwrap();
            if self.scenario.protocol != Protocol::Connect && self.rng.random_bool(self.scenario.own_drop) {
                self.drops += 1;
                continue;
            }
            match incoming {
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
    pub(crate) fn answer(
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

    pub(crate) fn connected(&mut self, sequence: u64, outcome: ConnectOutcome, reading: &Reading) {
        const PORT: u16 = 33_333;
        self.lane.handle_connected(sequence as u32, outcome, PORT, reading.mono);
        let is_open = self.model.undecided.contains(&sequence);
        if is_open && sequence < self.model.slept_before {
            self.model.decide(sequence, Stage::Answered, What::Failed(Fate::Lost));
        } else if is_open {
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

    pub(crate) fn errors(&mut self) {
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

    pub(crate) fn expire(&mut self) {
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
