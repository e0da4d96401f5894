//! Whether this process may open enough files to begin with.

use dt_kernel::rights::raise_file_limit;

/// The runtime, the signals, the sockets, sinks and listeners that a command opens at its start are some 30; what comes
/// later, such as a connection for each peer, is done without where it is refused.
const LEAST: u64 = 64;

/// How many files this process may have open, as far as it is known.
pub(crate) fn limit() -> u64 {
    raise_file_limit().unwrap_or(1024)
}

/// Raises the limit of open files as far as permitted; what is wrong where it is too low all the same. Libraries end a
/// process that meets it at its start by a panic.
pub(crate) fn enough() -> Result<(), String> {
    match raise_file_limit() {
        Ok(limit) if limit < LEAST => Err(format!(
            "this process may have {limit} open files; accepted: {LEAST} or more, by `ulimit -n`, systemd's LimitNOFILE, or \
             the container's nofile"
        )),
        // Where the limit can't be found out, it is tried.
        Ok(_) | Err(_) => Ok(()),
    }
}
