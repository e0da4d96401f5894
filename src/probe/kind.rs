//! The words of the field that every other crate uses: probe kinds, methods, fates, clocks.

use std::fmt;
use std::str::FromStr;

/// What is measured. The order is the order of the records' documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// ICMP or ICMPv6 echo.
    Icmp,
    /// TCP: SYN to SYN-ACK.
    Tcp,
    /// The `PingNode` call of the Go original.
    Grpc,
}

/// How a probe kind is measured on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// ICMP echo request and reply.
    Echo,
    /// A raw, half-open SYN.
    Syn,
    /// A full handshake by `connect()`, timed by `TCP_INFO`.
    Connect,
    /// The gRPC call.
    PingNode,
}

/// What became of one probe. Every probe sent ends in exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// Answered before its time-out.
    Received,
    /// Left this host and was unanswered at its time-out (RFC 6673).
    Lost,
    /// Answered by RST; for gRPC also by an error status.
    Refused,
    /// An ICMP error about the probe came back, or there was no route.
    Unreachable,
    /// Never left this host.
    SendError,
}

/// Which clock stamped a packet, the weakest first, so that `min` of two is what a record may claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Clock {
    /// Read by this program, around a system call.
    User,
    /// Stamped by the kernel as the packet passed its network stack.
    Kernel,
    /// Stamped by the network card.
    Hardware,
}

macro_rules! words {
    ($type:ident, $what:literal, $($variant:ident = $word:literal),+) => {
        impl $type {
            /// Every value, in order.
            pub const ALL: &'static [$type] = &[$($type::$variant),+];

            /// The word that stands in records, flags and metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($type::$variant => $word),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok($type::$variant),)+
                    _ => Err(UnknownWord { what: $what, got: text.to_owned(), accepted: &[$($word),+] }),
                }
            }
        }
    };
}

words!(ProbeKind, "probe kind", Icmp = "icmp", Tcp = "tcp", Grpc = "grpc");
words!(
    Method,
    "method",
    Echo = "echo",
    Syn = "syn",
    Connect = "connect",
    PingNode = "ping_node"
);
words!(
    Fate,
    "fate",
    Received = "received",
    Lost = "lost",
    Refused = "refused",
    Unreachable = "unreachable",
    SendError = "send_error"
);
words!(
    Clock,
    "timestamp source",
    User = "user",
    Kernel = "kernel",
    Hardware = "hardware"
);

/// A word that is none of the accepted ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {got:?}; accepted: {}", accepted.join(", "))]
pub struct UnknownWord {
    what: &'static str,
    got: String,
    accepted: &'static [&'static str],
}
