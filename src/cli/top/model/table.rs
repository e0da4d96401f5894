//! The heat map at one level: groups in order, cells by source and destination.

use dt_collect::grouped::{Group, Grouped};
use dt_collect::plain::plain;
use dt_collect::{Level, View};
use dt_probe::ProbeKind;

use super::cell::Cell;

/// One kind of probe between groups of nodes, over one view.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// When it was made, UTC milliseconds.
    pub(crate) now_ms: u64,
    pub(crate) view: View,
    pub(crate) level: Level,
    pub(crate) probe: ProbeKind,
    /// Ascending by (region, zone, rack, name).
    pub(crate) groups: Vec<Group>,
    /// Names of the groups, fit for a terminal.
    labels: Vec<String>,
    /// Ascending by (source, destination).
    pub(crate) cells: Vec<Cell>,
    /// Cells of a source are those from `first[source]` to `first[source + 1]`.
    first: Vec<usize>,
}

impl Table {
    /// # Errors
    /// Cells out of order, or of groups that aren't there.
    pub(crate) fn new(
        (now_ms, view, level, probe): (u64, View, Level, ProbeKind),
        groups: Vec<Group>,
        cells: Vec<Cell>,
    ) -> Result<Table, String> {
        let key = |cell: &Cell| (cell.source, cell.destination);
        if !cells.is_sorted_by(|a, b| key(a) < key(b)) {
            return Err("cells out of order".to_owned());
        }
        let is_known = |place: u32| (place as usize) < groups.len();
        if !cells
            .iter()
            .all(|cell| is_known(cell.source) && is_known(cell.destination))
        {
            return Err("a cell of a group that isn't there".to_owned());
        }
        let first = (0..=groups.len()).map(|source| cells.partition_point(|cell| (cell.source as usize) < source));
        Ok(Table {
            now_ms,
            view,
            level,
            probe,
            first: first.collect(),
            labels: groups.iter().map(|group| label(&group.name)).collect(),
            groups,
            cells,
        })
    }

    pub(crate) fn of(grouped: Grouped) -> Result<Table, String> {
        let cells = grouped.cells.iter().map(Cell::from).collect();
        let about = (grouped.now_ms, grouped.view, grouped.level, grouped.probe);
        Table::new(about, grouped.groups, cells)
    }

    /// The cell from one group to another, if anybody measures it.
    pub(crate) fn cell(&self, source: u32, destination: u32) -> Option<&Cell> {
        let from = *self.first.get(source as usize)?;
        let to = *self.first.get(source as usize + 1)?;
        let row = self.cells.get(from..to)?;
        let at = row.binary_search_by_key(&destination, |cell| cell.destination).ok()?;
        row.get(at)
    }

    /// The name of a group, fit for a terminal.
    pub(crate) fn label(&self, group: u32) -> &str {
        self.labels.get(group as usize).map_or("", String::as_str)
    }

    pub(crate) fn group(&self, place: u32) -> Option<&Group> {
        self.groups.get(place as usize)
    }

    /// Which groups' names contain `text`, whatever its case. None where it is empty.
    pub(crate) fn matching(&self, text: &str) -> Vec<bool> {
        let text = text.to_lowercase();
        let is_match = |label: &String| !text.is_empty() && label.to_lowercase().contains(&text);
        self.labels.iter().map(is_match).collect()
    }
}

/// Nodes without a label make a group too.
fn label(name: &str) -> String {
    if name.is_empty() { "-".to_owned() } else { plain(name) }
}
