//! Socket addresses as the kernel lays them out, read and written as bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The IP version of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The version of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// This family's loopback address.
    #[must_use]
    pub fn loopback(self) -> IpAddr {
        match self {
            Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        }
    }

    pub(crate) fn unspecified(self) -> IpAddr {
        match self {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

/// Bytes of `struct sockaddr_in` [linux/in.h].
const LENGTH_V4: usize = 16;
/// Bytes of `struct sockaddr_in6` [linux/in6.h].
pub(crate) const LENGTH_V6: usize = 28;

/// Room for a `sockaddr_in` or a `sockaddr_in6`, aligned as either needs.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct RawAddress(pub(crate) [u8; LENGTH_V6]);

impl RawAddress {
    pub(crate) const EMPTY: RawAddress = RawAddress([0; LENGTH_V6]);

    /// Writes the address without its port (a raw IPv6 socket takes a port for a protocol number and refuses it);
    /// returns the length for `msg_namelen`.
    pub(crate) fn write(&mut self, address: &SocketAddr) -> u32 {
        self.0 = [0; LENGTH_V6];
        match address {
            SocketAddr::V4(v4) => {
                self.0[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
                self.0[4..8].copy_from_slice(&v4.ip().octets());
                LENGTH_V4 as u32
            }
            SocketAddr::V6(v6) => {
                self.0[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
                self.0[8..24].copy_from_slice(&v6.ip().octets());
                self.0[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                LENGTH_V6 as u32
            }
        }
    }
}

/// The IP address in a `sockaddr` of the kernel's, `None` for other families and short ones.
pub(crate) fn read(bytes: &[u8]) -> Option<IpAddr> {
    let family = u16::from_ne_bytes(*bytes.first_chunk()?);
    match libc::c_int::from(family) {
        libc::AF_INET => Some(IpAddr::from(*bytes.get(4..8)?.first_chunk::<4>()?)),
        libc::AF_INET6 => Some(IpAddr::from(*bytes.get(8..24)?.first_chunk::<16>()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_short_ones_do_not() {
        for text in ["192.0.2.7:80", "[2001:db8::7]:80"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut raw = RawAddress::EMPTY;
            let length = raw.write(&address) as usize;
            assert_eq!(read(&raw.0[..length]), Some(address.ip()));
            assert_eq!(raw.0[2..4], [0, 0], "no port");
            let needed = if address.is_ipv4() { 8 } else { 24 };
            for short in 0..needed {
                assert_eq!(read(&raw.0[..short]), None);
            }
        }
    }

    #[test]
    fn other_families_are_none() {
        assert_eq!(read(&[1; 28]), None);
        assert_eq!(read(&[0; 28]), None);
    }
}
