//! What can't be answered, and why: `{"error": "..."}` with a status.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A refusal in words for whoever wrote the request.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) error: String,
}

#[derive(Serialize)]
struct Body {
    error: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
        }
    }

    /// A parameter that is unknown, missing or not what is accepted.
    pub(crate) fn parameter(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// Our own failure: the reader is told where to look, the log what happened.
    pub(crate) fn failed(error: &dyn std::error::Error) -> Self {
        tracing::warn!(%error, "writing an answer of the API failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "writing the answer failed; see the log of this server",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(Body { error: self.error })).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let ask = HeaderValue::from_static("Bearer realm=\"distributed-trace\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
        }
        response
    }
}
