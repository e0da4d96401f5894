//! Health, metrics and peers over HTTP: read-only, no state of its own.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use dt_metrics::{Metrics, respond};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::health::{Health, STUCK};
use crate::mesh::Control;
use crate::status::Shared;

/// Serves until `shutdown`.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    control: mpsc::Sender<Control>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let app = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(shared)
        .route("/peers", get(move || peers(control)))
        .route("/metrics", get(move |headers| respond(metrics, headers)));
    if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(shutdown).await {
        tracing::error!(%error, "the HTTP server ended");
    }
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

async fn peers(control: mpsc::Sender<Control>) -> impl IntoResponse {
    let (ask, answer) = oneshot::channel();
    let peers = match control.send(Control::Peers(ask)).await {
        Ok(()) => answer.await.ok(),
        Err(_) => None,
    };
    match peers.and_then(|peers| serde_json::to_vec(&peers).ok()) {
        Some(json) => (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], json),
        // Only on the way out.
        None => (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::CONTENT_TYPE, "text/plain")],
            b"shutting down\n".to_vec(),
        ),
    }
}
