//! Whether a collector is alive and fit to be asked, for those who restart it and those who send it requests.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use super::Collector;

/// So long a collector may take to read the last hour before it is asked all the same: where Kafka is down, a page that says
/// so is worth more than none.
const PATIENCE: Duration = Duration::from_secs(120);

/// `/livez` and `/readyz`.
pub fn routes(collector: Arc<Collector>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(collector)
}

/// Kafka being down is no reason to restart a collector.
async fn livez(State(collector): State<Arc<Collector>>) -> (StatusCode, &'static str) {
    if collector.has_ended() {
        (StatusCode::SERVICE_UNAVAILABLE, "reading Kafka has ended\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn readyz(State(collector): State<Arc<Collector>>) -> (StatusCode, &'static str) {
    if collector.progress().was_current() {
        (StatusCode::OK, "ok\n")
    } else if collector.started.elapsed() >= PATIENCE {
        (StatusCode::OK, "ok, though the last hour is not read yet\n")
    } else if collector.progress().was_assigned() {
        (StatusCode::SERVICE_UNAVAILABLE, "the last hour is being read\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no partitions were shared out yet\n")
    }
}
