//! What a cause was found by, for those who want to see it.

use std::collections::BTreeSet;

use dt_probe::ProbeKind;

use super::grid::{Grid, Layer};
use super::search::Cause;
use super::shape::Shape;
use super::stats::support;
use super::topology::Topology;
use crate::snapshot::Cell;

/// Numbers of the cells that a cause explains.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Ordered pairs with a bad trial.
    pub(super) pairs: u64,
    /// By kind: (kind, probes, bad ones).
    pub(super) kinds: Vec<(ProbeKind, u64, u64)>,
    pub(super) lost: u64,
    pub(super) refused: u64,
    pub(super) unreachable: u64,
    /// Since when the median of the bad series is bad, UTC milliseconds.
    pub(super) since_ms: u64,
    /// The smallest payload of the bad echoes.
    pub(super) payload: Option<u32>,
    /// Nodes that probe, and that are probed, in the bad trials.
    pub(super) sources: u64,
    pub(super) destinations: u64,
    /// Source ports in use by one pair, at least.
    pub(super) ports: u32,
    /// Places in the first snapshot of the bad cells.
    pub(super) bad: Vec<u32>,
}

impl Facts {
    /// `cells` gives the cell that a trial was made of, by its place in the first snapshot.
    pub(super) fn new<'c>(cause: &Cause, grid: &Grid, cells: impl Fn(u32) -> Option<&'c Cell>) -> Facts {
        let mut facts = Facts::default();
        let (mut pairs, mut since) = (BTreeSet::new(), Vec::new());
        let (mut sources, mut destinations) = (BTreeSet::new(), BTreeSet::new());
        for trial in cause.trials.iter().filter_map(|at| grid.trials.get(*at as usize)) {
            let Some(cell) = cells(trial.cell) else { continue };
            match facts.kinds.iter_mut().find(|(kind, ..)| *kind == cell.probe) {
                Some((_, n, k)) => {
                    *n += u64::from(trial.n);
                    *k += u64::from(trial.k);
                }
                None => facts.kinds.push((cell.probe, trial.n.into(), trial.k.into())),
            }
            if trial.k == 0 {
                continue;
            }
            facts.bad.push(trial.cell);
            pairs.insert((trial.source, trial.destination));
            sources.insert(trial.source);
            destinations.insert(trial.destination);
            facts.ports = facts.ports.max(cell.flows_used);
            facts.lost += cell.counts.lost;
            facts.refused += cell.counts.refused;
            facts.unreachable += cell.counts.unreachable;
            since.push(cell.failing_since_ms.unwrap_or(cell.start_ms));
            facts.payload = facts.payload.into_iter().chain(cell.payload_bytes).min();
        }
        facts.kinds.sort_unstable_by_key(|(kind, ..)| *kind);
        facts.pairs = pairs.len() as u64;
        facts.sources = sources.len() as u64;
        facts.destinations = destinations.len() as u64;
        let middle = since.len() / 2;
        if middle < since.len() {
            facts.since_ms = *since.select_nth_unstable(middle).1;
        }
        facts
    }

    /// Most of what failed was answered by RST, or by an error status: there is somebody who answers.
    pub(super) fn mostly_refused(&self) -> bool {
        2 * self.refused > self.lost + self.refused + self.unreachable
    }
}

/// What the cells of `shape` say about failing at `rate`, those aside for which there is another cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nobody probes there.
    Unknown,
    Sound,
    /// Bad, or too few probes to tell.
    Bad,
}

/// Looks at other cells than a cause's own.
pub(super) fn look(shape: Shape, layer: Layer, rate: f64, background: f64, grid: &Grid, topology: &Topology) -> Look {
    let (mut n, mut k) = (0.0, 0.0);
    shape.visit(grid, topology, |at| {
        let trial = &grid.trials[at];
        if !grid.explained[at] && layer.contains(trial.probe) {
            n += f64::from(trial.n);
            k += f64::from(trial.k);
        }
    });
    if n <= 0.0 {
        Look::Unknown
    } else if support(k, n, rate, background) < 0.0 {
        Look::Sound
    } else {
        Look::Bad
    }
}
