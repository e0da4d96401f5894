//! The pairs of nodes that look worst.

use smol_str::SmolStr;

use crate::top::model::{Cell, Metric, Status, Table};

/// No more than this many are listed.
const MOST: usize = 500;

/// The list, the worst first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Worst {
    pub(crate) pairs: Vec<Ranked>,
    /// How many pairs there are to list, and how many of them are stale.
    pub(crate) all: usize,
    pub(crate) stale: usize,
    /// The pair that stays selected while the order changes; the first where none was chosen.
    chosen: Option<(SmolStr, SmolStr)>,
    /// The selected one, and the first that is seen.
    pub(crate) at: usize,
    pub(crate) first: usize,
    /// How many are seen.
    pub(crate) page: usize,
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Ranked {
    rank: Rank,
    pub(crate) cell: Cell,
}

/// How bad; then by the metric; then by loss.
type Rank = (u8, f64, f64);

impl Worst {
    pub(crate) fn arrange(&mut self, nodes: &Table, metric: Metric, search: &str) {
        let matches = nodes.matching(search);
        let is_match = |place: u32| matches.get(place as usize).copied().unwrap_or(false);
        (self.all, self.stale) = (0, 0);
        let mut ranked = Vec::new();
        for cell in &nodes.cells {
            if !search.is_empty() && !is_match(cell.source) && !is_match(cell.destination) {
                continue;
            }
            if let Some(rank) = rank(cell, metric) {
                self.all += 1;
                self.stale += usize::from(cell.status() == Status::Stale);
                ranked.push((rank, cell));
            }
        }
        let worse = |a: &(Rank, &Cell), b: &(Rank, &Cell)| {
            (b.0.0.cmp(&a.0.0))
                .then_with(|| b.0.1.total_cmp(&a.0.1))
                .then_with(|| b.0.2.total_cmp(&a.0.2))
                .then_with(|| (a.1.source, a.1.destination).cmp(&(b.1.source, b.1.destination)))
        };
        if ranked.len() > MOST {
            ranked.select_nth_unstable_by(MOST, worse);
            ranked.truncate(MOST);
        }
        ranked.sort_by(worse);
        self.pairs = ranked
            .into_iter()
            .map(|(rank, cell)| Ranked {
                rank,
                cell: cell.clone(),
            })
            .collect();
        let is_chosen = |pair: &Ranked| self.chosen.as_ref() == names(nodes, pair).as_ref();
        self.at = match &self.chosen {
            Some(_) => self.pairs.iter().position(is_chosen).unwrap_or(0),
            None => 0,
        };
    }

    pub(crate) fn step(&mut self, nodes: &Table, down: isize) {
        self.at = self
            .at
            .saturating_add_signed(down)
            .min(self.pairs.len().saturating_sub(1));
        // At the top it is the worst that is selected, whichever that is.
        self.chosen = (self.at > 0).then(|| self.selected(nodes)).flatten();
    }

    /// The names of the selected pair.
    pub(crate) fn selected(&self, nodes: &Table) -> Option<(SmolStr, SmolStr)> {
        names(nodes, self.pairs.get(self.at)?)
    }

    /// Scrolls as little as is needed for the selected one to be seen where so many are.
    pub(crate) fn scroll(&mut self, fit: usize) {
        self.page = fit;
        let last = self.pairs.len().saturating_sub(fit);
        self.first = self.first.min(self.at).max((self.at + 1).saturating_sub(fit)).min(last);
    }
}

impl Ranked {
    /// Whether it is worse than what is looked at twice.
    pub(crate) fn is_bad(&self) -> bool {
        self.rank.0 >= 2 * 3
    }
}

fn names(nodes: &Table, pair: &Ranked) -> Option<(SmolStr, SmolStr)> {
    let name = |place| nodes.group(place).map(|group| group.name.clone());
    name(pair.cell.source).zip(name(pair.cell.destination))
}

/// Nothing where there is nothing to judge by. Loss counts whatever the metric: a pair that loses a third of its probes is
/// not well because the others come in time.
fn rank(cell: &Cell, metric: Metric) -> Option<Rank> {
    let value = metric.of(cell);
    let loss = cell.loss().unwrap_or(0.0);
    let level = value
        .map_or(0, |value| metric.level(value))
        .max(Metric::Loss.level(loss));
    let how_bad = match cell.status() {
        Status::Waiting | Status::Idle => return None,
        Status::Dead => u8::MAX,
        // Worse than what is well, and not as bad as what is bad.
        Status::Stale | Status::Unsent => 5,
        Status::Live => u8::try_from(2 * level).unwrap_or(u8::MAX),
    };
    Some((how_bad, value.unwrap_or(0.0), loss))
}
