//! The counters of membership, sinks and the gRPC server on the metrics page.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use dt_membership::Handle;
use dt_metrics::{Page, Source};
use dt_rpc::{Server, Tls};
use dt_serve::Door;
use dt_sink::{Publisher, Snapshot, Trouble};

/// The sinks' counters, by sink.
#[derive(Debug)]
pub(crate) struct Sinks(pub(crate) Arc<Publisher>);

impl Source for Sinks {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        type Field = fn(&Snapshot) -> u64;
        const COUNTERS: [(&str, &str, Field); 13] = [
            ("sink_records", "Summary records published", |s| s.published),
            ("sink_failures", "Attempts to publish that failed", |s| s.failed),
            ("sink_retries", "Records handed over again after a failure", |s| {
                s.retried
            }),
            (
                "sink_merged",
                "Summaries merged into a waiting one: resolution lost, no sample",
                |s| s.merged,
            ),
            ("sink_dropped", "Summaries dropped", |s| s.dropped),
            ("sink_probes", "Probes in the records published", |s| s.probes.published),
            ("sink_probes_dropped", "Probes in the summaries dropped", |s| {
                s.probes.dropped
            }),
            ("sink_trace_reports", "TraceReports published", |s| s.traces_published),
            (
                "sink_trace_reports_dropped",
                "TraceReports dropped: the oldest of a full ring",
                |s| s.traces_dropped,
            ),
            ("sink_options_renewed", "Changed options' files taken over", |s| {
                s.options_renewed
            }),
            (
                "sink_options_refused",
                "Changed options' files that can't be used",
                |s| s.options_refused,
            ),
            ("sink_spool_sent", "Records of earlier runs published", |s| s.spool_sent),
            ("sink_spool_set_aside", "Files of the spool that can't be read", |s| {
                s.spool_set_aside
            }),
        ];
        const GAUGES: [(&str, &str, Field); 5] = [
            ("sink_backlog_records", "Summaries waiting", |s| s.backlog_records),
            ("sink_backlog_probes", "Probes in the summaries waiting", |s| {
                s.probes.waiting
            }),
            ("sink_backlog_bytes", "Bytes of the summaries waiting", |s| {
                s.backlog_bytes
            }),
            ("sink_connected", "1 where the sink can be reached", |s| {
                s.connected.into()
            }),
            ("sink_spool_records", "Records of earlier runs in the spool", |s| {
                s.spool_records
            }),
        ];
        let stats = self.0.stats();
        let sinks: Vec<_> = stats
            .iter()
            .map(|(name, snapshot)| ([("sink", *name)], snapshot))
            .collect();
        for (name, help, field) in COUNTERS {
            page.counters(name, help, sinks.iter().map(|(labels, s)| (&labels[..], field(s))))?;
        }
        for (name, help, field) in GAUGES {
            page.gauges(
                name,
                help,
                sinks.iter().map(|(labels, s)| (&labels[..], field(s) as f64)),
            )?;
        }
        let troubles: Vec<_> = stats
            .iter()
            .flat_map(|(name, snapshot)| Trouble::ALL.map(|trouble| (*name, trouble, snapshot.trouble)))
            .map(|(name, trouble, now)| ([("sink", name), ("reason", trouble.as_str())], now == Some(trouble)))
            .collect();
        page.gauges(
            "sink_trouble",
            "1 for what is the matter with the sink",
            troubles
                .iter()
                .map(|(labels, is)| (&labels[..], f64::from(u8::from(*is)))),
        )
    }
}

/// The membership's counters.
#[derive(Debug)]
pub(crate) struct Members(pub(crate) Arc<Handle>);

impl Source for Members {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        let status = self.0.status.borrow().clone();
        let stats = self.0.stats();
        page.gauge(
            "membership_registered",
            "1 while this node is registered",
            u8::from(status.registered).into(),
        )?;
        page.gauge(
            "membership_connected",
            "1 while the service is reached",
            u8::from(status.connected).into(),
        )?;
        page.gauge(
            "members_malformed",
            "Entries whose data makes no member",
            stats.members_malformed as f64,
        )?;
        page.gauge(
            "members_kept",
            "Members probed on although they vanished with many others",
            stats.members_kept as f64,
        )?;
        page.gauge(
            "membership_nodes_exposed",
            "Shared ZooKeeper nodes to which anyone has more rights than zookeeper.acl says",
            stats.nodes_exposed as f64,
        )?;
        page.gauge(
            "membership_nodes_foreign",
            "Shared ZooKeeper nodes to which this agent's credential lacks rights",
            stats.nodes_foreign as f64,
        )?;
        let counters = [
            ("membership_sessions", "Sessions opened", stats.sessions),
            ("membership_expirations", "Sessions lost", stats.expirations),
            (
                "membership_connect_failures",
                "Attempts to connect that failed",
                stats.connect_failures,
            ),
            (
                "membership_registrations",
                "Times this node was registered",
                stats.registrations,
            ),
            ("membership_relists", "Full lists of the members read", stats.relists),
            ("membership_reads", "Data of single members read", stats.reads),
            ("membership_events", "Notifications received", stats.events),
            ("membership_failures", "Requests that failed", stats.failures),
            (
                "membership_denied",
                "Requests and logins denied: a wrong credential, or none",
                stats.denied,
            ),
            (
                "membership_mass_vanishes",
                "Times that many members vanished at once",
                stats.mass_vanishes,
            ),
            (
                "membership_refused_files",
                "Versions of the peers file refused",
                stats.refused_files,
            ),
        ];
        counters
            .into_iter()
            .try_for_each(|(name, help, value)| page.counter(name, help, value))
    }
}

/// The gRPC server's counters.
pub(crate) struct Grpc(pub(crate) Arc<Server>, pub(crate) Option<Tls>);

// The server itself has nothing to show.
impl fmt::Debug for Grpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grpc")
    }
}

impl Source for Grpc {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        let stats = self.0.stats();
        page.counter(
            "grpc_pings_answered",
            "PingNode calls answered",
            stats.pings.load(Relaxed),
        )?;
        let door = self.0.door().stats();
        page.gauge(
            "grpc_connections_open",
            "Connections open",
            door.open.load(Relaxed) as f64,
        )?;
        page.counter(
            "grpc_connections_refused",
            "Open connections closed to make room for others at the cap",
            door.turned_away.load(Relaxed),
        )?;
        page.counter(
            "grpc_certificates_refused",
            "Times that the files of TLS had changed and could not be used",
            self.1.as_ref().map_or(0, Tls::refused),
        )?;
        doors(page, "grpc", "TCP probes of others among them", door)
    }
}

/// The HTTP server's counters.
#[derive(Debug)]
pub(crate) struct Http(pub(crate) Arc<Door>);

impl Source for Http {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        doors(page, "http", "this one's too", self.0.stats())
    }
}

/// What every port counts.
fn doors(page: &mut Page<'_>, port: &str, among_them: &str, stats: &dt_serve::Stats) -> fmt::Result {
    page.counter(
        &format!("{port}_connections"),
        &format!("Connections accepted, {among_them}"),
        stats.accepted.load(Relaxed),
    )?;
    page.counter(
        &format!("{port}_connections_pushed_out"),
        "Connections closed to make room for others",
        stats.pushed_out.load(Relaxed),
    )?;
    page.counter(
        &format!("{port}_accept_errors"),
        "Connections that failed to be accepted",
        stats.accept_errors.load(Relaxed),
    )
}
