//! Whatever is called at the gRPC port.

use std::cell::RefCell;

use axum::body::Body;
use dt_rpc::message::{PingMsg, PingMsgResp};
use dt_rpc::{Server, ServerOptions};
use http::{Request, header};
use http_body_util::BodyExt;
use prost::Message;
use tokio::runtime::Runtime;
use tower::ServiceExt;

use crate::input::Input;
use crate::memory::bounded;

const METHODS: [&str; 6] = [
    "/message.WorkerService/PingNode",
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/message.WorkerService/Other",
    "/",
];
/// A call takes about this much without its message.
const A_CALL: usize = 256 * 1024;

struct Called {
    runtime: Runtime,
    server: Server,
}

thread_local! {
    static SERVER: RefCell<Option<Called>> = const { RefCell::new(None) };
}

/// A call: its method, and the frames of its messages.
///
/// # Panics
/// Where it isn't answered, or a ping's answer says something else than that all is well.
pub fn fuzz_grpc(data: &[u8]) {
    messages(data);
    let mut input = Input::new(data);
    let method = *input.one(&METHODS);
    let is_framed = input.flag();
    let body = input.rest();
    let mut frames = Vec::new();
    if is_framed {
        frames.push(0);
        frames.extend((body.len() as u32).to_be_bytes());
    }
    frames.extend(body);
    let request = Request::post(method)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Body::from(frames))
        .unwrap();
    SERVER.with_borrow_mut(|server| {
        let Called { runtime, server } = server.get_or_insert_with(serve);
        let answer = bounded(body.len(), A_CALL, 64, || {
            runtime.block_on(async {
                let response = server.routes().oneshot(request).await.unwrap();
                let (head, body) = response.into_parts();
                (head, body.collect().await.unwrap())
            })
        });
        let (head, answer) = answer;
        assert!(head.status.is_success(), "{head:?}");
        let trailers = answer.trailers().cloned().unwrap_or_default();
        let status = head
            .headers
            .get("grpc-status")
            .or_else(|| trailers.get("grpc-status"))
            .unwrap();
        let message = answer.to_bytes();
        if method == METHODS[0] && status == "0" {
            assert_eq!(&message[..], b"\0\0\0\0\x02\x08\x01", "isSuccess: true");
        }
    });
}

fn messages(data: &[u8]) {
    if let Ok(ping) = bounded(data.len(), 4 * 1024, 8, || PingMsg::decode(data)) {
        assert_eq!(PingMsg::decode(&*ping.encode_to_vec()).as_ref(), Ok(&ping));
    }
    if let Ok(answer) = bounded(data.len(), 4 * 1024, 8, || PingMsgResp::decode(data)) {
        assert_eq!(PingMsgResp::decode(&*answer.encode_to_vec()).as_ref(), Ok(&answer));
    }
}

fn serve() -> Called {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(Server::new(ServerOptions::default())).unwrap();
    Called { runtime, server }
}
