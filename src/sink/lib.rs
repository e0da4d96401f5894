//! Where summary records go: Kafka, standard output, files.
//!
//! Start with [`Publisher`]: it owns the sinks, takes each window's summaries without ever waiting, and drains at the
//! end. A sink is a [`SinkConfig`] and an implementation of [`Sink`]; this is the second of the two seams where the
//! agent is meant to be extended. [`kafka::reader`] reads records back.
//!
//! Each sink runs on a thread of its own, behind a backlog of its own that is bounded by merging: what cannot be written
//! yet loses resolution in time, never a sample.

mod backlog;
mod config;
#[cfg(test)]
mod fixtures;
#[cfg(feature = "internals")]
pub mod internals;
pub mod kafka;
mod lines;
mod publisher;
mod rate_limit;
mod spool;
mod stats;
mod thread;
mod waiting;

pub use backlog::DEFAULT_BOUND_BYTES;
pub use config::{Encoding, KafkaConfig, SinkConfig};
pub use publisher::{Drained, Left, Publisher, Sink, StartError};
pub use stats::{Probes, Snapshot, Stats, Trouble};
