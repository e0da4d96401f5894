//! The answer to a scrape.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::format::Format;
use crate::page::Metrics;

/// The page in the format that the request's headers ask for, or the `usual` one.
pub async fn respond(metrics: Arc<Metrics>, headers: HeaderMap, usual: Format) -> Response {
    let accept: Vec<_> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let format = Format::accepted(&accept.join(","), usual);
    // The page of a large cluster is work for a thread that may be kept busy.
    let page = tokio::task::spawn_blocking(move || metrics.render(format)).await;
    match page {
        Ok(Ok(page)) => ([(header::CONTENT_TYPE, format.content_type())], page).into_response(),
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> Response {
    tracing::warn!(%error, "writing the metrics failed");
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "writing the metrics failed; see the log\n",
    )
        .into_response()
}
