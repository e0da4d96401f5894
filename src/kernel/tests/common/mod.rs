//! What the kernel shell's tests share: a network namespace for each, packets to send, and reading until something is there.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(unreachable_pub, reason = "a module of each test binary")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use dt_kernel::{Batch, Family, PacketChannel, Queued, SendOutcome, SendResult, StampKey};
use dt_probe::{Clock, Wall};

pub const BOTH: [Family; 2] = [Family::V4, Family::V6];

/// Longer than anything takes; only a failure waits for it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test in a network namespace of its own with nothing but loopback in it. It belongs to one thread and vanishes with it.
pub fn in_namespace<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    let run = || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap_or_else(|error| {
            panic!("this test makes a network namespace, which needs root (CAP_SYS_ADMIN): unshare: {error}")
        });
        shell("ip link set lo up");
        test()
    };
    let result = std::thread::scope(|scope| scope.spawn(run).join());
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs a line of shell in the calling thread's namespace.
pub fn shell(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().expect("sh");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "`{line}`: {}{text}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Gives this namespace a further address, on loopback, and waits until it can be sent to: the kernel adds an IPv6 address's
/// local route in the background.
pub fn add_address(address: IpAddr) {
    let (version, length, nodad) = if address.is_ipv4() {
        (4, 32, "")
    } else {
        (6, 128, "nodad")
    };
    shell(&format!("ip addr add {address}/{length} dev lo {nodad}"));
    until("the address's local route", || {
        let routes = shell(&format!("ip -{version} route show table local"));
        routes
            .lines()
            .any(|line| line.starts_with(&format!("local {address} ")))
            .then_some(())
    });
}

/// Loads rules of nftables into the calling thread's namespace.
pub fn firewall(hook: &str, rules: &[&str]) {
    let rules = rules.join("; ");
    shell(&format!(
        "nft 'table inet test {{ chain c {{ type filter hook {hook} priority 0; {rules}; }}; }}'"
    ));
}

/// Calls until it gives something, and fails after [`PATIENCE`].
pub fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "gave up waiting for {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

pub fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// An echo request whose payload begins with `key`.
pub fn echo_request(buffer: &mut [u8], family: Family, identifier: u16, key: u32, payload: usize) -> usize {
    let packet = &mut buffer[..8 + payload];
    packet.fill(0);
    packet[0] = if family == Family::V4 { 8 } else { 128 };
    packet[4..6].copy_from_slice(&identifier.to_be_bytes());
    packet[6..8].copy_from_slice(&(key as u16).to_be_bytes());
    packet[8..12].copy_from_slice(&key.to_be_bytes());
    if family == Family::V4 {
        let sum = checksum(&[packet]);
        packet[2..4].copy_from_slice(&sum);
    }
    packet.len()
}

/// The key in an echo request or reply.
pub fn echo_key(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[8..12].try_into().unwrap())
}

/// A SYN whose initial sequence number is `key`.
pub fn syn(buffer: &mut [u8], source: IpAddr, from: u16, to: SocketAddr, key: u32) -> usize {
    let packet = &mut buffer[..20];
    packet.fill(0);
    packet[..2].copy_from_slice(&from.to_be_bytes());
    packet[2..4].copy_from_slice(&to.port().to_be_bytes());
    packet[4..8].copy_from_slice(&key.to_be_bytes());
    (packet[12], packet[13], packet[14]) = (0x50, 0x02, 0x40);
    if let (IpAddr::V4(source), IpAddr::V4(destination)) = (source, to.ip()) {
        let sum = checksum(&[&source.octets(), &destination.octets(), &[0, 6, 0, 20], packet]);
        packet[16..18].copy_from_slice(&sum);
    }
    packet.len()
}

/// Commits an echo request with a payload of 56 bytes.
pub fn commit_echo(batch: &mut Batch, channel: &PacketChannel, destination: IpAddr, key: u32) {
    let identifier = channel.identifier();
    let length = echo_request(batch.next_buffer(), Family::of(destination), identifier, key, 56);
    assert!(batch.commit(key, SocketAddr::new(destination, 0), None, length));
}

/// Sends and returns the outcomes in the order they were told.
pub fn send(channel: &mut PacketChannel, batch: &mut Batch) -> Vec<(u32, SendOutcome)> {
    let mut results = Vec::new();
    let sent = channel.send(batch, &mut |SendResult { key, outcome }| results.push((key, outcome)));
    assert_eq!(
        sent,
        results
            .iter()
            .filter(|(_, outcome)| *outcome == SendOutcome::Sent)
            .count()
    );
    assert!(batch.is_empty());
    results
}

/// Destination, offender, type, code, errno, quoted bytes.
pub type IcmpError = (IpAddr, Option<IpAddr>, u8, u8, i32, Vec<u8>);

/// Everything a channel has given, by key.
#[derive(Debug, Default)]
pub struct Log {
    /// Replies: the receive stamp.
    pub replies: HashMap<u32, Option<(Wall, Clock)>>,
    /// Who sent them.
    pub from: HashMap<u32, IpAddr>,
    /// How many replies came in all.
    pub count: usize,
    /// Transmit stamps, whichever way they came.
    pub left: HashMap<u32, Wall>,
    pub by_id: usize,
    pub by_packet: usize,
    pub errors: Vec<IcmpError>,
    pub other: usize,
}

impl Log {
    /// Reads the channel empty; echo packets' keys are read by [`echo_key`].
    pub fn read(&mut self, channel: &mut PacketChannel) {
        self.read_with(channel, echo_key, echo_key);
    }

    pub fn read_with(&mut self, channel: &mut PacketChannel, reply: fn(&[u8]) -> u32, sent: fn(&[u8]) -> u32) {
        while channel
            .receive(&mut |received| {
                self.replies.insert(reply(received.bytes), received.stamp);
                self.from.insert(reply(received.bytes), received.from);
                self.count += 1;
            })
            .unwrap()
            > 0
        {}
        while channel.receive_errors(&mut |queued| self.note(queued, sent)).unwrap() > 0 {}
    }

    fn note(&mut self, queued: Queued<'_>, sent: fn(&[u8]) -> u32) {
        match queued {
            Queued::TxStamp {
                key: StampKey::Id(key),
                stamp,
                clock,
            } => {
                assert_eq!(clock, Clock::Kernel);
                assert!(self.left.insert(key, stamp).is_none(), "two stamps for {key}");
                self.by_id += 1;
            }
            Queued::TxStamp {
                key: StampKey::Packet { bytes, .. },
                stamp,
                ..
            } => {
                assert!(self.left.insert(sent(bytes), stamp).is_none());
                self.by_packet += 1;
            }
            Queued::IcmpError {
                bytes,
                destination,
                offender,
                kind,
                code,
                errno,
            } => {
                self.errors
                    .push((destination, offender, kind, code, errno, bytes.to_vec()));
            }
            Queued::CardStamp { .. } => panic!("no card here stamps anything"),
            Queued::Other => self.other += 1,
        }
    }
}
