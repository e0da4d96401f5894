//! The heat map: which groups are rows and columns, which cell is selected, and what of it is seen.

use std::ops::Range;

use smol_str::SmolStr;

use super::zoom::Zoom;
use crate::top::model::Table;

#[derive(Clone, Debug, Default)]
pub(crate) struct Map {
    /// Groups of the table, in its order.
    pub(crate) rows: Vec<u32>,
    pub(crate) columns: Vec<u32>,
    /// The selected cell: places in `rows` and `columns`.
    pub(crate) row: usize,
    pub(crate) column: usize,
    /// What it is called, so that it stays selected while others come and go.
    names: Option<(SmolStr, SmolStr)>,
    /// What is to be selected once it is there.
    awaited: Option<(SmolStr, SmolStr)>,
    /// The first row and column that are seen, and how many.
    pub(crate) seen: (Range<usize>, Range<usize>),
}

impl Map {
    pub(crate) fn arrange(&mut self, table: &Table, zoom: Option<&Zoom>) {
        let places = || 0..u32::try_from(table.groups.len()).unwrap_or(u32::MAX);
        let chosen = |is_chosen: &dyn Fn(&Zoom, u32) -> bool| {
            let chosen = places().filter(|place| zoom.is_none_or(|zoom| is_chosen(zoom, *place)));
            chosen.collect::<Vec<u32>>()
        };
        let group = |place| table.group(place);
        self.rows = chosen(&|zoom, place| group(place).is_some_and(|group| zoom.is_row(group)));
        self.columns = chosen(&|zoom, place| group(place).is_some_and(|group| zoom.is_column(group)));
        let find = |places: &[u32], name: &SmolStr| {
            let is_it = |place: &u32| group(*place).is_some_and(|group| group.name == *name);
            places.iter().position(is_it)
        };
        let both =
            |(source, destination): &(SmolStr, SmolStr)| find(&self.rows, source).zip(find(&self.columns, destination));
        if let Some((row, column)) = self.awaited.as_ref().and_then(both) {
            self.awaited = None;
            (self.row, self.column) = (row, column);
        } else if let Some((source, destination)) = &self.names {
            // Those that are gone leave the selection where it was on the screen.
            self.row = find(&self.rows, source).unwrap_or(self.row);
            self.column = find(&self.columns, destination).unwrap_or(self.column);
        }
        self.row = self.row.min(self.rows.len().saturating_sub(1));
        self.column = self.column.min(self.columns.len().saturating_sub(1));
        self.remember(table);
    }

    /// The selected groups, places in the table.
    pub(crate) fn selected(&self) -> Option<(u32, u32)> {
        Some((*self.rows.get(self.row)?, *self.columns.get(self.column)?))
    }

    pub(crate) fn step(&mut self, table: &Table, down: isize, right: isize) {
        self.awaited = None;
        let last = |places: &[u32]| places.len().saturating_sub(1);
        self.row = self.row.saturating_add_signed(down).min(last(&self.rows));
        self.column = self.column.saturating_add_signed(right).min(last(&self.columns));
        self.remember(table);
    }

    /// Selects the groups of these names as soon as there are both.
    pub(crate) fn select(&mut self, source: SmolStr, destination: SmolStr) {
        self.awaited = Some((source, destination));
    }

    /// Goes to a row or, where no row is, to a column that `matches`: the next one after the selected, or it itself where
    /// `stay`; backwards where not `forward`. Whether there is one.
    pub(crate) fn find(&mut self, table: &Table, matches: &[bool], forward: bool, stay: bool) -> bool {
        let is_match = |place: &u32| matches.get(*place as usize).copied().unwrap_or(false);
        let next = |places: &[u32], from: usize| {
            let count = places.len();
            let steps = usize::from(!stay)..count + usize::from(!stay);
            let mut tried =
                steps.map(|step| if forward { from + step } else { from + count * 2 - step } % count.max(1));
            tried.find(|at| places.get(*at).is_some_and(is_match))
        };
        if let Some(row) = next(&self.rows, self.row) {
            self.row = row;
        } else if let Some(column) = next(&self.columns, self.column) {
            self.column = column;
        } else {
            return false;
        }
        self.remember(table);
        true
    }

    /// Scrolls as little as is needed for the selected cell to be seen where so many rows and columns are.
    pub(crate) fn scroll(&mut self, rows: usize, columns: usize) {
        let scrolled = |seen: &Range<usize>, at: usize, all: usize, fit: usize| {
            let fit = fit.min(all);
            let first = seen.start.min(at).max((at + 1).saturating_sub(fit)).min(all - fit);
            first..first + fit
        };
        self.seen = (
            scrolled(&self.seen.0, self.row, self.rows.len(), rows),
            scrolled(&self.seen.1, self.column, self.columns.len(), columns),
        );
    }

    fn remember(&mut self, table: &Table) {
        let name = |place| table.group(place).map(|group| group.name.clone());
        if let Some((source, destination)) = self.selected() {
            self.names = name(source).zip(name(destination));
        }
    }
}
