//! One function for each thing that reads bytes from outside. Each takes any bytes and panics where the reader breaks what it
//! promises: it panics itself, believes what it must not, gives back something else than was written, or takes more memory
//! than its input is worth.
//!
//! `fuzz/fuzz_targets` hands them to libFuzzer, `tests/` of this crate runs them over the kept corpora and over seeded
//! random input. [`TARGETS`] names all of them.

// A panic is what these functions are for.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod config;
mod control;
mod grpc;
mod hdr;
mod http;
mod input;
mod intake;
mod lane;
mod made;
mod member;
mod memory;
mod peers;
mod record;
mod rollup;

pub use config::fuzz_config;
pub use control::fuzz_control;
pub use grpc::fuzz_grpc;
pub use hdr::fuzz_hdr;
pub use http::fuzz_http;
pub use intake::fuzz_intake;
pub use lane::{fuzz_echo, fuzz_syn};
pub use member::fuzz_member;
pub use peers::fuzz_peers;
pub use record::fuzz_record;
pub use rollup::fuzz_rollup;

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// All of them, by the name of their corpus.
pub const TARGETS: [(&str, Target); 12] = [
    ("config", fuzz_config),
    ("control", fuzz_control),
    ("echo", fuzz_echo),
    ("grpc", fuzz_grpc),
    ("hdr", fuzz_hdr),
    ("http", fuzz_http),
    ("intake", fuzz_intake),
    ("member", fuzz_member),
    ("peers", fuzz_peers),
    ("record", fuzz_record),
    ("rollup", fuzz_rollup),
    ("syn", fuzz_syn),
];
