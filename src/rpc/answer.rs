//! One call from its headers to the last byte of its answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use dt_serve::Call;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::timeout;
use tonic::Status;
use tonic::service::Routes;
use tower::ServiceExt;

/// A caller that opened a call and doesn't send its message is let go after this.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The headers that an answer depends on.
const READ: [&str; 4] = ["content-type", "te", "grpc-encoding", "grpc-accept-encoding"];

/// Answers, with an error where the message doesn't come in time. `call` is given back with the end of the answer.
pub(crate) async fn answer(
    routes: Routes,
    mut request: Request<Incoming>,
    call: Call,
) -> Result<Response<Answer>, Infallible> {
    let_go(&mut request);
    let answer = match timeout(CALL_TIMEOUT, routes.oneshot(request)).await {
        Ok(Ok(answer)) => answer,
        Err(_) => Status::deadline_exceeded("no message came").into_http(),
    };
    Ok(answer.map(|body| Answer { body, _call: call }))
}

/// Keeps of a call's head what is needed, as copies: while its message is awaited the rest would hold kilobytes, and each
/// word of it the whole buffer that it was read into.
fn let_go(request: &mut Request<Incoming>) {
    let path = PathAndQuery::try_from(request.uri().path()).map(Uri::from);
    *request.uri_mut() = path.unwrap_or_default();
    let mut kept = HeaderMap::with_capacity(READ.len());
    for name in READ {
        let value = request.headers().get(name);
        if let Some(Ok(value)) = value.map(|value| HeaderValue::from_bytes(value.as_bytes())) {
            kept.insert(HeaderName::from_static(name), value);
        }
    }
    *request.headers_mut() = kept;
}

/// An answer's body, which holds its call's place.
pub(crate) struct Answer {
    body: tonic::body::Body,
    _call: Call,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
