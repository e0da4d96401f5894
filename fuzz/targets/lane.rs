//! A lane amid packets of all kinds: its own, others', forged, damaged, in any order.

use std::net::{IpAddr, SocketAddr};

use dt_probe::time::{MILLISECOND, SECOND};
use dt_probe::{
    Arrival, Clock, Lane, LaneConfig, LaneStats, Mode, Mono, Protocol, RxStamps, SendFailure, TargetId, TargetSpec,
    Wall, What,
};

use crate::input::Input;
use crate::memory::none;

const TARGETS: [&str; 6] = [
    "10.0.0.1:4000",
    "10.0.0.2:4000",
    "10.0.0.2:4001",
    "[fd00::1]:4000",
    "[fd00::2]:4000",
    "10.0.0.9:80",
];
const STRANGER: &str = "10.9.9.9:4000";
const IDENTIFIERS: (u16, u16) = (7, 9);
const PORTS: std::ops::Range<u16> = 61_000..61_004;
const MOST_STEPS: usize = 64;
const AHEAD: u64 = 1_700_000_000 * SECOND;

/// Echo replies, ICMP errors about echoes, and their transmit stamps.
///
/// # Panics
/// Where something is believed that isn't a true answer to a probe, or a probe isn't in one place and only one.
pub fn fuzz_echo(data: &[u8]) {
    let (identifier, identifier_v6) = IDENTIFIERS;
    Host::new(Protocol::Echo {
        identifier,
        identifier_v6,
        payload_bytes: 24,
    })
    .live(&mut Input::new(data));
}

/// Answers to SYNs, ICMP errors about SYNs, and their transmit stamps.
///
/// # Panics
/// As [`fuzz_echo`].
pub fn fuzz_syn(data: &[u8]) {
    Host::new(Protocol::Syn { ports: PORTS.collect() }).live(&mut Input::new(data));
}

/// A probe as it left.
struct Probe {
    bytes: Vec<u8>,
    to: SocketAddr,
    key: u32,
}

struct Host {
    lane: Lane,
    is_echo: bool,
    now: Mono,
    probes: Vec<Probe>,
    fates: u64,
    /// What the last packet of a target that is gone frees may be kept in a list that grows.
    removed: bool,
}

/// What a packet may have changed: all that is counted, and what waits to be told.
#[derive(Debug, PartialEq)]
struct Standing {
    stats: LaneStats,
    untold: usize,
    in_flight: usize,
}

impl Host {
    fn new(protocol: Protocol) -> Host {
        let is_echo = matches!(protocol, Protocol::Echo { .. });
        let config = LaneConfig {
            protocol,
            mode: Mode::Continuous {
                period_ns: 10 * MILLISECOND,
            },
            timeout_ns: 50 * MILLISECOND,
            rate: 10_000,
            capacity: 64,
            key: *b"nobody knows it.",
            seed: 1,
            tx_stamps: true,
            rx_stamps: true,
            phase_start: 0,
            // The numbers wrap around in their lower bits soon.
            first_sequence: (1 << 32) - 40,
        };
        let now = Mono(SECOND);
        let mut lane = Lane::new(config, now).unwrap();
        for (id, target) in TARGETS.iter().enumerate() {
            let address: SocketAddr = target.parse().unwrap();
            let source: IpAddr = if address.is_ipv4() {
                [10, 0, 0, 7].into()
            } else {
                "fd00::7".parse().unwrap()
            };
            let spec = TargetSpec {
                id: TargetId(id as u32),
                address,
                source: Some(source),
            };
            lane.add(spec, now).unwrap();
        }
        Host {
            lane,
            is_echo,
            now,
            probes: Vec::new(),
            fates: 0,
            removed: false,
        }
    }

    fn live(mut self, input: &mut Input<'_>) {
        for _ in 0..MOST_STEPS {
            if input.is_empty() {
                break;
            }
            match input.u8() % 8 {
                0 | 1 => self.send(input),
                2 => {
                    let (mut bytes, mut from) = self.answer(input);
                    edit(&mut bytes, input);
                    elsewhere(&mut from, input);
                    if input.flag() {
                        seal(&mut bytes);
                    }
                    self.receive(&bytes, from.ip(), input);
                }
                3 => {
                    let from = *input.one(&TARGETS);
                    let length = usize::from(input.u8());
                    let bytes = input.bytes(length);
                    self.receive(bytes, address(from).ip(), input);
                }
                4 => {
                    let (mut bytes, mut to) = self.sent(input);
                    edit(&mut bytes, input);
                    elsewhere(&mut to, input);
                    self.error(&bytes, to.ip());
                }
                5 => {
                    let (mut bytes, mut to) = self.sent(input);
                    edit(&mut bytes, input);
                    elsewhere(&mut to, input);
                    self.stamp(&bytes, to.ip(), input);
                }
                6 => {
                    let key = if input.flag() {
                        input.u32()
                    } else {
                        self.probe(input).map_or(0, |probe| probe.key)
                    };
                    let stamp = Wall(AHEAD + self.now.0);
                    self.frugal(|lane| lane.handle_tx_stamp(key, stamp, Clock::Kernel));
                }
                _ => self.wait(input),
            }
            self.check();
        }
        self.lane.abandon_all();
        self.drain();
        self.check();
        let stats = self.lane.stats();
        assert_eq!(self.fates + stats.voided + stats.abandoned, stats.sent, "{stats:?}");
    }

    /// Hands a packet to the lane, which allocates nothing for it.
    fn frugal(&mut self, handle: impl FnOnce(&mut Lane)) {
        let lane = &mut self.lane;
        if self.removed {
            handle(lane);
        } else {
            none(|| handle(lane));
        }
    }

    fn probe(&self, input: &mut Input<'_>) -> Option<&Probe> {
        let back = usize::from(input.u8());
        self.probes.iter().rev().nth(back).or(self.probes.last())
    }

    /// A packet of ours, and where it went; nothing where none has left.
    fn sent(&self, input: &mut Input<'_>) -> (Vec<u8>, SocketAddr) {
        let probe = self.probe(input);
        probe.map_or_else(
            || (Vec::new(), address(STRANGER)),
            |probe| (probe.bytes.clone(), probe.to),
        )
    }

    /// The true answer to one of our probes, and who gives it.
    fn answer(&self, input: &mut Input<'_>) -> (Vec<u8>, SocketAddr) {
        let (mut bytes, to) = self.sent(input);
        if bytes.is_empty() {
            return (bytes, to);
        }
        if self.is_echo {
            bytes[0] = if to.is_ipv4() { 0 } else { 129 };
            seal(&mut bytes);
        } else {
            let isn = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            bytes[..4].rotate_left(2);
            bytes[4..8].copy_from_slice(&input.u32().to_be_bytes());
            bytes[8..12].copy_from_slice(&isn.wrapping_add(1).to_be_bytes());
            bytes[13] = if input.flag() { 0x12 } else { 0x14 };
        }
        (bytes, to)
    }

    fn send(&mut self, input: &mut Input<'_>) {
        self.now = self.now.plus(u64::from(input.u8()) * MILLISECOND / 16);
        let mut buffer = [0; 64];
        let Some(transmit) = self.lane.poll_transmit(self.now, &mut buffer) else {
            return;
        };
        let wall = Wall(AHEAD + self.now.0);
        match input.u8() {
            0 => self
                .lane
                .handle_send_failed(transmit.key, SendFailure::Failed, self.now),
            1 => self
                .lane
                .handle_send_failed(transmit.key, SendFailure::Unreachable, self.now),
            2 => return self.lane.handle_unsent(transmit.key),
            _ => self.lane.handle_sent(transmit.key, self.now, wall, 0),
        }
        self.probes.push(Probe {
            bytes: buffer[..transmit.len].to_vec(),
            to: transmit.destination,
            key: transmit.key,
        });
    }

    fn receive(&mut self, bytes: &[u8], from: IpAddr, input: &mut Input<'_>) {
        let wall = Wall(AHEAD + self.now.0);
        let arrival = Arrival {
            read_mono: self.now,
            read_wall: wall,
            due_mono: self.now,
            epoch: 0,
            wall_minus_mono: AHEAD as i64,
        };
        let stamps = RxStamps {
            kernel: input.flag().then_some(wall),
            card: None,
        };
        let before = self.standing();
        self.frugal(|lane| lane.handle_packet(bytes, from, stamps, arrival));
        if self.probes.iter().any(|probe| self.answers(bytes, from, probe)) {
            assert_eq!(self.lane.stats().invalid, before.stats.invalid, "a true answer");
        } else {
            self.believed_nothing(before, |stats| stats.invalid += 1);
        }
    }

    fn error(&mut self, bytes: &[u8], to: IpAddr) {
        let before = self.standing();
        let now = self.now;
        self.frugal(|lane| lane.handle_icmp_error(bytes, to, now));
        if !self.probes.iter().any(|probe| self.quotes(bytes, to, probe)) {
            let about_us = self.lane.stats().invalid > before.stats.invalid;
            self.believed_nothing(before, |stats| {
                stats.invalid += u64::from(about_us);
                stats.unmatched_errors += u64::from(!about_us);
            });
        }
    }

    fn stamp(&mut self, bytes: &[u8], to: IpAddr, input: &mut Input<'_>) {
        let before = self.standing();
        let stamp = Wall(AHEAD + self.now.0 + u64::from(input.u16()));
        self.frugal(|lane| lane.handle_tx_stamp_packet(bytes, to, stamp, Clock::Kernel));
        if !self.probes.iter().any(|probe| self.quotes(bytes, to, probe)) {
            self.believed_nothing(before, |stats| stats.unmatched_stamps += 1);
        }
    }

    fn wait(&mut self, input: &mut Input<'_>) {
        self.now = self.now.plus(u64::from(input.u8()) * MILLISECOND);
        self.lane.settle(self.now);
        self.lane.handle_timeout(self.now, &mut |_| {});
        match input.u8() % 8 {
            0 => self.lane.note_stamp_overflow(),
            1 => self.lane.note_receive_drops(input.u8().into()),
            2 => {
                self.removed = true;
                self.lane.remove(TargetId(input.u32() % 6), self.now);
            }
            3 => self.lane.set_enabled(input.flag(), self.now),
            _ => self.drain(),
        }
    }

    /// Whether `bytes`, sent by `from`, is what the probed host answers to `probe` with.
    fn answers(&self, bytes: &[u8], from: IpAddr, probe: &Probe) -> bool {
        if from != probe.to.ip() {
            return false;
        }
        if self.is_echo {
            let kind = if from.is_ipv4() { 0 } else { 129 };
            // Type, code; identifier, number, mark and cookie. ICMPv6's checksum is the kernel's.
            bytes.len() >= 24
                && bytes[..2] == [kind, 0]
                && bytes[4..24] == probe.bytes[4..24]
                && (from.is_ipv6() || is_sealed(bytes))
        } else {
            let isn = u32::from_be_bytes([probe.bytes[4], probe.bytes[5], probe.bytes[6], probe.bytes[7]]);
            bytes.len() >= 20
                && bytes[..2] == probe.bytes[2..4]
                && bytes[2..4] == probe.bytes[..2]
                && bytes[8..12] == isn.wrapping_add(1).to_be_bytes()
                && bytes[12] >> 4 >= 5
                && bytes[13] & 0x10 != 0
                && bytes[13] & 0x06 != 0
        }
    }

    /// Whether `bytes`, on the way to `to`, are `probe` or a beginning of it that an ICMP error may quote.
    fn quotes(&self, bytes: &[u8], to: IpAddr, probe: &Probe) -> bool {
        if to != probe.to.ip() || bytes.len() < 8 {
            return false;
        }
        if !self.is_echo {
            return bytes[..8] == probe.bytes[..8];
        }
        let header = bytes[..2] == probe.bytes[..2] && bytes[6..8] == probe.bytes[6..8];
        match bytes.get(8..24) {
            // A datagram socket's packet may come back before the kernel wrote the identifier into it.
            Some(payload) => header && payload == &probe.bytes[8..24],
            None => header && to.is_ipv4() && bytes[4..6] == probe.bytes[4..6],
        }
    }

    fn standing(&self) -> Standing {
        Standing {
            stats: self.lane.stats(),
            untold: self.lane.untold(),
            in_flight: self.lane.in_flight(),
        }
    }

    fn believed_nothing(&self, mut before: Standing, counted: impl FnOnce(&mut LaneStats)) {
        counted(&mut before.stats);
        assert_eq!(
            self.standing(),
            before,
            "what is no true answer was believed, or not counted"
        );
    }

    fn drain(&mut self) {
        while let Some(event) = self.lane.poll_event() {
            self.fates += u64::from(event.what.is_fate());
            if let What::Received(sample) = event.what {
                assert!(sample.rtt_ns <= 50 * MILLISECOND);
            }
        }
    }

    /// Each probe is in one place and only one.
    fn check(&self) {
        let stats = self.lane.stats();
        assert_eq!(
            stats.sent,
            stats.told + self.lane.untold() as u64 + stats.voided + self.lane.in_flight() as u64 + stats.abandoned,
            "{stats:?}"
        );
        assert_eq!(self.fates, stats.told);
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Some bytes are changed, and some are cut off.
fn edit(bytes: &mut Vec<u8>, input: &mut Input<'_>) {
    for _ in 0..input.u8() % 4 {
        let (at, change) = (usize::from(input.u8()), input.u8());
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= change;
        }
    }
    if input.u8() < 64 {
        bytes.truncate(usize::from(input.u8()));
    }
}

/// It comes from somebody else.
fn elsewhere(place: &mut SocketAddr, input: &mut Input<'_>) {
    if input.u8() < 32 {
        *place = if input.flag() {
            address(STRANGER)
        } else {
            address(input.one::<&str>(&TARGETS))
        };
    }
}

/// RFC 1071.
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2);
    let mut sum: u32 = words
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Whether ICMP's checksum is right; both forms of zero are.
fn is_sealed(bytes: &[u8]) -> bool {
    matches!(sum(bytes), 0xffff | 0)
}

fn seal(bytes: &mut [u8]) {
    if let Some(checksum) = bytes.get_mut(2..4) {
        checksum.fill(0);
        let checksum = !sum(bytes);
        bytes[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
}
