//! The whole picture where several collectors share the partitions: each writes what its partitions' series add up to from zone
//! to zone into a compacted topic, and reads what all have written.
//!
//! A key names the partition, so that whoever takes a partition over replaces what was written of it, and nothing is counted
//! twice.

mod partial;
mod share;
mod table;

pub use partial::{Part, Partial, ZonePair};
pub use share::{RollupConfig, Share};
pub use table::{Applied, RollupTable, Whole, ZoneCell};
