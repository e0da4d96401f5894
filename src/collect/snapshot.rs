//! The cluster as of one moment over one view: what diagnosis, page, terminal and metrics read. Owned data, made under
//! short locks by [`Matrix::snapshot`](crate::Matrix::snapshot), so that a reader never keeps records waiting.

use std::sync::Arc;

use dt_probe::{Counts, Method, ProbeKind};
use dt_record::Endpoint;

use crate::matrix::{Matrix, Visited};
use crate::row::State;
use crate::total::{Adder, Total};
use crate::view::View;

/// All nodes and series at one time.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When it was made, UTC milliseconds.
    pub now_ms: u64,
    /// What the numbers cover.
    pub view: View,
    /// Every node that is a source or a destination, ascending by (region, zone, rack, name); [`Cell::source`] and
    /// [`Cell::destination`] are places in it.
    pub nodes: Vec<Arc<Endpoint>>,
    /// One for each series, ascending by (source, destination, probe).
    pub cells: Vec<Cell>,
}

/// One series (source, destination, probe kind) over the view.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The probing node.
    pub source: u32,
    /// The probed node.
    pub destination: u32,
    /// What was measured.
    pub probe: ProbeKind,
    /// How.
    pub method: Method,
    /// ICMP payload in bytes; `None` for other kinds.
    pub payload_bytes: Option<u32>,
    /// Whether the numbers describe the present.
    pub state: State,
    /// Length of its shortest window, milliseconds; 0 before the first record.
    pub window_ms: u64,
    /// When the newest record arrived (its announcement, before the first), UTC milliseconds.
    pub last_seen_ms: u64,
    /// Ends of what the numbers cover, UTC milliseconds; 0 where the view holds no record.
    pub start_ms: u64,
    /// See `start_ms`.
    pub end_ms: u64,
    /// The fates of its probes.
    pub counts: Counts,
    /// Round-trip delays.
    pub rtt: Delays,
    /// Host delay. Records carry three of its percentiles, so here they are upper bounds; exact in `dt demo`.
    pub host_delay: Delays,
    /// Loss by source port (one ECMP path each) where ports apply, worst first. Records name only the worst port of each window.
    pub flows: Vec<FlowLoss>,
    /// How many distinct source ports a window used at most.
    pub flows_used: u32,
    /// Packets that the source's own socket buffers dropped: of the host, the same in each of its cells.
    pub receive_drops: u64,
    /// Start of the earliest record of the unbroken run, up to the newest, in each of which something was lost, refused
    /// or unreachable; `None` where the newest had none. Reaches back an hour, whatever the view.
    pub failing_since_ms: Option<u64>,
}

/// A distribution in seven numbers, nanoseconds; `None` where there was no value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field names are those of the summary record")]
pub struct Delays {
    pub min: Option<u64>,
    pub mean: Option<u64>,
    pub p50: Option<u64>,
    pub p90: Option<u64>,
    pub p99: Option<u64>,
    pub p999: Option<u64>,
    pub max: Option<u64>,
}

/// What one source port lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowLoss {
    /// The source port.
    pub port: u16,
    /// Probes lost on it, in windows whose worst it was.
    pub lost: u64,
    /// The number of such windows.
    pub windows: u32,
}

impl Cell {
    /// Probes that left the source.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.counts.sent().saturating_sub(self.counts.send_error)
    }

    /// Of those, the ones that got no answer in time, whatever the reason.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.left().saturating_sub(self.counts.received)
    }

    /// The share that failed, 0 to 1; `None` where none left the source.
    #[must_use]
    pub fn failed_share(&self) -> Option<f64> {
        let left = self.left();
        // Counts stay far below 2^53.
        (left > 0).then(|| self.failed() as f64 / left as f64)
    }
}

impl Matrix {
    /// Everything as of `now_ms` over `view`.
    #[must_use]
    pub fn snapshot(&self, view: View, now_ms: u64) -> Snapshot {
        let mut adder = Adder::new();
        // Endpoints by number, as they were when first met.
        let mut met: Vec<Option<Arc<Endpoint>>> = Vec::new();
        let mut cells = Vec::new();
        self.visit(|visited| {
            for (number, endpoint) in [
                (visited.numbers.0, visited.source),
                (visited.numbers.1, visited.destination),
            ] {
                let number = number as usize;
                if met.len() <= number {
                    met.resize(number + 1, None);
                }
                met[number].get_or_insert_with(|| Arc::clone(endpoint));
            }
            let total = adder.total(visited.series.panes(view));
            let state = State::of(visited.series, self.config().stale_windows, now_ms);
            cells.push(Cell::new(&visited, &total, state));
        });
        let mut order: Vec<(u32, Arc<Endpoint>)> = (0..).zip(met).filter_map(|(at, node)| Some((at, node?))).collect();
        order.sort_by(|(_, a), (_, b)| standing(a).cmp(&standing(b)));
        let mut places = vec![0; order.iter().map(|(number, _)| *number as usize + 1).max().unwrap_or(0)];
        for (place, (number, _)) in (0..).zip(&order) {
            places[*number as usize] = place;
        }
        for cell in &mut cells {
            cell.source = places[cell.source as usize];
            cell.destination = places[cell.destination as usize];
        }
        cells.sort_by_key(|cell| (cell.source, cell.destination, cell.probe));
        Snapshot {
            now_ms,
            view,
            nodes: order.into_iter().map(|(_, node)| node).collect(),
            cells,
        }
    }
}

/// What nodes are ordered by.
pub(crate) fn standing(node: &Endpoint) -> [&str; 4] {
    [&node.region, &node.zone, &node.rack, &node.node].map(|text| text.as_str())
}

impl Cell {
    /// Source and destination are numbers of nodes still.
    pub(crate) fn new(visited: &Visited<'_>, total: &Total, state: State) -> Cell {
        let series = visited.series;
        Cell {
            source: visited.numbers.0,
            destination: visited.numbers.1,
            probe: visited.probe,
            method: series.manner.method,
            payload_bytes: series.manner.payload_bytes,
            state,
            window_ms: series.window_ms,
            last_seen_ms: series.heard_ms,
            start_ms: total.start_ms,
            end_ms: total.end_ms,
            counts: total.counts,
            rtt: Delays::from(&total.rtt),
            host_delay: Delays::from(&total.host_delay),
            flows: total.flows.clone(),
            flows_used: total.flows_used,
            receive_drops: total.receive_drops,
            failing_since_ms: series.failing_since_ms,
        }
    }
}
