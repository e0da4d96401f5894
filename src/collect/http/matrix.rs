//! `GET /api/v1/matrix`: one kind of probe between all groups, in columns, so that a quarter of a million cells stay small.

use dt_probe::ProbeKind;
use serde::Serialize;

use crate::grouped::{Group, GroupCell, Grouped, Level};
use crate::row::State;
use crate::view::View;

#[derive(Serialize)]
pub(super) struct MatrixBody {
    now_ms: u64,
    view: View,
    level: Level,
    probe: &'static str,
    groups: Vec<Group>,
    cells: Columns,
}

/// One entry for each cell in each column, ascending by (source, destination).
#[derive(Serialize)]
struct Columns {
    source: Vec<u32>,
    destination: Vec<u32>,
    state: Vec<u8>,
    sent: Vec<u64>,
    received: Vec<u64>,
    failed: Vec<u64>,
    p50_ns: Vec<Option<u64>>,
    p99_ns: Vec<Option<u64>>,
    p999_ns: Vec<Option<u64>>,
    host_delay_p99_ns: Vec<Option<u64>>,
    /// Of nodes every cell is one series, so these two are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    series: Vec<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stale: Vec<u32>,
}

impl From<Grouped> for MatrixBody {
    fn from(grouped: Grouped) -> Self {
        let cells = &grouped.cells;
        let of_groups = |column: fn(&GroupCell) -> u32| {
            let cells = cells.iter().filter(|_| grouped.level != Level::Node);
            cells.map(column).collect()
        };
        Self {
            now_ms: grouped.now_ms,
            view: grouped.view,
            level: grouped.level,
            probe: ProbeKind::as_str(grouped.probe),
            cells: Columns {
                source: cells.iter().map(|cell| cell.source).collect(),
                destination: cells.iter().map(|cell| cell.destination).collect(),
                state: cells.iter().map(|cell| number(cell.state)).collect(),
                sent: cells.iter().map(|cell| cell.counts.sent()).collect(),
                received: cells.iter().map(|cell| cell.counts.received).collect(),
                failed: cells.iter().map(|cell| cell.counts.unanswered()).collect(),
                p50_ns: cells.iter().map(|cell| cell.rtt.p50).collect(),
                p99_ns: cells.iter().map(|cell| cell.rtt.p99).collect(),
                p999_ns: cells.iter().map(|cell| cell.rtt.p999).collect(),
                host_delay_p99_ns: cells.iter().map(|cell| cell.host_delay.p99).collect(),
                series: of_groups(|cell| cell.series),
                stale: of_groups(|cell| cell.stale),
            },
            groups: grouped.groups,
        }
    }
}

fn number(state: State) -> u8 {
    match state {
        State::Waiting => 0,
        State::Fresh => 1,
        State::Stale => 2,
    }
}
