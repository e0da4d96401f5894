//! Summary records to a matrix: the page and its JSON.
//!
//! [`Matrix`] takes summaries in and merges them exactly over a rolling minute; [`api::serve`] shows it as a page and
//! as JSON; [`terminal::summary_table`] prints it.

pub mod api;
mod events;
mod matrix;
mod page;
mod pairs;
mod row;
mod series;
pub mod snapshot;
pub mod terminal;
mod view;

pub use matrix::{Matrix, MatrixConfig, MatrixStats};
pub use row::{PairRow, State};
pub use series::Ingest;
pub use snapshot::Snapshot;
pub use view::{UnknownView, View};
