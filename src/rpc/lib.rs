//! The gRPC `PingNode` of the Go original: [`Server`] answers it, [`Prober`] sends it and tells each ping's fate.
//!
//! Cleartext HTTP/2, as the original, or TLS ([`Tls`]). Times are this program's own clock's ([`dt_probe::Clock::User`]): what gRPC
//! measures is the whole path through both processes, so kernel stamps would not describe it.

mod answer;
mod call;
mod connection;
mod fate;
mod first_words;
mod gate;
pub mod message;
mod metered;
mod options;
mod peer;
mod ping;
mod prober;
mod server;
mod tls;
mod wait;

pub use options::ServerOptions;
pub use peer::GrpcTarget;
pub use prober::{GrpcEvent, PingCounters, Prober, ProberConfig, Trace};
pub use server::{Server, ServerError, ServerStats};
pub use tls::{Tls, TlsConfig, TlsError, TlsMode};
