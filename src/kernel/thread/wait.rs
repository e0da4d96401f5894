//! Waiting on the sockets until something is to be read or a time has come.

use std::os::fd::{AsRawFd, BorrowedFd};

use dt_probe::Mono;
use dt_probe::time::SECOND;

use crate::clock::mono;

/// At most this many descriptors: two families for each of two packet lanes, or a connector's epoll.
const MOST: usize = 8;

/// Returns when one of `fds` can be read, has something on its error queue, or when `CLOCK_MONOTONIC` has come to
/// `due`. A signal may end it early; the caller looks again anyway.
pub(super) fn wait_readable<'a>(fds: impl Iterator<Item = BorrowedFd<'a>>, due: Mono) {
    let mut polled = [libc::pollfd {
        fd: -1,
        events: libc::POLLIN,
        revents: 0,
    }; MOST];
    for (slot, fd) in polled.iter_mut().zip(fds) {
        slot.fd = fd.as_raw_fd();
    }
    let nanos = due.since(mono());
    let timeout = libc::timespec {
        tv_sec: (nanos / SECOND) as libc::time_t,
        tv_nsec: (nanos % SECOND) as libc::c_long,
    };
    // SAFETY: `polled` is an array of MOST initialised entries (negative descriptors are passed over), `timeout` lives
    // until the call returns, and a null signal mask is allowed.
    unsafe {
        libc::ppoll(
            polled.as_mut_ptr(),
            MOST as libc::nfds_t,
            &raw const timeout,
            std::ptr::null(),
        );
    }
}
