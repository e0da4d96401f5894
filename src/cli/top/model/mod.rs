//! What is shown, whoever it came from: the same for records read from Kafka and for the answers of a server.

mod cell;
mod findings;
pub(super) mod metric;
pub(super) mod pair;
mod table;

use std::sync::Arc;

use dt_collect::{Level, View};
use dt_probe::ProbeKind;
use smol_str::SmolStr;

pub(super) use cell::{Cell, Status};
pub(super) use findings::{Finding, Findings};
pub(super) use metric::Metric;
#[cfg(test)]
pub(super) use pair::Percentiles;
pub(super) use pair::{Direction, Kind, PairView, Pane, Place};
pub(super) use table::Table;

/// What is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) view: View,
    pub(super) level: Level,
    /// `None` for the first kind of which there is anything.
    pub(super) probe: Option<ProbeKind>,
    /// The pair that is opened: source and destination.
    pub(super) pair: Option<(SmolStr, SmolStr)>,
}

/// One look at all of it.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    /// At the level wanted.
    pub(super) map: Arc<Table>,
    /// The same by nodes, which is the same table where that is the level.
    pub(super) nodes: Arc<Table>,
    /// What is at fault; or why nobody knows.
    pub(super) findings: Result<Arc<Findings>, String>,
    /// The pair that is opened; nothing where none is, or it is unknown.
    pub(super) pair: Option<PairView>,
    /// What was read so far, in words.
    pub(super) news: String,
    /// Sentences of whoever measures, for instance what could not be measured.
    pub(super) notes: Vec<String>,
}

/// A picture, or why there is none.
pub(super) type Look = Result<Picture, String>;
