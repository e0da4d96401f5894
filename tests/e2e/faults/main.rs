//! Faults of the network, of the host and of operators: each is told for what it is, nothing is lost or invented by it, and
//! whoever isn't concerned measures on as if nothing were.

mod alarm;
mod broker;
mod ensemble;
mod hosts;
mod kafka;
mod mesh;
mod network;
mod rollout;
