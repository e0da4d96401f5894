//! HTTP/1 for whoever reads from this host: small requests, answers that don't wait for slow readers for ever.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
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
/// How long a connection lasts at most: a reader that is slower than this is too slow. Whoever keeps connections
/// dials a new one once a minute.
const LONGEST: Duration = Duration::from_secs(60);
/// How long what is under way then, or at the shutdown, may take yet.
const GRACE: Duration = Duration::from_secs(5);
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// A door for [`http1`].
#[must_use]
pub fn door() -> Arc<Door> {
    Door::new(Limits {
        arriving: CONNECTIONS,
        // Nobody is told apart: all are short.
        open: 0,
        per_source: 0,
    })
}

/// Serves `app` on `listener` until `shutdown`. No error of a caller ends it.
pub async fn http1<A, B>(
    name: &'static str,
    listener: TcpListener,
    door: Arc<Door>,
    app: A,
    shutdown: impl Future<Output = ()>,
) where
    A: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    A::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let serve = move |stream, arrival, until| connection(stream, arrival, until, app.clone());
    accept(name, vec![listener], door, serve, shutdown, SHUTDOWN_GRACE).await;
}

async fn connection<A, B>(stream: TcpStream, arrival: Arrival, until: Until, app: A)
where
    A: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    A::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let answer = service_fn(move |request| app.clone().oneshot(request));
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
        () = sleep(LONGEST) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, served).await;
    drop(arrival);
}
