//! The heartbeat agent of one node: discover, probe, aggregate, publish, answer.

pub mod config;
