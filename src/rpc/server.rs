//! Answering: `WorkerService`, `grpc.health.v1` and reflection (v1 and v1alpha) on one port.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use dt_serve::{Arrival, Door, Limits, Until, accept};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::ServiceExt;

use crate::first_words::{self, Spoken};
use crate::message::worker_service_server::{WorkerService, WorkerServiceServer};
use crate::message::{FILE_DESCRIPTOR_SET, PingMsg, PingMsgResp};
use crate::tls::{Tls, TlsMode};

/// The name under which health is asked for, besides the empty one for the whole server.
const SERVICE_NAME: &str = "message.WorkerService";
/// No message of this service comes near it.
const MAX_MESSAGE: usize = 64 * 1024;
const MAX_HEADERS: u32 = 8 * 1024;
/// A caller may take so long for its first words, the handshake of TLS included, and then for its first call.
const FIRST_WORDS: Duration = Duration::from_secs(10);
/// A caller that makes no call for so long is let go. Pings come once an hour at least.
const IDLE: Duration = Duration::from_secs(2 * 3600);
/// A caller that opened a call and doesn't send its message is let go after this.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A caller that vanished without a word is noticed by an HTTP/2 PING after this much silence ...
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// ... which it must answer in this time.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long open calls may go on once the server shuts down.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// How long calls that are under way on a connection may go on once it has to make room ...
const LEAVE: Duration = Duration::from_secs(1);
/// ... while no more than so many are leaving: the others are closed at once, as their places are taken already.
const LEAVING: usize = 64;

/// Connections that have sent nothing yet. TCP probes of other nodes come and go here.
const ARRIVING: usize = 1024;
/// Connections open at once: a mesh of 10,000 nodes that all probe this one, and some more.
const OPEN: usize = 16_384;
/// Of these, from one address: hosts have few agents each, but a whole site may stand behind one address.
const PER_SOURCE: usize = 2_048;
/// One address gets at most so small a part of those that there are.
const SOURCES: usize = 8;

/// Limits of a [`Server`].
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Who comes in. Together well below the descriptor limit, so that a flood of callers can't take the probes' sockets
    /// away. Default: 1,024 that have sent nothing yet, 16,384 open, 2,048 of them from one address.
    pub limits: Limits,
    /// Calls open at once on one connection. Default 32: a prober overlaps 4 at most.
    pub max_streams: u32,
    /// TLS, where it is spoken.
    pub tls: Option<Tls>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            limits: Limits {
                arriving: ARRIVING,
                open: OPEN,
                per_source: PER_SOURCE,
            },
            max_streams: 32,
            tls: None,
        }
    }
}

impl ServerOptions {
    /// The default, as far as a process that may open `descriptors` can afford it: half of them.
    #[must_use]
    pub fn within(descriptors: u64) -> Self {
        let half = usize::try_from(descriptors / 2).unwrap_or(usize::MAX);
        let arriving = ARRIVING.min(half / 4);
        let open = OPEN.min(half - arriving);
        Self {
            limits: Limits {
                arriving,
                open,
                per_source: PER_SOURCE.min(open / SOURCES).max(1),
            },
            ..Self::default()
        }
    }
}

/// What a [`Server`] has seen.
#[derive(Debug, Default)]
pub struct ServerStats {
    /// `PingNode` calls answered.
    pub pings: AtomicU64,
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
    door: Arc<Door>,
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

        let server = Self {
            service: Service {
                routes,
                http,
                leaving: Arc::new(Semaphore::new(LEAVING)),
                tls: options.tls,
            },
            stats,
            health,
            door: Door::new(options.limits),
        };
        server.set_serving(true).await;
        Ok(server)
    }

    /// For fuzzing: what answers calls, without the connections before it.
    #[cfg(feature = "internals")]
    #[must_use]
    pub fn routes(&self) -> Routes {
        self.service.routes.clone()
    }

    /// Counters, live.
    #[must_use]
    pub fn stats(&self) -> &ServerStats {
        &self.stats
    }

    /// Who came in.
    #[must_use]
    pub fn door(&self) -> &Door {
        &self.door
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
        let service = self.service.clone();
        let serve = move |stream, arrival, until| service.clone().run(stream, arrival, until);
        let door = Arc::clone(&self.door);
        accept("gRPC", listeners, door, serve, shutdown, SHUTDOWN_GRACE).await;
    }
}

/// The services and how HTTP/2 carries them.
#[derive(Clone)]
struct Service {
    routes: Routes,
    http: http2::Builder<TokioExecutor>,
    leaving: Arc<Semaphore>,
    tls: Option<Tls>,
}

impl Service {
    /// Serves one connection to its end, if its caller speaks what is spoken here and there is room.
    async fn run(self, stream: TcpStream, mut arrival: Arrival, until: Until) {
        // A small answer must not wait for the acknowledgement of the one before.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let arrived = tokio::select! {
            biased;
            () = until.stop.cancelled() => return,
            arrived = timeout(FIRST_WORDS, self.arrive(stream)) => arrived.ok().flatten(),
        };
        let Some((arrived, leave)) = arrived.and_then(|arrived| Some((arrived, arrival.admit_until()?))) else {
            return;
        };
        match arrived {
            Arrived::Clear(stream) => self.serve(stream, arrival, leave, &until).await,
            Arrived::Tls(stream) => self.serve(stream, arrival, leave, &until).await,
        }
    }

    /// Hears what the caller speaks; `None` where it is nothing that is spoken here.
    async fn arrive(&self, stream: TcpStream) -> Option<Arrived> {
        match (first_words::hear(&stream).await?, &self.tls) {
            (Spoken::Http2, Some(tls)) if tls.config().mode == TlsMode::Require => None,
            (Spoken::Http2, _) => Some(Arrived::Clear(stream)),
            (Spoken::Tls, None) => None,
            (Spoken::Tls, Some(tls)) => {
                // How a handshake fails concerns the caller alone, who is told.
                let stream = tls.acceptor().accept(stream).await.ok()?;
                Some(Arrived::Tls(Box::new(stream)))
            }
        }
    }

    /// Ends with the connection; once it has to leave, soon.
    async fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        arrival: Arrival,
        leave: CancellationToken,
        until: &Until,
    ) {
        let calls = Arc::new(AtomicU64::new(0));
        let (routes, counted) = (self.routes.clone(), Arc::clone(&calls));
        let answer = service_fn(move |request: http::Request<Incoming>| {
            counted.fetch_add(1, Relaxed);
            arrival.used();
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
            () = until.stop.cancelled() => {}
            () = idle(&calls) => {}
            () = leave.cancelled() => {
                if let Ok(_leaving) = self.leaving.try_acquire() {
                    // Its caller dials anew, and loses no ping by it.
                    connection.as_mut().graceful_shutdown();
                    let _ = timeout(LEAVE, connection).await;
                }
                return;
            }
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            // What has not ended in time is ended by whoever accepted it, or by the caller's silence.
            _ = connection => {}
            () = leave.cancelled() => {}
        }
    }
}

/// A caller's connection, and what is spoken on it.
enum Arrived {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Ends once no call has come for so long that the connection is of no use: at first soon, later not before the rarest
/// pinger's next turn.
async fn idle(calls: &AtomicU64) {
    let mut seen = 0;
    loop {
        tokio::time::sleep(if seen == 0 { FIRST_WORDS } else { IDLE }).await;
        let now = calls.load(Relaxed);
        if now == seen {
            return;
        }
        seen = now;
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    /// How long a connection is kept on which calls come at these times.
    async fn kept(calls_at: &[u64]) -> Duration {
        let (calls, began) = (AtomicU64::new(0), Instant::now());
        let make = async {
            for at in calls_at {
                tokio::time::sleep_until(began + Duration::from_secs(*at)).await;
                calls.fetch_add(1, Relaxed);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = idle(&calls) => {}
            () = make => {}
        }
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_calls_is_let_go_and_one_of_a_rare_pinger_is_not() {
        assert_eq!(kept(&[]).await.as_secs(), FIRST_WORDS.as_secs());
        let hourly: Vec<u64> = (0..50).map(|hour| 5 + 3600 * hour).collect();
        let last = Duration::from_secs(5 + 3600 * 49);
        let kept = kept(&hourly).await;
        assert!(kept > last && kept <= last + 2 * IDLE, "{kept:?}");
    }

    #[test]
    fn connections_leave_half_of_the_descriptors_to_the_rest() {
        for descriptors in [0, 10, 1024, 65_536, 1 << 40] {
            let Limits {
                arriving,
                open,
                per_source,
            } = ServerOptions::within(descriptors).limits;
            assert!((arriving + open) as u64 <= descriptors / 2, "{descriptors}");
            assert!(arriving <= ARRIVING && open <= OPEN);
            assert_eq!(per_source, (open / 8).max(1));
        }
        assert_eq!(ServerOptions::within(1 << 40).limits.open, OPEN);
    }
}
