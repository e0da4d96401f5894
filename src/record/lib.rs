//! The summary record: schema, JSON, Protobuf and histogram encoding.
//!
//! Start with [`Summary`] (what one window of one pair amounts to; summaries merge), [`Recorder`] (samples to a
//! [`Distribution`]) and [`SummaryRecord`] (the flat record that leaves this host). [`decode`] reads records of either
//! encoding; [`TraceReport`] is the record of the Go original.

mod decode;
mod distribution;
mod geometry;
pub mod grid;
pub mod hdr;
pub mod packed;
pub mod proto;
mod record;
mod summary;
mod trace_report;

pub use decode::{DecodeError, MAX_COUNT, MAX_RECORD_BYTES, decode};
pub use distribution::{Distribution, Recorder};
pub use dt_probe::Counts;
pub use record::{Options, Origin, SCHEMA_VERSION, SummaryRecord, key_of};
pub use summary::{Endpoint, Flow, Pair, Summary};
pub use trace_report::TraceReport;
