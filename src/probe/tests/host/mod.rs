//! One host with an echo lane or a connecting one, driven by hand in virtual time.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(unreachable_pub, reason = "a module of each test binary")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails here")]

use std::net::IpAddr;

use dt_probe::time::{MILLISECOND, SECOND};
use dt_probe::{
    Arrival, Clock, Fate, Lane, LaneConfig, Mode, Mono, Protocol, RxStamps, TargetId, TargetSpec, Wall, What,
};

pub const START: Mono = Mono(SECOND);
const AHEAD: u64 = 1_700_000_000 * SECOND;

pub struct Host {
    pub lane: Lane,
    /// The wall clock is ahead of the monotonic one by this.
    pub ahead: u64,
    epoch: u8,
}

/// A probe as it left.
pub struct Probe {
    pub key: u32,
    pub bytes: Vec<u8>,
    pub to: IpAddr,
}

impl Probe {
    /// The sequence number of a SYN.
    pub fn isn(&self) -> u32 {
        u32::from_be_bytes(*self.bytes[4..].first_chunk().unwrap())
    }
}

impl Host {
    pub fn new(protocol: Protocol) -> Host {
        Host::with_key(protocol, [3; 16])
    }

    pub fn with_key(protocol: Protocol, key: [u8; 16]) -> Host {
        let source = matches!(protocol, Protocol::Syn { .. }).then_some(IpAddr::from([10, 1, 0, 1]));
        let stamps = protocol != Protocol::Connect;
        let config = LaneConfig {
            protocol,
            mode: Mode::Counted {
                count: 10_000,
                period_ns: 0,
            },
            timeout_ns: SECOND,
            rate: 1_000_000,
            capacity: 4096,
            key,
            seed: 1,
            tx_stamps: stamps,
            rx_stamps: stamps,
            phase_start: 0,
            first_sequence: 0,
        };
        // Long before the first probe, so that the rate lets many leave together.
        let mut lane = Lane::new(config, Mono(0)).unwrap();
        for id in 0..100 {
            let spec = TargetSpec {
                id: TargetId(id),
                address: ([10, 0, 0, id as u8], 80).into(),
                source,
            };
            lane.add(spec, START).unwrap();
        }
        Host {
            lane,
            ahead: AHEAD,
            epoch: 0,
        }
    }

    pub fn echo() -> Host {
        Host::new(Protocol::Echo {
            identifier: 7,
            identifier_v6: 7,
            payload_bytes: 56,
        })
    }

    pub fn wall(&self, now: Mono) -> Wall {
        Wall(now.0 + self.ahead)
    }

    /// The wall clock is stepped.
    pub fn step(&mut self, by: i64) {
        self.ahead = self.ahead.checked_add_signed(by).unwrap();
        self.epoch += 1;
    }

    /// Sends so many probes, each stamped by the kernel as it leaves.
    pub fn send(&mut self, count: usize, now: Mono) -> Vec<Probe> {
        let probes = self.send_unstamped(count, now);
        for probe in &probes {
            self.lane.handle_tx_stamp(probe.key, self.wall(now), Clock::Kernel);
        }
        probes
    }

    /// Sends so many probes.
    pub fn send_unstamped(&mut self, count: usize, now: Mono) -> Vec<Probe> {
        (0..count)
            .map(|_| {
                let mut buf = [0; 1500];
                let transmit = self.lane.poll_transmit(now, &mut buf).unwrap();
                self.lane.handle_sent(transmit.key, now, self.wall(now), self.epoch);
                Probe {
                    key: transmit.key,
                    bytes: buf[..transmit.len].to_vec(),
                    to: transmit.destination.ip(),
                }
            })
            .collect()
    }

    /// The reply to a probe came in at `came` by the wall clock and is read now.
    pub fn reply(&mut self, probe: &Probe, came: Wall, now: Mono) {
        let stamps = RxStamps {
            kernel: Some(came),
            card: None,
        };
        self.reply_stamped(probe, stamps, now);
    }

    /// Any packet from the probed host is read now.
    pub fn receive(&mut self, bytes: &[u8], probe: &Probe, now: Mono) {
        self.handle(bytes, probe, RxStamps::default(), now);
    }

    /// The reply to a probe is read now, with these stamps.
    pub fn reply_stamped(&mut self, probe: &Probe, stamps: RxStamps, now: Mono) {
        let mut bytes = probe.bytes.clone();
        bytes[0] = 0;
        // RFC 1624: only the type changed, from 8 to 0.
        let sum = u32::from(u16::from_be_bytes([bytes[2], bytes[3]])) + 0x0800;
        let sum = ((sum & 0xffff) + (sum >> 16)) as u16;
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
        self.handle(&bytes, probe, stamps, now);
    }

    fn handle(&mut self, bytes: &[u8], probe: &Probe, stamps: RxStamps, now: Mono) {
        let arrival = Arrival {
            read_mono: now,
            read_wall: self.wall(now),
            due_mono: now,
            epoch: self.epoch,
            wall_minus_mono: self.ahead as i64,
        };
        self.lane.handle_packet(bytes, probe.to, stamps, arrival);
    }

    pub fn expire(&mut self, now: Mono) {
        self.lane.settle(now);
        self.lane.handle_timeout(now, &mut |_| {});
    }

    /// How many were (received, lost, skipped), and nothing else.
    pub fn tally(&mut self) -> (u64, u64, u64) {
        let mut tally = (0, 0, 0);
        while let Some(event) = self.lane.poll_event() {
            match event.what {
                What::Received(_) => tally.0 += 1,
                What::Failed(Fate::Lost) => tally.1 += 1,
                What::Skipped(count) => tally.2 += u64::from(count),
                other => panic!("{other:?}"),
            }
        }
        tally
    }
}

pub fn after(millis: u64) -> Mono {
    START.plus(millis * MILLISECOND)
}
