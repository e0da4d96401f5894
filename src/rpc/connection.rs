//! One HTTP/2 connection to a peer: made, proven to be up, kept, and given up when the kernel says so.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use dt_probe::Fate;
use h2::client::{Builder, SendRequest};
use h2::{Ping, PingPong};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::sync::CancellationToken;

use crate::fate;

/// Answers are a few bytes: small windows bound what a hostile peer can make us hold.
const WINDOW: u32 = 64 * 1024;
const MAX_HEADERS: u32 = 8 * 1024;
/// Within this time a SYN is not sent again (RFC 6298, 2.1: at first after 1 s).
const ONE_SYN: Duration = Duration::from_millis(900);

/// A live connection; dropping it (with all calls on it) closes it.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) send: SendRequest<Bytes>,
    /// What ended it. An error met in writing reaches the calls only as "broken pipe", and this says which it was.
    ended: Arc<OnceLock<Fate>>,
}

impl Connection {
    /// Whether it takes calls, as far as this end knows.
    pub(crate) fn is_up(&self) -> bool {
        // Never registers a waker: only an ended connection answers with an error.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        !matches!(
            self.send.clone().poll_ready(&mut context),
            std::task::Poll::Ready(Err(_))
        )
    }

    /// The fate of a ping that met `error` on this connection.
    pub(crate) fn fate_of(&self, error: &h2::Error) -> Fate {
        let ended = if error.is_io() { self.ended.get().copied() } else { None };
        ended.unwrap_or_else(|| fate::of_connection(error))
    }
}

/// How a peer is reached.
pub(crate) struct Dial<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) source: Option<IpAddr>,
    /// Bounds how long sent bytes may stay unacknowledged before the kernel gives the connection up: a peer that vanished is
    /// dialled anew within one time-out instead of after a quarter of an hour.
    pub(crate) user_timeout: Duration,
    /// It may be no peer at all, and is sent one SYN.
    pub(crate) stranger: bool,
    /// Where it is to prove who it is.
    pub(crate) tls: Option<(TlsConnector, ServerName<'static>)>,
    /// Held until the socket is closed.
    pub(crate) place: Option<OwnedSemaphorePermit>,
    pub(crate) cancel: &'a CancellationToken,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The ping's fate.
    Failed(Fate),
    /// The handshake of TLS failed.
    Tls(io::Error),
}

impl DialError {
    pub(crate) fn fate(&self) -> Fate {
        match self {
            DialError::Failed(fate) => *fate,
            DialError::Tls(error) => fate::of_handshake(error),
        }
    }
}

/// Connects, starts TLS and HTTP/2, and waits until the peer has answered a PING, so that a call made next meets a
/// connection that is up at both ends: no accept, no SETTINGS is left to be waited for inside its time.
pub(crate) async fn dial(dial: Dial<'_>) -> Result<Connection, DialError> {
    let connected = connect(dial.address, dial.source, dial.user_timeout);
    let connected = if dial.stranger {
        let silent = |_| io::Error::from(io::ErrorKind::TimedOut);
        timeout(ONE_SYN, connected).await.map_err(silent).flatten()
    } else {
        connected.await
    };
    let stream = connected.map_err(|error| DialError::Failed(fate::of_dial(&error)))?;
    let (place, cancel) = (dial.place, dial.cancel);
    match dial.tls {
        None => start(stream, place, cancel).await.map_err(DialError::Failed),
        Some((connector, name)) => {
            let stream = connector.connect(name, stream).await.map_err(DialError::Tls)?;
            start(stream, place, cancel).await.map_err(DialError::Failed)
        }
    }
}

async fn start(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    place: Option<OwnedSemaphorePermit>,
    cancel: &CancellationToken,
) -> Result<Connection, Fate> {
    let (send, mut driver) = Builder::new()
        .enable_push(false)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(MAX_HEADERS)
        .max_send_buffer_size(WINDOW as usize)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(|error| fate::of_connection(&error))?;
    let ping = driver.ping_pong();
    let connection = Connection {
        send,
        ended: Arc::default(),
    };
    let (ended, cancel) = (Arc::clone(&connection.ended), cancel.clone());
    tokio::spawn(async move {
        let result = tokio::select! {
            result = &mut driver => result,
            () = cancel.cancelled() => Ok(()),
        };
        if let Err(error) = result {
            let _ = ended.set(fate::of_connection(&error));
        }
        // Only now do its calls learn of the end; that of an idle connection is seen by the next ping.
        drop(driver);
        drop(place);
    });
    prove(ping).await.map_err(|error| connection.fate_of(&error))?;
    Ok(connection)
}

async fn prove(ping: Option<PingPong>) -> Result<(), h2::Error> {
    match ping {
        Some(mut ping) => ping.ping(Ping::opaque()).await.map(drop),
        // Handed out once per connection, and this is the first time.
        None => Err(h2::Reason::INTERNAL_ERROR.into()),
    }
}

async fn connect(address: SocketAddr, source: Option<IpAddr>, user_timeout: Duration) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(source) = source {
        // The port is chosen by connect, so that ports are shared between destinations.
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    let millis = u32::try_from(user_timeout.as_millis()).unwrap_or(u32::MAX);
    setsockopt(&stream, sockopt::TcpUserTimeout, &millis)?;
    // An ICMP error ends the connection at once and says which, instead of ending it as a time-out much later.
    if address.is_ipv4() {
        setsockopt(&stream, sockopt::Ipv4RecvErr, &true)?;
    } else {
        setsockopt(&stream, sockopt::Ipv6RecvErr, &true)?;
    }
    Ok(stream)
}
