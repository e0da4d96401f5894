//! Taking connections: bounded, silent under storms, and never ended by an error.
//!
//! TCP probes of other nodes hit this port hundreds of times a second and reset at once. Such a connection costs its
//! accept and one read; nothing of HTTP/2 is allocated before a caller has sent the connection preface.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::server::{ServerStats, Service};

/// The client's connection preface (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a caller may take for it.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a preface that comes in pieces is looked at again.
const PREFACE_RECHECK: Duration = Duration::from_millis(50);
/// Pause after an error of the host's own (no descriptors, no memory), so that it doesn't become a busy loop.
const BACK_OFF: Duration = Duration::from_millis(100);
/// At most one line in this time says so.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What an accept loop needs.
pub(crate) struct Acceptor {
    pub(crate) service: Service,
    pub(crate) stats: Arc<ServerStats>,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) tracker: TaskTracker,
    /// Stop accepting, let the open connections finish.
    pub(crate) stop: CancellationToken,
    /// Let go of everything.
    pub(crate) kill: CancellationToken,
}

/// Accepts until `stop`.
pub(crate) async fn accept_loop(listener: TcpListener, acceptor: Arc<Acceptor>) {
    let mut warned: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            biased;
            () = acceptor.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => admit(stream, &acceptor),
            Err(error) if is_callers(&error) => {
                acceptor.stats.accept_errors.fetch_add(1, Relaxed);
            }
            Err(error) => {
                acceptor.stats.accept_errors.fetch_add(1, Relaxed);
                if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                    warned = Some(Instant::now());
                    tracing::warn!(%error, "accepting gRPC connections fails; trying on");
                }
                tokio::select! {
                    () = acceptor.stop.cancelled() => return,
                    () = sleep(BACK_OFF) => {}
                }
            }
        }
    }
}

fn admit(stream: TcpStream, acceptor: &Arc<Acceptor>) {
    let stats = &acceptor.stats;
    stats.accepted.fetch_add(1, Relaxed);
    let Ok(place) = Arc::clone(&acceptor.places).try_acquire_owned() else {
        // Closing at once frees the descriptor; the caller sees a reset or end of stream.
        stats.turned_away.fetch_add(1, Relaxed);
        return;
    };
    let acceptor = Arc::clone(acceptor);
    let tracker = acceptor.tracker.clone();
    tracker.spawn(async move {
        let arrived = tokio::select! {
            biased;
            () = acceptor.stop.cancelled() => false,
            preface = timeout(PREFACE_TIMEOUT, preface_arrives(&stream)) => preface.unwrap_or(false),
        };
        if arrived {
            let open = Open::new(&acceptor.stats);
            acceptor.service.run(stream, &acceptor.stop, &acceptor.kill).await;
            drop(open);
        }
        drop(place);
    });
}

/// Whether the caller speaks HTTP/2; returns as soon as that is known. Nothing is consumed.
async fn preface_arrives(stream: &TcpStream) -> bool {
    let mut seen = [0; PREFACE.len()];
    loop {
        match stream.peek(&mut seen).await {
            Ok(0) | Err(_) => return false,
            Ok(n) if PREFACE[..n] != seen[..n] => return false,
            Ok(n) if n == PREFACE.len() => return true,
            // Peeked bytes keep the socket readable, so readiness can't tell when more have come.
            Ok(_) => sleep(PREFACE_RECHECK).await,
        }
    }
}

/// Errors of `accept` that concern the one connection alone (accept(2): the network errors already pending on it).
fn is_callers(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::Interrupted
            | Kind::WouldBlock
            | Kind::TimedOut
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
    )
}

/// Counts a connection as open while it lives.
struct Open<'a>(&'a ServerStats);

impl<'a> Open<'a> {
    fn new(stats: &'a ServerStats) -> Self {
        stats.open.fetch_add(1, Relaxed);
        Self(stats)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}
