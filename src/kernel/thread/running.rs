//! One lane at work: the lane that decides, joined to the sockets that carry it out.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};

use dt_probe::{Arrival, ConnectOutcome, Lane, LaneStats, Mono, ProbeKind, SendFailure};
use rtrb::Producer;

use super::{Books, READS_PER_TURN, ROOM, Report, Setup, Shell};
use crate::batch::{BATCH, Batch, LONGEST_PACKET, SendOutcome};
use crate::channel::{PacketChannel, Skipped};
use crate::clock::Clocks;
use crate::connect;
use crate::queued::{Queued, StampKey};

/// So many turns may leave something unread before probes expire all the same.
const MOST_UNREAD: u32 = 16;
/// What a probe may take of the receive buffer until it is read, its reply and its stamp together: 1.7 KB on loopback and
/// veth, more where a card's driver gives each packet a page.
const BUFFER_PER_PROBE: usize = 4096;

/// A lane at work.
pub(super) struct Running {
    pub(super) kind: ProbeKind,
    pub(super) lane: Lane,
    shell: Shell,
    v4_batch: Batch,
    v6_batch: Batch,
    /// Where the lane writes a packet before its family, and so its batch, is known.
    scratch: Box<[u8; LONGEST_PACKET]>,
    /// Turns that found the socket buffer so full that transmit stamps may have been dropped.
    pub(super) overflows: u64,
    /// Turns in a row that left something unread.
    unread: u32,
    /// Packets that the receive buffers dropped, as far as the lane knows.
    drops: u64,
    /// As last reported.
    books: Books,
    /// So many probes leave in a turn at most: their replies may all come before the next one, and must find room.
    most: usize,
}

impl Running {
    pub(super) fn new(setup: Setup) -> Running {
        let mut running = Running {
            kind: setup.kind,
            lane: setup.lane,
            shell: setup.shell,
            v4_batch: Batch::new(),
            v6_batch: Batch::new(),
            scratch: Box::new([0; LONGEST_PACKET]),
            overflows: 0,
            unread: 0,
            drops: 0,
            books: Books::default(),
            most: BATCH,
        };
        if let Shell::Packets { v4, v6, .. } = &mut running.shell {
            for channel in [v4, v6].into_iter().flatten() {
                let size = channel
                    .memory()
                    .map_or(channel.detected().receive_buffer, |(_, limit)| limit as usize);
                running.most = running.most.min(size / BUFFER_PER_PROBE).max(1);
                // What was dropped until now was none of the lane's.
                running.drops += channel.drops();
            }
        }
        running
    }

    fn channels(&self) -> impl Iterator<Item = &PacketChannel> {
        match &self.shell {
            Shell::Packets { v4, v6, .. } => v4.as_deref().into_iter().chain(v6.as_deref()),
            Shell::Connect(_) => None.into_iter().chain(None),
        }
    }

    /// The descriptors on which something is waited for.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let connector = match &self.shell {
            Shell::Connect(connector) => Some(connector.as_fd()),
            Shell::Packets { .. } => None,
        };
        let channels = self.channels().filter(|channel| channel.was_used());
        channels.map(AsFd::as_fd).chain(connector)
    }

    /// For the thread's counters: the lane's own, its probes in flight, drops and overflows. What was too damaged or too long to
    /// be shown to the lane is as invalid as what it refused.
    pub(super) fn counters(&self) -> (LaneStats, usize, u64, u64) {
        let drops = self.channels().map(PacketChannel::drops).sum();
        let mut stats = self.lane.stats();
        for Skipped { truncated, malformed } in self.channels().map(PacketChannel::skipped) {
            stats.invalid += truncated + malformed;
        }
        (stats, self.lane.in_flight(), drops, self.overflows)
    }

    /// Without receive stamps a reply's time is when this program sees it. Handshakes are timed by the kernel.
    pub(super) fn needs_wake_ups(&self) -> bool {
        self.channels().any(|channel| !channel.detected().rx_stamps)
    }

    /// One turn: receive, errors, settle, expire, send. True where there is more to send at once.
    pub(super) fn turn(&mut self, clocks: &mut Clocks, meant: Mono, outbox: &mut Producer<Report>) -> bool {
        let dry = match &self.shell {
            Shell::Packets { .. } => self.read_packets(clocks, meant, outbox),
            Shell::Connect(_) => self.read_connects(clocks, outbox),
        };
        // What waits unread may hold the answer: nothing expires before it is read. A flood that never lets the
        // queues run dry holds it up for so many turns only.
        self.unread = if dry { 0 } else { self.unread + 1 };
        if dry || self.unread > MOST_UNREAD {
            let now = clocks.read().mono;
            self.lane.settle(now);
            self.drain_events(outbox);
            if self.lane.has_expired(now) {
                // Silence proves something only if nothing was dropped until this moment.
                self.look_at_buffers();
                self.expire(now, outbox);
            }
        }
        let more = self.send(clocks, outbox);
        self.drain_events(outbox);
        more
    }

    /// Tells the lane what the receive buffers had no room for.
    fn look_at_buffers(&mut self) {
        let Running {
            lane,
            shell: Shell::Packets { v4, v6, .. },
            overflows,
            drops,
            ..
        } = self
        else {
            return;
        };
        let mut total = 0;
        // Nothing can come in on a channel that nothing went out by: most hosts have peers of one IP version only.
        for channel in [v4, v6].into_iter().flatten().filter(|channel| channel.was_used()) {
            // Half of the buffer in use when we come to read it: stamps may have been dropped, of which the kernel
            // tells nothing.
            if channel.memory().is_some_and(|(used, limit)| used > limit / 2) {
                *overflows += 1;
                lane.note_stamp_overflow();
            }
            total += channel.drops();
        }
        lane.note_receive_drops(total.saturating_sub(*drops));
        *drops = total;
    }

    /// Replies first, then the error queue: whatever answer was read, its transmit stamp was queued before it. True
    /// where nothing is left unread.
    fn read_packets(&mut self, clocks: &mut Clocks, meant: Mono, outbox: &mut Producer<Report>) -> bool {
        self.look_at_buffers();
        let Running {
            kind,
            lane,
            shell: Shell::Packets { v4, v6, .. },
            ..
        } = self
        else {
            return true;
        };
        let mut dry = true;
        for channel in [v4, v6].into_iter().flatten().filter(|channel| channel.was_used()) {
            dry &= read_dry(outbox, *kind, lane, |lane| receive(channel, lane, clocks, meant));
            dry &= read_dry(outbox, *kind, lane, |lane| receive_errors(channel, lane, clocks));
        }
        dry
    }

    fn read_connects(&mut self, clocks: &mut Clocks, outbox: &mut Producer<Report>) -> bool {
        let Running {
            kind,
            lane,
            shell: Shell::Connect(connector),
            ..
        } = self
        else {
            return true;
        };
        read_dry(outbox, *kind, lane, |lane| {
            let now = clocks.read().mono;
            connector.poll(&mut |done| {
                lane.handle_connected(done.key, outcome_of(done.result), done.source_port, now);
            })
        })
    }

    fn expire(&mut self, now: Mono, outbox: &mut Producer<Report>) {
        let Running { lane, shell, .. } = self;
        lane.handle_timeout(now, &mut |key| {
            if let Shell::Connect(connector) = shell {
                connector.cancel(key);
            }
        });
        self.drain_events(outbox);
    }

    fn send(&mut self, clocks: &mut Clocks, outbox: &mut Producer<Report>) -> bool {
        match &self.shell {
            Shell::Packets { .. } => self.send_packets(clocks, outbox),
            Shell::Connect(_) => self.start_connects(clocks, outbox),
        }
    }

    fn send_packets(&mut self, clocks: &mut Clocks, outbox: &mut Producer<Report>) -> bool {
        // One batch a turn: of more, the packets and their stamps no longer fit into the processor's own memory.
        outbox.slots() >= ROOM && self.send_batch(clocks)
    }

    /// Fills one batch and sends it. True where the lane filled it and the kernel took it: there may be more to send.
    fn send_batch(&mut self, clocks: &mut Clocks) -> bool {
        let Running {
            kind,
            lane,
            shell: Shell::Packets { v4, v6, .. },
            v4_batch,
            v6_batch,
            scratch,
            most,
            ..
        } = self
        else {
            return false;
        };
        let now = clocks.read().mono;
        let (mut polled, mut are_batched) = (0, true);
        while polled < *most {
            let Some(transmit) = lane.poll_transmit(now, &mut scratch[..]) else {
                break;
            };
            polled += 1;
            if *kind == ProbeKind::Tcp && transmit.source == Some(Ipv4Addr::UNSPECIFIED.into()) {
                // No way was found, and none may be taken yet: its checksum would be wrong, and silence the answer.
                lane.handle_send_failed(transmit.key, SendFailure::Unreachable, now);
                are_batched = false;
                continue;
            }
            let batch = if transmit.destination.is_ipv4() {
                &mut *v4_batch
            } else {
                &mut *v6_batch
            };
            batch.next_buffer()[..transmit.len].copy_from_slice(&scratch[..transmit.len]);
            // There is room: a batch holds as many as are polled, and no packet is longer than the scratch buffer.
            batch.commit(transmit.key, transmit.destination, transmit.source, transmit.len);
        }
        // Only the newest probes can be taken back, the newest first; with both families in the batch, or others that were
        // in neither, it isn't known which of them are the newest.
        let may_return = are_batched && (v4_batch.is_empty() || v6_batch.is_empty());
        let took_all = send_family(v4.as_deref_mut(), v4_batch, lane, clocks, may_return)
            & send_family(v6.as_deref_mut(), v6_batch, lane, clocks, may_return);
        polled == *most && took_all
    }

    fn start_connects(&mut self, clocks: &mut Clocks, outbox: &mut Producer<Report>) -> bool {
        let Running {
            kind,
            lane,
            shell: Shell::Connect(connector),
            scratch,
            ..
        } = self
        else {
            return false;
        };
        for _ in 0..BATCH {
            if outbox.slots() < ROOM {
                return false;
            }
            let now = clocks.read();
            let Some(transmit) = lane.poll_transmit(now.mono, &mut scratch[..]) else {
                return false;
            };
            let started = connector.start(transmit.key, transmit.destination);
            lane.handle_sent(transmit.key, now.mono, now.wall, now.epoch);
            if let Err(at_once) = started {
                lane.handle_connected(transmit.key, outcome_of(at_once), 0, now.mono);
            }
            drain(*kind, lane, outbox);
        }
        true
    }

    /// Puts the lane's books into the ring, where they have changed.
    pub(super) fn report_books(&mut self, outbox: &mut Producer<Report>) {
        let books = Books::of(&self.lane);
        debug_assert!(books.balance(), "{}: {books:?}", self.kind);
        if books != self.books && outbox.push(Report::Books(self.kind, books)).is_ok() {
            self.books = books;
        }
    }

    pub(super) fn drain_events(&mut self, outbox: &mut Producer<Report>) {
        drain(self.kind, &mut self.lane, outbox);
    }
}

/// Moves a lane's events to the ring. What finds no room stays with the lane, which sends nothing new until it fits.
fn drain(kind: ProbeKind, lane: &mut Lane, outbox: &mut Producer<Report>) {
    while !outbox.is_full() {
        let Some(event) = lane.poll_event() else { break };
        // There is room: this thread is the only producer.
        let _ = outbox.push(Report::Event(kind, event));
    }
}

/// Reads one queue until it is dry. False where something may be left: the bound of one turn was reached, or the ring
/// has no room for what it would decide.
fn read_dry(
    outbox: &mut Producer<Report>,
    kind: ProbeKind,
    lane: &mut Lane,
    mut read: impl FnMut(&mut Lane) -> io::Result<usize>,
) -> bool {
    for _ in 0..READS_PER_TURN {
        if outbox.slots() < ROOM {
            return false;
        }
        let count = read(lane);
        drain(kind, lane, outbox);
        // A socket that fails has nothing to be waited for.
        if count.map_or(true, |count| count < BATCH) {
            return true;
        }
    }
    false
}

/// One `recvmmsg(MSG_ERRQUEUE)`: each stamp and each ICMP error to the lane.
fn receive_errors(channel: &mut PacketChannel, lane: &mut Lane, clocks: &mut Clocks) -> io::Result<usize> {
    let now = clocks.read().mono;
    channel.receive_errors(&mut |item| match item {
        Queued::TxStamp {
            key: StampKey::Id(key),
            stamp,
            clock,
        } => lane.handle_tx_stamp(key, stamp, clock),
        Queued::TxStamp {
            key: StampKey::Packet { bytes, destination },
            stamp,
            clock,
        } => {
            lane.handle_tx_stamp_packet(bytes, destination, stamp, clock);
        }
        Queued::CardStamp {
            key: StampKey::Id(key),
            stamp,
        } => lane.handle_card_stamp(key, stamp),
        Queued::CardStamp {
            key: StampKey::Packet { bytes, destination },
            stamp,
        } => lane.handle_card_stamp_packet(bytes, destination, stamp),
        Queued::IcmpError { bytes, destination, .. } => lane.handle_icmp_error(bytes, destination, now),
        Queued::Other => {}
    })
}

/// One `recvmmsg`: each reply to the lane.
fn receive(channel: &mut PacketChannel, lane: &mut Lane, clocks: &mut Clocks, meant: Mono) -> io::Result<usize> {
    // Read after the call, once for the batch: what the program waits for is the call's return.
    let mut reading = None;
    channel.receive(&mut |packet| {
        let now = *reading.get_or_insert_with(|| clocks.read());
        let arrival = Arrival {
            read_mono: now.mono,
            read_wall: now.wall,
            due_mono: meant,
            epoch: now.epoch,
            wall_minus_mono: now.wall_minus_mono,
        };
        lane.handle_packet(packet.bytes, packet.from, packet.stamps(), arrival);
    })
}

/// Sends a batch over its channel and tells the lane the outcomes. True where the kernel took all.
fn send_family(
    channel: Option<&mut PacketChannel>,
    batch: &mut Batch,
    lane: &mut Lane,
    clocks: &mut Clocks,
    may_return: bool,
) -> bool {
    if batch.is_empty() {
        return true;
    }
    let now = clocks.read();
    let Some(channel) = channel else {
        // This host has no socket of the family: nothing can leave it.
        for key in batch.keys() {
            lane.handle_send_failed(key, SendFailure::Failed, now.mono);
        }
        batch.clear();
        return true;
    };
    let mut took_all = true;
    channel.send(batch, &mut |result| match result.outcome {
        SendOutcome::Sent => lane.handle_sent(result.key, now.mono, now.wall, now.epoch),
        SendOutcome::NoRoute => lane.handle_send_failed(result.key, SendFailure::Unreachable, now.mono),
        SendOutcome::WouldBlock if may_return => {
            took_all = false;
            lane.handle_unsent(result.key);
        }
        SendOutcome::WouldBlock | SendOutcome::Failed(_) => {
            took_all &= !matches!(result.outcome, SendOutcome::WouldBlock);
            lane.handle_send_failed(result.key, SendFailure::Failed, now.mono);
        }
    });
    took_all
}

/// The shell's words for how an attempt ended, in the core's.
fn outcome_of(result: connect::ConnectOutcome) -> ConnectOutcome {
    match result {
        connect::ConnectOutcome::Established {
            rtt_ns,
            user_rtt_ns,
            retransmitted,
        } => ConnectOutcome::Established {
            rtt_ns,
            user_rtt_ns,
            retransmitted,
        },
        connect::ConnectOutcome::Refused => ConnectOutcome::Refused,
        connect::ConnectOutcome::Unreachable => ConnectOutcome::Unreachable,
        connect::ConnectOutcome::Failed(_) => ConnectOutcome::Failed,
    }
}
