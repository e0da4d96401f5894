//! Packets that came in: which probe they answer, and what that makes of it.

use std::net::{IpAddr, SocketAddr};

use super::{Lane, transmit::version_of};
use crate::clocks::{self, Exchange, Stamp};
use crate::config::Protocol;
use crate::event::{Sample, What};
use crate::kind::{Clock, Fate};
use crate::ring::{Slot, State};
use crate::time::{Mono, Phc, Wall};
use crate::wire::icmp::{self, Direction};
use crate::wire::tcp::{self, Kind};

/// The driver's clocks as it read a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The monotonic clock, read after the system call that brought the packet.
    pub read_mono: Mono,
    /// The wall clock, read with it.
    pub read_wall: Wall,
    /// When this thread had meant to run. Until then it slept of its own will, so that a packet's waiting until then
    /// isn't the host's delay.
    pub due_mono: Mono,
    /// The number of steps of the wall clock seen so far (wrapping).
    pub epoch: u8,
    /// Nanoseconds by which the wall clock is ahead of the monotonic one.
    pub wall_minus_mono: i64,
}

impl Arrival {
    /// How long this host made the program wait for a packet stamped at `stamp`: from the stamp, or from when the
    /// program wanted to run if that was later, until the packet was read.
    fn delay_since(&self, stamp: Wall) -> u32 {
        let due = Wall(self.due_mono.0.saturating_add_signed(self.wall_minus_mono));
        let delay = self.read_wall.since(stamp.max(due)).unwrap_or(0);
        u32::try_from(delay).unwrap_or(u32::MAX)
    }
}

/// What stamped a packet as it came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxStamps {
    /// The kernel.
    pub kernel: Option<Wall>,
    /// The network card, by the one clock that its lane uses.
    pub card: Option<Phc>,
}

impl From<Option<(Wall, Clock)>> for RxStamps {
    /// A reading of the wall clock is the kernel's stamp, whoever made it.
    fn from(stamp: Option<(Wall, Clock)>) -> RxStamps {
        RxStamps {
            kernel: stamp.map(|(wall, _)| wall),
            card: None,
        }
    }
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Reply,
    Refusal,
}

impl Lane {
    /// A packet that came in, from the transport header onward: sent by `from`, stamped `rx` by the kernel if it was.
    ///
    /// An answer counts only if it carries what only the probed host can know: an echo reply its cookie and the
    /// address it is about, a SYN-ACK or RST the sequence number. An answer to a probe that is still undecided counts
    /// as in time if its round-trip delay is, however late this host got round to reading it. The first answer to a
    /// probe that timed out is late; any further one, also after an RST or an ICMP error, is a duplicate.
    pub fn handle_packet(&mut self, bytes: &[u8], from: IpAddr, rx: impl Into<RxStamps>, arrival: Arrival) {
        let RxStamps { kernel, card } = rx.into();
        let rx = kernel.map(|stamp| (stamp, Clock::Kernel));
        let from = from.to_canonical();
        let found = match self.protocol {
            Protocol::Echo { .. } => self.match_echo(bytes, from, self.protocol.identifier(from)),
            Protocol::Syn { .. } => self.match_answer(bytes, from),
            Protocol::Connect => None,
        };
        let Some((sequence, answer)) = found else {
            self.stats.invalid += 1;
            return;
        };
        let Some(&mut slot) = self.ring.get(sequence) else {
            self.stats.stale += 1;
            return;
        };
        if self.targets.owner(slot.target, slot.generation).is_none() {
            self.stats.stale += 1;
            return;
        }
        match slot.state {
            State::Sent => {
                self.cards.received(sequence, card);
                self.answered(&slot, answer, rx, &arrival);
            }
            State::Replied | State::Answered => self.report(&slot, What::Duplicate),
            State::TimedOut => {
                self.set_state(sequence, State::Answered);
                self.report(&slot, What::Late);
            }
            // It came to an end without a fate: its answer changes nothing.
            State::Void => self.stats.stale += 1,
            // Nothing can be answered before it was sent.
            State::Polled | State::Empty => self.stats.invalid += 1,
        }
    }

    fn answered(&mut self, slot: &Slot, answer: Answer, rx: Option<Stamp>, arrival: &Arrival) {
        if self.slept_through(slot.sequence) {
            self.void(slot.sequence);
            return;
        }
        let exchange = Exchange {
            sent_wall: slot.sent_wall,
            sent_epoch: slot.sent_epoch,
            read_wall: arrival.read_wall,
            read_epoch: arrival.epoch,
            user_rtt: arrival.read_mono.since(slot.sent_mono),
            tx: slot.tx_clock.map(|clock| (slot.stamp, clock)),
            rx,
            rx_delay: rx.map_or(0, |(stamp, _)| u64::from(arrival.delay_since(stamp))),
            card: self.cards.both(slot.sequence),
        };
        if answer == Answer::Refusal {
            let rtt = clocks::sample(&exchange, self.stamps).rtt_ns;
            self.finish(slot.sequence, rtt, What::Failed(Fate::Refused));
        } else if (slot.tx_clock.is_none() && self.stamps.tx) || self.cards.awaits_sent(slot.sequence) {
            self.await_stamp(slot.sequence, &exchange);
        } else {
            self.complete(slot.sequence, &exchange);
        }
    }

    /// Keeps a reply until its transmit stamp was read, or until [`Lane::settle`].
    fn await_stamp(&mut self, sequence: u64, exchange: &Exchange) {
        if self.unsettled.len() >= self.ring.capacity() {
            // More replies than slots since the last `settle`: the driver doesn't call it.
            self.complete(sequence, exchange);
            return;
        }
        if let Some((stamp, _)) = exchange.tx {
            self.cards.keep_kernel_stamp(sequence, stamp);
        }
        let Some(slot) = self.ring.get(sequence) else { return };
        slot.state = State::Replied;
        slot.user_rtt = exchange.user_rtt;
        slot.reply_epoch = exchange.read_epoch;
        slot.rx_clock = exchange.rx.map(|(_, clock)| clock);
        slot.stamp = exchange.rx.map_or(exchange.read_wall, |(stamp, _)| stamp);
        slot.rx_delay = u32::try_from(exchange.rx_delay).unwrap_or(u32::MAX);
        self.unsettled.push_back(sequence);
    }

    /// Completes a reply that was kept, with its transmit stamp or without.
    pub(super) fn complete_kept(&mut self, slot: &Slot, tx: Option<Stamp>) {
        let exchange = Exchange {
            sent_wall: slot.sent_wall,
            sent_epoch: slot.sent_epoch,
            // The one or the other: where there was a receive stamp, the reading isn't needed any more.
            read_wall: slot.stamp,
            read_epoch: slot.reply_epoch,
            user_rtt: slot.user_rtt,
            tx: tx.or_else(|| {
                let kept = self.cards.kernel_stamp(slot.sequence)?;
                Some((kept, Clock::Kernel))
            }),
            rx: slot.rx_clock.map(|clock| (slot.stamp, clock)),
            rx_delay: u64::from(slot.rx_delay),
            card: self.cards.both(slot.sequence),
        };
        self.complete(slot.sequence, &exchange);
    }

    fn complete(&mut self, sequence: u64, exchange: &Exchange) {
        if self.slept_through(sequence) {
            self.void(sequence);
            return;
        }
        let sample: Sample = clocks::sample(exchange, self.stamps);
        self.stats.clock_fallbacks += u64::from(sample.fallback);
        self.finish(sequence, sample.rtt_ns, What::Received(sample));
    }

    /// Decides a probe that was answered after `rtt`.
    pub(super) fn finish(&mut self, sequence: u64, rtt: u64, what: What) {
        if rtt <= self.timeout {
            self.decide(sequence, State::Answered, what);
            return;
        }
        // The answer came after the time-out, before anybody looked for it.
        let Some(&mut slot) = self.ring.get(sequence) else {
            return;
        };
        self.fail(sequence, Fate::Lost, State::Answered);
        if self.targets.owner(slot.target, slot.generation).is_some() {
            self.report(&slot, What::Late);
        }
    }

    fn set_state(&mut self, sequence: u64, state: State) {
        if let Some(slot) = self.ring.get(sequence) {
            slot.state = state;
        }
    }

    fn match_echo(&mut self, bytes: &[u8], from: IpAddr, identifier: u16) -> Option<(u64, Answer)> {
        let echo = icmp::read(bytes, version_of(from), Direction::Reply)?;
        let sequence = self.echoed(&echo, from, identifier)?;
        (echo.identifier == identifier).then_some((sequence, Answer::Reply))
    }

    /// The number of the probe to `probed` whose echo this is, by its cookie.
    pub(super) fn echoed(&self, echo: &icmp::Echo, probed: IpAddr, identifier: u16) -> Option<u64> {
        let sequence = self.sequence_of(echo.sequence)?;
        let ours = echo.mark == self.mark && echo.cookie == self.keyed.echo(sequence, probed, identifier);
        ours.then_some(sequence)
    }

    fn match_answer(&mut self, bytes: &[u8], from: IpAddr) -> Option<(u64, Answer)> {
        let answer = tcp::read_answer(bytes)?;
        // RFC 9293, section 3.10.7.3: the SYN itself takes one sequence number.
        let isn = answer.acknowledgement.wrapping_sub(1);
        let probed = SocketAddr::new(from, answer.source_port);
        let sequence = self.match_isn(isn, probed, answer.destination_port)?;
        let kind = match answer.kind {
            Kind::SynAck => Answer::Reply,
            Kind::Reset => Answer::Refusal,
        };
        Some((sequence, kind))
    }

    /// The probe whose SYN had this sequence number, address and source port.
    pub(super) fn match_isn(&mut self, isn: u32, probed: SocketAddr, source_port: u16) -> Option<u64> {
        let low = self.keyed.isn_sequence(isn, probed, source_port);
        let sequence = self.ring.newest_with(u64::from(low), 20)?;
        if self.keyed.isn(sequence, probed, source_port) != isn {
            return None;
        }
        // Its slot, if it wasn't overwritten, must say the same: the hash has 32 bits, the slot the whole truth.
        if let Some(&mut slot) = self.ring.get(sequence) {
            if self.ports.port(slot.port) != source_port {
                return None;
            }
            let address = self
                .targets
                .owner(slot.target, slot.generation)
                .map(|target| target.address);
            if address.is_some_and(|address| address.ip() != probed.ip() || address.port() != probed.port()) {
                return None;
            }
        }
        Some(sequence)
    }
}
