//! Answering: `WorkerService`, `grpc.health.v1` and reflection (v1 and v1alpha) on one port.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use dt_serve::{Arrival, Calls, Door, Until, accept};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt};
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

use crate::answer::answer;
use crate::first_words::{self, Spoken};
use crate::message::worker_service_server::{WorkerService, WorkerServiceServer};
use crate::message::{FILE_DESCRIPTOR_SET, PingMsg, PingMsgResp};
use crate::metered::Metered;
use crate::options::{MAX_HEADERS, MAX_MESSAGE, ServerOptions};
use crate::tls::{Tls, TlsMode};

/// The name under which health is asked for, besides the empty one for the whole server.
const SERVICE_NAME: &str = "message.WorkerService";
/// A caller may take so long for its first words, the handshake of TLS included, and then for its first call.
const FIRST_WORDS: Duration = Duration::from_secs(10);
/// A caller that makes no call for so long is let go. Pings come once an hour at least.
const IDLE: Duration = Duration::from_secs(2 * 3600);
/// A caller that vanished without a word is noticed by an HTTP/2 PING after this much silence ...
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// ... which it must answer in this time.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long open calls may go on once the server shuts down.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// How long calls that are under way on a connection may go on once it has to end ...
const LEAVE: Duration = Duration::from_secs(1);
/// ... while no more than so many are leaving whose places are others' already: the rest of these are closed at once.
const LEAVING: usize = 64;
/// Bytes that wait in the kernel for each direction of a connection. It would let them become megabytes for a caller that
/// reads no answers; they are memory of this process where a cgroup counts it.
const SOCKET_BUFFER: usize = 16 * 1024;

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
        let longest = MAX_MESSAGE as usize;
        let routes = Routes::new(worker.max_decoding_message_size(longest))
            .add_service(health_service.max_decoding_message_size(longest))
            .add_service(reflection().build_v1()?.max_decoding_message_size(longest))
            .add_service(reflection().build_v1alpha()?.max_decoding_message_size(longest))
            .prepare();

        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(options.max_streams)
            .initial_stream_window_size(MAX_MESSAGE)
            .initial_connection_window_size(MAX_MESSAGE.saturating_mul(options.max_streams))
            .max_send_buf_size(longest)
            .max_header_list_size(MAX_HEADERS)
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);

        let server = Self {
            service: Service {
                routes,
                http,
                calls: Calls::new(options.max_calls),
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
    calls: Arc<Calls>,
    leaving: Arc<Semaphore>,
    tls: Option<Tls>,
}

impl Service {
    /// Serves one connection to its end, if its caller speaks what is spoken here and there is room.
    async fn run(self, stream: TcpStream, mut arrival: Arrival, until: Until) {
        // A small answer must not wait for the acknowledgement of the one before.
        if stream.set_nodelay(true).is_err()
            || setsockopt(&stream, sockopt::RcvBuf, &SOCKET_BUFFER).is_err()
            || setsockopt(&stream, sockopt::SndBuf, &SOCKET_BUFFER).is_err()
        {
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
        let made = Arc::new(AtomicU64::new(0));
        // It has brought enough; its place is still its own.
        let spent = CancellationToken::new();
        let stream = Metered::new(stream, spent.clone());
        let (routes, calls, counted, leaves) = (
            self.routes.clone(),
            Arc::clone(&self.calls),
            Arc::clone(&made),
            leave.clone(),
        );
        let service = service_fn(move |request| {
            counted.fetch_add(1, Relaxed);
            arrival.used();
            let (routes, calls, source, leave) = (routes.clone(), Arc::clone(&calls), arrival.source(), leaves.clone());
            // Only as it is looked at: of a burst of pings, each is answered before the next one is begun.
            async move { answer(routes, request, calls.begin(source, leave)).await }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            // How a connection ended concerns the caller alone.
            _ = connection.as_mut() => return,
            () = until.stop.cancelled() => {}
            () = idle(&made) => {}
            () = spent.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    _ = timeout(LEAVE, connection) => {}
                    () = leave.cancelled() => {}
                }
                return;
            }
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
}
