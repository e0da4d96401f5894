//! What an agent has to have before it starts, and may need rights for: its sockets, and the thread that probes. Once it has
//! them it can give up the rights ([`Prepared::enter_sandbox`]).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::net::TcpListener;

use dt_kernel::sandbox::{self, Entered, Files};
use dt_membership::FileError;
use dt_membership::zookeeper::LoginError;
use dt_probe::Wall;
use dt_rpc::{ServerError, Tls, TlsError, TlsMode};
use dt_serve::BindError;
use dt_sink::StartError as SinkError;

use crate::config::{AgentConfig, HostPort, Membership, key};
use crate::probers::{Packets, ProbeError};

/// Why an agent did not start. A service that is down is no reason.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The gRPC address.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A listener that was handed over.
    #[error("taking over a listener: {0}")]
    Listener(std::io::Error),
    /// The HTTP address.
    #[error("listening on http {address}: {error}; accepted: HOST:PORT of this host that is free, or `off`")]
    Http {
        /// As configured.
        address: HostPort,
        /// What the system said.
        error: std::io::Error,
    },
    /// The gRPC server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The peers file.
    #[error(transparent)]
    PeersFile(#[from] FileError),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The credential for ZooKeeper.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The sinks.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// Nothing to probe with.
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

/// All that is opened before the start.
pub struct Prepared {
    pub(crate) config: AgentConfig,
    /// Identifies this life of the agent.
    pub(crate) boot_id: String,
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) http: Option<TcpListener>,
    pub(crate) packets: Packets,
    /// TLS of gRPC, where it is wanted.
    pub(crate) tls: Option<Tls>,
    /// Before the probe thread's first reading of the clock, which else might belong to the window before.
    pub(crate) began: Wall,
    pub(crate) entered: Entered,
    /// How many files may be open.
    pub(crate) files: u64,
}

impl Prepared {
    /// Opens the sockets: those that are listened on, and those that are probed with. `listeners`, where there are some,
    /// stand in place of those of `listen`.
    ///
    /// # Errors
    /// [`StartError`]: an address that can't be bound, no permitted probe kind.
    pub async fn open(mut config: AgentConfig, mut listeners: Vec<TcpListener>) -> Result<Prepared, StartError> {
        let files = dt_kernel::rights::raise_file_limit().unwrap_or(1024);
        let boot_id = uuid::Uuid::new_v4().to_string();
        if let (true, Some(listen)) = (listeners.is_empty(), &config.listen) {
            let bound = dt_serve::bind(&listen.to_string()).await?;
            let plain = bound.into_iter().map(tokio::net::TcpListener::into_std);
            listeners = plain.collect::<Result<_, _>>().map_err(StartError::Listener)?;
        }
        if config.advertise.port == 0 {
            // Registered is what was bound.
            let bound = listeners.first().and_then(|listener| listener.local_addr().ok());
            config.advertise.port = bound.map_or(0, |address| address.port());
        }
        if let Membership::ZooKeeper(zookeeper) = &config.membership
            && let Some(login) = &zookeeper.login
        {
            login.check()?;
        }
        let tls = match config.grpc_tls.mode {
            TlsMode::Off => None,
            _ => Some(Tls::load(config.grpc_tls.clone())?),
        };
        let http = match &config.http {
            Some(address) => bind_http(address).await?,
            None => None,
        };
        let began = dt_kernel::clock::wall();
        let packets = Packets::open(&config, seed(&config.node, &boot_id))?;
        Ok(Prepared {
            config,
            boot_id,
            listeners,
            http,
            packets,
            tls,
            began,
            entered: Entered::default(),
            files,
        })
    }

    /// Gives up what the configuration says, for the whole process. Before any other thread is started but the probers'.
    pub fn enter_sandbox(&mut self) {
        let files = match self.config.kafka.spool {
            Some(_) => Files::Exchanged,
            None => Files::Written,
        };
        self.entered = sandbox::enter(self.config.sandbox, files);
        for refused in &self.entered.refused {
            tracing::warn!("not in the whole of the sandbox: {refused}");
        }
        let Entered {
            capabilities,
            new_privileges,
            system_calls,
            ..
        } = self.entered;
        tracing::info!(capabilities, new_privileges, system_calls, "given up");
    }
}

/// A second agent on a host finds the default address taken by the first: it measures without HTTP rather than not at
/// all. An address that somebody chose has to be had.
async fn bind_http(address: &HostPort) -> Result<Option<TcpListener>, StartError> {
    let bound = tokio::net::TcpListener::bind((address.host.as_str(), address.port)).await;
    match bound.and_then(tokio::net::TcpListener::into_std) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_default(address) => {
            tracing::error!(%address, %error, "no /livez, /readyz, /metrics and /peers: choose an address with --http");
            Ok(None)
        }
        Err(error) => Err(StartError::Http {
            address: address.clone(),
            error,
        }),
    }
}

fn is_default(http: &HostPort) -> bool {
    key("http").is_some_and(|key| key.default == http.to_string())
}

/// Different for every node and every life, so that agents started together don't probe in step.
pub(crate) fn seed(node: &str, boot_id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (node, boot_id).hash(&mut hasher);
    hasher.finish()
}
