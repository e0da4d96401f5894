//! One probe kind of this host: when to send what, what came back, what became of each probe.

mod books;
mod card;
mod connect;
mod error;
mod expire;
mod reply;
mod stamp;
mod stats;
mod transmit;
mod void;

use std::collections::VecDeque;

use crate::clocks::Stamps;
use crate::config::{AddError, ConfigError, LaneConfig, Mode, Protocol, TargetSpec};
use crate::cookie::Keyed;
use crate::event::{Event, TargetId};
use crate::pace::{LONGEST_TICK, Pace};
use crate::ring::{Ring, State};
use crate::schedule::{LONGEST_LATENESS, Pattern, Schedule};
use crate::targets::{Ports, Presence, Targets};
use crate::time::{MILLISECOND, Mono, SECOND};

use card::Cards;
pub use connect::ConnectOutcome;
pub use reply::{Arrival, RxStamps};
pub use stats::LaneStats;
pub use transmit::{SendFailure, Transmit};
use void::OwnDrops;

/// Events for which room is made at the start.
const EVENTS: usize = 8192;
/// With so many events waiting, no call makes more of its own accord: it goes on after they were taken.
const EVENTS_ENOUGH: usize = EVENTS / 2;
/// Probes handed out and not yet reported as sent, failed or unsent.
const MAX_UNREPORTED: usize = 1024;
/// When to look again where sending has to wait for something that has no due time.
const WAIT: u64 = MILLISECOND;
/// Lateness up to which probes are sent as they come; beyond it, what has piled up is sent half as fast again
/// as usual.
const ON_TIME: u64 = 70 * MILLISECOND;
/// How much of the time in which nothing was sent what has piled up may make up for at once. With those on time it is
/// more than falls due in the longest tick, and less than three times the share of any 100 ms.
const CATCH_UP_AT_ONCE: u64 = 50 * MILLISECOND;

/// One probe kind of this host: its schedule, its probes in flight, its time-out. Knows no clock and no socket.
///
/// # Order of calls
/// A driver with a raw socket and time stamps does this in every tick, with the time read anew as it goes:
/// 1. [`handle_packet`](Lane::handle_packet) for every packet received;
/// 2. from the error queue [`handle_tx_stamp`](Lane::handle_tx_stamp) (or
///    [`handle_tx_stamp_packet`](Lane::handle_tx_stamp_packet)) and [`handle_icmp_error`](Lane::handle_icmp_error),
///    until it is empty; then [`settle`](Lane::settle). A reply's stamp is in the queue before the reply, so whatever
///    stamp is still missing then is lost, and its probe completes with the user's clock;
/// 3. [`handle_timeout`](Lane::handle_timeout);
/// 4. [`poll_transmit`](Lane::poll_transmit) until it gives `None` or the batch is full; for every probe polled,
///    in order, [`handle_sent`](Lane::handle_sent) or [`handle_send_failed`](Lane::handle_send_failed); for those at
///    the batch's end that the kernel didn't take, newest first, [`handle_unsent`](Lane::handle_unsent);
/// 5. [`poll_event`](Lane::poll_event) until it gives `None`, also after each batch of packets within a tick;
/// 6. sleep until [`next_wakeup`](Lane::next_wakeup); waking late by up to [`LONGEST_TICK`](crate::LONGEST_TICK) or an eighth of the period
///    costs nothing.
///
/// With [`Protocol::Connect`] a probe polled is a connection to be started, [`handle_connected`](Lane::handle_connected)
/// says how it ended, and there are no packets and stamps.
///
/// # What it promises
/// Every probe sent ends in exactly one [`Fate`](crate::Fate), or, where this host itself dropped what may have been its
/// answer or slept meanwhile, as skipped: `stats().sent` is the number of fates told plus those [untold](Lane::untold) plus
/// those voided plus [`in_flight`](Lane::in_flight) plus those abandoned. Each call takes constant time but for those that say
/// otherwise, and nothing is allocated once the targets are there.
///
/// The queue of events has room for 8,192; calls that could make many stop at half of that and go on when called
/// again, so packets have the other half to themselves. A driver that doesn't drain it loses late and repeated replies
/// (counted in the statistics), never a fate.
#[derive(Debug)]
pub struct Lane {
    protocol: Protocol,
    counted: Option<u32>,
    timeout: u64,
    stamps: Stamps,
    keyed: Keyed,
    /// See [`Keyed::mark`].
    mark: u32,
    schedule: Schedule,
    rate: Pace,
    catch_up: Pace,
    ring: Ring,
    targets: Targets,
    ports: Ports,
    enabled: bool,
    /// Probes polled and neither sent nor failed.
    unreported: usize,
    /// Probes given back unsent, to be sent next, the last one first.
    returned: Vec<Returned>,
    /// When to look again for a reason other than the schedule.
    wait_until: Option<Mono>,
    /// Answered probes that wait for a transmit stamp, in the order in which they were answered; some have it by now.
    unsettled: VecDeque<u64>,
    cards: Cards,
    /// Probes before this one may have lost their transmit stamps to a full error queue.
    suspect_before: u64,
    own_drops: OwnDrops,
    /// Probes before this one were in flight when the host was suspended.
    slept_before: u64,
    /// Targets of a counted lane that have probes to send or in flight.
    unfinished: usize,
    events: VecDeque<Event>,
    stats: LaneStats,
}

/// A probe that the kernel had no room for.
#[derive(Clone, Copy, Debug)]
struct Returned {
    target: u32,
    generation: u32,
    polled: Mono,
}

impl Lane {
    /// A lane without targets, its schedule starting at `now`.
    ///
    /// # Errors
    /// Where a value of the configuration is out of range.
    pub fn new(config: LaneConfig, now: Mono) -> Result<Lane, ConfigError> {
        config.check()?;
        // Where all targets together are probed at the cap, what was missed by a stall could never be made up for without
        // credit, and would be skipped at last.
        let (pattern, period, counted, credit) = match config.mode {
            Mode::Continuous { period_ns } => (Pattern::Continuous, period_ns, None, LONGEST_LATENESS),
            Mode::Counted { count, period_ns } => (Pattern::Waiting, period_ns, Some(count), LONGEST_TICK),
        };
        let ring = Ring::new(config.capacity, config.first_sequence);
        let ports = match &config.protocol {
            Protocol::Syn { ports } => ports.clone(),
            Protocol::Echo { .. } | Protocol::Connect => Vec::new(),
        };
        Ok(Lane {
            protocol: config.protocol,
            counted,
            timeout: config.timeout_ns,
            stamps: Stamps {
                tx: config.tx_stamps,
                rx: config.rx_stamps,
                card: false,
            },
            keyed: Keyed::new(&config.key),
            mark: Keyed::new(&config.key).mark(),
            schedule: Schedule::new(pattern, period, config.seed, now.plus(config.phase_start)),
            rate: Pace::new(u64::from(config.rate), SECOND, credit, now),
            catch_up: Pace::new(u64::from(config.rate), SECOND, CATCH_UP_AT_ONCE, now),
            unsettled: VecDeque::with_capacity(if config.tx_stamps { ring.capacity() } else { 0 }),
            cards: Cards::default(),
            suspect_before: config.first_sequence,
            own_drops: OwnDrops::default(),
            slept_before: config.first_sequence,
            ring,
            targets: Targets::default(),
            ports: Ports::new(ports),
            enabled: true,
            unreported: 0,
            returned: Vec::with_capacity(MAX_UNREPORTED),
            wait_until: None,
            unfinished: 0,
            events: VecDeque::with_capacity(EVENTS),
            stats: LaneStats::default(),
        })
    }

    /// Starts to probe a target: for the first time within one period, the first target of all at once.
    ///
    /// # Errors
    /// Where the id is in use, or the address can't be probed with this protocol.
    pub fn add(&mut self, spec: TargetSpec, now: Mono) -> Result<(), AddError> {
        let remaining = self.counted.unwrap_or(0);
        let target = self.targets.insert(spec, &self.protocol, remaining)?;
        if self.ports.len() > 0 {
            target.flow = self.ports.join(target.address, self.schedule.random());
        }
        self.schedule.add(spec.id, now);
        self.unfinished += usize::from(self.counted.is_some());
        self.set_catch_up();
        Ok(())
    }

    /// Sends no more to a target. Its probes in flight still get their fate; after the last of them, or at once where
    /// there are none, comes [`What::Gone`](crate::What::Gone). Without effect on an id that isn't in use or is leaving already.
    pub fn remove(&mut self, id: TargetId, _now: Mono) {
        let Some(target) = self
            .targets
            .get(id)
            .filter(|target| target.presence == Presence::Active)
        else {
            return;
        };
        target.presence = Presence::Leaving;
        let in_flight = target.in_flight;
        self.unfinished -= usize::from(target.remaining > 0 && in_flight == 0);
        target.remaining = 0;
        self.schedule.remove(id);
        self.set_catch_up();
        if in_flight == 0 {
            self.forget(id);
        }
    }

    /// Changes the period of all targets; their order stays.
    pub fn set_period(&mut self, period_ns: u64, now: Mono) {
        self.schedule.set_period(period_ns, now);
        self.set_catch_up();
        self.wait_until = None;
    }

    /// Probes per second by the schedule alone: targets / period, and no more than the cap. What a driver sizes its
    /// ticks by.
    #[must_use]
    pub fn nominal_rate(&self) -> u64 {
        let cap = self.rate.per_second();
        let targets = u128::from(self.schedule.len() as u64);
        match u128::from(self.schedule.period()) {
            0 => {
                if targets == 0 {
                    0
                } else {
                    cap
                }
            }
            period => u64::try_from(targets * u128::from(SECOND) / period)
                .unwrap_or(u64::MAX)
                .min(cap),
        }
    }

    /// Nanoseconds from one probe of a target to the next; `None` where there are no targets, or they are probed as fast
    /// as the cap permits.
    #[must_use]
    pub fn period(&self) -> Option<u64> {
        let period = self.schedule.period();
        (period > 0 && !self.schedule.is_empty()).then_some(period)
    }

    /// Changes the cap on probes per second; 0 is taken as 1.
    pub fn set_rate(&mut self, rate: u32) {
        self.rate.set(u64::from(rate), SECOND);
        self.wait_until = None;
    }

    /// Stops sending, or goes on in the same phases. What is in flight is decided all the same, and what falls due
    /// meanwhile isn't counted as skipped.
    pub fn set_enabled(&mut self, enabled: bool, now: Mono) {
        if self.enabled == enabled {
            return;
        }
        self.enabled = enabled;
        self.wait_until = None;
        if enabled {
            self.schedule.resume(now);
        } else {
            self.schedule.pause();
            if self.counted.is_none() {
                self.returned.clear();
            }
        }
    }

    /// The earliest time at which there may be something to send or to expire; `None` where there is nothing.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Mono> {
        let expiry = self.ring.peek_oldest().map(|slot| {
            if self.slept_through(slot.sequence) {
                slot.sent_mono
            } else {
                slot.sent_mono.plus(self.timeout)
            }
        });
        self.next_send().into_iter().chain(expiry).min()
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.stats.told += u64::from(event.what.is_fate());
        Some(event)
    }

    /// Fates decided that nobody has taken yet. Takes time proportional to the events that wait.
    #[must_use]
    pub fn untold(&self) -> usize {
        self.events.iter().filter(|event| event.what.is_fate()).count()
    }

    /// Probes without a fate.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.ring.undecided()
    }

    /// Targets that have probes to send or in flight: of a counted lane those unfinished, of a continuous one all
    /// that were added and not removed.
    #[must_use]
    pub fn pending_targets(&self) -> usize {
        if self.counted.is_some() {
            self.unfinished
        } else {
            self.schedule.len()
        }
    }

    /// Whether everything was sent and decided. A continuous lane is finished when it has no targets and nothing is
    /// in flight.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.pending_targets() == 0 && self.in_flight() == 0
    }

    /// Forgets what is in flight, without a fate, and sends no more: the end. Gives the number of probes forgotten.
    /// Takes time proportional to the lane's capacity.
    pub fn abandon_all(&mut self) -> usize {
        let abandoned = self.ring.undecided();
        for sequence in self.ring.window() {
            let undecided = self.ring.get(sequence).filter(|slot| slot.state.is_undecided());
            if let Some(slot) = undecided.map(|slot| std::mem::replace(&mut slot.state, State::Answered)) {
                debug_assert!(slot.is_undecided());
                self.close(sequence, None);
            }
        }
        self.unreported = 0;
        self.returned.clear();
        self.unsettled.clear();
        self.unfinished = 0;
        self.enabled = false;
        self.schedule.pause();
        self.stats.abandoned += abandoned as u64;
        abandoned
    }

    /// What was counted since the start.
    #[must_use]
    pub fn stats(&self) -> LaneStats {
        self.stats
    }

    /// The number of the probe that a driver's key means.
    fn sequence_of(&self, key: u32) -> Option<u64> {
        self.ring.newest_with(u64::from(key), u32::BITS)
    }

    fn set_catch_up(&mut self) {
        // Half as fast again: with what a tick may hold besides, any 100 ms stay below three times their share.
        let targets = self.schedule.len().max(1) as u64;
        self.catch_up.set(3 * targets, 2 * self.schedule.period().max(1));
    }
}
