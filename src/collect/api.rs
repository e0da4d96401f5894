//! The page, its JSON and its events over HTTP. Read-only; everything the page needs comes from here.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::events;
use crate::matrix::{Matrix, MatrixStats};
use crate::page;
use crate::pairs::PairsBody;

/// How long requests that are being answered may take once the shutdown began.
const DRAIN: Duration = Duration::from_secs(1);

/// Everything on the page is its own: scripts, styles and data come from this server, and nobody may frame it.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) matrix: Arc<Matrix>,
    pub(crate) pairs: PairsBody,
    /// Bounds the connections that stay open for events.
    pub(crate) listeners: Arc<Semaphore>,
    /// Turns true when the server stops, so that event streams end.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// `GET /api/v1/status`.
#[derive(Serialize)]
struct Status {
    /// The server's clock, UTC milliseconds: what ages are reckoned from.
    now_ms: u64,
    /// How far back the numbers reach.
    view_ms: u64,
    notes: Vec<String>,
    records: MatrixStats,
}

/// Serves the page and its JSON on `listener` until `shutdown` completes, then for at most a second more.
///
/// # Errors
///
/// What accepting connections failed with.
pub async fn serve(
    listener: TcpListener,
    matrix: Arc<Matrix>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stop, stopping) = watch::channel(false);
    let app = router(matrix, stopping.clone());
    let mut stopped = stopping.clone();
    let signal = async move {
        shutdown.await;
        stop.send_replace(true);
    };
    let server = axum::serve(listener, app).with_graceful_shutdown(signal);
    let deadline = async move {
        // An error means that the sender is gone, and with it the server.
        let _ = stopped.wait_for(|stop| *stop).await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = server => served,
        () = deadline => Ok(()),
    }
}

/// The routes, for whoever serves them beside others. Event streams end once `stopping` holds true.
pub fn router(matrix: Arc<Matrix>, stopping: watch::Receiver<bool>) -> Router {
    let shared = Arc::new(Shared {
        matrix,
        pairs: PairsBody::default(),
        listeners: Arc::new(Semaphore::new(events::MAX_LISTENERS)),
        stopping,
    });
    let mut router = Router::new()
        .route("/api/v1/pairs", get(pairs))
        .route("/api/v1/status", get(status))
        .route("/api/v1/events", get(events::events));
    for file in page::FILES {
        let respond = move || async move { file.into_response() };
        router = router.route(file.path, get(respond));
    }
    router.layer(middleware::from_fn(guard)).with_state(shared)
}

async fn pairs(State(shared): State<Arc<Shared>>) -> Response {
    let now_ms = now_ms();
    // Percentiles of many thousands of series are work for a thread that may be kept busy.
    let body = tokio::task::spawn_blocking(move || shared.pairs.get(&shared.matrix, now_ms)).await;
    match body {
        Ok(Ok(json)) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

async fn status(State(shared): State<Arc<Shared>>) -> axum::Json<Status> {
    axum::Json(Status {
        now_ms: now_ms(),
        view_ms: 60_000,
        notes: shared.matrix.notes(),
        records: shared.matrix.stats(),
    })
}

fn failed(error: &dyn std::error::Error) -> Response {
    tracing::warn!(%error, "writing the pairs as JSON failed");
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "writing the pairs failed; see the log\n",
    )
        .into_response()
}

async fn guard(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    // The page belongs to the running binary, the numbers to this second.
    set(header::CACHE_CONTROL, "no-store");
    response
}

/// The wall clock, UTC milliseconds.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
