//! What can go wrong when something is opened: the operation, what it was about, what the errno means and what to do.

use std::io;
use std::ops::RangeInclusive;

use crate::address::Family;

/// Why a [`PacketChannel`](crate::PacketChannel) couldn't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Neither a raw nor a datagram ICMP socket is permitted.
    #[error(
        "no ICMP socket over {family} can be had: a raw one needs the capability CAP_NET_RAW ({raw}), and a datagram (ping) one \
         needs one of this process's groups within net.ipv4.ping_group_range, which is {range} ({datagram}). Run as \
         root, or `setcap cap_net_raw=p` the binary, or in a container add the capability NET_RAW, or set \
         `sysctl net.ipv4.ping_group_range=\"0 2147483647\"`"
    )]
    IcmpNotPermitted {
        /// The IP version.
        family: Family,
        /// Why the raw socket was refused, or that it was switched off.
        raw: io::Error,
        /// Why the datagram socket was refused.
        datagram: io::Error,
        /// `net.ipv4.ping_group_range` as it is.
        range: String,
    },
    /// A raw TCP socket isn't permitted.
    #[error(
        "no raw TCP (SYN) socket over {family} can be had: it needs the capability CAP_NET_RAW ({source}). Run as root, or `setcap \
         cap_net_raw=p` the binary, or in a container add the capability NET_RAW, or use the method \"connect\", which needs none"
    )]
    SynNotPermitted {
        /// The IP version.
        family: Family,
        /// Why the raw socket was refused.
        source: io::Error,
    },
    /// The kernel doesn't speak this IP version.
    #[error("{family} is not available on this host ({source})")]
    NoFamily {
        /// The IP version.
        family: Family,
        /// The kernel's refusal.
        source: io::Error,
    },
    /// Turned off by the hidden switch.
    #[error("{what} over {family} is switched off")]
    SwitchedOff {
        /// What was asked for.
        what: &'static str,
        /// The IP version.
        family: Family,
    },
    /// A step of the set-up that every kernel this program runs on should permit failed.
    #[error("cannot set up the {what} socket over {family}: {step}: {source}")]
    SetUp {
        /// What the socket is for.
        what: &'static str,
        /// The IP version.
        family: Family,
        /// The step.
        step: &'static str,
        /// Its error.
        source: io::Error,
    },
}

/// Why source ports couldn't be reserved.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    /// The request makes no sense.
    #[error("cannot reserve {count} source ports within {}-{}: accepted are 1 to as many as the range holds, and a range within 1-65534", range.start(), range.end())]
    Invalid {
        /// Ports asked for.
        count: u16,
        /// Where.
        range: RangeInclusive<u16>,
    },
    /// No free block.
    #[error(
        "no block of {count} neighbouring TCP ports is free within {}-{}: {busy} are in use by other programs; ask for fewer source ports or name another range", range.start(), range.end()
    )]
    NoBlock {
        /// Ports asked for.
        count: u16,
        /// The last range searched.
        range: RangeInclusive<u16>,
        /// Ports found in use.
        busy: u32,
    },
    /// Binding failed for another reason than the port being in use.
    #[error("cannot reserve TCP port {port} on {family}: {source}")]
    Bind {
        /// The IP version.
        family: Family,
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
}
