//! Health, metrics and peers over HTTP: read-only, no state of its own but the last list of peers.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use dt_metrics::{Format, Metrics, respond};
use dt_serve::{Door, Stay};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

use crate::health::{Health, STUCK};
use crate::mesh::Control;
use crate::status::Shared;

/// The list of peers is made at most this often: it is the mesh task that makes it, and it has megabytes in a large mesh.
const PEERS_EVERY: Duration = Duration::from_secs(1);

/// Serves until `shutdown`.
pub(crate) async fn serve(
    listener: TcpListener,
    door: Arc<Door>,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    control: mpsc::Sender<Control>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let peers = Arc::new(Peers {
        control,
        last: Mutex::new(None),
    });
    let app = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(shared)
        .route("/peers", get(move || async move { peers.answer().await }))
        .route(
            "/metrics",
            get(move |headers| respond(metrics, headers, Format::OpenMetrics)),
        );
    dt_serve::http1("HTTP", listener, door, Stay::Short, app, shutdown).await;
}

async fn livez(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    if Health::new(shared).is_alive() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{STUCK}\n"))
    }
}

async fn readyz(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    match shared.readiness.check() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

/// The list of peers, one copy for all who ask within a moment.
struct Peers {
    control: mpsc::Sender<Control>,
    last: Mutex<Option<(Instant, Bytes)>>,
}

impl Peers {
    async fn answer(&self) -> impl IntoResponse + use<> {
        match self.list().await {
            Some(json) => (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], json),
            // Only on the way out.
            None => (
                StatusCode::SERVICE_UNAVAILABLE,
                [(header::CONTENT_TYPE, "text/plain")],
                Bytes::from_static(b"shutting down\n"),
            ),
        }
    }

    async fn list(&self) -> Option<Bytes> {
        let mut last = self.last.lock().await;
        if let Some((made, json)) = &*last
            && made.elapsed() < PEERS_EVERY
        {
            return Some(json.clone());
        }
        let (ask, answer) = oneshot::channel();
        self.control.send(Control::Peers(ask)).await.ok()?;
        let json = Bytes::from(serde_json::to_vec(&answer.await.ok()?).ok()?);
        *last = Some((Instant::now(), json.clone()));
        Some(json)
    }
}
