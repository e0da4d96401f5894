//! The original's gRPC: one unary call, a new connection for each ping.

use super::{Shared, lock};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::codegen::{BoxFuture, Service, http};
use tonic::transport::Endpoint;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

const PATH: &str = "/message.WorkerService/PingNode";

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct PingMsg {
    #[prost(string, tag = "1")]
    host_addr: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct PingMsgResp {
    #[prost(bool, tag = "1")]
    is_success: bool,
}

/// Dials `callee` ("host:port") and pings it once. Like the original, it doesn't look at the answer.
pub(super) async fn ping(callee: &str) -> Result<(), Status> {
    let endpoint = Endpoint::from_shared(format!("http://{callee}"));
    let endpoint = endpoint.map_err(|error| Status::invalid_argument(error.to_string()))?;
    let channel = endpoint
        .connect()
        .await
        .map_err(|error| Status::unavailable(format!("{error:?}")))?;
    let mut client = tonic::client::Grpc::new(channel);
    client
        .ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let request = Request::new(PingMsg {
        host_addr: callee.to_owned(),
    });
    let path = http::uri::PathAndQuery::from_static(PATH);
    let answer: Response<PingMsgResp> = client.unary(request, path, ProstCodec::default()).await?;
    drop(answer);
    Ok(())
}

/// Answers pings on `listener` for ever.
pub(super) async fn answer(listener: tokio::net::TcpListener, state: Shared) {
    let ended = tonic::transport::Server::builder()
        .add_service(Worker(state))
        .serve_with_incoming(TcpIncoming::from(listener))
        .await;
    if let Err(error) = ended {
        eprintln!("the original's listener ended: {error}");
    }
}

/// The service, without generated code.
#[derive(Clone)]
struct Worker(Shared);

impl tonic::server::NamedService for Worker {
    const NAME: &'static str = "message.WorkerService";
}

impl Service<http::Request<tonic::body::Body>> for Worker {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let worker = self.clone();
        Box::pin(async move {
            if request.uri().path() != PATH {
                return Ok(Status::new(Code::Unimplemented, "no such method").into_http());
            }
            Ok(tonic::server::Grpc::new(ProstCodec::<PingMsgResp, PingMsg>::default())
                .unary(worker, request)
                .await)
        })
    }
}

impl tonic::server::UnaryService<PingMsg> for Worker {
    type Response = PingMsgResp;
    type Future = Pin<Box<dyn Future<Output = Result<Response<PingMsgResp>, Status>> + Send>>;

    fn call(&mut self, _: Request<PingMsg>) -> Self::Future {
        lock(&self.0).pings_received += 1;
        Box::pin(std::future::ready(Ok(Response::new(PingMsgResp { is_success: true }))))
    }
}
