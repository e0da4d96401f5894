//! The summary record: schema, JSON, Protobuf and histogram encoding.

mod distribution;
mod summary;

pub use distribution::Distribution;
pub use summary::{Counts, Endpoint, Flow, Pair, Summary};
