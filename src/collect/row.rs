//! One pair and probe kind as readers see it: the JSON of the interface, and what the terminal prints.

use dt_record::Distribution;
use serde::Serialize;

use crate::series::Series;

/// Whether a series' numbers describe the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Announced, and no record yet.
    Waiting,
    /// Records arrive.
    Fresh,
    /// No record for several windows: the numbers are the last ones known.
    Stale,
}

/// One object of `GET /api/v1/pairs`: one pair and probe kind over the view. Delays are in nanoseconds and `None`
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
    pub dst_node: String,
    pub dst_zone: String,
    pub dst_rack: String,
    pub dst_ip: String,
    pub dst_port: u16,
    pub probe: &'static str,
    pub method: &'static str,
    pub sent: u64,
    pub received: u64,
    pub lost: u64,
    pub refused: u64,
    pub unreachable: u64,
    pub send_error: u64,
    pub late: u64,
    pub duplicate: u64,
    pub skipped: u64,
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

impl PairRow {
    pub(crate) fn new(series: &Series, stale_windows: u64, now_ms: u64) -> Self {
        let pair = &series.pair;
        let total = series.total();
        let counts = total.as_ref().map(|t| t.counts).unwrap_or_default();
        let none = Distribution::default();
        let (rtt, host) = total.as_ref().map_or((&none, &none), |t| (&t.rtt, &t.host_delay));
        let clocks = total.as_ref().filter(|t| t.counts.sent() > 0);
        let silence_ms = now_ms.saturating_sub(series.last_seen_ms);
        let state = if total.is_none() {
            State::Waiting
        } else if silence_ms > series.window_ms.saturating_mul(stale_windows) {
            State::Stale
        } else {
            State::Fresh
        };
        Self {
            src_node: pair.source.node.to_string(),
            src_zone: pair.source.zone.to_string(),
            src_rack: pair.source.rack.to_string(),
            dst_node: pair.destination.node.to_string(),
            dst_zone: pair.destination.zone.to_string(),
            dst_rack: pair.destination.rack.to_string(),
            dst_ip: pair.destination_ip.to_string(),
            dst_port: pair.destination_port,
            probe: pair.probe.as_str(),
            method: pair.method.as_str(),
            sent: counts.sent(),
            received: counts.received,
            lost: counts.lost,
            refused: counts.refused,
            unreachable: counts.unreachable,
            send_error: counts.send_error,
            late: counts.late,
            duplicate: counts.duplicate,
            skipped: counts.skipped,
            rtt_min_ns: rtt.min(),
            rtt_mean_ns: rtt.mean(),
            rtt_p50_ns: rtt.quantile(0.5),
            rtt_p90_ns: rtt.quantile(0.9),
            rtt_p99_ns: rtt.quantile(0.99),
            rtt_p999_ns: rtt.quantile(0.999),
            rtt_max_ns: rtt.max(),
            host_delay_p50_ns: host.quantile(0.5),
            host_delay_p99_ns: host.quantile(0.99),
            host_delay_max_ns: host.max(),
            timestamp_tx: clocks.map(|t| t.timestamp_tx.as_str()),
            timestamp_rx: clocks.map(|t| t.timestamp_rx.as_str()),
            timestamp_fallbacks: counts.timestamp_fallbacks,
            window_start_ms: total.as_ref().map(|t| t.start_ms),
            window_end_ms: total.as_ref().map(|t| t.end_ms),
            last_seen_ms: total.as_ref().map(|_| series.last_seen_ms),
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
