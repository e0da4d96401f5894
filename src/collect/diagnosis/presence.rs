//! Whose records arrive. Silence is told apart from faults: an agent that says nothing is no proof of a bad network,
//! and its last numbers describe the past.

use crate::row::State;
use crate::snapshot::Snapshot;

/// A node's records, as they arrive: by the collector's clock, so that an agent whose own is behind is not taken for late. See
/// [`Cell::last_seen_ms`](crate::snapshot::Cell::last_seen_ms).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    /// They come.
    Heard,
    /// The next is overdue: by half a window, in comparison with the others'.
    Late,
    /// None came for several windows.
    Silent,
    /// None ever came. It may be an agent that writes none, as the original's.
    Never,
}

impl Voice {
    pub(super) fn is_heard(self) -> bool {
        self == Voice::Heard
    }
}

/// Of each node of the snapshot, whether its records arrive.
pub(super) fn voices(snapshot: &Snapshot) -> Vec<Voice> {
    #[derive(Clone, Copy, Default)]
    struct Row {
        newest_ms: u64,
        window_ms: u64,
        fresh: bool,
    }
    let mut rows: Vec<Option<Row>> = vec![None; snapshot.nodes.len()];
    for cell in snapshot.cells.iter().filter(|cell| cell.state != State::Waiting) {
        let Some(row) = rows.get_mut(cell.source as usize) else {
            continue;
        };
        let row = row.get_or_insert_default();
        row.newest_ms = row.newest_ms.max(cell.last_seen_ms);
        row.window_ms = row.window_ms.max(cell.window_ms);
        row.fresh |= cell.state == State::Fresh;
    }
    let newest_ms = rows.iter().flatten().map(|row| row.newest_ms).max().unwrap_or(0);
    let voice = |row: &Option<Row>| match row {
        None => Voice::Never,
        Some(row) if !row.fresh => Voice::Silent,
        Some(row) if newest_ms - row.newest_ms > row.window_ms + row.window_ms / 2 => Voice::Late,
        Some(_) => Voice::Heard,
    };
    rows.iter().map(voice).collect()
}
