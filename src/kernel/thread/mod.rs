//! The probe thread: one per agent, it alone touches the sockets. It turns around at an absolute tick and, in each turn,
//! reads replies, then the error queue until it is dry, then expires, then sends. The order matters: the kernel queues a
//! packet's transmit stamp before the packet leaves, so every reply read already has its stamp waiting.
//!
//! Since the kernel stamps each packet, no wake-up per reply is needed: at higher rates the thread sleeps from tick to
//! tick and pays for one wake-up per batch. At low rates, or where a clock of this program's own has to do, it waits on
//! the sockets instead.
//!
//! The rest of the program talks to it by two bounded queues: [`Command`]s in, [`Report`]s out. Nothing on it locks,
//! logs or allocates per packet. Where the reader of the reports falls behind, the thread pauses (and counts it as
//! [`Stats::stalled`]): replies wait in the kernel with their stamps, and nothing is lost.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use dt_probe::time::MILLISECOND;
use dt_probe::{Event, Lane, Mono, ProbeKind, TargetId, TargetSpec, Wall, What};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::batch::BATCH;
use crate::channel::PacketChannel;
use crate::clock::{Clocks, sharpen_sleep, sleep_until};
use crate::connect::Connector;
use crate::ports::SourcePorts;
use crate::sandbox::{self, Sandbox};

mod running;
mod scheduling;
mod stats;
mod tick;
mod wait;

use running::Running;
pub use scheduling::{CpuList, Granted, HIGHEST_PRIORITY, Scheduling};
pub use stats::{Books, LATENESS_BOUNDS, LaneCounters, Stats};
use wait::wait_readable;

/// How many reads of one queue a single turn makes: bounded, so that a flood can't keep the thread from sending.
const READS_PER_TURN: usize = 64;
/// Free places in the report ring without which a turn isn't begun: what a turn's reads, sends and expiries can yield
/// between two looks at the ring.
const ROOM: usize = 4 * BATCH;
/// The thread looks for commands at least this often.
const LONGEST_SLEEP: u64 = 100 * MILLISECOND;
/// The tick while the report ring is full.
const STALL: u64 = 20 * MILLISECOND;
/// At most this often the report ring carries the time: before what a turn decides, so that it is counted to the window
/// it was decided in.
const REPORT_TIME_EVERY: u64 = 10 * MILLISECOND;
/// How many commands may wait. Whoever sends more waits in turn.
const COMMANDS: usize = 4096;

/// One probe kind: the lane that decides and the sockets that carry it out.
pub struct Setup {
    /// What is measured.
    pub kind: ProbeKind,
    /// Schedule, in-flight probes, matching.
    pub lane: Lane,
    /// The sockets.
    pub shell: Shell,
}

/// The sockets of one lane.
pub enum Shell {
    /// Raw or datagram sockets, one for each address family that this host has.
    Packets {
        /// For IPv4 targets.
        v4: Option<Box<PacketChannel>>,
        /// For IPv6 targets.
        v6: Option<Box<PacketChannel>>,
        /// The source ports of SYN probes, held for as long as they are used.
        ports: Option<SourcePorts>,
    },
    /// `connect()`.
    Connect(Connector),
}

/// What the thread can be told.
#[derive(Debug)]
pub enum Command {
    /// Probe this target from now on.
    Add(ProbeKind, TargetSpec),
    /// Send no more to this target; [`dt_probe::What::Gone`] follows once its last probe is decided.
    Remove(ProbeKind, TargetId),
    /// Probe each target of the kind once in this many nanoseconds.
    SetPeriod(ProbeKind, u64),
    /// Send at most this many probes of the kind per second.
    SetRate(ProbeKind, u32),
    /// The kill switch: `false` stops sending, what is in flight is still decided.
    SetEnabled(bool),
    /// Give up what is in flight and end.
    Stop,
}

/// What the thread tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// All events decided before this reading of `CLOCK_REALTIME` have been reported.
    Time(Wall),
    /// Something happened to a target of this kind.
    Event(ProbeKind, Event),
    /// What became of the kind's probes until now: those told of are the fates reported before. Comes before the
    /// [`Report::Time`] of the same turn, where anything has changed.
    Books(ProbeKind, Books),
}

// Tens of thousands may wait.
const _: () = assert!(size_of::<Report>() <= 48);

/// The other end of the thread's queues.
pub struct Handle {
    commands: SyncSender<Command>,
    reports: Consumer<Report>,
    stats: Arc<Stats>,
    granted: Granted,
    join: Option<JoinHandle<Vec<(ProbeKind, Books)>>>,
}

/// The thread has ended and takes no more commands.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the probe thread has ended")]
pub struct Ended;

impl Handle {
    /// Queues a command; waits while the queue is full.
    ///
    /// # Errors
    /// [`Ended`] when the thread is no more.
    pub fn command(&self, command: Command) -> Result<(), Ended> {
        self.commands.send(command).map_err(|_| Ended)
    }

    /// The next report, in the order in which things were decided.
    pub fn report(&mut self) -> Option<Report> {
        self.reports.pop().ok()
    }

    /// Counters, readable at any time.
    #[must_use]
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// What the scheduler granted.
    #[must_use]
    pub fn granted(&self) -> &Granted {
        &self.granted
    }

    /// Whether the thread has ended: after [`Command::Stop`], or by a panic.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.join.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends the thread and waits for it. Reports that it left can still be taken. Gives back what became of each kind's
    /// probes; nothing where the thread was ended before, or by a panic.
    pub fn stop(&mut self) -> Vec<(ProbeKind, Books)> {
        let Some(join) = self.join.take() else {
            return Vec::new();
        };
        // A full queue would block; a thread that has ended needs no telling.
        let _ = self.commands.send(Command::Stop);
        join.join().unwrap_or_default()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts the thread.
///
/// `ring` is the number of reports that may wait: some seconds' worth at the highest rate. What `scheduling` asks for may
/// be refused: [`Handle::granted`] tells. Unless `sandbox` is off the thread then gives up its rights; the filter of system
/// calls is for [`sandbox::enter`].
///
/// # Errors
/// When the operating system gives no thread.
pub fn spawn(
    name: &str,
    setups: Vec<Setup>,
    ring: usize,
    scheduling: Scheduling,
    sandbox: Sandbox,
) -> io::Result<Handle> {
    let (commands, inbox) = sync_channel(COMMANDS);
    let (outbox, reports) = RingBuffer::new(ring.max(2 * ROOM));
    let stats = Arc::new(Stats::new(setups.iter().map(|s| s.kind).collect()));
    let shared = Arc::clone(&stats);
    let thread = ProbeThread {
        lanes: setups.into_iter().map(Running::new).collect(),
        clocks: Clocks::new(),
        inbox,
        outbox,
        stats: shared,
        reported: Mono(0),
        suspends: 0,
    };
    let (grant, granted) = sync_channel(1);
    let join = std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(512 * 1024)
        .spawn(move || {
            // Where it is refused, sleeps end up to 50 us late, which the lateness shows.
            let _ = sharpen_sleep();
            let mut granted = scheduling.apply();
            if sandbox != Sandbox::Off {
                granted.refused.extend(sandbox::give_up_rights().err());
            }
            let _ = grant.send(granted);
            thread.run()
        })?;
    // It answers first of all; were it to panic before, there is nothing granted.
    let granted = granted.recv().unwrap_or_default();
    stats.scheduled(&granted);
    Ok(Handle {
        commands,
        reports,
        stats,
        granted,
        join: Some(join),
    })
}

struct ProbeThread {
    lanes: Vec<Running>,
    clocks: Clocks,
    inbox: Receiver<Command>,
    outbox: Producer<Report>,
    stats: Arc<Stats>,
    /// When the ring last carried the time.
    reported: Mono,
    /// Suspends of the host that the lanes were told of.
    suspends: u64,
}

impl ProbeThread {
    fn run(mut self) -> Vec<(ProbeKind, Books)> {
        let mut due = self.clocks.read().mono;
        loop {
            let now = self.clocks.read();
            self.stats.turned(now.mono, now.mono.since(due));
            self.look_for_suspend();
            if self.obey(now.mono).is_err() {
                break;
            }
            let mut more = false;
            if self.outbox.slots() < ROOM {
                self.stats.stalled();
                // What waits to be read would wake the thread at once, over and over.
                due = now.mono.plus(STALL);
                sleep_until(due);
                continue;
            }
            self.report_time(now.mono, now.wall);
            // With wake-ups per reply the thread means to run as soon as a packet comes.
            let meant = if self.wakes_per_reply() { Mono(0) } else { due };
            for lane in &mut self.lanes {
                more |= lane.turn(&mut self.clocks, meant, &mut self.outbox);
            }
            self.stats.publish(self.lanes.iter().map(Running::counters));
            due = self.wait(now.mono, more);
        }
        self.abandon()
    }

    /// What was in flight when the host was suspended is void.
    fn look_for_suspend(&mut self) {
        let suspends = self.clocks.suspends();
        if suspends != self.suspends {
            self.suspends = suspends;
            self.lanes.iter_mut().for_each(|l| l.lane.note_suspend());
        }
        self.stats.clocks(self.clocks.steps(), suspends);
    }

    /// Carries out what waits in the inbox; an error means to end.
    fn obey(&mut self, now: Mono) -> Result<(), Ended> {
        loop {
            match self.inbox.try_recv() {
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return Err(Ended),
                Err(TryRecvError::Empty) => return Ok(()),
                Ok(Command::SetEnabled(on)) => self.lanes.iter_mut().for_each(|l| l.lane.set_enabled(on, now)),
                Ok(Command::Add(kind, spec)) => self.add(kind, spec, now),
                Ok(Command::Remove(kind, id)) => self.with(kind, |l| l.remove(id, now)),
                Ok(Command::SetRate(kind, rate)) => self.with(kind, |l| l.set_rate(rate)),
                Ok(Command::SetPeriod(kind, period)) => self.with(kind, |l| l.set_period(period, now)),
            }
        }
    }

    /// A target that the lane refuses is gone at once; why it was refused is for the caller to have checked.
    fn add(&mut self, kind: ProbeKind, spec: TargetSpec, now: Mono) {
        let refused = self
            .lanes
            .iter_mut()
            .find(|l| l.kind == kind)
            .is_none_or(|l| l.lane.add(spec, now).is_err());
        if refused {
            let gone = Event {
                target: spec.id,
                source_port: 0,
                what: What::Gone,
            };
            // Where the ring is full just now the caller learns nothing, as for a target that never answers.
            let _ = self.outbox.push(Report::Event(kind, gone));
        }
    }

    fn with(&mut self, kind: ProbeKind, f: impl FnOnce(&mut Lane)) {
        if let Some(running) = self.lanes.iter_mut().find(|l| l.kind == kind) {
            f(&mut running.lane);
        }
    }

    /// Tells the reader how far the clock has come, behind all that was decided until now.
    fn report_time(&mut self, now: Mono, wall: Wall) {
        if now.since(self.reported) < REPORT_TIME_EVERY {
            return;
        }
        // There is room: no turn is begun without.
        for lane in &mut self.lanes {
            lane.report_books(&mut self.outbox);
        }
        let _ = self.outbox.push(Report::Time(wall));
        self.reported = now;
    }

    fn wakes_per_reply(&self) -> bool {
        tick::wakes_per_reply(self.nominal_rate()) || self.lanes.iter().any(Running::needs_wake_ups)
    }

    fn nominal_rate(&self) -> u64 {
        self.lanes.iter().map(|l| l.lane.nominal_rate()).sum()
    }

    /// Sleeps until there is work; returns when the thread had meant to run again.
    fn wait(&mut self, began: Mono, more: bool) -> Mono {
        let now = self.clocks.read().mono;
        if more {
            return now;
        }
        let next = self.lanes.iter().filter_map(|l| l.lane.next_wakeup()).min();
        let latest = now.plus(LONGEST_SLEEP);
        let periods = self.lanes.iter().filter_map(|l| l.lane.period());
        let tick = tick::length(self.nominal_rate(), periods.min());
        let due = next.map_or(latest, |at| at.max(began.plus(tick)).min(latest)).max(now);
        if self.wakes_per_reply() {
            let fds = self.lanes.iter().flat_map(Running::fds);
            wait_readable(fds, due);
        } else {
            sleep_until(due);
        }
        due
    }

    /// At the end: what is in flight gets no fate, but it is counted; so is a fate that the ring has no room for.
    fn abandon(&mut self) -> Vec<(ProbeKind, Books)> {
        let mut all = Vec::new();
        for running in &mut self.lanes {
            running.drain_events(&mut self.outbox);
            running.lane.abandon_all();
            let mut books = Books::of(&running.lane);
            books.abandoned += std::mem::take(&mut books.in_flight);
            self.stats.abandoned(books.abandoned);
            all.push((running.kind, books));
        }
        let now = self.clocks.read();
        let _ = self.outbox.push(Report::Time(now.wall));
        all
    }
}
