//! Summary records to a matrix: the page and its JSON.
//!
//! [`Matrix`] takes summaries in and merges them exactly over a minute, ten minutes and an hour; [`http::serve`] shows it
//! as a page and as JSON; [`terminal::summary_table`] prints it.

mod census;
pub mod clock;
pub mod detail;
pub mod diagnosis;
pub mod grouped;
pub mod http;
pub mod intake;
mod matrix;
pub mod metrics;
mod nodes;
mod observation;
pub mod observer;
mod pane;
pub mod place;
pub mod plain;
pub mod rollup;
mod row;
mod seen;
mod series;
pub mod service;
pub mod snapshot;
mod sound;
mod tally;
pub mod terminal;
mod total;
mod view;

pub use detail::PairDetail;
pub use grouped::{Grouped, Level};
pub use intake::Intake;
pub use matrix::{Matrix, MatrixConfig, MatrixStats};
pub use observer::{Observer, Standing};
pub use row::{PairRow, State};
pub use series::Ingest;
pub use snapshot::Snapshot;
pub use tally::TallyBounds;
pub use view::{UnknownView, View};
