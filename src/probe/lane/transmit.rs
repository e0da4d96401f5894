//! Sending: whose turn it is, and what its packet is.

use std::net::{IpAddr, SocketAddr};

use super::{Lane, MAX_UNREPORTED, ON_TIME, Returned, WAIT};
use crate::config::{MIN_PAIR_INTERVAL, Protocol};
use crate::event::TargetId;
use crate::kind::Fate;
use crate::ring::{Slot, State};
use crate::schedule::late_limit;
use crate::targets::{Presence, Target};
use crate::time::{Mono, Wall};
use crate::wire::icmp::{self, Version};
use crate::wire::tcp;

/// A probe to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Names the probe in the calls that report on it, and to the kernel as the id of its transmit stamp: the low 32
    /// bits of the probe's number.
    pub key: u32,
    /// Where to; the port is 0 for ICMP.
    pub destination: SocketAddr,
    /// Where from, if that is fixed.
    pub source: Option<IpAddr>,
    /// Bytes of the buffer that make up the packet, from the transport header onward; 0 where the caller connects.
    pub len: usize,
}

/// Why a probe didn't leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// There is no route (`ENETUNREACH`, `EHOSTUNREACH`).
    Unreachable,
    /// Anything else.
    Failed,
}

/// Whose probe it is to be.
struct Turn {
    id: TargetId,
    /// The kernel had no room for it before.
    again: bool,
}

impl Lane {
    /// The next probe to send now, its packet written into `buf`; `None` when there is none for now, or `buf` is
    /// shorter than [`packet_len`](Lane::packet_len). What is found to be too late is reported as skipped on the way:
    /// each such target takes constant time, and there are never more than half the event queue in one call.
    pub fn poll_transmit(&mut self, now: Mono, buf: &mut [u8]) -> Option<Transmit> {
        self.wait_until = None;
        if !self.enabled || buf.len() < self.packet_len() {
            return None;
        }
        if self.unreported >= MAX_UNREPORTED {
            self.wait_until = Some(now.plus(WAIT));
            return None;
        }
        // A counted lane whose targets all wait for a source port would go round for ever.
        let mut blocked = 0;
        while blocked <= self.schedule.len() {
            let turn = self.next_turn(now)?;
            if let Some(transmit) = self.transmit(&turn, now, buf) {
                return Some(transmit);
            }
            if self.counted.is_some() {
                blocked += 1;
            }
        }
        self.wait_until = Some(now.plus(WAIT));
        None
    }

    /// Bytes that [`poll_transmit`](Lane::poll_transmit) needs.
    #[must_use]
    pub fn packet_len(&self) -> usize {
        match &self.protocol {
            Protocol::Echo { payload_bytes, .. } => icmp::HEADER + usize::from(*payload_bytes),
            Protocol::Syn { .. } => tcp::SYN_LEN,
            Protocol::Connect => 0,
        }
    }

    /// The probe is on its way: `user_mono` and `user_wall` are the clocks as read just before the system call that
    /// took it, `epoch` the number of steps of the wall clock seen until then (wrapping).
    pub fn handle_sent(&mut self, key: u32, user_mono: Mono, user_wall: Wall, epoch: u8) {
        let Some(sequence) = self.sequence_of(key) else { return };
        let Some(slot) = self.ring.get(sequence).filter(|slot| slot.state == State::Polled) else {
            return;
        };
        slot.state = State::Sent;
        slot.sent_mono = user_mono;
        slot.sent_wall = user_wall;
        slot.sent_epoch = epoch;
        self.unreported = self.unreported.saturating_sub(1);
    }

    /// The probe didn't leave: its fate is [`Fate::Unreachable`] or [`Fate::SendError`].
    pub fn handle_send_failed(&mut self, key: u32, failure: SendFailure, _now: Mono) {
        let Some(sequence) = self.sequence_of(key) else { return };
        let fate = match failure {
            SendFailure::Unreachable => Fate::Unreachable,
            SendFailure::Failed => Fate::SendError,
        };
        self.fail(sequence, fate, State::Answered);
    }

    /// The probe polled last wasn't attempted, since the kernel has no room now: it will be polled again, first of
    /// all. Of several they are given back newest first. It doesn't count as sent. One that grows too late meanwhile is
    /// skipped, and counted so.
    pub fn handle_unsent(&mut self, key: u32) {
        let newest = self.ring.next().wrapping_sub(1);
        if self.sequence_of(key) != Some(newest) {
            return;
        }
        let Some(slot) = self.ring.pop_newest() else { return };
        self.unreported = self.unreported.saturating_sub(1);
        self.stats.sent -= 1;
        let Some(target) = self.targets.owner(slot.target, slot.generation) else {
            return;
        };
        target.in_flight = target.in_flight.saturating_sub(1);
        target.remaining += u32::from(self.counted.is_some());
        let target = *target;
        if self.ports.len() > 0 {
            self.ports.give_back(target.flow, slot.port);
        }
        if target.presence == Presence::Leaving {
            self.drop_leaving(TargetId(slot.target));
            return;
        }
        self.returned.push(Returned {
            target: slot.target,
            generation: slot.generation,
            polled: slot.sent_mono,
        });
        self.wait_until = Some(slot.sent_mono.plus(WAIT));
    }

    /// A leaving target's probe came back unsent: it won't be sent again.
    fn drop_leaving(&mut self, id: TargetId) {
        let Some(target) = self.targets.get(id) else { return };
        target.remaining = 0;
        if target.in_flight == 0 {
            self.unfinished = self.unfinished.saturating_sub(usize::from(self.counted.is_some()));
            self.forget(id);
        }
    }

    /// When there may be something to send.
    pub(super) fn next_send(&self) -> Option<Mono> {
        if !self.enabled {
            return None;
        }
        if let Some(wait) = self.wait_until {
            return Some(wait);
        }
        let returned = self.returned.last().map(|returned| returned.polled.plus(WAIT));
        let scheduled = self.schedule.next_due().map(|due| due.max(self.rate.ready_at()));
        returned.into_iter().chain(scheduled).min()
    }

    /// The next turn that may be taken now; those that are too late are counted on the way.
    fn next_turn(&mut self, now: Mono) -> Option<Turn> {
        let limit = late_limit(self.schedule.period());
        loop {
            if self.has_enough_events() {
                return None;
            }
            let full = self.ring.is_full();
            if full && self.counted.is_some() {
                self.wait_until = Some(now.plus(WAIT));
                return None;
            }
            if let Some(returned) = self.returned.pop() {
                let id = TargetId(returned.target);
                let owner = self.targets.owner(returned.target, returned.generation);
                if owner.is_none_or(|target| target.presence != Presence::Active) {
                    continue;
                }
                if self.counted.is_none() && (full || now.since(returned.polled) > limit) {
                    self.skip(id, 1);
                    continue;
                }
                return Some(Turn { id, again: true });
            }
            let late = self.schedule.overdue(now)?;
            let sendable = self.counted.is_some() || (late <= limit && !full);
            let ready = self.ready_at(late);
            if sendable && ready > now {
                // Continuous turns become too late at some time, and are then to be counted.
                let too_late = if self.counted.is_some() {
                    u64::MAX
                } else {
                    limit - late + 1
                };
                self.wait_until = Some(ready.min(now.plus(too_late)));
                return None;
            }
            let due = self.schedule.pop_due(now)?;
            self.skip(due.target, due.skipped.saturating_add(u32::from(due.send && full)));
            if due.send && !full {
                self.rate.take(now);
                self.catch_up.take(now);
                return Some(Turn {
                    id: due.target,
                    again: false,
                });
            }
        }
    }

    /// When the rates allow a probe that is late by so much.
    fn ready_at(&self, late: u64) -> Mono {
        let is_behind = self.counted.is_none() && late > ON_TIME;
        let rate = self.rate.ready_at();
        if is_behind {
            rate.max(self.catch_up.ready_at())
        } else {
            rate
        }
    }

    /// Makes a probe of a turn; `None` where all source ports are in flight, or where the last probe of the pair is too
    /// recent: it was late, or the period has just been changed.
    fn transmit(&mut self, turn: &Turn, now: Mono, buf: &mut [u8]) -> Option<Transmit> {
        let target = *self.targets.get(turn.id)?;
        if self.counted.is_none() && !turn.again && now < target.not_before {
            self.skip(turn.id, 1);
            return None;
        }
        let mut port = 0;
        if self.ports.len() > 0 {
            match self.ports.take(target.flow) {
                Some(index) => port = index,
                None => {
                    if self.counted.is_none() {
                        self.skip(turn.id, 1);
                    }
                    return None;
                }
            }
        }
        let sequence = self.ring.next();
        let Some(len) = self.write_packet(buf, &target, sequence, port) else {
            // Not with a buffer of `packet_len` bytes; the books stay right all the same.
            self.ports.release(target.flow, port);
            return None;
        };
        self.ring.push(Slot {
            sequence,
            sent_mono: now,
            target: turn.id.0,
            generation: target.generation,
            port,
            state: State::Polled,
            ..Slot::EMPTY
        });
        self.unreported += 1;
        self.stats.sent += 1;
        self.note_polled(turn.id, now);
        Some(Transmit {
            key: sequence as u32,
            destination: target.address,
            source: self.targets.source(target.source),
            len,
        })
    }

    fn note_polled(&mut self, id: TargetId, now: Mono) {
        let Some(target) = self.targets.get(id) else { return };
        target.in_flight += 1;
        target.not_before = now.plus(MIN_PAIR_INTERVAL);
        if self.counted.is_some() {
            target.remaining = target.remaining.saturating_sub(1);
            if target.remaining == 0 {
                self.schedule.remove(id);
            }
        }
    }

    fn write_packet(&self, buf: &mut [u8], target: &Target, sequence: u64, port: u16) -> Option<usize> {
        let ip = target.address.ip();
        match &self.protocol {
            Protocol::Echo { payload_bytes, .. } => {
                let version = version_of(ip);
                let identifier = self.protocol.identifier(ip);
                let cookie = self.keyed.echo(sequence, ip, identifier);
                let echo = icmp::Echo {
                    identifier,
                    mark: self.mark,
                    // The low half.
                    sequence: sequence as u32,
                    cookie,
                };
                icmp::write_request(buf, version, echo, *payload_bytes)
            }
            Protocol::Syn { .. } => {
                let source_port = self.ports.port(port);
                let syn = tcp::Syn {
                    source_port,
                    destination_port: target.address.port(),
                    sequence: self.keyed.isn(sequence, target.address, source_port),
                };
                tcp::write_syn(buf, syn, tcp::v4_pair(self.targets.source(target.source), ip))
            }
            Protocol::Connect => Some(0),
        }
    }
}

pub(super) fn version_of(address: IpAddr) -> Version {
    if address.is_ipv4() { Version::V4 } else { Version::V6 }
}
