//! The table of keys. A key added here has its flag, its variable, its help and its row in the documentation.

use std::path::PathBuf;
use std::time::Duration;

use super::draft::PerKind;
use super::key::{Convert, Key, Kind, Original};
use super::networks;
use super::parse;

const LABEL: &str = "at most 255 bytes without control characters";
const INTERVAL: &str = "10ms to 1h, with a unit";
const TIMEOUT: &str = "1ms to 60s, with a unit";
const NODE_LABEL: &str = "NAME or PREFIX/NAME of a-z A-Z 0-9 - _ ., at most 317 bytes; empty for none";
const SWITCH: &str = "true or false";

/// What most rows share; a row names what it changes.
const KEY: Key = Key {
    path: "",
    value: "TEXT",
    default: "",
    accepted: "",
    help: "",
    why: "",
    hidden: false,
    secret: false,
    kind: Kind::Text(|_, _| Ok(())),
};

/// Every key, in the order of the documentation. `interval` and `timeout` stand before the kinds' own, so that within
/// one layer the kind's own wins.
pub static KEYS: &[Key] = &[
    Key {
        path: "node",
        value: "NAME",
        accepted: "1 to 255 bytes without control characters and '|'",
        help: "This node's name, unique in the cluster; the host name where nothing is set",
        why: "Host names are unique in most clusters, and what an operator looks for in a record.",
        kind: Kind::Text(|d, v| put(&mut d.node, parse::node(v))),
        ..KEY
    },
    Key {
        path: "cluster",
        value: "NAME",
        accepted: LABEL,
        help: "Name of the cluster, as it stands in the records",
        why: "Needed only where several clusters share one topic. What reads the topic (`dt collect`, `dt diagnose`, `dt records`, `dt top`) \
              then reads the records of this one.",
        kind: Kind::Text(|d, v| put(&mut d.cluster, parse::label(v))),
        ..KEY
    },
    Key {
        path: "zone",
        value: "NAME",
        accepted: LABEL,
        help: "The zone this node stands in",
        why: "Nothing on a host says it reliably.",
        kind: Kind::Text(|d, v| put(&mut d.zone, parse::label(v))),
        ..KEY
    },
    Key {
        path: "rack",
        value: "NAME",
        accepted: LABEL,
        help: "The rack this node stands in",
        why: "Nothing on a host says it reliably.",
        kind: Kind::Text(|d, v| put(&mut d.rack, parse::label(v))),
        ..KEY
    },
    Key {
        path: "region",
        value: "NAME",
        accepted: LABEL,
        help: "The region this node stands in",
        why: "Nothing on a host says it reliably.",
        kind: Kind::Text(|d, v| put(&mut d.region, parse::label(v))),
        ..KEY
    },
    Key {
        path: "kubernetes.node_labels",
        value: "BOOL",
        default: "false",
        accepted: SWITCH,
        help: "Take zone, rack and region, where they are not set, from the labels of this node's Node object in Kubernetes",
        why: "Elsewhere there is nobody to ask; the Helm chart turns it on. The Node's name has to be that of `node`.",
        kind: Kind::Bare(|d, v| put(&mut d.ask_kubernetes, parse::switch(v))),
        ..KEY
    },
    Key {
        path: "kubernetes.zone_label",
        value: "LABEL",
        default: "topology.kubernetes.io/zone",
        accepted: NODE_LABEL,
        help: "The label that says the zone",
        why: "Kubernetes' own; every cloud sets it.",
        kind: Kind::Text(|d, v| put(&mut d.node_labels.zone, parse::node_label(v))),
        ..KEY
    },
    Key {
        path: "kubernetes.rack_label",
        value: "LABEL",
        default: "topology.kubernetes.io/rack",
        accepted: NODE_LABEL,
        help: "The label that says the rack",
        why: "Kubernetes has none of its own; this one is in wide use on bare metal.",
        kind: Kind::Text(|d, v| put(&mut d.node_labels.rack, parse::node_label(v))),
        ..KEY
    },
    Key {
        path: "kubernetes.region_label",
        value: "LABEL",
        default: "topology.kubernetes.io/region",
        accepted: NODE_LABEL,
        help: "The label that says the region",
        why: "Kubernetes' own; every cloud sets it.",
        kind: Kind::Text(|d, v| put(&mut d.node_labels.region, parse::node_label(v))),
        ..KEY
    },
    Key {
        path: "listen",
        value: "HOST:PORT",
        default: "localhost:4000",
        accepted: "HOST:PORT or [V6]:PORT; port 0 lets the kernel choose; or off, with a peers file",
        help: "Where gRPC is answered and TCP probes of others arrive",
        why: "The Go original's.",
        kind: Kind::Text(|d, v| put(&mut d.listen, parse::listen(v))),
        ..KEY
    },
    Key {
        path: "advertise",
        value: "HOST:PORT",
        default: "localhost:4000",
        accepted: "HOST:PORT or [V6]:PORT with a port from 1 to 65535",
        help: "The address registered for others; follows `listen` where only that is set (but not by the original's \
               variables)",
        why: "The Go original's. An agent told where to listen is most often reached there.",
        kind: Kind::Text(|d, v| put(&mut d.advertise, parse::reachable(v).map(Some))),
        ..KEY
    },
    Key {
        path: "membership",
        value: "WHERE",
        default: "zookeeper",
        accepted: "zookeeper or file",
        help: "Where the other nodes are found; `file` where only `peers` is set",
        why: "The Go original's. Whoever names a peers file wants it read.",
        kind: Kind::Text(|d, v| {
            d.file_membership = match v {
                "zookeeper" => false,
                "file" => true,
                _ => return Err("unknown membership".to_owned()),
            };
            Ok(())
        }),
        ..KEY
    },
    Key {
        path: "peers",
        value: "FILE",
        accepted: "the path of a TOML file of [[peer]] entries",
        help: "The peers file of `membership = \"file\"`, re-read when it changes",
        kind: Kind::Text(|d, v| {
            d.peers = (!v.is_empty()).then(|| PathBuf::from(v));
            Ok(())
        }),
        ..KEY
    },
    Key {
        path: "max_peers",
        value: "N",
        default: "250",
        accepted: "1 to 100000",
        help: "At most this many peers of a ZooKeeper membership are probed; all peers of a peers file are",
        why: "At one ICMP and one TCP probe per second they are 500 probes/s, about 1 % of one core.",
        kind: Kind::Bare(|d, v| put(&mut d.max_peers, parse::number(v, 1, 100_000))),
        ..KEY
    },
    Key {
        path: "probe",
        value: "KINDS",
        default: "icmp,tcp,grpc",
        accepted: "one or more of icmp, tcp, grpc",
        help: "The kinds of probes that are sent",
        why: "ICMP shows the network, TCP the path of connections, gRPC what the Go original shows.",
        kind: Kind::List(|d, v| put(&mut d.kinds, parse::kinds(v))),
        ..KEY
    },
    Key {
        path: "interval",
        value: "DURATION",
        accepted: INTERVAL,
        help: "From one probe of a peer to the next, for every kind of probe; a kind's own wins only where it is set in \
               the same layer or a higher one",
        kind: Kind::Text(|d, v| {
            if v.is_empty() {
                Ok(())
            } else {
                put(&mut d.interval, parse::interval(v).map(PerKind::all))
            }
        }),
        ..KEY
    },
    Key {
        path: "timeout",
        value: "DURATION",
        accepted: TIMEOUT,
        help: "How long an answer may take, for every kind of probe; a kind's own wins only where it is set in the same \
               layer or a higher one",
        kind: Kind::Text(|d, v| {
            if v.is_empty() {
                Ok(())
            } else {
                put(&mut d.timeout, parse::timeout(v).map(PerKind::all))
            }
        }),
        ..KEY
    },
    Key {
        path: "icmp.interval",
        value: "DURATION",
        default: "1s",
        accepted: INTERVAL,
        help: "From one ICMP probe of a peer to the next",
        why: "Ten samples per window and peer; a fault is seen within seconds.",
        kind: Kind::Text(|d, v| put(&mut d.interval.icmp, parse::interval(v))),
        ..KEY
    },
    Key {
        path: "icmp.timeout",
        value: "DURATION",
        default: "1s",
        accepted: TIMEOUT,
        help: "How long an ICMP answer may take before it counts as lost",
        why: "Longer than any path inside a region and most between continents.",
        kind: Kind::Text(|d, v| put(&mut d.timeout.icmp, parse::timeout(v))),
        ..KEY
    },
    Key {
        path: "icmp.payload_bytes",
        value: "N",
        default: "56",
        accepted: "16 to 1452",
        help: "Payload of an echo request in bytes",
        why: "That of ping. At most what fits one IPv6 packet of 1500 bytes; at least the probe's sequence and cookie.",
        kind: Kind::Bare(|d, v| put(&mut d.icmp_payload_bytes, parse::number(v, 16, 1452))),
        ..KEY
    },
    Key {
        path: "tcp.interval",
        value: "DURATION",
        default: "1s",
        accepted: INTERVAL,
        help: "From one TCP probe of a peer to the next",
        why: "As ICMP, so that the two compare.",
        kind: Kind::Text(|d, v| put(&mut d.interval.tcp, parse::interval(v))),
        ..KEY
    },
    Key {
        path: "tcp.timeout",
        value: "DURATION",
        default: "1s",
        accepted: TIMEOUT,
        help: "How long a TCP answer may take before it counts as lost",
        why: "As ICMP; it also ends a connect before its first SYN is sent again.",
        kind: Kind::Text(|d, v| put(&mut d.timeout.tcp, parse::timeout(v))),
        ..KEY
    },
    Key {
        path: "method",
        value: "HOW",
        default: "auto",
        accepted: "auto, syn or connect",
        help: "How TCP is probed: `syn` (raw, half-open), `connect` (full handshake), `auto` (syn where raw sockets are \
               permitted, else connect)",
        why: "A raw SYN costs a third of a connect and sees the loss of each packet.",
        kind: Kind::Text(|d, v| put(&mut d.tcp_method, parse::tcp_method(v))),
        ..KEY
    },
    Key {
        path: "source_ports",
        value: "N",
        default: "64",
        accepted: "1 to 1024",
        help: "How many source ports TCP probes rotate over, each another path where the network balances by flow",
        why: "Covers the 8 to 32 parallel paths of usual fabrics several times over.",
        kind: Kind::Bare(|d, v| put(&mut d.source_ports, parse::number(v, 1, 1024))),
        ..KEY
    },
    Key {
        path: "source_port_range",
        value: "FIRST-LAST",
        accepted: "FIRST-LAST with ports from 1024 to 65535, or nothing to let the agent search",
        help: "Where the source ports of TCP probes are taken from",
        why: "The agent finds a block outside of the range the kernel gives out by itself.",
        kind: Kind::Text(|d, v| put(&mut d.source_port_range, parse::port_range(v))),
        ..KEY
    },
    Key {
        path: "grpc.interval",
        value: "DURATION",
        default: "10s",
        accepted: INTERVAL,
        help: "From one gRPC ping of a peer to the next",
        why: "The Go original's.",
        kind: Kind::Text(|d, v| put(&mut d.interval.grpc, parse::interval(v))),
        ..KEY
    },
    Key {
        path: "grpc.timeout",
        value: "DURATION",
        default: "5s",
        accepted: TIMEOUT,
        help: "How long a gRPC ping may take before it counts as lost",
        why: "The Go original's.",
        kind: Kind::Text(|d, v| put(&mut d.timeout.grpc, parse::timeout(v))),
        ..KEY
    },
    Key {
        path: "grpc.tls",
        value: "HOW",
        default: "off",
        accepted: "off, accept, use or require",
        help: "TLS of gRPC: none; answering TLS and cleartext, pinging in cleartext; answering both, pinging by TLS (agents \
               of the Go original in cleartext); or TLS alone, both ways",
        why: "The Go original speaks cleartext. A running mesh takes the steps in this order, each node by node.",
        kind: Kind::Text(|d, v| put(&mut d.grpc_tls.mode, v.parse())),
        ..KEY
    },
    Key {
        path: "grpc.tls_certificate",
        value: "FILE",
        accepted: "the path of a PEM file with this node's certificate, then those between it and an authority",
        help: "What this node shows to those it pings and to those who ping it; read again when it changes",
        kind: Kind::Text(|d, v| put(&mut d.grpc_tls.certificate, Ok(v.into()))),
        ..KEY
    },
    Key {
        path: "grpc.tls_key",
        value: "FILE",
        accepted: "the path of a PEM file with one private key, not encrypted",
        help: "The private key of that certificate; read again when it changes",
        kind: Kind::Text(|d, v| put(&mut d.grpc_tls.key, Ok(v.into()))),
        ..KEY
    },
    Key {
        path: "grpc.tls_authorities",
        value: "FILE",
        accepted: "the path of a PEM file with certificates of authorities",
        help: "Whose certificates are believed, of those who are pinged and of those who ping; read again when it changes",
        kind: Kind::Text(|d, v| put(&mut d.grpc_tls.authorities, Ok(v.into()))),
        ..KEY
    },
    Key {
        path: "grpc.tls_verify_clients",
        value: "BOOL",
        default: "true",
        accepted: SWITCH,
        help: "Whether those who ping by TLS have to show a certificate of these authorities",
        why: "Every agent has one.",
        kind: Kind::Bare(|d, v| put(&mut d.grpc_tls.verify_clients, parse::switch(v))),
        ..KEY
    },
    Key {
        path: "grpc.tls_name",
        value: "NAME",
        accepted: "a DNS name or an IP address; nothing for the address that each peer registered",
        help: "The name that the certificates of those who are pinged have to bear",
        why: "A certificate usually names its host. Where hosts come and go by address, all agents may share a name instead.",
        kind: Kind::Text(|d, v| put(&mut d.grpc_tls.name, parse::tls_name(v))),
        ..KEY
    },
    Key {
        path: "window",
        value: "DURATION",
        default: "10s",
        accepted: "1s to 1h, with a unit, in whole milliseconds, and a day must be a multiple of it (1s, 2s, 5s, 10s, 30s, \
                   1m, 5m, 1h)",
        help: "The aggregation interval: one record per peer, kind of probe and window, aligned to UTC",
        why: "Enough samples for a percentile, soon enough to act on.",
        kind: Kind::Text(|d, v| put(&mut d.window, parse::window(v))),
        ..KEY
    },
    Key {
        path: "max_rate",
        value: "N",
        default: "2000",
        accepted: "1 to 1000000 probes per second",
        help: "Cap on this node's probes per second, all kinds together; where more would be due, the intervals stretch",
        why: "About 3 % of one core; a mistaken interval can't become a flood.",
        kind: Kind::Bare(|d, v| put(&mut d.max_rate, parse::number(v, 1, 1_000_000))),
        ..KEY
    },
    Key {
        path: "hardware_timestamps",
        value: "WHETHER",
        default: "use",
        accepted: "off, use or configure",
        help: "Whether time stamps of the network card are used: not at all, where the card is set to stamp every packet \
               already, or with a card that can being set to it (which lasts, and needs the capability CAP_NET_ADMIN)",
        why: "A card's state is the whole host's, and other programs may depend on it: it is changed only when asked for.",
        kind: Kind::Text(|d, v| put(&mut d.card_stamps, v.parse())),
        ..KEY
    },
    Key {
        path: "probe_thread.realtime_priority",
        value: "N",
        default: "0",
        accepted: "0 (none) to 49; the kernel's interrupt threads run at 50",
        help: "Real-time priority (SCHED_FIFO) of the thread that sends and receives probes; without the right to it the agent \
               says so and goes on",
        why: "The kernel stamps the packets, so a late thread makes no wrong figures; and what a prober does is seldom more \
              urgent than what the node is there for.",
        kind: Kind::Bare(|d, v| {
            let priority = parse::number(v, 0, dt_kernel::thread::HIGHEST_PRIORITY);
            put(&mut d.scheduling.realtime_priority, priority)
        }),
        ..KEY
    },
    Key {
        path: "probe_thread.cpus",
        value: "LIST",
        accepted: "processors as in 0-3,8, or nothing for all that the process may use",
        help: "The processors that the thread which sends and receives probes may run on",
        why: "The kernel knows best which one is free.",
        kind: Kind::Text(|d, v| put(&mut d.scheduling.cpus, v.parse())),
        ..KEY
    },
    Key {
        path: "sandbox",
        value: "HOW",
        default: "full",
        accepted: "off, rights or full",
        help: "What the agent gives up once its sockets are open: nothing, all capabilities and the gain of new ones, or \
               these and every system call that it doesn't use",
        why: "It needs nothing of it any more. What a kernel refuses is logged and gone without; `rights` or `off` is for \
              kernels and debuggers that don't get on with the filter.",
        kind: Kind::Text(|d, v| put(&mut d.sandbox, v.parse())),
        ..KEY
    },
    Key {
        path: "sink",
        value: "SINK",
        default: "kafka",
        accepted: "one or more of kafka, stdout, file:PATH, none of them twice",
        help: "Where summary records go",
        why: "The Go original's.",
        kind: Kind::List(|d, v| put(&mut d.sinks, parse::sinks(v))),
        ..KEY
    },
    Key {
        path: "http",
        value: "HOST:PORT",
        default: "0.0.0.0:9464",
        accepted: "HOST:PORT or [V6]:PORT, or off; port 0 lets the kernel choose",
        help: "Where /livez, /readyz, /metrics and /peers are served",
        why: "The port exporters of this kind usually take; a scraper comes from another host.",
        kind: Kind::Text(|d, v| put(&mut d.http, parse::http(v))),
        ..KEY
    },
    Key {
        path: "metrics.peers",
        value: "BOOL",
        default: "false",
        accepted: SWITCH,
        help: "Whether /metrics shows each peer, with its fates and a histogram of its delays",
        why: "Some 18 series for each peer and kind of probe: 9,000 an agent for 250 peers, and so millions in a large cluster. \
              A collector shows zones and nodes instead, and the records hold every pair.",
        kind: Kind::Bare(|d, v| put(&mut d.metrics_peers, parse::switch(v))),
        ..KEY
    },
    Key {
        path: "zookeeper.servers",
        value: "HOST:PORT,...",
        default: "localhost:2181",
        accepted: "HOST[:PORT], comma-separated, perhaps with /CHROOT at the end; the port is 2181 where none is given",
        help: "The ZooKeeper servers",
        why: "The Go original's.",
        kind: Kind::Text(|d, v| put(&mut d.zookeeper.servers, parse::zookeeper_servers(v))),
        ..KEY
    },
    Key {
        path: "zookeeper.root",
        value: "PATH",
        default: "distributed_trace",
        accepted: "one or more segments separated by '/'",
        help: "The root below which everything of this cluster lives in ZooKeeper",
        why: "The Go original's.",
        kind: Kind::Text(|d, v| put(&mut d.zookeeper.root, parse::znode_path(v))),
        ..KEY
    },
    Key {
        path: "zookeeper.heart_beat",
        value: "PATH",
        default: "heart_beat_nodes",
        accepted: "one or more segments separated by '/', not below `control`",
        help: "Where the members live below the root",
        why: "The Go original's.",
        kind: Kind::Text(|d, v| put(&mut d.zookeeper.heart_beat, parse::heart_beat(v))),
        ..KEY
    },
    Key {
        path: "zookeeper.session_timeout",
        value: "DURATION",
        default: "10s",
        accepted: "1s to 10m, with a unit (in CONN_TIMEOUT a bare number of seconds)",
        help: "The ZooKeeper session timeout asked for: how soon a dead node disappears",
        why: "The Go original's.",
        kind: Kind::Text(|d, v| {
            let bounds = (Duration::from_secs(1), Duration::from_secs(600));
            put(&mut d.zookeeper.session_timeout, parse::between(v, bounds.0, bounds.1))
        }),
        ..KEY
    },
    Key {
        path: "zookeeper.allowed_networks",
        value: "NETWORKS",
        default: "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fc00::/7,127.0.0.0/8,::1/128,own",
        accepted: "one or more of NETWORK/PREFIX, ADDRESS and own (the networks of this node's interfaces); link-local \
                   addresses are refused whatever is allowed",
        help: "Where members found through ZooKeeper may be probed; those elsewhere are not. Names are judged by what they \
               resolve to; a peers file is never judged",
        why: "Private networks. Whoever may write to ZooKeeper could else have every node probe any host of the Internet; \
              nodes with public addresses need theirs here.",
        kind: Kind::List(|d, v| put(&mut d.zookeeper.allowed_networks, networks::parse(v))),
        ..KEY
    },
    Key {
        path: "zookeeper.verify_members",
        value: "BOOL",
        default: "true",
        accepted: SWITCH,
        help: "Whether a member found through ZooKeeper is probed only once it has answered PingNode; until then it is \
               asked once in 10 s",
        why: "An address that somebody wrote into ZooKeeper need not be an agent's.",
        kind: Kind::Bare(|d, v| put(&mut d.zookeeper.verify_members, parse::switch(v))),
        ..KEY
    },
    Key {
        path: "zookeeper.auth",
        value: "USER:PASSWORD",
        accepted: "USER:PASSWORD without control characters",
        help: "What this agent's ZooKeeper sessions are authenticated by. A flag is seen by everybody on the host: use the \
               variable or `zookeeper.auth_file`",
        secret: true,
        kind: Kind::Text(|d, v| put(&mut d.auth.given, parse::optional(v, str::parse))),
        ..KEY
    },
    Key {
        path: "zookeeper.auth_file",
        value: "FILE",
        accepted: "the path of a file with USER:PASSWORD and nothing else",
        help: "The same from a file; read again for each session, and when the servers deny what was in it",
        kind: Kind::Text(|d, v| put(&mut d.auth.file, parse::optional(v, |v| Ok(v.into())))),
        ..KEY
    },
    Key {
        path: "zookeeper.auth_scheme",
        value: "SCHEME",
        default: "digest",
        accepted: "digest or sasl",
        help: "How it is shown: ZooKeeper's own `digest`, by which the password crosses the network; or SASL DIGEST-MD5, by \
               which it doesn't",
        why: "Every server has it; for SASL the servers have to know the user.",
        kind: Kind::Text(|d, v| put(&mut d.auth.scheme, v.parse())),
        ..KEY
    },
    Key {
        path: "zookeeper.acl",
        value: "WHO",
        default: "open",
        accepted: "open, read or private; but for open with zookeeper.auth or zookeeper.auth_file",
        help: "Who may use the nodes that this agent creates: anyone; anyone to read and to join, and who has the credential \
               to change and remove; or only who has it",
        why: "The Go original's. Agents of it go on with `read`, not with `private`.",
        kind: Kind::Text(|d, v| put(&mut d.zookeeper.access, v.parse())),
        ..KEY
    },
    Key {
        path: "zookeeper.acl_repair",
        value: "BOOL",
        default: "false",
        accepted: SWITCH,
        help: "Whether nodes that are there already, from the root on, get the rights that `zookeeper.acl` gives to new ones; \
               rights of others than anyone are kept",
        why: "They may be somebody else's. What is found is logged.",
        kind: Kind::Bare(|d, v| put(&mut d.zookeeper.repair, parse::switch(v))),
        ..KEY
    },
    Key {
        path: "kafka.bootstrap",
        value: "HOST:PORT,...",
        default: "localhost:9092",
        accepted: "HOST[:PORT], comma-separated; the port is 9092 where none is given",
        help: "The Kafka brokers to start from",
        why: "The Go original's.",
        kind: Kind::Text(|d, v| put(&mut d.kafka.bootstrap, parse::servers(v, 9092))),
        ..KEY
    },
    Key {
        path: "kafka.topic",
        value: "TOPIC",
        default: "distributedTrace",
        accepted: "1 to 249 of the characters a-z A-Z 0-9 . _ -",
        help: "Topic of the TraceReports, one per gRPC ping",
        why: "The Go original's.",
        kind: Kind::Text(|d, v| put(&mut d.kafka.topic, parse::topic(v))),
        ..KEY
    },
    Key {
        path: "kafka.summary_topic",
        value: "TOPIC",
        default: "distributedTrace.summaries",
        accepted: "1 to 249 of the characters a-z A-Z 0-9 . _ -, and not that of the TraceReports",
        help: "Topic of the summary records",
        why: "Beside the Go original's topic, whose consumers don't know these records.",
        kind: Kind::Text(|d, v| put(&mut d.kafka.summary_topic, parse::topic(v))),
        ..KEY
    },
    Key {
        path: "kafka.client_id",
        value: "NAME",
        default: "distributed_trace_grp",
        accepted: "1 to 255 bytes without control characters",
        help: "The client.id the brokers see",
        why: "The Go original's producer group; quotas and broker logs go by it.",
        kind: Kind::Text(|d, v| put(&mut d.kafka.client_id, parse::name(v))),
        ..KEY
    },
    Key {
        path: "kafka.encoding",
        value: "FORM",
        default: "json",
        accepted: "json or protobuf",
        help: "How the value of a summary record is written",
        why: "Every consumer reads JSON; Protobuf is smaller.",
        kind: Kind::Text(|d, v| put(&mut d.kafka.encoding, parse::encoding(v))),
        ..KEY
    },
    Key {
        path: "kafka.buckets",
        value: "BOOL",
        default: "true",
        accepted: SWITCH,
        help: "Whether records carry bucket_ns and bucket_count",
        why: "SQL engines merge them without a library.",
        kind: Kind::Bare(|d, v| put(&mut d.kafka.buckets, parse::switch(v))),
        ..KEY
    },
    Key {
        path: "kafka.trace_reports",
        value: "BOOL",
        default: "true",
        accepted: SWITCH,
        help: "Whether a TraceReport is produced for each gRPC ping",
        why: "What the Go original's consumers read.",
        kind: Kind::Bare(|d, v| put(&mut d.kafka.trace_reports, parse::switch(v))),
        ..KEY
    },
    Key {
        path: "kafka.partitions",
        value: "N",
        default: "12",
        accepted: "1 to 10000",
        help: "Partitions of the summary topic where the agent creates it",
        why: "Divides evenly among 2, 3, 4, 6 or 12 consumers.",
        kind: Kind::Bare(|d, v| put(&mut d.kafka.partitions, parse::number(v, 1, 10_000))),
        ..KEY
    },
    Key {
        path: "kafka.options",
        value: "NAME=VALUE",
        accepted: "options of librdkafka as NAME=VALUE, as far as this build supports them, but none that the agent sets itself",
        help: "Further options of the Kafka client, for instance security.protocol; layers add to one another",
        kind: Kind::Map(|d, v| {
            for (name, value) in v {
                dt_sink::kafka::check_option(name, value)?;
                d.kafka.options.insert(name.clone(), value.clone());
            }
            Ok(())
        }),
        ..KEY
    },
    Key {
        path: "kafka.options_file",
        value: "FILE",
        accepted: "the path of a file of NAME=VALUE lines with such options; '#' begins a comment",
        help: "More of them, as passwords, from a file; they win. The agent takes a change of it over, and of the files with \
               certificates and keys that options name",
        kind: Kind::Text(|d, v| {
            d.kafka.options_file = (!v.is_empty()).then(|| PathBuf::from(v));
            Ok(())
        }),
        ..KEY
    },
    Key {
        path: "kafka.spool",
        value: "FOLDER",
        accepted: "the path of a folder that is there, and that the agent may write to",
        help: "Where the agent leaves, at its end, what Kafka has not got, for its next start to send; at most 64 MiB. Without it \
               that is lost",
        kind: Kind::Text(|d, v| {
            d.kafka.spool = (!v.is_empty()).then(|| PathBuf::from(v));
            Ok(())
        }),
        ..KEY
    },
    Key {
        path: "log.level",
        value: "LEVEL",
        default: "info",
        accepted: "off, error, warn, info, debug, trace, or TARGET=LEVEL parts, comma-separated",
        help: "What is logged to standard error",
        why: "A quiet agent says what changed, nothing per probe.",
        kind: Kind::Text(|d, v| put(&mut d.log.level, parse::log_level(v))),
        ..KEY
    },
    Key {
        path: "log.format",
        value: "FORM",
        default: "text",
        accepted: "text or json",
        help: "The form of a log line",
        why: "For people; collectors ask for json.",
        kind: Kind::Text(|d, v| put(&mut d.log.format, parse::log_format(v))),
        ..KEY
    },
    Key {
        path: "kernel_off",
        value: "NAMES",
        accepted: "names of kernel features",
        help: "Kernel features not to be used although they are there",
        hidden: true,
        kind: Kind::List(|d, v| {
            v.join(",")
                .parse::<dt_kernel::Features>()
                .map_err(|error| error.to_string())?;
            put(&mut d.features_off, Ok(v.to_vec()))
        }),
        ..KEY
    },
];

/// The variables of the Go original, and RUST_LOG: a layer between the file and the `DT_` variables.
pub static ORIGINALS: &[Original] = &[
    Original {
        variable: "SERVERS_ZK",
        path: "zookeeper.servers",
        convert: Convert::Same,
    },
    Original {
        variable: "ROOT_PATH_ZK",
        path: "zookeeper.root",
        convert: Convert::Same,
    },
    Original {
        variable: "HEART_BEAT_NODE_PATH",
        path: "zookeeper.heart_beat",
        convert: Convert::Same,
    },
    Original {
        variable: "CONN_TIMEOUT",
        path: "zookeeper.session_timeout",
        convert: Convert::Seconds,
    },
    Original {
        variable: "KAFKA_BOOTSTRAP_SERVERS",
        path: "kafka.bootstrap",
        convert: Convert::Same,
    },
    Original {
        variable: "KAFKA_TOPIC",
        path: "kafka.topic",
        convert: Convert::Same,
    },
    Original {
        variable: "KAFKA_PRODUCER_GROUP",
        path: "kafka.client_id",
        convert: Convert::Same,
    },
    Original {
        variable: "REGISTER_PUBLIC_DNS",
        path: "advertise",
        convert: Convert::Host,
    },
    Original {
        variable: "REGISTER_PUBLIC_PORT",
        path: "advertise",
        convert: Convert::Port,
    },
    Original {
        variable: "REGISTER_LISTENER_DNS",
        path: "listen",
        convert: Convert::Host,
    },
    Original {
        variable: "REGISTER_LISTENER_PORT",
        path: "listen",
        convert: Convert::Port,
    },
    Original {
        variable: "RUST_LOG",
        path: "log.level",
        convert: Convert::Same,
    },
];

/// The key of this path.
#[must_use]
pub fn key(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}
