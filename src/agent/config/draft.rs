//! The configuration while its layers are still being laid on top of each other.

use std::path::PathBuf;
use std::time::Duration;

use dt_kernel::CardStamps;
use dt_kernel::sandbox::Sandbox;
use dt_kernel::thread::Scheduling;
use dt_membership::zookeeper::{Credential, Login, Scheme, Source};
use dt_probe::ProbeKind;
use dt_rpc::TlsConfig;

use super::host_port::HostPort;
use super::model::{AgentConfig, Kafka, Log, Membership, NodeLabels, Sink, TcpMethod, Timing, ZooKeeper};

/// One field for each key. Each layer overwrites what it sets; the table's defaults are the first layer.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) node: String,
    pub(super) cluster: String,
    pub(super) zone: String,
    pub(super) rack: String,
    pub(super) region: String,
    pub(super) ask_kubernetes: bool,
    pub(super) node_labels: NodeLabels,
    pub(super) listen: Option<HostPort>,
    pub(super) advertise: Option<HostPort>,
    pub(super) file_membership: bool,
    pub(super) peers: Option<PathBuf>,
    pub(super) zookeeper: ZooKeeper,
    pub(super) auth: Auth,
    pub(super) max_peers: usize,
    pub(super) sinks: Vec<Sink>,
    pub(super) kafka: Kafka,
    pub(super) kinds: Vec<ProbeKind>,
    pub(super) interval: PerKind,
    pub(super) timeout: PerKind,
    pub(super) grpc_tls: TlsConfig,
    pub(super) tcp_method: TcpMethod,
    pub(super) icmp_payload_bytes: u16,
    pub(super) source_ports: u16,
    pub(super) source_port_range: Option<(u16, u16)>,
    pub(super) window: Duration,
    pub(super) max_rate: u32,
    pub(super) card_stamps: CardStamps,
    pub(super) scheduling: Scheduling,
    pub(super) sandbox: Sandbox,
    pub(super) http: Option<HostPort>,
    pub(super) metrics_peers: bool,
    pub(super) log: Log,
    pub(super) features_off: Vec<String>,
}

/// What the login to ZooKeeper is made of.
#[derive(Debug, Default)]
pub(super) struct Auth {
    pub(super) given: Option<Credential>,
    pub(super) file: Option<PathBuf>,
    pub(super) scheme: Scheme,
}

impl Auth {
    fn login(self) -> Option<Login> {
        let source = match self.file {
            Some(file) => Source::File(file),
            None => Source::Given(self.given?),
        };
        Some(Login {
            scheme: self.scheme,
            source,
        })
    }
}

/// A duration for each probe kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PerKind {
    pub(super) icmp: Duration,
    pub(super) tcp: Duration,
    pub(super) grpc: Duration,
}

impl PerKind {
    /// The same for every kind.
    pub(super) fn all(duration: Duration) -> PerKind {
        PerKind {
            icmp: duration,
            tcp: duration,
            grpc: duration,
        }
    }

    fn of(self, kind: ProbeKind) -> Duration {
        match kind {
            ProbeKind::Icmp => self.icmp,
            ProbeKind::Tcp => self.tcp,
            ProbeKind::Grpc => self.grpc,
        }
    }
}

/// The port of the Go original, registered and listened on where nothing else is said.
pub(super) const ORIGINAL_PORT: u16 = 4000;

impl Draft {
    /// The finished configuration.
    pub(super) fn finish(self) -> AgentConfig {
        let timing = |kind: ProbeKind| {
            let on = self.kinds.contains(&kind);
            on.then(|| Timing {
                interval: self.interval.of(kind),
                timeout: self.timeout.of(kind),
            })
        };
        AgentConfig {
            icmp: timing(ProbeKind::Icmp),
            tcp: timing(ProbeKind::Tcp),
            grpc: timing(ProbeKind::Grpc),
            node: self.node,
            cluster: self.cluster,
            zone: self.zone,
            rack: self.rack,
            region: self.region,
            node_labels: self.ask_kubernetes.then_some(self.node_labels),
            listen: self.listen,
            advertise: self
                .advertise
                .unwrap_or_else(|| HostPort::new("localhost", ORIGINAL_PORT)),
            membership: match (self.file_membership, self.peers) {
                (true, Some(path)) => Membership::File(path),
                _ => Membership::ZooKeeper(ZooKeeper {
                    login: self.auth.login(),
                    ..self.zookeeper
                }),
            },
            max_peers: self.max_peers,
            sinks: self.sinks,
            kafka: self.kafka,
            grpc_tls: self.grpc_tls,
            tcp_method: self.tcp_method,
            icmp_payload_bytes: self.icmp_payload_bytes,
            source_ports: self.source_ports,
            source_port_range: self.source_port_range,
            window: self.window,
            max_rate: self.max_rate,
            card_stamps: self.card_stamps,
            scheduling: self.scheduling,
            sandbox: self.sandbox,
            http: self.http,
            metrics_peers: self.metrics_peers,
            log: self.log,
            features_off: self.features_off,
        }
    }
}
