//! What the benchmarks and the programs here (`peers`, `bounds`, `neighbours`) share: a quiet place to measure in, the loops that are measured, and their data.
//!
//! - [`namespace::enter`]: a network namespace of this process's own, without foreign raw sockets and firewall rules.
//! - [`place::Place`]: addresses that answer, over loopback or over a virtual wire.
//! - [`exchange::Exchange`]: probes by the real core and the real sockets, in batches of a chosen size.
//! - [`reference::Reference`]: the same probes by a bare loop in C.
//! - [`synthetic`]: the core alone under a virtual clock; [`fixtures`]: windows as they are in a large cluster.
//!
//! All figures are CPU time, not time on the wall: other work on the machine then changes them little.

pub mod addresses;
pub mod arguments;
pub mod baselines;
pub mod child;
pub mod compiled;
pub mod cpu;
pub mod exchange;
pub mod fixtures;
pub mod namespace;
pub mod others;
pub mod ping;
pub mod place;
pub mod reference;
pub mod statistics;
pub mod synthetic;
pub mod verdict;

/// Something that keeps a benchmark from measuring what it is to measure. It says what, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// The result of anything here.
pub type Result<T = ()> = std::result::Result<T, Failure>;

/// For `map_err`: puts what was being done before what went wrong.
pub fn doing<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> Failure {
    let what = what.to_owned();
    move |error| Failure(format!("{what}: {error}"))
}

/// What was made; or the end of the program with exit code 1 and the reason, for a benchmark has nobody to give it to.
pub fn or_exit<T>(made: Result<T>) -> T {
    made.unwrap_or_else(|failure| {
        eprintln!("{failure}");
        std::process::exit(1)
    })
}
