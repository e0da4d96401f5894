//! The validated configuration of an agent: plain data, every value already checked against its accepted range.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use dt_kernel::CardStamps;
use dt_kernel::sandbox::Sandbox;
use dt_kernel::thread::Scheduling;
use dt_membership::Registration;
use dt_membership::zookeeper::{Access, Login, ZooKeeperConfig};
use dt_probe::ProbeKind;
use dt_rpc::TlsConfig;

use super::host_port::HostPort;
use super::networks::AllowedNetworks;

/// Everything one agent needs to know before it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentConfig {
    /// This node's name: not empty, without `|` and control characters.
    pub node: String,
    /// Name of the cluster, as it stands in the records; may be empty.
    pub cluster: String,
    /// The zone this node stands in; may be empty.
    pub zone: String,
    /// The rack this node stands in; may be empty.
    pub rack: String,
    /// The region this node stands in; may be empty.
    pub region: String,
    /// The labels in Kubernetes that say what isn't set of these; `None` where Kubernetes isn't asked.
    pub node_labels: Option<NodeLabels>,
    /// Where gRPC is answered and TCP probes of others arrive; `None` where nothing is answered. Port 0 lets the kernel choose.
    pub listen: Option<HostPort>,
    /// The address registered for others. Its port is 0 only where it was derived from a `listen` port of 0:
    /// then the port that was bound takes its place.
    pub advertise: HostPort,
    /// Where the other nodes are found.
    pub membership: Membership,
    /// At most this many peers of a ZooKeeper membership are probed; at least 1.
    pub max_peers: usize,
    /// Where summary records go; at least one, no two alike.
    pub sinks: Vec<Sink>,
    /// What the Kafka sink needs; read only where `sinks` holds [`Sink::Kafka`].
    pub kafka: Kafka,
    /// ICMP probes; `None` where the kind is off.
    pub icmp: Option<Timing>,
    /// TCP probes; `None` where the kind is off.
    pub tcp: Option<Timing>,
    /// gRPC pings; `None` where the kind is off.
    pub grpc: Option<Timing>,
    /// TLS of gRPC: both of what is answered and of pings.
    pub grpc_tls: TlsConfig,
    /// How TCP probes are made.
    pub tcp_method: TcpMethod,
    /// Payload of an echo request in bytes, 16..=1452.
    pub icmp_payload_bytes: u16,
    /// How many source ports TCP probes rotate over, 1..=1024.
    pub source_ports: u16,
    /// First and last port of the range the source ports are taken from; `None` lets the agent search.
    pub source_port_range: Option<(u16, u16)>,
    /// The aggregation interval: 1 s to 1 h, whole milliseconds, a divisor of a day.
    pub window: Duration,
    /// Cap on the probes of this node, all kinds together, in probes per second; at least 1.
    pub max_rate: u32,
    /// Whether time stamps of the network card are used.
    pub card_stamps: CardStamps,
    /// What the probe thread asks of the scheduler.
    pub scheduling: Scheduling,
    /// What is given up once the sockets are open.
    pub sandbox: Sandbox,
    /// Where metrics and health are served; `None` where that is turned off. Port 0 lets the kernel choose.
    pub http: Option<HostPort>,
    /// Whether the metrics show each peer.
    pub metrics_peers: bool,
    /// What is logged, and in which form.
    pub log: Log,
    /// Kernel features that must not be used although the kernel has them (a hidden switch, for tests).
    pub features_off: Vec<String>,
}

impl AgentConfig {
    /// The timing of `kind`; `None` where the kind is off.
    #[must_use]
    pub fn timing(&self, kind: ProbeKind) -> Option<Timing> {
        match kind {
            ProbeKind::Icmp => self.icmp,
            ProbeKind::Tcp => self.tcp,
            ProbeKind::Grpc => self.grpc,
        }
    }

    /// Whether peers have to answer PingNode once before they are probed.
    #[must_use]
    pub fn verifies(&self) -> bool {
        matches!(&self.membership, Membership::ZooKeeper(zookeeper) if zookeeper.verify_members)
    }

    /// Takes over where this node stands.
    pub(crate) fn stands(&mut self, labels: &dt_membership::Labels) {
        self.zone = labels.zone.to_string();
        self.rack = labels.rack.to_string();
        self.region = labels.region.to_string();
    }

    /// The kinds that are on, with their timing, in the order of [`ProbeKind::ALL`].
    pub fn probes(&self) -> impl Iterator<Item = (ProbeKind, Timing)> + '_ {
        ProbeKind::ALL
            .iter()
            .filter_map(|&kind| Some((kind, self.timing(kind)?)))
    }
}

/// Names of labels of a Node object; empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeLabels {
    /// Says the zone.
    pub zone: String,
    /// Says the rack.
    pub rack: String,
    /// Says the region.
    pub region: String,
}

/// How often a peer is probed in one way, and how long an answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From one probe of a peer to the next, 10 ms to 1 h.
    pub interval: Duration,
    /// From the probe to the moment it counts as lost, 1 ms to 60 s.
    pub timeout: Duration,
}

/// Where the other nodes are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Ephemeral members of a ZooKeeper ensemble.
    ZooKeeper(ZooKeeper),
    /// A peers file, re-read when it changes.
    File(PathBuf),
}

/// How the ensemble is reached and where the members live in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZooKeeper {
    /// `host:port`, comma-separated, perhaps followed by `/chroot`.
    pub servers: String,
    /// Path of the root, without slashes at its ends; may have several segments.
    pub root: String,
    /// Path of the members below the root, without slashes at its ends; may have several segments.
    pub heart_beat: String,
    /// The session timeout asked for, 1 s to 10 min. The server may grant another.
    pub session_timeout: Duration,
    /// How sessions are authenticated; `None`: not at all.
    pub login: Option<Login>,
    /// Who may do what with the nodes that the agent creates; all but [`Access::Open`] only with a login.
    pub access: Access,
    /// Whether nodes that are there already get such rights.
    pub repair: bool,
    /// Where members may be probed.
    pub allowed_networks: AllowedNetworks,
    /// Whether a member is probed only once it has answered a ping.
    pub verify_members: bool,
}

impl ZooKeeper {
    /// For whoever joins as `own`.
    #[must_use]
    pub fn joined_by(&self, own: Registration) -> ZooKeeperConfig {
        ZooKeeperConfig {
            servers: self.servers.clone(),
            root: self.root.clone(),
            heart_beat: self.heart_beat.clone(),
            session_timeout: self.session_timeout,
            login: self.login.clone(),
            access: self.access,
            repair: self.repair,
            own,
        }
    }
}

/// Where summary records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// The Kafka topics.
    Kafka,
    /// One JSON object a line on standard output.
    Stdout,
    /// One JSON object a line, appended to this file.
    File(PathBuf),
}

/// What the Kafka sink needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kafka {
    /// Brokers, `host:port`, comma-separated.
    pub bootstrap: String,
    /// Topic of the TraceReports, one per gRPC ping.
    pub topic: String,
    /// Topic of the summary records.
    pub summary_topic: String,
    /// The `client.id`.
    pub client_id: String,
    /// How the value of a summary record is written.
    pub encoding: Encoding,
    /// Whether records carry `bucket_ns` and `bucket_count`.
    pub buckets: bool,
    /// Whether TraceReports are produced.
    pub trace_reports: bool,
    /// Partitions of the summary topic where the agent creates it, 1..=10000.
    pub partitions: u32,
    /// Further options of the client (librdkafka's names), passed through.
    pub options: BTreeMap<String, String>,
    /// Where more of them stand.
    pub options_file: Option<PathBuf>,
    /// What stood there when the configuration was read.
    pub options_of_file: BTreeMap<String, String>,
    /// Where the agent leaves what was not delivered when it ends.
    pub spool: Option<PathBuf>,
}

impl Kafka {
    /// All options; the file's win.
    #[must_use]
    pub fn all_options(&self) -> BTreeMap<String, String> {
        let mut options = self.options.clone();
        options.extend(self.options_of_file.clone());
        options
    }
}

/// How the value of a summary record is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// One JSON object.
    #[default]
    Json,
    /// The message of `proto/summary.proto`.
    Protobuf,
}

/// How TCP probes are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TcpMethod {
    /// [`TcpMethod::Syn`] where raw sockets are permitted, else [`TcpMethod::Connect`].
    #[default]
    Auto,
    /// A raw, half-open SYN; without the right to raw sockets TCP isn't measured.
    Syn,
    /// A full handshake by `connect()`.
    Connect,
}

/// What is logged, and in which form. Logs go to standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Directives: a level, or `target=level` parts, comma-separated.
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
