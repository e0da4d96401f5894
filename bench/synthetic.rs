//! The core alone: its packets answered in memory, its stamps made up, under a virtual clock.

use std::net::{IpAddr, SocketAddr};

use dt_probe::time::SECOND;
use dt_probe::{Arrival, Clock, Event, Lane, LaneConfig, Mode, Mono, Protocol, TargetId, TargetSpec, Transmit, Wall};

use crate::addresses::LOOPBACK;
use crate::{Failure, Result, doing};

/// Probes of a usual round: as many as the probe thread sends by one system call.
pub const ROUND: usize = 64;
/// The wall clock is so far ahead of the monotonic one.
const WALL_MINUS_MONO: i64 = 1_790_000_000 * SECOND as i64;
/// Between two rounds, nanoseconds.
const STEP: u64 = 1_000_000;
const ROOM: usize = 128;

/// The most probes of one round: a lane doesn't hand out more before it is told what became of them.
pub const MOST: usize = 1_024;

/// A lane and the round of its probes that is under way.
#[derive(Debug)]
pub struct Synthetic {
    lane: Lane,
    now: u64,
    probes: Vec<(Transmit, [u8; ROOM])>,
    answers: Vec<(Transmit, [u8; ROOM])>,
}

/// ICMP echo with 56 bytes of payload.
#[must_use]
pub fn echo() -> Protocol {
    Protocol::Echo {
        identifier: 9,
        identifier_v6: 9,
        payload_bytes: 56,
    }
}

/// SYNs from 64 ports.
#[must_use]
pub fn syn() -> Protocol {
    Protocol::Syn {
        ports: (61_000..61_064).collect(),
    }
}

impl Synthetic {
    /// A lane with `targets` (1 to 65,536), probed in turn as fast as asked for.
    ///
    /// # Errors
    /// Where the lane refuses the protocol or a target.
    pub fn new(protocol: Protocol, targets: u32) -> Result<Synthetic> {
        let now = Mono(SECOND);
        let port = if matches!(protocol, Protocol::Syn { .. }) {
            4000
        } else {
            0
        };
        let config = LaneConfig {
            protocol,
            mode: Mode::Counted {
                count: u32::MAX,
                period_ns: 0,
            },
            timeout_ns: SECOND,
            rate: u32::MAX,
            capacity: 8_192,
            key: [7; 16],
            seed: 1,
            tx_stamps: true,
            rx_stamps: true,
            phase_start: 0,
            first_sequence: 0,
        };
        let mut lane = Lane::new(config, now).map_err(doing("make a lane"))?;
        for id in 0..targets {
            let spec = TargetSpec {
                id: TargetId(id),
                address: SocketAddr::new(LOOPBACK.target(id), port),
                source: Some(IpAddr::V4(LOOPBACK.source)),
            };
            lane.add(spec, now).map_err(doing("add a target"))?;
        }
        Ok(Synthetic {
            lane,
            now: now.0,
            probes: Vec::with_capacity(MOST),
            answers: Vec::with_capacity(MOST),
        })
    }

    /// Writes a round of `count` (at most [`MOST`]) packets and tells the lane that they were sent.
    ///
    /// # Errors
    /// Where the lane has nothing to send.
    pub fn emit(&mut self, count: usize) -> Result {
        self.now += STEP;
        self.probes.clear();
        let (mono, wall) = (Mono(self.now), self.wall(0));
        for _ in 0..count {
            let mut buffer = [0; ROOM];
            let transmit = self
                .lane
                .poll_transmit(mono, &mut buffer)
                .ok_or_else(|| Failure("the lane has no probe to send".to_owned()))?;
            self.probes.push((transmit, buffer));
        }
        for (transmit, _) in &self.probes {
            self.lane.handle_sent(transmit.key, mono, wall, 0);
        }
        Ok(())
    }

    /// Makes the round's answers. Not the lane's work, so not to be measured.
    pub fn answer(&mut self) {
        self.answers.clear();
        let answers = self.probes.iter().map(|(transmit, packet)| {
            let mut packet = *packet;
            answer(&mut packet[..transmit.len]);
            (*transmit, packet)
        });
        self.answers.extend(answers);
    }

    /// Hands the round's transmit stamps and answers to the lane. Returns the events that came of it, the last one's
    /// round trip among them.
    pub fn absorb(&mut self) -> (usize, Option<Event>) {
        let sent = self.wall(2_000);
        let arrival = Arrival {
            read_mono: Mono(self.now + 50_000),
            read_wall: self.wall(50_000),
            due_mono: Mono(self.now),
            epoch: 0,
            wall_minus_mono: WALL_MINUS_MONO,
        };
        let stamp = Some((self.wall(20_000), Clock::Kernel));
        // As the probe thread reads them: all replies, then the error queue.
        for (transmit, packet) in &self.answers {
            let bytes = &packet[..transmit.len];
            self.lane
                .handle_packet(bytes, transmit.destination.ip(), stamp, arrival);
        }
        for (transmit, _) in &self.answers {
            self.lane.handle_tx_stamp(transmit.key, sent, Clock::Kernel);
        }
        self.lane.settle(arrival.read_mono);
        let (mut count, mut last) = (0, None);
        while let Some(event) = self.lane.poll_event() {
            count += 1;
            last = Some(event);
        }
        (count, last)
    }

    fn wall(&self, after: u64) -> Wall {
        Wall((self.now + after).saturating_add_signed(WALL_MINUS_MONO))
    }
}

/// Turns a request of the lane's into the answer to it, in place.
fn answer(packet: &mut [u8]) {
    if packet[0] == 8 {
        // Echo request to echo reply: the type is 8 less, so the checksum 0x0800 more, with the carry of RFC 1624.
        packet[0] = 0;
        let sum = u32::from(u16::from_be_bytes([packet[2], packet[3]])) + 0x0800;
        let sum = (sum & 0xffff) + (sum >> 16);
        packet[2..4].copy_from_slice(&(sum as u16).to_be_bytes());
        return;
    }
    // SYN to SYN-ACK: ports change places, and the acknowledgement is the SYN's number and one.
    let number = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
    packet[8..12].copy_from_slice(&number.wrapping_add(1).to_be_bytes());
    packet.swap(0, 2);
    packet.swap(1, 3);
    packet[13] = 0x12;
}

#[cfg(test)]
mod tests {
    use dt_probe::What;

    use super::*;

    /// Without this the benchmarks might measure how fast a lane throws garbage away.
    #[test]
    fn each_round_is_answered_by_the_kernels_clock() {
        for protocol in [echo(), syn()] {
            let mut synthetic = Synthetic::new(protocol, 100).unwrap();
            for _ in 0..1_000 {
                synthetic.emit(ROUND).unwrap();
                synthetic.answer();
                let (count, last) = synthetic.absorb();
                assert_eq!(count, ROUND);
                let Some(Event {
                    what: What::Received(sample),
                    ..
                }) = last
                else {
                    panic!("{last:?}")
                };
                assert_eq!(
                    (sample.rtt_ns, sample.tx, sample.fallback),
                    (18_000, Clock::Kernel, false)
                );
            }
        }
    }
}
