//! The binary `dt`.
fn main() {}
