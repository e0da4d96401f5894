//! What this process may do.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// `CAP_NET_RAW` [linux/capability.h].
const CAP_NET_RAW: u32 = 13;

/// Whether the calling thread may open raw sockets. False where that can't be found out.
#[must_use]
pub fn has_net_raw() -> bool {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    effective(&status) & (1 << CAP_NET_RAW) != 0
}

/// The effective capabilities in `/proc/.../status`.
fn effective(status: &str) -> u64 {
    let digits = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    digits
        .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
        .unwrap_or(0)
}

/// Raises this process's limit of open files as far as it may; returns the limit then in force.
///
/// # Errors
/// Where the limit can't be read or set.
pub fn raise_file_limit() -> std::io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_status_file() {
        assert_eq!(
            effective("Name:\tx\nCapPrm:\t0\nCapEff:\t0000000000002000\n"),
            1 << CAP_NET_RAW
        );
        assert_eq!(effective("CapEff:\tgarbage\n"), 0);
        assert_eq!(effective(""), 0);
    }

    #[test]
    fn the_file_limit_is_raised_to_the_hard_one() {
        let limit = raise_file_limit().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (limit, limit));
    }
}
