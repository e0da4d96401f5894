//! The same series in another snapshot: snapshots are made one after the other, so nodes may have come in between.

use std::collections::HashMap;
use std::sync::Arc;

use crate::snapshot::{Cell, Snapshot};

/// Another view, read by the numbers of the first.
#[derive(Debug)]
pub(super) struct Beside<'a> {
    snapshot: &'a Snapshot,
    /// Numbers of this view by those of the first; `None` where they are the same.
    numbers: Option<Vec<Option<u32>>>,
}

impl<'a> Beside<'a> {
    pub(super) fn new(first: &Snapshot, snapshot: &'a Snapshot) -> Beside<'a> {
        let same = first.nodes.len() == snapshot.nodes.len()
            && (first.nodes.iter().zip(&snapshot.nodes)).all(|(a, b)| Arc::ptr_eq(a, b) || a.node == b.node);
        let numbers = (!same).then(|| {
            let here: HashMap<&str, u32> = snapshot.nodes.iter().map(|node| node.node.as_str()).zip(0..).collect();
            let find = |node: &Arc<dt_record::Endpoint>| here.get(node.node.as_str()).copied();
            first.nodes.iter().map(find).collect()
        });
        Beside { snapshot, numbers }
    }

    /// The cell of the same series as `cell`, which stands at `at` in the first snapshot.
    pub(super) fn cell(&self, at: usize, cell: &Cell) -> Option<&'a Cell> {
        let number = |node: u32| match &self.numbers {
            Some(numbers) => numbers.get(node as usize).copied().flatten(),
            None => Some(node),
        };
        let key = |cell: &Cell| (cell.source, cell.destination, cell.probe);
        let wanted = (number(cell.source)?, number(cell.destination)?, cell.probe);
        let cells = &self.snapshot.cells;
        match cells.get(at) {
            Some(found) if key(found) == wanted => Some(found),
            _ => cells.get(cells.binary_search_by_key(&wanted, key).ok()?),
        }
    }
}
