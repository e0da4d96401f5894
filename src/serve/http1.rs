//! HTTP/1 for whoever reads from this host: small requests, answers that don't wait for slow readers for ever.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tower::{Service, ServiceExt};

use crate::accept::{Until, accept};
use crate::door::{Arrival, Door, Limits};

/// Connections at once, whether or not they have said what they want: one for each of some dozens of scrapers. An answer of
/// megabytes may wait in each for its reader. Beyond it one is closed of those who hold most of them, so that newcomers
/// are always heard: a health check that isn't answered would have this process restarted.
const CONNECTIONS: usize = 64;
/// How long a caller may take for the head of a request, and how long a connection may stay idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// Header lines of a request.
const MAX_HEADERS: usize = 64;
/// How long a connection lasts at most where all are short: a reader that is slower than this is too slow. Whoever keeps
/// connections dials a new one once a minute.
const SHORT: Duration = Duration::from_secs(60);
/// How long what is under way then, or at the shutdown, may take yet.
const GRACE: Duration = Duration::from_secs(5);
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// How long callers stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// A minute at most: all make room for others, whatever they have said.
    Short,
    /// At most so long. Who has sent a whole request is admitted, and stays while others come: to listen for events, say.
    Long(Duration),
}

/// A door for [`http1`] with [`Stay::Short`].
#[must_use]
pub fn door() -> Arc<Door> {
    Door::new(Limits {
        arriving: CONNECTIONS,
        // Nobody is told apart: all are short.
        open: 0,
        per_source: 0,
    })
}

/// A door for [`http1`] with [`Stay::Long`]: as many callers at once as `most`, and as a process that may open `files` can
/// afford with half of them. One address has at most half of the places.
#[must_use]
pub fn long_door(most: usize, files: u64) -> Arc<Door> {
    let half = usize::try_from(files / 2).unwrap_or(usize::MAX);
    let arriving = CONNECTIONS.min(half / 4).max(1);
    let open = most.min(half.saturating_sub(arriving)).max(1);
    Door::new(Limits {
        arriving,
        open,
        per_source: open.div_ceil(2),
    })
}

/// Serves `app` on `listener` until `shutdown`. No error of a caller ends it.
pub async fn http1<A, B>(
    name: &'static str,
    listener: TcpListener,
    door: Arc<Door>,
    stay: Stay,
    app: A,
    shutdown: impl Future<Output = ()>,
) where
    A: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    A::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let serve = move |stream, arrival, until| connection(stream, arrival, until, stay, app.clone());
    accept(name, vec![listener], door, serve, shutdown, SHUTDOWN_GRACE).await;
}

async fn connection<A, B>(stream: TcpStream, arrival: Arrival, until: Until, stay: Stay, app: A)
where
    A: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    A::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (longest, admits) = match stay {
        Stay::Short => (SHORT, false),
        Stay::Long(longest) => (longest, true),
    };
    let arrival = Mutex::new(arrival);
    let answer = service_fn(|request| {
        let is_in = !admits || arrival.lock().unwrap_or_else(PoisonError::into_inner).admit();
        let answer = app.clone().oneshot(request);
        async move {
            if !is_in {
                // Ends the connection.
                return Err(io::Error::other("no place"));
            }
            answer.await.map_err(|never| match never {})
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), answer);
    let mut served = pin!(served);
    tokio::select! {
        // How a connection ended concerns the caller alone.
        _ = served.as_mut() => return,
        () = until.stop.cancelled() => {}
        () = sleep(longest) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, served).await;
}
