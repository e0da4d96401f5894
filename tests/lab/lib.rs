//! The laboratory of the end-to-end tests: real network namespaces with known loss and delay, captures on the wire,
//! real services and the real binary. A test starts with [`namespaces::Pair`], [`namespaces::Lan`] or [`fabric::Fabric`],
//! runs the binary inside by [`process::Process`] and returns [`error::Result`].
//!
//! Everything here ends with the value that started it: namespaces are deleted, processes killed by pid.

pub mod agent;
pub mod busy;
pub mod capture;
pub mod certificates;
pub mod clock;
pub mod collector;
pub mod delay;
pub mod disk;
pub mod ensemble;
pub mod error;
pub mod fabric;
pub mod forge;
pub mod forward;
pub mod guide;
pub mod kafka;
pub mod lock;
pub mod loopback;
pub mod merged;
pub mod namespaces;
pub mod original;
pub mod ping;
pub mod process;
pub mod pty;
pub mod python;
pub mod quota;
pub mod scrape;
pub mod secured;
pub mod soak;
pub mod systemd;
pub mod tap;
pub mod topic;
pub mod transactions;
pub mod wire;
pub mod znodes;
pub mod zookeeper;
