//! What a lane is told at its start, checked before anything is sent.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use crate::event::TargetId;
use crate::time::{MILLISECOND, SECOND};
use crate::wire::icmp;

/// The least time between two probes of one kind to one target of a continuous lane, in nanoseconds: 10 ms.
/// A peer that answers 10,000 agents then sees at most a million probes per second and kind whatever anybody
/// configures, and a path isn't loaded by what should only measure it.
pub const MIN_PAIR_INTERVAL: u64 = 10 * MILLISECOND;

/// The shortest time-out, in nanoseconds: 1 ms, the coarsest tick a driver may be expected to keep.
pub const MIN_TIMEOUT: u64 = MILLISECOND;

/// The longest time-out, in nanoseconds: 60 s, the top of the histograms' range.
pub const MAX_TIMEOUT: u64 = 60 * SECOND;

/// The most slots a lane may hold: the slot's index must fit into 20 bits of a TCP sequence number.
pub const MAX_CAPACITY: u32 = 1 << 20;

/// The largest number of targets, and one more than the largest [`TargetId`]: ids index a table.
pub const MAX_TARGETS: u32 = 1 << 20;

/// Replies are told apart as late or repeated for at least this long after their probe was sent, in nanoseconds,
/// beyond the time-out: as long again as the time-out, and no less than 3 s (a SYN retried by a slow path).
#[must_use]
pub const fn reply_memory(timeout_ns: u64) -> u64 {
    if timeout_ns > 3 * SECOND {
        timeout_ns
    } else {
        3 * SECOND
    }
}

/// How many slots a lane needs that sends `rate` probes per second: what is sent within the time-out plus
/// [`reply_memory`], rounded up to a power of two, between 64 and [`MAX_CAPACITY`].
#[must_use]
pub fn capacity_for(rate: u32, timeout_ns: u64) -> u32 {
    let kept = u128::from(timeout_ns) + u128::from(reply_memory(timeout_ns));
    let slots = (u128::from(rate) * kept).div_ceil(u128::from(SECOND));
    let slots = u32::try_from(slots).unwrap_or(MAX_CAPACITY);
    slots.clamp(64, MAX_CAPACITY).next_power_of_two()
}

/// Somebody to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetSpec {
    /// How the events will name it.
    pub id: TargetId,
    /// Where it is. The port is 0 for ICMP.
    pub address: SocketAddr,
    /// The local address the probes leave from. [`Protocol::Syn`] over IPv4 needs it for its checksum (RFC 9293,
    /// section 3.1: the pseudo-header); elsewhere `None` lets the kernel choose.
    pub source: Option<IpAddr>,
}

/// What a lane's packets are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// ICMP and ICMPv6 echo.
    Echo {
        /// The identifier of every IPv4 request; for a datagram ("ping") socket the one that the kernel gave.
        identifier: u16,
        /// The identifier of every IPv6 request: the kernel gives each datagram socket one of its own.
        identifier_v6: u16,
        /// Bytes after the ICMP header, 16 to 1,452; 56 is what `ping` sends.
        payload_bytes: u16,
    },
    /// Half-open SYNs from raw sockets.
    Syn {
        /// Source ports reserved on this host; each target's probes take them in turn, so that the paths of ECMP are
        /// covered. 1 to 4,096 of them, none 0, none twice.
        ports: Vec<u16>,
    },
    /// Full handshakes by `connect()`; no packet is written, the caller connects.
    Connect,
}

impl Protocol {
    /// The ICMP identifier of requests to `destination`; 0 where there is none.
    pub(crate) fn identifier(&self, destination: IpAddr) -> u16 {
        match self {
            Protocol::Echo { identifier, .. } if destination.is_ipv4() => *identifier,
            Protocol::Echo { identifier_v6, .. } => *identifier_v6,
            Protocol::Syn { .. } | Protocol::Connect => 0,
        }
    }
}

/// For how long a lane goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every target once a period until it is removed. What falls due while this host is overloaded is skipped and
    /// counted.
    Continuous {
        /// The period in nanoseconds, raised to [`MIN_PAIR_INTERVAL`] where shorter.
        period_ns: u64,
    },
    /// Every target so many times. Nothing is skipped; what can't be sent waits.
    Counted {
        /// Probes to each target.
        count: u32,
        /// The period in nanoseconds; 0 sends as fast as the rate allows.
        period_ns: u64,
    },
}

/// The settings of a [`Lane`](crate::Lane).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneConfig {
    /// What is sent.
    pub protocol: Protocol,
    /// For how long.
    pub mode: Mode,
    /// How long a reply is waited for, in nanoseconds, [`MIN_TIMEOUT`] to [`MAX_TIMEOUT`].
    pub timeout_ns: u64,
    /// The most probes per second, at least 1. Spread evenly; a burst is at most what [`LONGEST_TICK`](crate::LONGEST_TICK) allows,
    /// in a continuous lane what 250 ms allow: so much of a stall is made up for.
    pub rate: u32,
    /// Slots for probes in flight and for the memory of those decided; rounded up to a power of two, at most
    /// [`MAX_CAPACITY`]. [`capacity_for`] computes it.
    pub capacity: u32,
    /// The secret that keeps forged replies out (SipHash-2-4). Random, and new for each start.
    pub key: [u8; 16],
    /// Orders the targets and chooses their first source ports. Different on every host, so that hosts started
    /// together don't probe in step.
    pub seed: u64,
    /// Whether the socket gives transmit stamps. Only then can a probe end as [`Fate::SendError`](crate::Fate) at its
    /// time-out, and only then is a missing stamp counted as a fallback.
    pub tx_stamps: bool,
    /// Whether the socket gives receive stamps.
    pub rx_stamps: bool,
    /// Nanoseconds from the lane's start to its first probe. 0 starts at once; lanes of one host are given different
    /// ones to interleave.
    pub phase_start: u64,
    /// The number of the first probe, at most 2^63; 0 will do.
    pub first_sequence: u64,
}

impl LaneConfig {
    /// Checks every value.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !(MIN_TIMEOUT..=MAX_TIMEOUT).contains(&self.timeout_ns) {
            return Err(ConfigError::Timeout(self.timeout_ns));
        }
        if self.rate == 0 {
            return Err(ConfigError::Rate);
        }
        if !(1..=MAX_CAPACITY).contains(&self.capacity) {
            return Err(ConfigError::Capacity(self.capacity));
        }
        if self.first_sequence > 1 << 63 {
            return Err(ConfigError::FirstSequence(self.first_sequence));
        }
        if matches!(self.mode, Mode::Counted { count: 0, .. }) {
            return Err(ConfigError::Count);
        }
        match &self.protocol {
            Protocol::Echo { payload_bytes, .. } => {
                let accepted = icmp::MIN_PAYLOAD..=icmp::MAX_PAYLOAD;
                if accepted.contains(payload_bytes) {
                    Ok(())
                } else {
                    Err(ConfigError::Payload(*payload_bytes))
                }
            }
            Protocol::Syn { ports } => {
                let distinct: HashSet<u16> = ports.iter().copied().collect();
                let usable = (1..=MAX_PORTS).contains(&ports.len()) && distinct.len() == ports.len();
                if usable && !distinct.contains(&0) {
                    Ok(())
                } else {
                    Err(ConfigError::Ports(ports.len()))
                }
            }
            Protocol::Connect => Ok(()),
        }
    }
}

/// The most source ports. More flows than paths of any ECMP group, and a search among them stays short.
const MAX_PORTS: usize = 4096;

/// A lane that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The time-out is out of range.
    #[error("a time-out of {0} ns; accepted: 1 ms to 60 s")]
    Timeout(u64),
    /// The rate is 0.
    #[error("a rate of 0 probes per second; accepted: at least 1")]
    Rate,
    /// The capacity is out of range.
    #[error("a capacity of {0} slots; accepted: 1 to {MAX_CAPACITY}")]
    Capacity(u32),
    /// The payload doesn't hold the cookie, or the packet would be fragmented.
    #[error("an ICMP payload of {0} bytes; accepted: {min} to {max}", min = icmp::MIN_PAYLOAD, max = icmp::MAX_PAYLOAD)]
    Payload(u16),
    /// There are none or too many source ports, or port 0 is among them, or one stands there twice.
    #[error("{0} source ports that can't be used; accepted: 1 to 4096, none of them 0, none twice")]
    Ports(usize),
    /// No probes are asked for.
    #[error("0 probes to each target; accepted: at least 1")]
    Count,
    /// The first sequence number leaves no room to count.
    #[error("a first sequence number of {0}; accepted: at most 2^63")]
    FirstSequence(u64),
}

/// A target that a lane refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// The id is still another target's, or was, and its [`What::Gone`](crate::What::Gone) didn't come yet.
    #[error("target id {} is in use", .0.0)]
    IdInUse(TargetId),
    /// The id is too large for a table.
    #[error("target id {}; accepted: less than {MAX_TARGETS}", .0.0)]
    IdTooLarge(TargetId),
    /// A reply to these can't be told from a forged one: it would come from another address.
    #[error("{0} is no single host's address (unspecified, multicast or broadcast)")]
    NotUnicast(IpAddr),
    /// TCP needs a port.
    #[error("{0} has no port to probe; accepted: 1 to 65535")]
    PortNeeded(SocketAddr),
    /// A raw SYN over IPv4 needs a source address of the same family.
    #[error("{address} is to be probed from {source_address:?}; an address of its family is needed")]
    Source {
        /// The target.
        address: SocketAddr,
        /// The source that was given.
        source_address: Option<IpAddr>,
    },
}
