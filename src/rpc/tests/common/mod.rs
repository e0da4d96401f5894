//! What the tests share: a prober whose events can be waited for, real servers, and servers that misbehave.

// Each test program uses its own part.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use dt_probe::{Fate, Sample, TargetId, What};
use dt_rpc::{GrpcEvent, GrpcTarget, Prober, ProberConfig, Server, ServerOptions};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// How long a test waits before it calls something absent.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn config(timeout_ms: u64, period_ms: u64) -> ProberConfig {
    ProberConfig {
        timeout: Duration::from_millis(timeout_ms),
        period: Duration::from_millis(period_ms),
        seed: 1,
        ..ProberConfig::default()
    }
}

pub(crate) fn target(address: SocketAddr) -> GrpcTarget {
    GrpcTarget {
        authority: address.to_string(),
        address,
        source: None,
        host_addr: address.to_string(),
        tls: None,
    }
}

/// A prober and its events.
pub(crate) struct Probe {
    pub(crate) prober: Prober,
    pub(crate) events: mpsc::Receiver<GrpcEvent>,
}

impl Probe {
    pub(crate) fn start(config: ProberConfig) -> Self {
        let (sender, events) = mpsc::channel(1024);
        Self {
            prober: Prober::start(config, sender),
            events,
        }
    }

    /// A prober of the one target 0.
    pub(crate) fn of(address: SocketAddr, config: ProberConfig) -> Self {
        let probe = Self::start(config);
        assert!(probe.prober.add(TargetId(0), target(address)));
        probe
    }

    pub(crate) async fn next(&mut self) -> GrpcEvent {
        let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        event.expect("no event came").expect("the prober ended")
    }

    /// The next event's kind, passing over skipped pings.
    pub(crate) async fn what(&mut self) -> What {
        loop {
            match self.next().await.event.what {
                What::Skipped(_) => {}
                what => return what,
            }
        }
    }

    pub(crate) async fn received(&mut self) -> Sample {
        match self.what().await {
            What::Received(sample) => sample,
            other => panic!("not received: {other:?}"),
        }
    }

    pub(crate) async fn fate(&mut self) -> Fate {
        match self.what().await {
            What::Received(_) => Fate::Received,
            What::Failed(fate) => fate,
            other => panic!("no fate: {other:?}"),
        }
    }

    /// Reads on until `wanted` comes.
    pub(crate) async fn until(&mut self, wanted: What) {
        while self.next().await.event.what != wanted {}
    }
}

/// The real server on a loopback port of its own.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::with("127.0.0.1:0", ServerOptions::default()).await
    }

    pub(crate) async fn with(address: &str, options: ServerOptions) -> Self {
        let listeners = dt_serve::bind(address).await.unwrap();
        let address = listeners[0].local_addr().unwrap();
        let server = Server::new(options).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = server.clone();
        let task = tokio::spawn(async move {
            serving
                .serve(listeners, async {
                    let _ = stopped.await;
                })
                .await;
        });
        Self {
            server,
            address,
            stop: Some(stop),
            task,
        }
    }

    pub(crate) async fn stop(mut self) {
        let _ = self.stop.take().unwrap().send(());
        tokio::time::timeout(PATIENCE, &mut self.task)
            .await
            .expect("the server ends")
            .unwrap();
    }
}

/// A listener of which each connection is handled by `handle`.
pub(crate) async fn listener<F, Fut>(handle: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(stream));
        }
    });
    address
}

/// Waits for a condition that must come true.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("never came true: {what}"));
}

pub(crate) fn options() -> ServerOptions {
    ServerOptions::default()
}
