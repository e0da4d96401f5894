//! Answers of the API as they come. What is unknown in them is passed over.

use dt_collect::grouped::Group;
use dt_collect::{Level, State, View};
use dt_probe::ProbeKind;
use serde::Deserialize;
use smol_str::SmolStr;

use crate::top::model::{Cell, Table};

/// `GET /api/v1/matrix`.
#[derive(Debug, Deserialize)]
pub(super) struct WireTable {
    now_ms: u64,
    groups: Vec<WireGroup>,
    cells: Columns,
}

#[derive(Debug, Deserialize)]
struct WireGroup {
    name: SmolStr,
    #[serde(default)]
    zone: SmolStr,
    #[serde(default)]
    rack: SmolStr,
    #[serde(default)]
    region: SmolStr,
    #[serde(default)]
    nodes: u32,
}

/// One entry for each cell in each column.
#[derive(Debug, Deserialize)]
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
    /// Left out where each cell is one series.
    #[serde(default)]
    series: Vec<u32>,
    #[serde(default)]
    stale: Vec<u32>,
}

impl WireTable {
    /// # Errors
    /// What contradicts itself in it.
    pub(super) fn into_table(self, level: Level, view: View, probe: ProbeKind) -> Result<Table, String> {
        let columns = self.cells;
        let count = columns.source.len();
        let mut lengths = vec![
            columns.destination.len(),
            columns.state.len(),
            columns.sent.len(),
            columns.received.len(),
            columns.failed.len(),
            columns.p50_ns.len(),
            columns.p99_ns.len(),
            columns.p999_ns.len(),
            columns.host_delay_p99_ns.len(),
        ];
        lengths.extend(
            [&columns.series, &columns.stale]
                .map(Vec::len)
                .into_iter()
                .filter(|length| *length > 0),
        );
        if lengths.iter().any(|length| *length != count) {
            return Err("columns of different lengths".to_owned());
        }
        let cell = |at: usize| {
            let state = match columns.state[at] {
                0 => State::Waiting,
                1 => State::Fresh,
                2 => State::Stale,
                other => return Err(format!("unknown state {other}")),
            };
            Ok(Cell {
                source: columns.source[at],
                destination: columns.destination[at],
                series: columns.series.get(at).copied().unwrap_or(1),
                stale: columns
                    .stale
                    .get(at)
                    .copied()
                    .unwrap_or(u32::from(state == State::Stale)),
                state,
                sent: columns.sent[at],
                received: columns.received[at],
                failed: columns.failed[at],
                p50: columns.p50_ns[at],
                p99: columns.p99_ns[at],
                p999: columns.p999_ns[at],
                host_p99: columns.host_delay_p99_ns[at],
            })
        };
        let cells = (0..count).map(cell).collect::<Result<Vec<Cell>, String>>()?;
        let groups = self.groups.into_iter().map(|group| Group {
            name: group.name,
            zone: group.zone,
            rack: group.rack,
            region: group.region,
            nodes: group.nodes,
        });
        Table::new((self.now_ms, view, level, probe), groups.collect(), cells)
    }
}

/// `GET /api/v1/status`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Status {
    #[serde(default)]
    pub(super) notes: Vec<String>,
    #[serde(default)]
    records: Records,
}

#[derive(Debug, Default, Deserialize)]
struct Records {
    #[serde(default)]
    merged: u64,
}

impl Status {
    pub(super) fn news(&self) -> String {
        match self.records.merged {
            0 => "no record yet".to_owned(),
            merged => format!("{merged} records"),
        }
    }
}

/// What any path may answer beside a status that isn't 200.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    pub(super) error: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Table, String> {
        let table: WireTable = serde_json::from_str(json).map_err(|error| error.to_string())?;
        table.into_table(Level::Node, View::Minute, ProbeKind::Tcp)
    }

    const ANSWER: &str = r#"{"now_ms":5,"view":"1m","level":"node","probe":"tcp","of_tomorrow":{},
        "groups":[{"name":"a","zone":"z","rack":"","region":"","nodes":1},{"name":"b"}],
        "cells":{"source":[0,1],"destination":[1,0],"state":[1,2],"sent":[3,0],"received":[2,0],"failed":[1,0],
        "p50_ns":[7,null],"p99_ns":[8,null],"p999_ns":[9,null],"host_delay_p99_ns":[null,null]}}"#;

    #[test]
    fn columns_become_cells() {
        let table = read(ANSWER).unwrap();
        let cell = table.cell(0, 1).unwrap();
        assert_eq!(
            (cell.sent, cell.received, cell.failed, cell.p99, cell.host_p99),
            (3, 2, 1, Some(8), None)
        );
        assert_eq!((cell.series, cell.stale, cell.state), (1, 0, State::Fresh));
        let stale = table.cell(1, 0).unwrap();
        assert_eq!((stale.state, stale.stale), (State::Stale, 1));
        assert_eq!((table.groups[0].zone.as_str(), table.label(1)), ("z", "b"));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (from, to, why) in [
            (r#""sent":[3,0]"#, r#""sent":[3]"#, "different lengths"),
            (r#""state":[1,2]"#, r#""state":[1,7]"#, "unknown state 7"),
            (
                r#""destination":[1,0]"#,
                r#""destination":[1,2]"#,
                "group that isn't there",
            ),
            (r#""source":[0,1]"#, r#""source":[1,0]"#, "out of order"),
            (r#""failed":[1,0],"#, "", "missing field `failed`"),
        ] {
            assert!(ANSWER.contains(from));
            let error = read(&ANSWER.replace(from, to));
            assert!(
                error.as_ref().is_err_and(|error| error.contains(why)),
                "{why}: {error:?}"
            );
        }
    }
}
