//! Taking connections: bounded, silent under storms, and never ended by an error.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::door::{Arrival, Door};

/// Pause after an error of the host's own (no descriptors, no memory), so that it doesn't become a busy loop.
const BACK_OFF: Duration = Duration::from_millis(100);
/// At most one line in this time says so.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// When a connection is to end.
#[derive(Clone, Debug)]
pub struct Until {
    /// Take no more requests, finish what is under way.
    pub stop: CancellationToken,
    /// Let go of everything.
    pub kill: CancellationToken,
}

/// Takes connections on all `listeners` until `shutdown` is ready, and gives each to `serve`; what is under way then has
/// `grace` to finish. Dropping the future closes everything at once. `name` is the port's, in the log.
pub async fn accept<S, F>(
    name: &'static str,
    listeners: Vec<TcpListener>,
    door: Arc<Door>,
    serve: S,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) where
    S: Fn(TcpStream, Arrival, Until) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let kill = CancellationToken::new();
    let _closes_on_drop = kill.clone().drop_guard();
    let until = Until {
        stop: kill.child_token(),
        kill,
    };
    let tracker = TaskTracker::new();
    for listener in listeners {
        let (door, until, inner, serve) = (Arc::clone(&door), until.clone(), tracker.clone(), serve.clone());
        tracker.spawn(async move { take(name, listener, door, until, inner, serve).await });
    }
    shutdown.await;
    until.stop.cancel();
    tracker.close();
    // What is still open then is closed by the guard.
    let _ = timeout(grace, tracker.wait()).await;
}

async fn take<S, F>(
    name: &'static str,
    listener: TcpListener,
    door: Arc<Door>,
    until: Until,
    tracker: TaskTracker,
    serve: S,
) where
    S: Fn(TcpStream, Arrival, Until) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut warned: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            biased;
            () = until.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let arrival = door.arrive(from.ip());
                let (pushed_out, kill) = (arrival.pushed_out(), until.kill.clone());
                let served = serve(stream, arrival, until.clone());
                tracker.spawn(async move {
                    tokio::select! {
                        // Who has to go and has spoken meanwhile is answered first.
                        biased;
                        () = served => {}
                        () = pushed_out.cancelled() => {}
                        () = kill.cancelled() => {}
                    }
                });
                // A backlog is taken in one go otherwise, and its first are pushed out before anybody has listened to them.
                yield_now().await;
            }
            Err(error) => {
                door.stats().accept_errors.fetch_add(1, Relaxed);
                if is_callers(&error) {
                    continue;
                }
                if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                    warned = Some(Instant::now());
                    tracing::warn!(port = name, %error, "accepting connections fails; trying on");
                }
                tokio::select! {
                    () = until.stop.cancelled() => return,
                    () = sleep(BACK_OFF) => {}
                }
            }
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
