//! What this process may do.

use caps::errors::CapsError;
use caps::{CapSet, Capability};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Whether the calling thread may open raw sockets. False where that can't be found out.
#[must_use]
pub fn has_net_raw() -> bool {
    caps::has_cap(None, CapSet::Effective, Capability::CAP_NET_RAW).unwrap_or(false)
}

/// What this crate can make use of: raw sockets; a receive buffer beyond the host's limit and the card's time stamps;
/// real-time priority.
const USED: [Capability; 3] = [
    Capability::CAP_NET_RAW,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_SYS_NICE,
];

/// Raises those capabilities that the calling thread is permitted but doesn't have: so a file capability gives them that
/// stands in the permitted set only (`cap_net_raw=p`). One in the effective set too (`+ep`) would make exec fail
/// wherever the bounding set lacks it, as in a container that drops all capabilities. Threads started from here on
/// inherit what is raised: call it before any.
///
/// # Errors
/// Where the kernel refuses, as under a system call filter.
pub fn raise_permitted() -> Result<(), CapsError> {
    let (permitted, effective) = (
        caps::read(None, CapSet::Permitted)?,
        caps::read(None, CapSet::Effective)?,
    );
    for capability in USED {
        if permitted.contains(&capability) && !effective.contains(&capability) {
            caps::raise(None, CapSet::Effective, capability)?;
        }
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
    fn what_is_permitted_and_of_use_is_raised_and_nothing_else() {
        // Capabilities are a thread's own, and this one ends with the test.
        let effective = || caps::read(None, CapSet::Effective).unwrap();
        assert!(has_net_raw(), "needs root");
        caps::clear(None, CapSet::Effective).unwrap();
        assert!(!has_net_raw());
        let permitted = [Capability::CAP_NET_RAW, Capability::CAP_SYS_NICE, Capability::CAP_KILL];
        caps::set(None, CapSet::Permitted, &permitted.into()).unwrap();
        raise_permitted().unwrap();
        assert_eq!(effective(), [Capability::CAP_NET_RAW, Capability::CAP_SYS_NICE].into());

        caps::clear(None, CapSet::Effective).unwrap();
        caps::clear(None, CapSet::Permitted).unwrap();
        raise_permitted().unwrap();
        assert_eq!(effective(), [].into());
    }
}
