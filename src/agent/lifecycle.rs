//! From configuration to a running agent.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use dt_membership::{FileError, Handle as MembershipHandle, Registration, State, file, zookeeper};
use dt_metrics::{Metrics, Source};
use dt_probe::ProbeKind;
use dt_record::{Endpoint, Options, Summary};
use dt_rpc::{Server, ServerOptions};
use dt_sink::Publisher;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::aggregate::Aggregate;
use crate::allowed::Allowed;
use crate::between::Between;
use crate::books::{Books, Ledger};
use crate::config::{AgentConfig, Membership};
use crate::health::Health;
use crate::http;
use crate::kubernetes;
use crate::mesh::{Control, Inbox, Lines, Mesh};
use crate::metrics;
use crate::parts::{origin, registration, sinks};
use crate::peer_totals::PeerTotals;
use crate::peers::Peers;
use crate::prepared::{Prepared, StartError, seed};
use crate::probers::Probers;
use crate::proofs::Proofs;
use crate::resolve::Resolver;
use crate::sources;
use crate::status::Shared;

/// gRPC fates that may wait for the mesh task.
const PINGS: usize = 4096;
/// What an operator may ask of a running agent, by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Toggle probing on this node (SIGUSR1).
    Toggle,
    /// Leave the membership and go on answering (SIGUSR2): others stop probing this node before it goes, so nobody counts
    /// its end as loss.
    Leave,
}

/// What an embedding program, as `dt demo`, may add.
#[derive(Default)]
pub struct Hooks {
    /// Gets a copy of every summary: an in-process sink. With it the agent needs no other.
    pub tap: Option<mpsc::UnboundedSender<Vec<Summary>>>,
    /// Stands between this agent and its peers.
    pub between: Option<Box<dyn Between>>,
}

/// A running agent.
pub struct Agent {
    pub(crate) shared: Arc<Shared>,
    pub(crate) server: Arc<Server>,
    pub(crate) membership: Arc<MembershipHandle>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) control: mpsc::Sender<Control>,
    /// Gives the books, where the mesh task ended in order.
    pub(crate) mesh: JoinHandle<Option<Ledger>>,
    pub(crate) stop_server: oneshot::Sender<()>,
    pub(crate) stop_http: Option<oneshot::Sender<()>>,
    http: Option<SocketAddr>,
    pub(crate) longest_timeout: Duration,
    kinds: Vec<ProbeKind>,
    problems: Vec<String>,
    /// When this node was gone from a membership that tells the others so.
    pub(crate) left: OnceLock<Instant>,
    pub(crate) is_announced: bool,
}

impl Agent {
    /// Starts everything else: the gRPC server first, so that this node answers before others hear of it; then sinks,
    /// membership, and the mesh task that joins them.
    ///
    /// # Errors
    /// [`StartError`]: a peers file or a sink file that can't be read or written.
    pub async fn start(prepared: Prepared, hooks: Hooks) -> Result<Agent, StartError> {
        let Prepared {
            mut config,
            boot_id,
            listeners,
            http: http_listener,
            packets,
            tls,
            began,
            entered,
            files,
        } = prepared;
        let labels = kubernetes::ask(&config);
        let listeners: Vec<_> = listeners.into_iter().map(taken).collect::<Result<_, _>>()?;
        let http_listener = http_listener.map(taken).transpose()?;
        if let Some(tls) = tls.clone() {
            tokio::spawn(tls.follow());
        }
        let options = ServerOptions {
            tls: tls.clone(),
            ..ServerOptions::within(files, config.max_peers)
        };
        let server = Arc::new(Server::new(options).await?);
        let origin = origin(&config, &boot_id);
        let publisher = Arc::new(Publisher::start(
            sinks(&config),
            origin,
            Options {
                buckets: config.kafka.buckets,
            },
        )?);
        let labels = match labels {
            Some(asked) => asked.at_once().await.map(|labels| config.stands(&labels)).err(),
            None => None,
        };
        let (pings, grpc) = mpsc::channel(PINGS);
        let seed = seed(&config.node, &boot_id);
        let probers = Probers::start(packets, &config, seed, tls.clone(), pings);
        let membership = Arc::new(join(&config, registration(&config, &boot_id))?);

        let shared = Arc::new(Shared::default());
        let _ = shared.thread.set(Arc::clone(probers.stats()));
        let _ = shared.sandbox.set(entered);
        shared.totals.probing.store(1, Relaxed);
        shared.totals.stretch_milli.store(1000, Relaxed);
        for kind in ProbeKind::ALL {
            shared
                .totals
                .kind(*kind)
                .available
                .store(probers.method(*kind).is_some().into(), Relaxed);
        }
        let (stop_server, stopped) = oneshot::channel::<()>();
        let serving = Arc::clone(&server);
        tokio::spawn(async move { serving.serve(listeners, async { drop(stopped.await) }).await });
        let peer_totals = config.metrics_peers.then(PeerTotals::default);
        let http_door = dt_serve::door();
        let mut sources: Vec<Box<dyn Source>> = vec![
            Box::new(metrics::Agent {
                shared: Arc::clone(&shared),
                sinks: vec![Box::new(sources::Sinks(Arc::clone(&publisher)))],
            }),
            Box::new(sources::Members(Arc::clone(&membership))),
            Box::new(sources::Grpc(Arc::clone(&server), tls)),
        ];
        if let Some(peers) = &peer_totals {
            sources.push(Box::new(peers.clone()));
        }
        if http_listener.is_some() {
            sources.push(Box::new(sources::Http(Arc::clone(&http_door))));
        }
        let metrics = Arc::new(Metrics::new(sources));
        let (control, orders) = mpsc::channel(8);
        let http = http_listener.as_ref().and_then(|l| l.local_addr().ok());
        let stop_http = http_listener.map(|listener| {
            let (stop, stopped) = oneshot::channel::<()>();
            tokio::spawn(http::serve(
                listener,
                http_door,
                Arc::clone(&shared),
                metrics,
                control.clone(),
                async { drop(stopped.await) },
            ));
            stop
        });
        watch_registration(Arc::clone(&membership), Arc::clone(&shared));
        if let Some(asked) = labels {
            tokio::spawn(relabel(asked, Arc::downgrade(&membership), control.clone()));
        }

        let (resolver, answers) = Resolver::new();
        let inbox = Inbox {
            view: membership.view.clone(),
            probing: membership.probing_enabled.clone(),
            answers,
            grpc,
            control: orders,
        };
        let is_announced = matches!(config.membership, Membership::ZooKeeper(_));
        let longest_timeout = config
            .probes()
            .map(|(_, timing)| timing.timeout)
            .max()
            .unwrap_or_default();
        let width_ms = u64::try_from(config.window.as_millis()).unwrap_or(u64::MAX);
        let problems = probers.problems().to_vec();
        let kinds = ProbeKind::ALL
            .iter()
            .copied()
            .filter(|kind| probers.method(*kind).is_some())
            .collect();
        let source = Arc::new(Endpoint {
            node: config.node.as_str().into(),
            zone: config.zone.as_str().into(),
            rack: config.rack.as_str().into(),
            region: config.region.as_str().into(),
        });
        let mesh = Mesh {
            shared: Arc::clone(&shared),
            books: Books::new(probers.pings(), probers.method(ProbeKind::Grpc).is_none()),
            aggregate: Aggregate::new(width_ms, began, probers.manners(&config, &source)),
            opened: tokio::time::Instant::now(),
            closed_by: tokio::time::Instant::now(),
            probers,
            publisher: Arc::clone(&publisher),
            tap: hooks.tap,
            between: hooks.between,
            peers: Peers::default(),
            peer_totals,
            resolver,
            allowed: Allowed::of(&config),
            verifies: config.verifies(),
            proofs: Proofs::default(),
            stretched: false,
            switches: (true, true),
            lines: Lines::default(),
            config,
        };
        let mesh = tokio::spawn(async { Some(mesh.run(inbox).await) });
        let agent = Agent {
            shared,
            server,
            membership,
            publisher,
            control,
            mesh,
            stop_server,
            stop_http,
            http,
            longest_timeout,
            kinds,
            problems,
            left: OnceLock::new(),
            is_announced,
        };
        agent.membership.set_state(State::Serving).await;
        Ok(agent)
    }

    /// Where HTTP is served.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// The kinds that are measured.
    #[must_use]
    pub fn kinds(&self) -> &[ProbeKind] {
        &self.kinds
    }

    /// What was asked for and can't be measured on this host, or not in the best way: a message each, with the remedy.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// How it is, also while it runs and ends.
    #[must_use]
    pub fn health(&self) -> Health {
        Health::new(Arc::clone(&self.shared))
    }

    /// Toggles probing on this node, as SIGUSR1 does.
    pub async fn toggle(&self) {
        let _ = self.control.send(Control::Toggle).await;
    }
}

/// A listener that was opened before there was a runtime.
fn taken(listener: std::net::TcpListener) -> Result<TcpListener, StartError> {
    let taken = listener
        .set_nonblocking(true)
        .and_then(|()| TcpListener::from_std(listener));
    taken.map_err(StartError::Listener)
}

fn join(config: &AgentConfig, own: Registration) -> Result<MembershipHandle, FileError> {
    match &config.membership {
        Membership::File(path) => file::start(path.clone(), own),
        Membership::ZooKeeper(zk) => Ok(zookeeper::start(zk.joined_by(own))),
    }
}

/// Latches readiness once this node is registered.
fn watch_registration(membership: Arc<MembershipHandle>, shared: Arc<Shared>) {
    let mut status = membership.status.clone();
    drop(membership);
    tokio::spawn(async move {
        if status.wait_for(|status| status.registered).await.is_ok() {
            shared.readiness.registered();
        }
    });
}

/// Tells everybody where this node stands, once that is known.
async fn relabel(asked: kubernetes::Asked, membership: Weak<MembershipHandle>, control: mpsc::Sender<Control>) {
    if let (Some(labels), Some(membership)) = (asked.some_time().await, membership.upgrade()) {
        membership.set_labels(labels.clone());
        drop(membership);
        let _ = control.send(Control::Labels(labels)).await;
    }
}
