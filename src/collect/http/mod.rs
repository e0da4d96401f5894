//! The page, its JSON and its events over HTTP. Read-only; everything the page needs comes from here.
//!
//! [`Site`] says what is shown and to whom, [`router`] makes the routes of it, for whoever serves them beside others, and
//! [`serve`] serves them. The interface is described in `openapi.json` beside this file, served at `/api/v1/openapi.json`.

mod access;
mod answers;
mod body;
mod error;
mod events;
mod files;
mod matrix;
mod pair;
mod parameters;
mod status;
mod whole;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use dt_metrics::{Format, Metrics};
use dt_serve::{Door, Stay};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use self::body::Bodies;
use self::error::ApiError;
use crate::diagnosis::Findings;
use crate::matrix::Matrix;
use crate::rollup::RollupTable;

pub use self::access::{BadOrigin, BadToken, Origin, Token};

/// Callers at once that have asked for something: twice as many as may listen to events.
const CALLERS: usize = 2 * events::MAX_LISTENERS;
/// How long one connection lasts at most: longer than an event stream, and than anybody needs who reads at all.
const LONGEST: Duration = Duration::from_secs(600);

/// Everything on the page is its own: scripts, styles and data come from this server, nothing stands in the document itself,
/// and nobody may frame it.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

/// What the last look at the matrix found.
type Found = watch::Receiver<Arc<Findings>>;

/// What is shown, and to whom.
#[derive(Clone, Debug)]
pub struct Site {
    matrix: Arc<Matrix>,
    findings: Option<Found>,
    rollup: Option<Arc<RollupTable>>,
    metrics: Option<Arc<Metrics>>,
    token: Option<Token>,
    origins: Vec<Origin>,
}

impl Site {
    /// Shows `matrix` to anyone.
    #[must_use]
    pub fn new(matrix: Arc<Matrix>) -> Self {
        Self {
            matrix,
            findings: None,
            rollup: None,
            metrics: None,
            token: None,
            origins: Vec::new(),
        }
    }

    /// With what an [`Observer`](crate::Observer) finds there.
    #[must_use]
    pub fn findings(mut self, findings: watch::Receiver<Arc<Findings>>) -> Self {
        self.findings = Some(findings);
        self
    }

    /// With zones as all collectors of a group know them, not only this one's partitions.
    #[must_use]
    pub fn rollup(mut self, table: Option<Arc<RollupTable>>) -> Self {
        self.rollup = table;
        self
    }

    /// With `metrics` at `/metrics`.
    #[must_use]
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(Arc::new(metrics));
        self
    }

    /// To those only who show `token`. The page itself holds no numbers and is for anyone; it asks for the token.
    #[must_use]
    pub fn token(mut self, token: Option<Token>) -> Self {
        self.token = token;
        self
    }

    /// Also to pages of these other sites.
    #[must_use]
    pub fn origins(mut self, origins: Vec<Origin>) -> Self {
        self.origins = origins;
        self
    }
}

pub(crate) struct Shared {
    pub(crate) matrix: Arc<Matrix>,
    findings: Option<Found>,
    rollup: Option<Arc<RollupTable>>,
    bodies: Bodies,
    /// Bounds the connections that stay open for events.
    listeners: Arc<Semaphore>,
    /// Turns true when the server stops, so that event streams end.
    stopping: watch::Receiver<bool>,
}

/// A door for [`serve`], in a process that may open `files`.
#[must_use]
pub fn door(files: u64) -> Arc<Door> {
    dt_serve::long_door(CALLERS, files)
}

/// Serves `routes` on `listener`, to those whom `door` lets in, until `shutdown` completes, then for half a second more at most.
/// `routes` gets what turns true at that moment, as [`router`] wants it.
pub async fn serve(
    listener: TcpListener,
    door: Arc<Door>,
    routes: impl FnOnce(watch::Receiver<bool>) -> Router,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopping) = watch::channel(false);
    let signal = async move {
        shutdown.await;
        stop.send_replace(true);
    };
    dt_serve::http1("HTTP", listener, door, Stay::Long(LONGEST), routes(stopping), signal).await;
}

/// The routes of `site`. Event streams end once `stopping` holds true.
pub fn router(site: Site, stopping: watch::Receiver<bool>) -> Router {
    let Site {
        matrix,
        findings,
        rollup,
        metrics,
        token,
        origins,
    } = site;
    let shared = Arc::new(Shared {
        matrix,
        findings,
        rollup,
        bodies: Bodies::default(),
        listeners: Arc::new(Semaphore::new(events::MAX_LISTENERS)),
        stopping,
    });
    let mut api = Router::new();
    for (path, answer) in paths() {
        api = api.route(path, answer);
    }
    if let Some(metrics) = metrics {
        // What `promtool check metrics` reads, for whoever looks by hand.
        let answer = move |headers| dt_metrics::respond(metrics, headers, Format::Text);
        api = api.route("/metrics", get(answer));
    }
    api = api
        .route("/api/{*rest}", get(unknown))
        .method_not_allowed_fallback(read_only)
        .layer(middleware::from_fn_with_state(token, access::check));
    if !origins.is_empty() {
        // Outside of the token's check: a browser asks whether it may ask, and shows no token then.
        api = api.layer(access::cors(&origins));
    }
    let mut router = api;
    for file in files::all() {
        let respond = move |headers: axum::http::HeaderMap| async move { file.respond(&headers) };
        router = router.route(file.path, get(respond));
    }
    router.layer(middleware::from_fn(guard)).with_state(shared)
}

/// The interface, as `openapi.json` describes it.
fn paths() -> [(&'static str, MethodRouter<Arc<Shared>>); 8] {
    [
        ("/api/v1/status", get(answers::status)),
        ("/api/v1/pairs", get(answers::pairs)),
        ("/api/v1/matrix", get(answers::matrix)),
        ("/api/v1/pair", get(answers::pair)),
        ("/api/v1/zones", get(answers::zones)),
        ("/api/v1/findings", get(answers::findings)),
        ("/api/v1/events", get(events::events)),
        ("/api/v1/openapi.json", get(answers::openapi)),
    ]
}

async fn unknown(uri: axum::http::Uri) -> ApiError {
    let path = uri.path();
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!("there is no {path}; the interface is described at /api/v1/openapi.json"),
    )
}

async fn read_only() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this interface is read-only; accepted: GET, HEAD",
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_described_and_every_description_has_a_path() {
        let described: serde_json::Value = serde_json::from_str(files::OPENAPI.text).unwrap_or_default();
        let described: Vec<&String> = described["paths"]
            .as_object()
            .map(|paths| paths.keys().collect())
            .unwrap_or_default();
        let mut served: Vec<&str> = paths().iter().map(|(path, _)| *path).collect();
        served.sort_unstable();
        let mut described: Vec<&str> = described.into_iter().map(String::as_str).collect();
        described.sort_unstable();
        assert_eq!(served, described);
    }
}
