//! The heartbeat agent of one node: discover, probe, aggregate, publish, answer.
//!
//! [`Agent`] is the whole of it: [`Prepared::open`] takes a validated [`config::AgentConfig`] and opens what takes rights,
//! [`Agent::start`] the rest, and [`Agent::run`] goes on until it is told to end. Inside, the mesh task (`mesh`) joins membership, probers and sinks; everything else is a
//! part it works with.

mod aggregate;
mod allowed;
mod between;
mod books;
pub mod config;
mod ending;
mod health;
mod http;
mod kubernetes;
mod lifecycle;
mod mesh;
mod metrics;
mod parts;
mod peer_totals;
mod peers;
mod place;
mod prepared;
mod probers;
mod proofs;
mod readiness;
pub mod request;
mod resolve;
mod sources;
mod status;
mod totals;

pub use allowed::Allowed;
pub use between::Between;
pub use health::Health;
pub use lifecycle::{Agent, Hooks, Order};
pub use parts::registration;
pub use prepared::{Prepared, StartError};
pub use probers::ProbeError;
