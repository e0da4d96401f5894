//! The network between the host and its targets.

use std::net::IpAddr;

use dt_probe::time::SECOND;
use dt_probe::{ConnectOutcome, Protocol, Transmit};
use rand::Rng;

use crate::packets;
use crate::world::World;

/// Something on its way to the host.
#[derive(Clone, Debug)]
pub(crate) enum Incoming {
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

impl World {
    /// The network takes a packet, at this moment.
    pub(crate) fn leaves(&mut self, sequence: u64, transmit: &Transmit, bytes: &[u8]) {
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

    pub(crate) fn connects(&mut self, sequence: u64) {
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

    pub(crate) fn arrives(&mut self, incoming: Incoming) {
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
}
