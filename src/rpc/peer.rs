//! One peer of the prober: where it is, what is sent to it, its connection and what is still open for it.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use dt_probe::TargetId;
use tokio::sync::Semaphore;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::sync::CancellationToken;

use crate::call::Outgoing;
use crate::connection::Connection;

/// Whom to ping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcTarget {
    /// The HTTP/2 `:authority`, "host:port" (a v6 address in brackets). Where it isn't a valid one, `address` stands in.
    pub authority: String,
    /// Where to connect to: the peer's name, resolved.
    pub address: SocketAddr,
    /// Connect from this address; `None` leaves it to the routing table.
    pub source: Option<IpAddr>,
    /// The callee's address as it registered it, told in the message.
    pub host_addr: String,
    /// The name that its certificate has to bear, where it is pinged by TLS.
    pub tls: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: TargetId,
    pub(crate) address: SocketAddr,
    pub(crate) source: Option<IpAddr>,
    pub(crate) outgoing: Outgoing,
    /// Whom it has to prove to be, where it is pinged by TLS.
    pub(crate) tls: Option<ServerName<'static>>,
    /// Held while dialling, so that overlapping pings share one connection.
    pub(crate) connection: tokio::sync::Mutex<Option<Connection>>,
    /// Pings whose fate isn't decided yet.
    pub(crate) in_flight: AtomicU32,
    /// Whoever may still send an event for this peer: its registration, pings, watchers for late answers.
    holders: AtomicU32,
    pub(crate) removed: CancellationToken,
    /// It has answered once, or is taken to.
    pub(crate) proven: AtomicBool,
    /// Room for those who wait for answers after the time-out.
    pub(crate) watchers: Semaphore,
}

impl Peer {
    /// Held once, by its registration.
    pub(crate) fn new(id: TargetId, target: GrpcTarget, proven: bool, max_overlap: u32) -> Result<Self, http::Error> {
        let GrpcTarget {
            authority,
            address,
            source,
            host_addr,
            tls,
        } = target;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let outgoing = Outgoing::new(scheme, &authority, host_addr.clone())
            .or_else(|_| Outgoing::new(scheme, &address.to_string(), host_addr))?;
        // What is no name can be on no certificate: the address stands in, and will hardly be either.
        let tls = tls.map(|name| ServerName::try_from(name).unwrap_or_else(|_| address.ip().into()));
        Ok(Self {
            id,
            address,
            source,
            outgoing,
            tls,
            connection: tokio::sync::Mutex::new(None),
            in_flight: AtomicU32::new(0),
            holders: AtomicU32::new(1),
            removed: CancellationToken::new(),
            proven: AtomicBool::new(proven),
            watchers: Semaphore::new(max_overlap as usize),
        })
    }

    pub(crate) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    pub(crate) fn hold(&self) {
        self.holders.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether that was the last one: nothing comes for this peer any more.
    #[must_use]
    pub(crate) fn release(&self) -> bool {
        // Acquire-release: the last one sends "gone" after all that the others have sent.
        self.holders.fetch_sub(1, Ordering::AcqRel) == 1
    }
}
