//! Who is in the mesh: ZooKeeper or a peers file, and the pinglist that follows from it.
//!
//! [`zookeeper::start`] and [`file::start`] give the same [`Handle`]: a [`View`] of all other members that is kept
//! current, and the means to leave. [`pinglist`] chooses from a view whom a node probes.

mod data;
pub mod file;
mod handle;
#[cfg(feature = "internals")]
pub mod internals;
mod log_limit;
mod member;
mod peers;
mod ring;
mod roster;
mod stats;
mod tracker;
pub mod zookeeper;

pub use handle::{Handle, Status};
pub use log_limit::LogLimit;
pub use member::{Labels, Member, Registration, State, View, is_layout, own_entry, same_address};
pub use peers::{Fault, FileError, MAX_FILE_BYTES};
pub use ring::{Selected, Why, pinglist, ring_position};
pub use stats::Stats;
