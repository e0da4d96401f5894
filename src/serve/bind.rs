//! Listening sockets for a `host:port`.

use std::io;
use std::net::SocketAddr;

use nix::sys::socket::{setsockopt, sockopt::Ipv6V6Only};
use tokio::net::{TcpListener, TcpSocket, lookup_host};

/// Room for a burst of callers (the kernel lowers it to `net.core.somaxconn`): 10,000 nodes redial at once after a restart.
const BACKLOG: u32 = 4096;

/// Why a `host:port` can't be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Not `host:port`, or a name without addresses.
    #[error("listen on {address:?}: {source}; accepted: host:port, such as 0.0.0.0:4000, [::]:4000 or localhost:4000")]
    Resolve {
        /// As given.
        address: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The system refused one of its addresses.
    #[error("listen on {address:?} ({resolved}): {source}")]
    Listen {
        /// As given.
        address: String,
        /// The address refused.
        resolved: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Listens on every address of `address` ("host:port"): `localhost` gives 127.0.0.1 and ::1, `[::]` takes IPv4 too.
/// With port 0 all of them share the port that the system chose for the first.
///
/// # Errors
/// A name that can't be resolved; an address in use or not permitted. An address that this host doesn't have (such as
/// ::1 where IPv6 is off) is passed over as long as another one of the same name could be bound.
pub async fn bind(address: &str) -> Result<Vec<TcpListener>, BindError> {
    let unresolved = |source| BindError::Resolve {
        address: address.to_owned(),
        source,
    };
    let mut addresses: Vec<SocketAddr> = lookup_host(address).await.map_err(unresolved)?.collect();
    addresses.sort();
    addresses.dedup();

    let mut listeners = Vec::with_capacity(addresses.len());
    let mut passed_over = None;
    let mut chosen_port = None;
    for mut resolved in addresses {
        if let (0, Some(port)) = (resolved.port(), chosen_port) {
            resolved.set_port(port);
        }
        match listen(resolved) {
            Ok(listener) => {
                chosen_port = chosen_port.or(listener.local_addr().ok().map(|bound| bound.port()));
                listeners.push(listener);
            }
            Err(source) => {
                let absent = is_absent_address(&source);
                let error = BindError::Listen {
                    address: address.to_owned(),
                    resolved,
                    source,
                };
                if !absent {
                    return Err(error);
                }
                passed_over = Some(error);
            }
        }
    }
    match passed_over {
        Some(error) if listeners.is_empty() => Err(error),
        _ if listeners.is_empty() => Err(unresolved(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ))),
        _ => Ok(listeners),
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A restarted agent must not wait for the TIME_WAIT of its predecessor's connections.
    socket.set_reuseaddr(true)?;
    if address.is_ipv6() {
        // Whatever net.ipv6.bindv6only says: the wildcard takes both families, a single address its own.
        setsockopt(&socket, Ipv6V6Only, &!address.ip().is_unspecified())?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn is_absent_address(error: &io::Error) -> bool {
    let unsupported = nix::errno::Errno::EAFNOSUPPORT as i32;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(unsupported)
}
