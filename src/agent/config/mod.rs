//! The configuration of an agent. [`AgentConfig`] is what the rest of the program reads: plain data, validated.

pub mod duration;
mod host_port;
mod model;

pub use host_port::{HostPort, parse_host, parse_port};
pub use model::{AgentConfig, Encoding, Kafka, Log, LogFormat, Membership, Sink, TcpMethod, Timing, ZooKeeper};
