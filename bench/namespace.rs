//! A network namespace of this process's own: nobody else's raw sockets, which would each cost every reply a look, no
//! firewall rules, and all of 127.0.0.0/8 as targets. Where a way to somewhere else is wanted, a second one behind a pair of
//! virtual Ethernet devices.

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
    run("ip link set lo up")
}

/// Joins the calling thread's namespace to that of the process `pid`, which began in one of its own, so that all of
/// [`BEYOND`](crate::addresses::BEYOND) answers there.
///
/// # Errors
/// Without `ip` (iproute2) and `nsenter` (util-linux).
pub fn beyond(pid: u32) -> Result {
    run(&format!("ip link add there type veth peer name here netns {pid}"))?;
    run("ip address add 10.63.0.1/30 dev there")?;
    run("ip link set there up")?;
    let inside = |line: &str| run(&format!("nsenter --net=/proc/{pid}/ns/net {line}"));
    inside("ip link set lo up")?;
    inside("ip address add 10.63.0.2/30 dev here")?;
    inside("ip link set here up")?;
    inside("ip route add local 10.64.0.0/10 dev lo")?;
    run("ip route add 10.64.0.0/10 via 10.63.0.2")
}

/// Runs a command, its words separated by blanks.
fn run(line: &str) -> Result {
    let mut words = line.split_whitespace();
    let program = words.next().unwrap_or_default();
    match Command::new(program).args(words).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure(format!("`{line}` failed: {status}"))),
        Err(error) => Err(Failure(format!("`{line}` (packages iproute2 and util-linux): {error}"))),
    }
}
