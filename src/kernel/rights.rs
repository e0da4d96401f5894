//! What this process may do.

use caps::errors::CapsError;
use caps::{CapSet, Capability};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Whether the calling thread may open raw sockets. False where that can't be found out.
#[must_use]
pub fn has_net_raw() -> bool {
    caps::has_cap(None, CapSet::Effective, Capability::CAP_NET_RAW).unwrap_or(false)
}

/// Raises `CAP_NET_RAW` where the calling thread is permitted it but doesn't have it: so a file capability gives it that
/// stands in the permitted set only (`cap_net_raw=p`). One in the effective set too (`+ep`) would make exec fail
/// wherever the bounding set lacks it, as in a container that drops all capabilities. Threads started from here on
/// inherit what is raised: call it before any.
///
/// # Errors
/// Where the kernel refuses, as under a system call filter.
pub fn raise_net_raw() -> Result<(), CapsError> {
    if !has_net_raw() && caps::has_cap(None, CapSet::Permitted, Capability::CAP_NET_RAW)? {
        caps::raise(None, CapSet::Effective, Capability::CAP_NET_RAW)?;
    }
    Ok(())
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
    fn the_file_limit_is_raised_to_the_hard_one() {
        let limit = raise_file_limit().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (limit, limit));
    }

    #[test]
    fn what_is_permitted_is_raised_and_what_is_not_is_left() {
        // Capabilities are a thread's own, and this one ends with the test.
        let effective = [Capability::CAP_NET_RAW].into();
        assert!(has_net_raw(), "needs root");
        caps::drop(None, CapSet::Effective, Capability::CAP_NET_RAW).unwrap();
        assert!(!has_net_raw());
        raise_net_raw().unwrap();
        assert!(has_net_raw());
        caps::set(None, CapSet::Effective, &effective).unwrap();
        raise_net_raw().unwrap();
        assert_eq!(caps::read(None, CapSet::Effective).unwrap(), effective);

        caps::clear(None, CapSet::Effective).unwrap();
        caps::clear(None, CapSet::Permitted).unwrap();
        raise_net_raw().unwrap();
        assert!(!has_net_raw());
    }
}
