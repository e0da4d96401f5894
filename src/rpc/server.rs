//! Answering: `WorkerService`, `grpc.health.v1` and reflection (v1 and v1alpha) on one port.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::ServiceExt;

use crate::accept::{Acceptor, accept_loop};
use crate::message::worker_service_server::{WorkerService, WorkerServiceServer};
use crate::message::{FILE_DESCRIPTOR_SET, PingMsg, PingMsgResp};

/// The name under which health is asked for, besides the empty one for the whole server.
const SERVICE_NAME: &str = "message.WorkerService";
/// No message of this service comes near it.
const MAX_MESSAGE: usize = 64 * 1024;
const MAX_HEADERS: u32 = 8 * 1024;
/// A caller that opened a call and doesn't send its message is let go after this.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A caller that vanished without a word is noticed by an HTTP/2 PING after this much silence ...
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// ... which it must answer in this time.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long open calls may go on once the server shuts down.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// Limits of a [`Server`].
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Connections open at once; what comes beyond is closed at once and counted. Keep it well below the
    /// descriptor limit, so that a flood of callers can't take the probes' sockets away. Default 16,384.
    pub max_connections: usize,
    /// Calls open at once on one connection. Default 32: a prober overlaps 4 at most.
    pub max_streams: u32,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            max_streams: 32,
        }
    }
}

/// What a [`Server`] has seen; all but `open` only grow.
#[derive(Debug, Default)]
pub struct ServerStats {
    /// `PingNode` calls answered.
    pub pings: AtomicU64,
    /// Connections accepted, TCP probes of other nodes included.
    pub accepted: AtomicU64,
    /// HTTP/2 connections open now.
    pub open: AtomicU64,
    /// Connections closed at once because [`ServerOptions::max_connections`] were open.
    pub turned_away: AtomicU64,
    /// Failures of `accept`.
    pub accept_errors: AtomicU64,
}

/// Why a server can't be made.
#[derive(Debug, thiserror::Error)]
#[error("gRPC reflection: the descriptors built into this program can't be read: {0}")]
pub struct ServerError(#[from] tonic_reflection::server::Error);

/// The gRPC server of a node. Cheap to clone; all clones are one server.
#[derive(Clone)]
pub struct Server {
    service: Service,
    stats: Arc<ServerStats>,
    health: HealthReporter,
    places: Arc<Semaphore>,
}

impl Server {
    /// Prepares the services; health says `SERVING` from the start.
    ///
    /// # Errors
    /// Descriptors that don't decode: a build gone wrong.
    pub async fn new(options: ServerOptions) -> Result<Self, ServerError> {
        let stats = Arc::new(ServerStats::default());
        let (health, health_service) = tonic_health::server::health_reporter();
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let worker = WorkerServiceServer::new(Worker {
            stats: Arc::clone(&stats),
        });
        let routes = Routes::new(worker.max_decoding_message_size(MAX_MESSAGE))
            .add_service(health_service.max_decoding_message_size(MAX_MESSAGE))
            .add_service(reflection().build_v1()?.max_decoding_message_size(MAX_MESSAGE))
            .add_service(reflection().build_v1alpha()?.max_decoding_message_size(MAX_MESSAGE))
            .prepare();

        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(options.max_streams)
            .initial_stream_window_size(MAX_MESSAGE as u32)
            .initial_connection_window_size(MAX_MESSAGE as u32)
            .max_send_buf_size(MAX_MESSAGE)
            .max_header_list_size(MAX_HEADERS)
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);

        let places = Arc::new(Semaphore::new(options.max_connections.min(Semaphore::MAX_PERMITS)));
        let server = Self {
            service: Service { routes, http },
            stats,
            health,
            places,
        };
        server.set_serving(true).await;
        Ok(server)
    }

    /// Counters, live.
    #[must_use]
    pub fn stats(&self) -> &ServerStats {
        &self.stats
    }

    /// What `grpc.health.v1` answers from now on: `SERVING`, or `NOT_SERVING` while draining. Pings are answered either way.
    pub async fn set_serving(&self, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        self.health.set_service_status("", status).await;
        self.health.set_service_status(SERVICE_NAME, status).await;
    }

    /// Answers on all `listeners` until `shutdown` is ready; open calls then have half a second to finish.
    /// Dropping the future closes everything at once. No error of a caller or of `accept` ends it.
    pub async fn serve(&self, listeners: Vec<TcpListener>, shutdown: impl Future<Output = ()>) {
        let kill = CancellationToken::new();
        let _closes_on_drop = kill.clone().drop_guard();
        let acceptor = Arc::new(Acceptor {
            service: self.service.clone(),
            stats: Arc::clone(&self.stats),
            places: Arc::clone(&self.places),
            tracker: TaskTracker::new(),
            stop: kill.child_token(),
            kill,
        });
        for listener in listeners {
            acceptor.tracker.spawn(accept_loop(listener, Arc::clone(&acceptor)));
        }
        shutdown.await;
        acceptor.stop.cancel();
        acceptor.tracker.close();
        // What is still open then is closed by the guard.
        let _ = timeout(SHUTDOWN_GRACE, acceptor.tracker.wait()).await;
    }
}

/// The services and how HTTP/2 carries them.
#[derive(Clone)]
pub(crate) struct Service {
    routes: Routes,
    http: http2::Builder<TokioExecutor>,
}

impl Service {
    /// Serves one connection to its end. After `stop` no new calls are taken; `kill` closes it.
    pub(crate) async fn run(&self, stream: TcpStream, stop: &CancellationToken, kill: &CancellationToken) {
        // A small answer must not wait for the acknowledgement of the one before.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let routes = self.routes.clone();
        let answer = service_fn(move |request: http::Request<Incoming>| {
            let call = timeout(CALL_TIMEOUT, routes.clone().oneshot(request));
            async move {
                match call.await {
                    Ok(response) => response,
                    Err(_) => Ok::<_, Infallible>(Status::deadline_exceeded("no message came").into_http()),
                }
            }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), answer));
        tokio::select! {
            // How a connection ended concerns the caller alone.
            _ = connection.as_mut() => return,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            _ = connection => {}
            () = kill.cancelled() => {}
        }
    }
}

struct Worker {
    stats: Arc<ServerStats>,
}

#[tonic::async_trait]
impl WorkerService for Worker {
    async fn ping_node(&self, _: Request<PingMsg>) -> Result<Response<PingMsgResp>, Status> {
        self.stats.pings.fetch_add(1, Relaxed);
        Ok(Response::new(PingMsgResp { is_success: true }))
    }
}
