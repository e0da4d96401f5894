//! `GET /api/v1/pair`: all that is known of one pair, in both directions.

use std::net::IpAddr;
use std::sync::Arc;

use dt_probe::Counts;
use dt_record::{Distribution, Endpoint};
use serde::Serialize;

use crate::detail::{PairDetail, PaneNumbers};
use crate::matrix::Matrix;
use crate::row::State;
use crate::snapshot::Delays;
use crate::view::View;

#[derive(Serialize)]
pub(super) struct PairBody {
    now_ms: u64,
    view: View,
    directions: [Direction; 2],
}

#[derive(Serialize)]
struct Direction {
    source: Place,
    destination: Place,
    kinds: Vec<Kind>,
}

#[derive(Clone, Serialize)]
struct Place {
    node: String,
    zone: String,
    rack: String,
    region: String,
}

#[derive(Serialize)]
struct Kind {
    probe: &'static str,
    method: &'static str,
    payload_bytes: Option<u32>,
    destination_ip: Option<IpAddr>,
    destination_port: u16,
    state: State,
    window_ms: u64,
    last_seen_ms: u64,
    start_ms: u64,
    end_ms: u64,
    counts: Fates,
    rtt: Percentiles,
    host_delay: Percentiles,
    flows: Vec<Flow>,
    flows_used: u32,
    failing_since_ms: Option<u64>,
    panes: Vec<Pane>,
    distribution: Buckets,
}

#[derive(Serialize)]
struct Fates {
    sent: u64,
    received: u64,
    lost: u64,
    refused: u64,
    unreachable: u64,
    send_error: u64,
    late: u64,
    duplicate: u64,
    skipped: u64,
}

#[derive(Serialize)]
struct Percentiles {
    min_ns: Option<u64>,
    mean_ns: Option<u64>,
    p50_ns: Option<u64>,
    p90_ns: Option<u64>,
    p99_ns: Option<u64>,
    p999_ns: Option<u64>,
    max_ns: Option<u64>,
}

#[derive(Serialize)]
struct Flow {
    port: u16,
    lost: u64,
    windows: u32,
}

#[derive(Serialize)]
struct Pane {
    start_ms: u64,
    end_ms: u64,
    sent: u64,
    received: u64,
    failed: u64,
    p50_ns: Option<u64>,
    p90_ns: Option<u64>,
    p99_ns: Option<u64>,
    p999_ns: Option<u64>,
    max_ns: Option<u64>,
    host_delay_p50_ns: Option<u64>,
    host_delay_p99_ns: Option<u64>,
}

/// Highest equivalent values, ascending, and how often each occurred.
#[derive(Serialize)]
struct Buckets {
    ns: Vec<u64>,
    count: Vec<u64>,
}

impl PairBody {
    /// `None` where neither node is known to probe the other.
    pub(super) fn new(matrix: &Matrix, source: &str, destination: &str, view: View, now_ms: u64) -> Option<Self> {
        let there = matrix.pair(source, destination, view, now_ms);
        let back = matrix.pair(destination, source, view, now_ms);
        let ends = there.first().map(|kind| (&kind.source, &kind.destination));
        let ends = ends.or_else(|| back.first().map(|kind| (&kind.destination, &kind.source)))?;
        let (source, destination) = (Place::from(ends.0), Place::from(ends.1));
        Some(Self {
            now_ms,
            view,
            directions: [
                Direction {
                    source: source.clone(),
                    destination: destination.clone(),
                    kinds: there.into_iter().map(Kind::from).collect(),
                },
                Direction {
                    source: destination,
                    destination: source,
                    kinds: back.into_iter().map(Kind::from).collect(),
                },
            ],
        })
    }
}

impl From<&Arc<Endpoint>> for Place {
    fn from(end: &Arc<Endpoint>) -> Self {
        Self {
            node: end.node.to_string(),
            zone: end.zone.to_string(),
            rack: end.rack.to_string(),
            region: end.region.to_string(),
        }
    }
}

impl From<PairDetail> for Kind {
    fn from(detail: PairDetail) -> Self {
        let cell = detail.cell;
        Self {
            probe: cell.probe.as_str(),
            method: cell.method.as_str(),
            payload_bytes: cell.payload_bytes,
            destination_ip: detail.destination_ip,
            destination_port: detail.destination_port,
            state: cell.state,
            window_ms: cell.window_ms,
            last_seen_ms: cell.last_seen_ms,
            start_ms: cell.start_ms,
            end_ms: cell.end_ms,
            counts: Fates::from(cell.counts),
            rtt: Percentiles::from(cell.rtt),
            host_delay: Percentiles::from(cell.host_delay),
            flows: cell
                .flows
                .iter()
                .map(|flow| Flow {
                    port: flow.port,
                    lost: flow.lost,
                    windows: flow.windows,
                })
                .collect(),
            flows_used: cell.flows_used,
            failing_since_ms: cell.failing_since_ms,
            panes: detail.panes.iter().map(Pane::from).collect(),
            distribution: Buckets::from(&detail.distribution),
        }
    }
}

impl From<Counts> for Fates {
    fn from(counts: Counts) -> Self {
        Self {
            sent: counts.sent(),
            received: counts.received,
            lost: counts.lost,
            refused: counts.refused,
            unreachable: counts.unreachable,
            send_error: counts.send_error,
            late: counts.late,
            duplicate: counts.duplicate,
            skipped: counts.skipped,
        }
    }
}

impl From<Delays> for Percentiles {
    fn from(delays: Delays) -> Self {
        Self {
            min_ns: delays.min,
            mean_ns: delays.mean,
            p50_ns: delays.p50,
            p90_ns: delays.p90,
            p99_ns: delays.p99,
            p999_ns: delays.p999,
            max_ns: delays.max,
        }
    }
}

impl From<&PaneNumbers> for Pane {
    fn from(pane: &PaneNumbers) -> Self {
        let counts = &pane.counts;
        Self {
            start_ms: pane.start_ms,
            end_ms: pane.end_ms,
            sent: counts.sent(),
            received: counts.received,
            failed: counts.unanswered(),
            p50_ns: pane.rtt.p50,
            p90_ns: pane.rtt.p90,
            p99_ns: pane.rtt.p99,
            p999_ns: pane.rtt.p999,
            max_ns: pane.rtt.max,
            host_delay_p50_ns: pane.host_delay.p50,
            host_delay_p99_ns: pane.host_delay.p99,
        }
    }
}

impl From<&Distribution> for Buckets {
    fn from(distribution: &Distribution) -> Self {
        let (ns, count) = distribution.buckets.iter().copied().unzip();
        Self { ns, count }
    }
}
