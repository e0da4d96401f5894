//! The laboratory of the end-to-end tests: real network namespaces with known loss and delay, captures on the wire,
//! real services and the real binary.
