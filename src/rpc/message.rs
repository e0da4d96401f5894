//! What `proto/message.proto` generates: the wire types of the Go original, its server trait and its client.

// Generated code follows its generator's habits.
#![allow(missing_docs, unreachable_pub, clippy::all)]

tonic::include_proto!("message");

/// The descriptors of the file, encoded: what the reflection service shows.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/message.bin"));
