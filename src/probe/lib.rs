//! The core of a probe: what to send and when, what came back, what it means. No clock, no socket, no unsafe, no async.
//!
//! The types to read first:
//! - [`Lane`]: one probe kind of this host. Packets, stamps and the time go in by its `handle_*` calls, packets to
//!   send come out of [`Lane::poll_transmit`], what became of each probe out of [`Lane::poll_event`].
//! - [`Event`]: what happened to a target's probe, with the round-trip delay as a [`Sample`].
//! - [`WindowTable`]: events summed up per target until a [`Window`] of UTC closes.
//!
//! Every function that depends on the time takes it as an argument, so the same code runs under a virtual clock.

mod accumulator;
mod clocks;
mod config;
mod cookie;
mod event;
pub mod grow;
mod kind;
mod lane;
mod pace;
mod ring;
mod samples;
mod schedule;
mod targets;
pub mod time;
mod window;
mod wire;

pub use accumulator::{Accumulator, Counts, Flow};
pub use config::{
    AddError, ConfigError, LaneConfig, MAX_CAPACITY, MAX_TARGETS, MAX_TIMEOUT, MIN_PAIR_INTERVAL, MIN_TIMEOUT, Mode,
    Protocol, TargetSpec, capacity_for, reply_memory,
};
pub use cookie::echo_mark;
pub use event::{Event, Sample, TargetId, What};
pub use kind::{Clock, Fate, Method, ProbeKind, UnknownWord};
pub use lane::{Arrival, ConnectOutcome, Lane, LaneStats, RxStamps, SendFailure, Transmit};
pub use pace::LONGEST_TICK;
pub use samples::{Delays, Samples};
pub use schedule::{Due, Pattern, Schedule, late_limit};
pub use time::{Mono, Phc, Wall};
pub use window::{Window, WindowTable};
