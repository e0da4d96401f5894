//! One `PingNode` call on an established connection, and how long it took.
//!
//! Straight on h2, which tonic's channel and hyper's client stand on too: the channel dials inside the call and hides
//! what went wrong behind one status code; hyper's client takes two more task switches per call, which would be in the
//! measure. The wire format (gRPC over HTTP/2) needs a few lines for one unary call with two tiny messages.

use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dt_probe::Fate;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version};
use prost::Message;

use crate::connection::Connection;
use crate::message::{PingMsg, PingMsgResp};

const PATH: &str = "/message.WorkerService/PingNode";
/// Compression flag and length, before each message.
const PREFIX: usize = 5;
/// The answer is 2 bytes; a peer that sends more than this isn't one.
const MAX_ANSWER: usize = 1024;

/// All that goes out in a call to one peer, built once.
#[derive(Debug)]
pub(crate) struct Outgoing {
    uri: Uri,
    body: Bytes,
}

/// Why a call gave no time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The connection was gone before the peer could look at the call: dial and call again.
    NotSent,
    /// The call's fate.
    Failed(Fate),
}

impl Outgoing {
    /// A ping that tells the callee `host_addr` and asks `authority` ("host:port").
    pub(crate) fn new(scheme: &str, authority: &str, host_addr: String) -> Result<Self, http::Error> {
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(authority)
            .path_and_query(PATH)
            .build()?;
        Ok(Self {
            uri,
            body: frame(&PingMsg { host_addr }),
        })
    }

    fn request(&self, timeout: Duration) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert("te", HeaderValue::from_static("trailers"));
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("user-agent", HeaderValue::from_static("distributed-trace"));
        // At most 8 digits; a time-out is at most 60 s.
        let millis = timeout.as_millis().min(99_999_999);
        if let Ok(value) = HeaderValue::try_from(format!("{millis}m")) {
            headers.insert("grpc-timeout", value);
        }
        request
    }
}

/// Calls and waits for the whole answer. The time in nanoseconds is from just before the request is handed to the
/// connection until the answer's last frame is read. `timeout` is only told to the peer.
pub(crate) async fn ping_node(
    connection: Connection,
    outgoing: &Outgoing,
    timeout: Duration,
) -> Result<u64, CallError> {
    let request = outgoing.request(timeout);
    let failed = |error| failed(&connection, error);
    let mut send = connection.send.clone().ready().await.map_err(|_| CallError::NotSent)?;
    let started = Instant::now();
    let (response, mut stream) = send.send_request(request, false).map_err(|_| CallError::NotSent)?;
    stream.send_data(outgoing.body.clone(), true).map_err(&failed)?;
    let success = read_answer(response).await.map_err(&failed)?;
    let elapsed = dt_probe::time::nanos(started.elapsed());
    if success {
        Ok(elapsed.max(1))
    } else {
        Err(CallError::Failed(Fate::Refused))
    }
}

/// Whether the answer is `isSuccess` true under an OK status.
async fn read_answer(response: h2::client::ResponseFuture) -> Result<bool, h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let mut message = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        if message.len() + chunk.len() > MAX_ANSWER {
            return Ok(false);
        }
        message.put(chunk);
    }
    let trailers = body.trailers().await?;
    // An error may come as headers alone ("trailers-only").
    let status_ok = head.status == StatusCode::OK && is_ok(trailers.as_ref().unwrap_or(&head.headers));
    Ok(status_ok && unframe(&message).is_some_and(|answer| answer.is_success))
}

fn failed(connection: &Connection, error: h2::Error) -> CallError {
    // A peer that shuts down in order names the calls that it has not looked at (RFC 9113, 6.8); h2 fails only those so.
    if error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR) {
        return CallError::NotSent;
    }
    CallError::Failed(connection.fate_of(&error))
}

fn is_ok(trailers: &HeaderMap) -> bool {
    trailers.get("grpc-status").is_some_and(|status| status == "0")
}

fn frame(message: &impl Message) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.encoded_len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
    framed.put(message.encode_to_vec().as_slice());
    framed.freeze()
}

/// The one message of `bytes`; `None` if it is compressed (nobody was offered that), cut short, or not alone.
fn unframe(mut bytes: &[u8]) -> Option<PingMsgResp> {
    if bytes.len() < PREFIX || bytes.get_u8() != 0 || usize::try_from(bytes.get_u32()).ok()? != bytes.len() {
        return None;
    }
    PingMsgResp::decode(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // What protoc-gen-go's Marshal gives for the original's messages, behind gRPC's five bytes.
    const REQUEST: &[u8] = b"\0\0\0\0\x08\x0a\x06b:4000";
    const ANSWER: &[u8] = b"\0\0\0\0\x02\x08\x01";

    #[test]
    fn the_bytes_are_the_originals() {
        let outgoing = Outgoing::new("http", "10.0.0.2:4000", "b:4000".to_owned()).unwrap();
        assert_eq!(outgoing.body, REQUEST);
        assert_eq!(outgoing.uri.path(), "/message.WorkerService/PingNode");
        assert_eq!(frame(&PingMsgResp { is_success: true }), ANSWER);
        assert!(unframe(ANSWER).unwrap().is_success);
        // Go omits a false.
        assert!(!unframe(b"\0\0\0\0\0").unwrap().is_success);
    }

    #[test]
    fn broken_answers_are_none() {
        for bytes in [
            &b""[..],
            b"\0\0\0\0",
            b"\x01\0\0\0\x02\x08\x01",
            b"\0\0\0\0\x03\x08\x01",
            b"\0\xff\xff\xff\xff\x08",
            b"\0\0\0\0\x01\x08",
        ] {
            assert!(unframe(bytes).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn an_authority_with_a_v6_address_is_accepted_and_nonsense_is_not() {
        assert!(Outgoing::new("http", "[::1]:4000", String::new()).is_ok());
        assert!(Outgoing::new("http", "a b:4000", String::new()).is_err());
    }
}
