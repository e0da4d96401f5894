//! The core of a probe: what to send and when, what came back, what it means. No clock, no socket, no unsafe, no async.

mod event;
mod kind;
pub mod time;

pub use event::{Event, Sample, TargetId, What};
pub use kind::{Clock, Fate, Method, ProbeKind, UnknownWord};
pub use time::{Mono, Wall};
