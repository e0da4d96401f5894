//! Raw sockets, batches, the error queue, kernel timestamps and the probe thread. The only crate with unsafe code.
