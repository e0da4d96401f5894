//! A network namespace of this process's own: nobody else's raw sockets, which would each cost every reply a look, no
//! firewall rules, and all of 127.0.0.0/8 as targets.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use crate::{Failure, Result};

/// Moves the calling thread, and the threads and processes that it starts from now on, into a new network namespace
/// with nothing but loopback.
///
/// # Errors
/// Without the privilege for it, or without the command `ip` (iproute2).
pub fn enter() -> Result {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| {
        Failure(format!(
            "this benchmark makes a network namespace and opens raw sockets in it, which needs root \
             (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW): unshare: {error}"
        ))
    })?;
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure(format!("`ip link set lo up` failed: {status}"))),
        Err(error) => Err(Failure(format!("`ip link set lo up` (package iproute2): {error}"))),
    }
}
