//! Probes over loopback by the real core and the real sockets: what the probe thread does in a turn, with a batch size
//! of the caller's choice and without the waiting in between.

use std::net::{IpAddr, SocketAddr};

use dt_kernel::setup::{self, Ready, Tcp, Wanted};
use dt_kernel::thread::{Setup, Shell};
use dt_kernel::{
    BATCH, Batch, Clocks, Connector, Features, LONGEST_PACKET, PacketChannel, Queued, SendOutcome, StampKey,
};
use dt_probe::time::SECOND;
use dt_probe::{
    Arrival, Clock, ConnectOutcome, Lane, Method, Mode, SendFailure, TargetId, TargetSpec, What, WindowTable,
};

use crate::addresses::Addresses;
use crate::{Failure, Result, doing};

/// Slots for probes in flight and remembered: what an agent has at its default cap of 2,000 probes per second.
const SLOTS: u32 = 8_192;
/// Samples of a target in one window: a probe per second over ten seconds.
const PROBES_PER_WINDOW: u64 = 10;
/// Bytes after the ICMP header, as of an agent.
const PAYLOAD: u16 = 56;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probes {
    /// ICMP echo.
    Icmp,
    /// Half-open SYN to this port.
    Syn(u16),
    /// `connect()` to this port.
    Connect(u16),
}

/// A lane with its sockets and its window table.
pub struct Exchange {
    lane: Lane,
    shell: Shell,
    clocks: Clocks,
    batch: Batch,
    scratch: Box<[u8; LONGEST_PACKET]>,
    windows: Windows,
}

/// Where the events go.
struct Windows {
    table: WindowTable,
    received: u64,
    /// Probes until the next window.
    left: u64,
    targets: u64,
}

impl Exchange {
    /// Opens and warms up what `probes` need; the first `targets` of the addresses are probed in turn.
    ///
    /// # Errors
    /// Where the sockets aren't permitted, or the kernel doesn't stamp both ways.
    pub fn new(probes: Probes, addresses: Addresses, targets: u32) -> Result<Exchange> {
        let mut clocks = Clocks::new();
        let now = clocks.read().mono;
        let Ready {
            setup: Setup { mut lane, shell, .. },
            tx,
            rx,
            ..
        } = open(probes, now)?;
        if (tx, rx) != (Clock::Kernel, Clock::Kernel) {
            return Err(Failure(format!(
                "the kernel gives {tx} stamps on send, {rx} on receive"
            )));
        }
        let (port, source) = match probes {
            Probes::Icmp => (0, None),
            Probes::Syn(port) => (port, Some(IpAddr::V4(addresses.source))),
            Probes::Connect(port) => (port, None),
        };
        let mut table = WindowTable::new();
        for id in 0..targets {
            let spec = TargetSpec {
                id: TargetId(id),
                address: SocketAddr::new(addresses.target(id), port),
                source,
            };
            lane.add(spec, now).map_err(doing("add a target"))?;
            table.add(spec.id);
        }
        let targets = u64::from(targets);
        Ok(Exchange {
            lane,
            shell,
            clocks,
            batch: Batch::new(),
            scratch: Box::new([0; LONGEST_PACKET]),
            windows: Windows {
                table,
                received: 0,
                left: PROBES_PER_WINDOW * targets,
                targets,
            },
        })
    }

    /// Sends `batch` probes (1 to 64) in one go and reads until each has its round trip, in the order of the probe
    /// thread's turn: replies, error queue, settle, expire, events.
    ///
    /// # Errors
    /// Where a probe isn't sent or answered: such a turn doesn't cost what it is to show.
    pub fn turn(&mut self, batch: usize) -> Result {
        let before = self.windows.received;
        let batch = batch.clamp(1, BATCH);
        match &mut self.shell {
            Shell::Packets { v4: Some(channel), .. } => {
                fill(
                    &mut self.lane,
                    &mut self.clocks,
                    &mut self.batch,
                    &mut self.scratch,
                    batch,
                )?;
                send(channel, &mut self.batch, &mut self.lane, &mut self.clocks);
                while self.lane.in_flight() > 0 {
                    read(channel, &mut self.lane, &mut self.clocks, &mut self.windows)?;
                    self.lane.handle_timeout(self.clocks.read().mono, &mut |_| {});
                    self.windows.take(&mut self.lane);
                }
            }
            Shell::Packets { v4: None, .. } => return Err(Failure("this host has no IPv4".to_owned())),
            Shell::Connect(connector) => {
                connect(connector, &mut self.lane, &mut self.clocks, batch)?;
                while self.lane.in_flight() > 0 {
                    let now = self.clocks.read().mono;
                    connector
                        .poll(&mut |done| {
                            self.lane.handle_connected(
                                done.key,
                                in_the_cores_words(done.result),
                                done.source_port,
                                now,
                            );
                        })
                        .map_err(doing("poll the connections"))?;
                    self.lane.handle_timeout(now, &mut |_| {});
                    self.windows.take(&mut self.lane);
                }
            }
        }
        let received = self.windows.received - before;
        if received == batch as u64 {
            Ok(())
        } else {
            Err(Failure(format!(
                "of {batch} probes only {received} were answered with kernel stamps"
            )))
        }
    }
}

fn open(probes: Probes, now: dt_probe::Mono) -> Result<Ready> {
    let wanted = Wanted {
        // As `dt ping -i 0`: as fast as somebody asks for them.
        mode: Mode::Counted {
            count: u32::MAX,
            period_ns: 0,
        },
        timeout_ns: SECOND,
        rate: u32::MAX,
        slots: SLOTS,
        seed: 1,
        phase_start: 0,
        features: Features::default(),
        card: None,
    };
    let tcp = |method| Tcp {
        method: Some(method),
        source_ports: 64,
        range: None,
    };
    match probes {
        Probes::Icmp => setup::icmp(&wanted, PAYLOAD, now),
        Probes::Syn(_) => setup::tcp(&wanted, &tcp(Method::Syn), now),
        Probes::Connect(_) => setup::tcp(&wanted, &tcp(Method::Connect), now),
    }
    .map_err(doing("open the sockets (needs root)"))
}

fn fill(
    lane: &mut Lane,
    clocks: &mut Clocks,
    batch: &mut Batch,
    scratch: &mut [u8; LONGEST_PACKET],
    count: usize,
) -> Result {
    let now = clocks.read().mono;
    for _ in 0..count {
        let transmit = lane
            .poll_transmit(now, &mut scratch[..])
            .ok_or_else(|| Failure("the lane has no probe to send".to_owned()))?;
        batch.next_buffer()[..transmit.len].copy_from_slice(&scratch[..transmit.len]);
        batch.commit(transmit.key, transmit.destination, transmit.source, transmit.len);
    }
    Ok(())
}

fn send(channel: &mut PacketChannel, batch: &mut Batch, lane: &mut Lane, clocks: &mut Clocks) {
    let now = clocks.read();
    channel.send(batch, &mut |result| match result.outcome {
        SendOutcome::Sent => lane.handle_sent(result.key, now.mono, now.wall, now.epoch),
        _ => lane.handle_send_failed(result.key, SendFailure::Failed, now.mono),
    });
}

fn read(channel: &mut PacketChannel, lane: &mut Lane, clocks: &mut Clocks, windows: &mut Windows) -> Result {
    if channel.memory().is_some_and(|(used, limit)| used > limit / 2) {
        lane.note_stamp_overflow();
    }
    let due_mono = clocks.read().mono;
    loop {
        let mut reading = None;
        let count = channel
            .receive(&mut |packet| {
                let now = *reading.get_or_insert_with(|| clocks.read());
                let arrival = Arrival {
                    read_mono: now.mono,
                    read_wall: now.wall,
                    due_mono,
                    epoch: now.epoch,
                    wall_minus_mono: now.wall_minus_mono,
                };
                lane.handle_packet(packet.bytes, packet.from, packet.stamp, arrival);
            })
            .map_err(doing("receive"))?;
        windows.take(lane);
        if count < BATCH {
            break;
        }
    }
    loop {
        let count = channel
            .receive_errors(&mut |item| match item {
                Queued::TxStamp {
                    key: StampKey::Id(key),
                    stamp,
                    clock,
                } => lane.handle_tx_stamp(key, stamp, clock),
                Queued::TxStamp {
                    key: StampKey::Packet { bytes, destination },
                    stamp,
                    clock,
                } => lane.handle_tx_stamp_packet(bytes, destination, stamp, clock),
                Queued::IcmpError { .. } | Queued::CardStamp { .. } | Queued::Other => {}
            })
            .map_err(doing("read the error queue"))?;
        windows.take(lane);
        if count < BATCH {
            break;
        }
    }
    lane.settle(clocks.read().mono);
    windows.take(lane);
    Ok(())
}

fn connect(connector: &mut Connector, lane: &mut Lane, clocks: &mut Clocks, count: usize) -> Result {
    for _ in 0..count {
        let now = clocks.read();
        let transmit = lane
            .poll_transmit(now.mono, &mut [])
            .ok_or_else(|| Failure("the lane has no probe to send".to_owned()))?;
        let started = connector.start(transmit.key, transmit.destination);
        lane.handle_sent(transmit.key, now.mono, now.wall, now.epoch);
        if let Err(outcome) = started {
            lane.handle_connected(transmit.key, in_the_cores_words(outcome), 0, now.mono);
        }
    }
    Ok(())
}

fn in_the_cores_words(outcome: dt_kernel::ConnectOutcome) -> ConnectOutcome {
    match outcome {
        dt_kernel::ConnectOutcome::Established {
            rtt_ns,
            user_rtt_ns,
            retransmitted,
        } => ConnectOutcome::Established {
            rtt_ns,
            user_rtt_ns,
            retransmitted,
        },
        dt_kernel::ConnectOutcome::Refused => ConnectOutcome::Refused,
        dt_kernel::ConnectOutcome::Unreachable => ConnectOutcome::Unreachable,
        dt_kernel::ConnectOutcome::Failed(_) => ConnectOutcome::Failed,
    }
}

impl Windows {
    fn take(&mut self, lane: &mut Lane) {
        while let Some(event) = lane.poll_event() {
            let by_the_kernel = matches!(event.what, What::Received(sample)
                if (sample.tx, sample.rx) == (Clock::Kernel, Clock::Kernel));
            self.received += u64::from(by_the_kernel);
            self.table.apply(&event);
            self.left -= 1;
            if self.left == 0 {
                self.table.close(|_, _, _| {});
                self.left = PROBES_PER_WINDOW * self.targets;
            }
        }
    }
}
