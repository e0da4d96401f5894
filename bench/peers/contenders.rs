//! Who is compared.

use dt_bench::reference::Mode;

use crate::others::Other;

/// One way to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// The loop in C, without its start.
    Reference(Mode),
    /// The core and the sockets of `dt` in the same loop, without the start.
    Loop(Kind),
    /// `dt ping` as a whole process, from start to printed result.
    Ping(Kind),
    /// Another program.
    Other(Other),
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Icmp,
    Syn,
    Connect,
}

/// The comparisons: a heading, and who takes part. The first one is what the others are measured by.
pub(crate) fn all() -> [(&'static str, &'static [Contender]); 3] {
    use Contender::{Loop, Other as By, Ping, Reference};
    [
        (
            "ICMP echo",
            &[
                Reference(Mode::Icmp),
                Loop(Kind::Icmp),
                Ping(Kind::Icmp),
                By(Other::Fping),
                By(Other::Ping),
                By(Other::BlackboxIcmp),
            ],
        ),
        ("TCP SYN", &[Reference(Mode::Syn), Loop(Kind::Syn), Ping(Kind::Syn)]),
        (
            "TCP connect",
            &[
                Reference(Mode::ConnectReused),
                Reference(Mode::ConnectFresh),
                Loop(Kind::Connect),
                Ping(Kind::Connect),
                By(Other::BlackboxTcp),
            ],
        ),
    ]
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Contender::Reference(Mode::Icmp | Mode::Syn) => "C: sendmmsg, recvmmsg, both stamps",
            Contender::Reference(Mode::ConnectReused) => "C: connect, descriptors reused",
            Contender::Reference(Mode::ConnectFresh) => "C: connect, new descriptor, epoll",
            Contender::Loop(_) => "dt: core and sockets in a loop",
            Contender::Ping(_) => "dt ping, whole process",
            Contender::Other(other) => other.name(),
        }
    }

    /// How many times the first one's cost it may have.
    pub(crate) fn bound(self) -> Option<f64> {
        match self {
            Contender::Loop(Kind::Connect) | Contender::Ping(Kind::Connect) => Some(1.2),
            Contender::Loop(_) | Contender::Ping(_) => Some(1.1),
            Contender::Reference(_) | Contender::Other(_) => None,
        }
    }
}

/// CPU time per probe, microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cost {
    /// In user space; `None` where only the sum is known.
    pub(crate) user: Option<f64>,
    /// In all.
    pub(crate) total: f64,
}
