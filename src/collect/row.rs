//! One pair and probe kind as readers see it: the JSON of the interface, and what the terminal prints.

use std::convert::Infallible;

use serde::Serialize;

use crate::matrix::{Matrix, Visited};
use crate::series::Series;
use crate::snapshot::Delays;
use crate::total::{Adder, Total};
use crate::view::View;

/// Whether a series' numbers describe the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Announced, and no record yet.
    Waiting,
    /// Records arrive.
    Fresh,
    /// No record for several windows: the numbers are the last ones known.
    Stale,
}

impl State {
    pub(crate) fn of(series: &Series, stale_windows: u64, now_ms: u64) -> State {
        if series.window_ms == 0 {
            State::Waiting
        } else if now_ms.saturating_sub(series.heard_ms) > series.window_ms.saturating_mul(stale_windows) {
            State::Stale
        } else {
            State::Fresh
        }
    }
}

/// One object of `GET /api/v1/pairs`: one pair and probe kind over a view. Delays are in nanoseconds and `None`
/// where nothing was received (or, for host delay, where it doesn't apply); times are UTC milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are those of the summary record, documented there"
)]
pub struct PairRow {
    pub src_node: String,
    pub src_zone: String,
    pub src_rack: String,
    pub src_region: String,
    pub dst_node: String,
    pub dst_zone: String,
    pub dst_rack: String,
    pub dst_region: String,
    pub dst_ip: String,
    pub dst_port: u16,
    pub probe: &'static str,
    pub method: &'static str,
    pub payload_bytes: Option<u32>,
    pub sent: u64,
    pub received: u64,
    pub lost: u64,
    pub refused: u64,
    pub unreachable: u64,
    pub send_error: u64,
    pub late: u64,
    pub duplicate: u64,
    pub skipped: u64,
    pub receive_drops: u64,
    pub rtt_min_ns: Option<u64>,
    pub rtt_mean_ns: Option<u64>,
    pub rtt_p50_ns: Option<u64>,
    pub rtt_p90_ns: Option<u64>,
    pub rtt_p99_ns: Option<u64>,
    pub rtt_p999_ns: Option<u64>,
    pub rtt_max_ns: Option<u64>,
    pub host_delay_p50_ns: Option<u64>,
    pub host_delay_p99_ns: Option<u64>,
    pub host_delay_max_ns: Option<u64>,
    pub timestamp_tx: Option<&'static str>,
    pub timestamp_rx: Option<&'static str>,
    pub timestamp_fallbacks: u64,
    pub window_start_ms: Option<u64>,
    pub window_end_ms: Option<u64>,
    /// When the newest record arrived; `None` before the first.
    pub last_seen_ms: Option<u64>,
    pub state: State,
    /// `state` is [`State::Stale`].
    pub stale: bool,
}

impl Matrix {
    /// Every series over `view` as of `now_ms`, by source, destination and kind.
    #[must_use]
    pub fn rows(&self, view: View, now_ms: u64) -> Vec<PairRow> {
        let mut all = Vec::new();
        let every = |rows: Vec<PairRow>| {
            all.extend(rows);
            Ok::<_, Infallible>(())
        };
        let Ok(()) = self.each_source(view, now_ms, every);
        all
    }

    /// The same, source by source: a large matrix has rows of hundreds of megabytes. Ends with the first error of `take`.
    pub(crate) fn each_source<E>(
        &self,
        view: View,
        now_ms: u64,
        mut take: impl FnMut(Vec<PairRow>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut adder = Adder::new();
        for source in self.sources() {
            let mut rows = Vec::new();
            self.visit_row(source, &mut |visited: Visited<'_>| {
                let total = adder.total(visited.series.panes(view));
                let state = State::of(visited.series, self.config().stale_windows, now_ms);
                rows.push(PairRow::new(&visited, &total, state));
            });
            // Stable: the kinds of a pair keep their order.
            rows.sort_by(|a, b| a.dst_node.cmp(&b.dst_node));
            take(rows)?;
        }
        Ok(())
    }
}

impl PairRow {
    fn new(visited: &Visited<'_>, total: &Total, state: State) -> Self {
        let Visited {
            source,
            destination,
            series,
            ..
        } = visited;
        let counts = &total.counts;
        let (rtt, host) = (Delays::from(&total.rtt), Delays::from(&total.host_delay));
        let seen = (state != State::Waiting).then_some(());
        Self {
            src_node: source.node.to_string(),
            src_zone: source.zone.to_string(),
            src_rack: source.rack.to_string(),
            src_region: source.region.to_string(),
            dst_node: destination.node.to_string(),
            dst_zone: destination.zone.to_string(),
            dst_rack: destination.rack.to_string(),
            dst_region: destination.region.to_string(),
            dst_ip: series
                .manner
                .destination_ip
                .map(|ip| ip.to_string())
                .unwrap_or_default(),
            dst_port: series.manner.destination_port,
            probe: visited.probe.as_str(),
            method: series.manner.method.as_str(),
            payload_bytes: series.manner.payload_bytes,
            sent: counts.sent(),
            received: counts.received,
            lost: counts.lost,
            refused: counts.refused,
            unreachable: counts.unreachable,
            send_error: counts.send_error,
            late: counts.late,
            duplicate: counts.duplicate,
            skipped: counts.skipped,
            receive_drops: total.receive_drops,
            rtt_min_ns: rtt.min,
            rtt_mean_ns: rtt.mean,
            rtt_p50_ns: rtt.p50,
            rtt_p90_ns: rtt.p90,
            rtt_p99_ns: rtt.p99,
            rtt_p999_ns: rtt.p999,
            rtt_max_ns: rtt.max,
            host_delay_p50_ns: host.p50,
            host_delay_p99_ns: host.p99,
            host_delay_max_ns: host.max,
            timestamp_tx: total.clocks.map(|(tx, _)| tx.as_str()),
            timestamp_rx: total.clocks.map(|(_, rx)| rx.as_str()),
            timestamp_fallbacks: counts.timestamp_fallbacks,
            // A view may hold no record though there are some.
            window_start_ms: (total.end_ms > 0).then_some(total.start_ms),
            window_end_ms: (total.end_ms > 0).then_some(total.end_ms),
            last_seen_ms: seen.map(|()| series.heard_ms),
            state,
            stale: state == State::Stale,
        }
    }

    /// Share of the probes sent that got no answer in time, whatever the reason but this host's own failure to send;
    /// `None` where none left this host.
    #[must_use]
    pub fn failed_share(&self) -> Option<f64> {
        failed_share(self.sent, self.send_error, self.received)
    }
}

/// See [`PairRow::failed_share`].
pub(crate) fn failed_share(sent: u64, send_error: u64, received: u64) -> Option<f64> {
    let left = sent.saturating_sub(send_error);
    // Counts stay far below 2^53.
    (left > 0).then(|| (left - received.min(left)) as f64 / left as f64)
}
