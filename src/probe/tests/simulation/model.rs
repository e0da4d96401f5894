//! The reference: what every call must lead to, by maps and loops.

use std::collections::{BTreeSet, HashMap};

use dt_probe::{Clock, Event, Fate, Sample, TargetId, Wall, What};

use crate::clock::Reading;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stage {
    Polled,
    Sent,
    /// A reply is there, its transmit stamp isn't.
    Kept(Reply),
    TimedOut,
    Answered,
    /// Ended without a fate.
    Void,
}

/// A reply as it was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) stamp: Option<Wall>,
    pub(crate) wall: Wall,
    pub(crate) mono: u64,
    pub(crate) epoch: u8,
    pub(crate) due: Wall,
}

#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) target: TargetId,
    pub(crate) port: u16,
    pub(crate) stage: Stage,
    pub(crate) sent_mono: u64,
    pub(crate) sent_wall: Wall,
    pub(crate) sent_epoch: u8,
    pub(crate) stamp: Option<Wall>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Presence {
    Active,
    Leaving,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) presence: Presence,
    pub(crate) in_flight: u32,
}

pub(crate) struct Model {
    pub(crate) timeout: u64,
    pub(crate) capacity: u64,
    pub(crate) tx: bool,
    pub(crate) rx: bool,
    pub(crate) is_connect: bool,
    pub(crate) next: u64,
    /// Probes that a ring of this capacity still remembers.
    pub(crate) probes: HashMap<u64, Probe>,
    pub(crate) undecided: BTreeSet<u64>,
    pub(crate) targets: HashMap<TargetId, Target>,
    pub(crate) suspect_before: u64,
    /// Packets that the host dropped, and the probes that they may have been about.
    pub(crate) own_drops: u64,
    pub(crate) dropped_before: u64,
    /// Probes that the host slept through.
    pub(crate) slept_before: u64,
    pub(crate) voided: u64,
    pub(crate) expected: Vec<Event>,
    pub(crate) invalid: u64,
    pub(crate) stale: u64,
    pub(crate) fallbacks: u64,
    pub(crate) decided: u64,
}

impl Model {
    pub(crate) fn polled(&mut self, target: TargetId, port: u16, mono: u64) -> u64 {
        let sequence = self.next;
        self.next += 1;
        let overwritten = self.next.checked_sub(1 + self.capacity);
        if let Some(forgotten) = overwritten.and_then(|overwritten| self.probes.remove(&overwritten)) {
            assert!(
                !is_undecided(&forgotten),
                "a probe in flight was overwritten: {forgotten:?}"
            );
        }
        let stage = Stage::Polled;
        let probe = Probe {
            target,
            port,
            stage,
            sent_mono: mono,
            sent_wall: Wall(0),
            sent_epoch: 0,
            stamp: None,
        };
        self.probes.insert(sequence, probe);
        self.undecided.insert(sequence);
        self.targets.get_mut(&target).unwrap().in_flight += 1;
        sequence
    }

    pub(crate) fn unsent(&mut self, sequence: u64) {
        assert_eq!(sequence + 1, self.next);
        self.next -= 1;
        let target = self.probes.remove(&sequence).unwrap().target;
        self.undecided.remove(&sequence);
        self.targets.get_mut(&target).unwrap().in_flight -= 1;
        self.gone_if_empty(target);
    }

    pub(crate) fn sent(&mut self, sequence: u64, reading: &Reading) {
        let probe = self.probes.get_mut(&sequence).unwrap();
        probe.stage = Stage::Sent;
        probe.sent_mono = reading.mono.0;
        probe.sent_wall = reading.wall;
        probe.sent_epoch = reading.epoch;
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.undecided.len()
    }

    pub(crate) fn decide(&mut self, sequence: u64, stage: Stage, what: What) {
        let (stage, what) = if sequence < self.slept_before {
            (Stage::Void, What::Skipped(1))
        } else {
            (stage, what)
        };
        self.end(sequence, stage, what);
    }

    fn end(&mut self, sequence: u64, stage: Stage, what: What) {
        self.voided += u64::from(stage == Stage::Void);
        let probe = self.probes.get_mut(&sequence).unwrap();
        assert!(is_undecided(probe));
        probe.stage = stage;
        let Probe { target, port, .. } = *probe;
        self.expected.push(Event {
            target,
            source_port: port,
            what,
        });
        self.decided += 1;
        self.undecided.remove(&sequence);
        self.targets.get_mut(&target).unwrap().in_flight -= 1;
        self.gone_if_empty(target);
    }

    pub(crate) fn remove(&mut self, target: TargetId) {
        if let Some(row) = self.targets.get_mut(&target) {
            row.presence = Presence::Leaving;
        }
        self.gone_if_empty(target);
    }

    fn gone_if_empty(&mut self, target: TargetId) {
        if self.targets.get(&target)
            == Some(&Target {
                presence: Presence::Leaving,
                in_flight: 0,
            })
        {
            self.targets.remove(&target);
            self.expected.push(Event {
                target,
                source_port: 0,
                what: What::Gone,
            });
            // Whatever comes for it now comes for nobody.
            self.probes.retain(|_, probe| probe.target != target);
        }
    }

    /// An answer to the probe `sequence`, carrying its cookie.
    pub(crate) fn reply(&mut self, sequence: u64, refused: bool, reply: Reply) {
        let Some(probe) = self.probes.get(&sequence).cloned() else {
            self.stale += 1;
            return;
        };
        let (target, source_port) = (probe.target, probe.port);
        match probe.stage {
            Stage::Polled => panic!("answered before it was sent"),
            Stage::Void => self.stale += 1,
            Stage::Sent if sequence < self.slept_before => self.end(sequence, Stage::Void, What::Skipped(1)),
            Stage::Sent if refused => {
                let rtt = self.sample(&probe, probe.stamp, &reply).rtt_ns;
                self.answered(sequence, rtt, What::Failed(Fate::Refused));
            }
            Stage::Sent if self.tx && probe.stamp.is_none() => {
                self.probes.get_mut(&sequence).unwrap().stage = Stage::Kept(reply);
            }
            Stage::Sent => self.complete(sequence, probe.stamp, &reply),
            Stage::Kept(_) | Stage::Answered => {
                self.expected.push(Event {
                    target,
                    source_port,
                    what: What::Duplicate,
                });
            }
            Stage::TimedOut => {
                self.probes.get_mut(&sequence).unwrap().stage = Stage::Answered;
                self.expected.push(Event {
                    target,
                    source_port,
                    what: What::Late,
                });
            }
        }
    }

    pub(crate) fn stamped(&mut self, sequence: u64, stamp: Wall) {
        match self.probes.get_mut(&sequence) {
            Some(Probe {
                stage: Stage::Kept(reply),
                ..
            }) => {
                let reply = *reply;
                self.complete(sequence, Some(stamp), &reply);
            }
            Some(probe) if is_undecided(probe) => probe.stamp = Some(stamp),
            _ => {}
        }
    }

    pub(crate) fn settle(&mut self) {
        let kept: Vec<u64> = self.undecided.iter().copied().collect();
        for sequence in kept {
            let stage = self.probes.get(&sequence).map(|probe| probe.stage);
            if let Some(Stage::Kept(reply)) = stage {
                self.complete(sequence, None, &reply);
                self.suspect_before = self.next;
            }
        }
    }

    pub(crate) fn icmp_error(&mut self, sequence: u64, now: u64) {
        let Some(probe) = self.probes.get(&sequence) else {
            return;
        };
        if probe.stage == Stage::Sent && now - probe.sent_mono <= self.timeout {
            self.decide(sequence, Stage::Answered, What::Failed(Fate::Unreachable));
        }
    }

    pub(crate) fn expire(&mut self, now: u64) {
        let all: Vec<u64> = self.undecided.iter().copied().collect();
        for sequence in all {
            let Some(probe) = self.probes.get(&sequence).cloned() else {
                continue;
            };
            let slept = sequence < self.slept_before;
            if is_undecided(&probe) && (slept || probe.sent_mono + self.timeout <= now) {
                let never_left =
                    self.tx && !self.is_connect && probe.stamp.is_none() && sequence >= self.suspect_before;
                let fate = if never_left { Fate::SendError } else { Fate::Lost };
                if fate == Fate::Lost && !slept && sequence < self.dropped_before && self.own_drops > 0 {
                    self.own_drops -= 1;
                    self.end(sequence, Stage::Void, What::Skipped(1));
                } else {
                    self.decide(sequence, Stage::TimedOut, What::Failed(fate));
                }
            }
        }
    }

    pub(crate) fn dropped(&mut self, packets: u64) {
        if self
            .undecided
            .first()
            .is_none_or(|oldest| *oldest >= self.dropped_before)
        {
            self.own_drops = 0;
        }
        self.own_drops += packets;
        self.dropped_before = self.next;
        self.suspect_before = self.next;
    }

    fn complete(&mut self, sequence: u64, stamp: Option<Wall>, reply: &Reply) {
        if sequence < self.slept_before {
            self.end(sequence, Stage::Void, What::Skipped(1));
            return;
        }
        let sample = self.sample(&self.probes[&sequence].clone(), stamp, reply);
        self.fallbacks += u64::from(sample.fallback);
        self.answered(sequence, sample.rtt_ns, What::Received(sample));
    }

    pub(crate) fn answered(&mut self, sequence: u64, rtt: u64, what: What) {
        if rtt <= self.timeout {
            self.decide(sequence, Stage::Answered, what);
            return;
        }
        let Probe { target, port, .. } = self.probes[&sequence];
        self.decide(sequence, Stage::Answered, What::Failed(Fate::Lost));
        if self.targets.contains_key(&target) {
            self.expected.push(Event {
                target,
                source_port: port,
                what: What::Late,
            });
        }
    }

    /// The clock rule, spelled out case by case.
    fn sample(&self, probe: &Probe, tx: Option<Wall>, reply: &Reply) -> Sample {
        let user = reply.mono - probe.sent_mono;
        let between = |from: Wall, until: Wall| {
            let rtt = i128::from(until.0) - i128::from(from.0);
            (probe.sent_epoch == reply.epoch && (0..=i128::from(user)).contains(&rtt)).then_some(rtt as u64)
        };
        let (rtt, tx_clock, rx_clock) = match (tx, reply.stamp) {
            (Some(tx), Some(rx)) => (between(tx, rx), Clock::Kernel, Clock::Kernel),
            (None, Some(rx)) => (between(probe.sent_wall, rx), Clock::User, Clock::Kernel),
            (Some(tx), None) => (between(tx, reply.wall), Clock::Kernel, Clock::User),
            (None, None) => (None, Clock::User, Clock::User),
        };
        let (rtt, tx_clock, rx_clock) = match rtt {
            Some(rtt) => (rtt, tx_clock, rx_clock),
            None => (user, Clock::User, Clock::User),
        };
        let host_delay_ns = match (tx, reply.stamp) {
            (Some(tx), Some(rx)) if tx_clock == Clock::Kernel && rx_clock == Clock::Kernel => {
                let before = tx.0.saturating_sub(probe.sent_wall.0);
                let after = reply.wall.0.saturating_sub(rx.0.max(reply.due.0));
                Some(before + after)
            }
            _ => None,
        };
        let fallback = (self.tx && tx_clock == Clock::User) || (self.rx && rx_clock == Clock::User);
        Sample {
            rtt_ns: rtt.max(1),
            host_delay_ns,
            tx: tx_clock,
            rx: rx_clock,
            fallback,
        }
    }
}

pub(crate) fn is_undecided(probe: &Probe) -> bool {
    matches!(probe.stage, Stage::Polled | Stage::Sent | Stage::Kept(_))
}
