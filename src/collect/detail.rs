//! All that is known of one pair.

use std::net::IpAddr;
use std::sync::Arc;

use dt_probe::Counts;
use dt_record::{Distribution, Endpoint};

use crate::matrix::Matrix;
use crate::row::State;
use crate::snapshot::{Cell, Delays};
use crate::total::Adder;
use crate::view::View;

/// One kind of probe from one node to another.
#[derive(Clone, Debug)]
pub struct PairDetail {
    /// The probing node.
    pub source: Arc<Endpoint>,
    /// The probed node.
    pub destination: Arc<Endpoint>,
    /// The address probed last.
    pub destination_ip: Option<IpAddr>,
    /// The port probed last; 0 where ports don't apply.
    pub destination_port: u16,
    /// The numbers over the view. Its `source` and `destination` are of no use here.
    pub cell: Cell,
    /// Over time, oldest first, as finely as it is kept within the view. Where the width changes, the last wide one may reach
    /// into the first narrow one.
    pub panes: Vec<PaneNumbers>,
    /// Round-trip delays over the view.
    pub distribution: Distribution,
}

/// One stretch of time.
#[derive(Clone, Debug, PartialEq)]
pub struct PaneNumbers {
    /// Ends of the records in it, UTC milliseconds.
    pub start_ms: u64,
    /// See `start_ms`.
    pub end_ms: u64,
    /// The fates of its probes.
    pub counts: Counts,
    /// Round-trip delays.
    pub rtt: Delays,
    /// Host delay.
    pub host_delay: Delays,
}

impl Matrix {
    /// What is known of the pair, one for each kind of probe; empty where the pair is unknown.
    #[must_use]
    pub fn pair(&self, source: &str, destination: &str, view: View, now_ms: u64) -> Vec<PairDetail> {
        let mut adder = Adder::new();
        let mut kinds = Vec::new();
        self.visit_pair(source, destination, |visited| {
            let series = visited.series;
            let total = adder.total(series.panes(view));
            let state = State::of(series, self.config().stale_windows, now_ms);
            let panes = series.over_time(view).map(|pane| {
                let total = adder.total([pane]);
                PaneNumbers {
                    start_ms: total.start_ms,
                    end_ms: total.end_ms,
                    counts: total.counts,
                    rtt: Delays::from(&total.rtt),
                    host_delay: Delays::from(&total.host_delay),
                }
            });
            kinds.push(PairDetail {
                source: Arc::clone(visited.source),
                destination: Arc::clone(visited.destination),
                destination_ip: series.manner.destination_ip,
                destination_port: series.manner.destination_port,
                panes: panes.collect(),
                cell: Cell::new(&visited, &total, state),
                distribution: total.rtt,
            });
        });
        kinds
    }
}
