//! One HTTP request on a connection of its own: that of `dt health` to an agent, and an agent's to the API server of Kubernetes.

use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// What the other side answers, its body up to `longest` bytes.
///
/// # Errors
/// What went wrong, in words: the connection, or an answer that is no HTTP or too long.
pub async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
    longest: usize,
) -> Result<(StatusCode, Bytes), String> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(say)?;
    // The connection ends with its sender; what goes wrong with it the request hears of.
    let exchange = async move {
        let answer = sender.send_request(request).await.map_err(say)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), longest).collect().await;
        let body = body.map_err(|error| format!("{status}, then: {error}"))?;
        Ok((status, body.to_bytes()))
    };
    tokio::join!(exchange, connection).0
}

/// An error with its cause, which hyper leaves out.
fn say(error: hyper::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
