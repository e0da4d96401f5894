//! What the lane gives to be sent, and what the host makes of it.

use dt_probe::{Fate, MIN_PAIR_INTERVAL, Mode, Mono, Protocol, SendFailure, TargetId, Transmit, What};
use rand::Rng;

use crate::model::{Presence, Stage};
use crate::world::World;

impl World {
    pub(crate) fn transmit(&mut self) {
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

    pub(crate) fn polled(&mut self, transmit: &Transmit, bytes: &[u8]) -> u64 {
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

    pub(crate) fn lane_is_counted(&self) -> bool {
        matches!(self.scenario.mode, Mode::Counted { .. })
    }

    /// Skipped turns come of their own accord; nothing else may.
    pub(crate) fn drop_skipped(&mut self) {
        while let Some(event) = self.lane.poll_event() {
            assert!(
                matches!(event.what, What::Skipped(1..)),
                "{}: {event:?} of polling",
                self.scenario.seed
            );
            assert!(matches!(self.scenario.mode, Mode::Continuous { .. }));
        }
    }

    pub(crate) fn send(&mut self, batch: Vec<(u64, Transmit, Vec<u8>)>) {
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
}
