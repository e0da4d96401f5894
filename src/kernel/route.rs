//! Which of this host's addresses packets to a destination leave from, and which networks it is in.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

use crate::address::Family;

/// The source address the kernel would choose for `destination`, found by connecting a UDP socket: nothing is sent.
///
/// # Errors
/// `ENETUNREACH` or `EHOSTUNREACH` where there is no route; the message names the destination.
pub fn source_for(destination: IpAddr) -> io::Result<IpAddr> {
    let find = || {
        let socket = UdpSocket::bind(SocketAddr::new(Family::of(destination).unspecified(), 0))?;
        // Port 9 (discard); any will do.
        socket.connect(SocketAddr::new(destination, 9))?;
        Ok(socket.local_addr()?.ip())
    };
    find().map_err(|error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("find the source address for {destination}: {error}"),
        )
    })
}

/// The networks that this host's interfaces are in, each as an address in it and the length of its prefix. An interface
/// without a prefix (of length 0) is in none.
///
/// # Errors
/// Where the kernel doesn't list the interfaces.
pub fn own_networks() -> io::Result<Vec<(IpAddr, u8)>> {
    let network = |entry: nix::ifaddrs::InterfaceAddress| {
        let address = ip(&entry.address?)?;
        let bits = match ip(&entry.netmask?)? {
            IpAddr::V4(mask) => mask.to_bits().leading_ones(),
            IpAddr::V6(mask) => mask.to_bits().leading_ones(),
        };
        // At most 128.
        (bits > 0).then_some((address, bits as u8))
    };
    Ok(getifaddrs()?.filter_map(network).collect())
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| Some(IpAddr::V6(address.as_sockaddr_in6()?.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_a_network_of_this_host() {
        let networks = own_networks().unwrap();
        assert!(networks.contains(&(IpAddr::from([127, 0, 0, 1]), 8)), "{networks:?}");
    }

    #[test]
    fn loopback_is_reached_from_loopback() {
        for address in ["127.0.0.1", "::1"] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(source_for(address).unwrap(), address);
        }
        assert_eq!(
            source_for("127.9.8.7".parse().unwrap()).unwrap(),
            "127.0.0.1".parse::<IpAddr>().unwrap()
        );
    }
}
