//! The configuration of an agent. [`AgentConfig`] is what the rest of the program reads: plain data, validated.
//! [`load`] makes one out of its layers, driven by one table, [`KEYS`], from which flags, variables, help and
//! documentation follow too.

mod across;
mod draft;
pub mod duration;
mod error;
mod file;
mod host_port;
mod key;
mod keys;
mod load;
mod model;
mod near;
mod networks;
mod parse;
mod rate;
mod raw;
mod reference;
mod show;

pub use error::{ConfigError, ConfigErrors};
pub use host_port::{HostPort, is_one_host, parse_host, parse_port};
pub use key::{Key, Original};
pub use keys::{KEYS, ORIGINALS, key};
pub use load::{Flag, Inputs, Loaded, Setting, load};
pub use model::{
    AgentConfig, Encoding, Kafka, Log, LogFormat, Membership, NodeLabels, Sink, TcpMethod, Timing, ZooKeeper,
};
pub use networks::{AllowedNetworks, is_link_local};
pub use rate::{Stretch, stretch};
pub use raw::{Raw, Source};
pub use reference::reference;
pub use show::show;
