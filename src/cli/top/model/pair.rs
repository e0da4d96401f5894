//! One pair of nodes in both directions.

use dt_collect::detail::PaneNumbers;
use dt_collect::snapshot::Delays;
use dt_collect::{PairDetail, State, View};
use serde::Deserialize;

/// All that is known of a pair, as `GET /api/v1/pair` says it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct PairView {
    /// When it was made, UTC milliseconds.
    pub(crate) now_ms: u64,
    #[serde(skip)]
    pub(crate) view: View,
    /// As asked for, and the other way round.
    pub(crate) directions: [Direction; 2],
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Direction {
    pub(crate) source: Place,
    pub(crate) destination: Place,
    /// One for each kind of probe.
    pub(crate) kinds: Vec<Kind>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Place {
    pub(crate) node: String,
    pub(crate) zone: String,
    pub(crate) rack: String,
    pub(crate) region: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Kind {
    pub(crate) probe: String,
    #[serde(default)]
    pub(crate) method: String,
    #[serde(deserialize_with = "state")]
    pub(crate) state: State,
    pub(crate) counts: Fates,
    pub(crate) rtt: Percentiles,
    pub(crate) host_delay: Percentiles,
    #[serde(default)]
    pub(crate) flows: Vec<Flow>,
    #[serde(default)]
    pub(crate) failing_since_ms: Option<u64>,
    pub(crate) panes: Vec<Pane>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Fates {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) refused: u64,
    pub(crate) unreachable: u64,
    pub(crate) send_error: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Percentiles {
    pub(crate) p50_ns: Option<u64>,
    pub(crate) p99_ns: Option<u64>,
    pub(crate) p999_ns: Option<u64>,
    pub(crate) max_ns: Option<u64>,
}

/// What one source port lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Flow {
    pub(crate) port: u16,
    pub(crate) lost: u64,
}

/// One stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Pane {
    pub(crate) start_ms: u64,
    pub(crate) end_ms: u64,
    pub(crate) received: u64,
    pub(crate) failed: u64,
    pub(crate) p50_ns: Option<u64>,
    pub(crate) p99_ns: Option<u64>,
    pub(crate) p999_ns: Option<u64>,
    pub(crate) host_delay_p99_ns: Option<u64>,
}

/// In words, as in the answers of the API.
fn state<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<State, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "waiting" => Ok(State::Waiting),
        "fresh" => Ok(State::Fresh),
        "stale" => Ok(State::Stale),
        other => Err(serde::de::Error::custom(format!("unknown state {other:?}"))),
    }
}

impl PairView {
    /// From the matrix's own; nothing where neither direction is known.
    pub(crate) fn new(now_ms: u64, view: View, there: Vec<PairDetail>, back: Vec<PairDetail>) -> Option<PairView> {
        let place = |end: &dt_record::Endpoint| Place {
            node: end.node.to_string(),
            zone: end.zone.to_string(),
            rack: end.rack.to_string(),
            region: end.region.to_string(),
        };
        let ends = there.first().map(|kind| (&kind.source, &kind.destination));
        let ends = ends.or_else(|| back.first().map(|kind| (&kind.destination, &kind.source)))?;
        let (source, destination) = (place(ends.0), place(ends.1));
        let kinds = |details: Vec<PairDetail>| details.iter().map(Kind::from).collect();
        Some(PairView {
            now_ms,
            view,
            directions: [
                Direction {
                    source: source.clone(),
                    destination: destination.clone(),
                    kinds: kinds(there),
                },
                Direction {
                    source: destination,
                    destination: source,
                    kinds: kinds(back),
                },
            ],
        })
    }
}

impl From<&PairDetail> for Kind {
    fn from(detail: &PairDetail) -> Kind {
        let cell = &detail.cell;
        let counts = &cell.counts;
        Kind {
            probe: cell.probe.as_str().to_owned(),
            method: cell.method.as_str().to_owned(),
            state: cell.state,
            counts: Fates {
                sent: counts.sent(),
                received: counts.received,
                lost: counts.lost,
                refused: counts.refused,
                unreachable: counts.unreachable,
                send_error: counts.send_error,
            },
            rtt: Percentiles::from(&cell.rtt),
            host_delay: Percentiles::from(&cell.host_delay),
            flows: cell
                .flows
                .iter()
                .map(|flow| Flow {
                    port: flow.port,
                    lost: flow.lost,
                })
                .collect(),
            failing_since_ms: cell.failing_since_ms,
            panes: detail.panes.iter().map(Pane::from).collect(),
        }
    }
}

impl From<&Delays> for Percentiles {
    fn from(delays: &Delays) -> Percentiles {
        Percentiles {
            p50_ns: delays.p50,
            p99_ns: delays.p99,
            p999_ns: delays.p999,
            max_ns: delays.max,
        }
    }
}

impl From<&PaneNumbers> for Pane {
    fn from(pane: &PaneNumbers) -> Pane {
        let counts = &pane.counts;
        Pane {
            start_ms: pane.start_ms,
            end_ms: pane.end_ms,
            received: counts.received,
            failed: counts.unanswered(),
            p50_ns: pane.rtt.p50,
            p99_ns: pane.rtt.p99,
            p999_ns: pane.rtt.p999,
            host_delay_p99_ns: pane.host_delay.p99,
        }
    }
}
