//! Source ports of our own, so that no other program gets the 4-tuple of a raw SYN.

use std::io;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};

use socket2::{Domain, Protocol, Socket, Type};

use crate::address::Family;
use crate::errors::PortsError;
use crate::sys;

/// Where the search begins: above the range that Linux hands out to connecting sockets by default.
const FIRST: u16 = 61_000;
/// 65535 is left out, so that the block's end is still a `u16`.
const LAST: u16 = 65_534;
/// Where the search goes on below the range handed out: above most services.
const BELOW: u16 = 20_000;
/// Ports below are for privileged programs.
const UNPRIVILEGED: u16 = 1_024;

/// A block of neighbouring TCP ports held for as long as this lives.
///
/// Each is held by a socket that is bound and neither listens nor connects, on IPv4 and, where the host speaks it, IPv6. So the
/// kernel gives the port to nobody else, and answers a SYN-ACK to it with RST, which ends a half-open probe at the peer.
#[derive(Debug)]
pub struct SourcePorts {
    ports: Range<u16>,
    /// Only held.
    _holders: Vec<Socket>,
}

impl SourcePorts {
    /// How many ports to reserve unless told otherwise: enough different 4-tuples to find one bad path among many equal ones.
    pub const DEFAULT_COUNT: u16 = 64;

    /// Reserves `count` neighbouring ports: within `range` where given, else from 61000 up, above the range that the kernel
    /// gives to connecting sockets, else below that range.
    ///
    /// # Errors
    /// [`PortsError`] where the request makes no sense, no block is free, or sockets can't be had.
    pub fn reserve(count: u16, range: Option<RangeInclusive<u16>>) -> Result<SourcePorts, PortsError> {
        let ranges = match range {
            Some(range) => {
                let holds =
                    u32::from(*range.end()) + 1 > u32::from(*range.start()) + u32::from(count).saturating_sub(1);
                if count == 0 || *range.start() == 0 || *range.end() > LAST || !holds {
                    return Err(PortsError::Invalid { count, range });
                }
                vec![range]
            }
            None if count == 0 || count > LAST - FIRST => {
                return Err(PortsError::Invalid {
                    count,
                    range: FIRST..=LAST,
                });
            }
            None => default_ranges(handed_out()),
        };
        let mut failure = PortsError::Invalid {
            count,
            range: FIRST..=LAST,
        };
        for range in ranges {
            match search(count, &range)? {
                Ok(ports) => return Ok(ports),
                Err(busy) => failure = PortsError::NoBlock { count, range, busy },
            }
        }
        Err(failure)
    }

    /// The reserved ports.
    #[must_use]
    pub fn ports(&self) -> Range<u16> {
        self.ports.clone()
    }
}

/// Where to search, in order, given the range handed out to connecting sockets.
fn default_ranges(handed_out: RangeInclusive<u16>) -> Vec<RangeInclusive<u16>> {
    let above = handed_out.end().saturating_add(1).max(FIRST)..=LAST;
    let highest_below = handed_out.start().saturating_sub(1);
    // At last among those handed out: bound ports are left out there, it only takes some from the others.
    vec![above, BELOW..=highest_below, UNPRIVILEGED..=highest_below, FIRST..=LAST]
}

/// `net.ipv4.ip_local_port_range`, Linux's default where it can't be read.
fn handed_out() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut words = text.split_whitespace().map_while(|word| word.parse().ok());
    match (words.next(), words.next()) {
        (Some(low), Some(high)) => low..=high,
        _ => 32_768..=60_999,
    }
}

/// The first free block of the range, or how many ports were found in use.
fn search(count: u16, range: &RangeInclusive<u16>) -> Result<Result<SourcePorts, u32>, PortsError> {
    let mut busy = 0;
    let mut holders = Vec::new();
    let mut start = *range.start();
    let mut port = start;
    while u32::from(start) + u32::from(count) <= u32::from(*range.end()) + 1 {
        match hold(port) {
            Ok(both) => holders.extend(both),
            Err((_, error)) if matches!(sys::errno(&error), libc::EADDRINUSE | libc::EACCES) => {
                busy += 1;
                holders.clear();
                start = port + 1;
            }
            Err((family, source)) => return Err(PortsError::Bind { family, port, source }),
        }
        port += 1;
        if port - start == count {
            return Ok(Ok(SourcePorts {
                ports: start..port,
                _holders: holders,
            }));
        }
    }
    Ok(Err(busy))
}

/// Binds the port in both families; one of them where the host has only one.
fn hold(port: u16) -> Result<impl Iterator<Item = Socket>, (Family, io::Error)> {
    let holder = |family: Family| match bind(family, port) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if matches!(sys::errno(&error), libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => Ok(None),
        Err(error) => Err((family, error)),
    };
    let v4 = holder(Family::V4)?;
    let v6 = holder(Family::V6)?;
    match (v4, v6) {
        (None, None) => Err((Family::V4, io::Error::from_raw_os_error(libc::EAFNOSUPPORT))),
        (v4, v6) => Ok(v4.into_iter().chain(v6)),
    }
}

/// Neither SO_REUSEADDR nor SO_REUSEPORT: the point is that nobody shares it.
fn bind(family: Family, port: u16) -> io::Result<Socket> {
    let domain = match family {
        Family::V4 => Domain::IPV4,
        Family::V6 => Domain::IPV6,
    };
    let socket = Socket::new(domain, Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    if family == Family::V6 {
        socket.set_only_v6(true)?;
    }
    socket.bind(&SocketAddr::new(family.unspecified(), port).into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_avoids_the_range_handed_out_where_it_can() {
        assert_eq!(default_ranges(32_768..=60_999)[..2], [61_000..=65_534, 20_000..=32_767]);
        assert_eq!(default_ranges(32_768..=62_000)[0], 62_001..=65_534);
        // Everything is handed out: the first ranges are empty, the last isn't.
        let all = default_ranges(1_024..=65_535);
        assert!(all[..3].iter().all(RangeInclusive::is_empty), "{all:?}");
        assert_eq!(all[3], 61_000..=65_534);
    }

    #[test]
    fn requests_that_make_no_sense_are_refused() {
        for (count, range) in [
            (0, None),
            (60_000, None),
            (0, Some(1..=2)),
            (3, Some(7..=8)),
            (1, Some(0..=9)),
            (1, Some(65_000..=65_535)),
        ] {
            let error = SourcePorts::reserve(count, range.clone()).unwrap_err();
            assert!(
                matches!(error, PortsError::Invalid { .. }),
                "{count} {range:?}: {error}"
            );
        }
    }
}
