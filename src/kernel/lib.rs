//! The kernel shell: the only crate with unsafe code, and the only one that makes system calls about packets. It knows
//! nothing of the protocol above it: bytes go in, bytes and the kernel's time stamps come out.
//!
//! [`PacketChannel`] is a socket that ICMP echoes or half-open SYNs leave by in a [`Batch`] and whose replies, transmit stamps
//! and ICMP errors it reads in batches. [`Connector`] probes by `connect()` where raw sockets aren't permitted. [`Clocks`] reads
//! the wall clock that the stamps are in beside the monotonic one.
//!
//! Whatever the kernel may refuse is tried when a channel is opened, and done without: [`Detected`] says what there is.

mod address;
mod batch;
mod bpf;
pub mod card;
mod channel;
pub mod clock;
mod cmsg;
mod connect;
mod detected;
mod drops;
mod errors;
mod features;
mod filter;
#[cfg(feature = "internals")]
pub mod internals;
mod loopback;
mod mailbox;
pub mod memory;
mod open;
mod packet;
mod ports;
mod queued;
pub mod rights;
pub mod route;
pub mod sandbox;
pub mod setup;
mod streams;
mod sys;
pub mod thread;

pub use address::Family;
pub use batch::{BATCH, Batch, LONGEST_PACKET, SendOutcome, SendResult};
pub use card::CardStamps;
pub use channel::{PacketChannel, Received, Skipped};
pub use clock::{Clocks, Reading};
pub use connect::{ConnectOutcome, Connected, Connector};
pub use detected::{Detected, SocketMethod, StampKeying};
pub use errors::{OpenError, PortsError};
pub use features::{Features, UnknownFeature};
pub use ports::SourcePorts;
pub use queued::{Queued, StampKey};
