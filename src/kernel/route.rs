//! Which of this host's addresses packets to a destination leave from.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

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

#[cfg(test)]
mod tests {
    use super::*;

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
