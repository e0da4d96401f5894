//! Whom the loops probe, and from where.

use std::net::{IpAddr, Ipv4Addr};

/// Neighbouring addresses that all answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The first of them.
    pub first: Ipv4Addr,
    /// The address that probes to them leave from.
    pub source: Ipv4Addr,
}

/// Most of 127.0.0.0/8: on loopback without any set-up.
pub const LOOPBACK: Addresses = Addresses {
    first: Ipv4Addr::new(127, 1, 0, 0),
    source: Ipv4Addr::LOCALHOST,
};

/// In another network namespace; see [`namespace::beyond`](crate::namespace::beyond).
pub const BEYOND: Addresses = Addresses {
    first: Ipv4Addr::new(10, 64, 0, 0),
    source: Ipv4Addr::new(10, 63, 0, 1),
};

/// So many there are in either place.
pub const MOST: u32 = 1 << 22;

impl Addresses {
    /// One of them.
    #[must_use]
    pub fn target(&self, number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(u32::from(self.first) + number % MOST))
    }

    /// The first `count` of them, one a line.
    #[must_use]
    pub fn names(&self, count: u32) -> String {
        (0..count).map(|number| format!("{}\n", self.target(number))).collect()
    }
}
