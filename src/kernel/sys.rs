//! The system calls without a safe wrapper, and the constants libc lacks. Kernel headers are named in brackets.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, c_void, sock_filter, socklen_t};

/// `SCM_TS_OPT_ID` [asm-generic/socket.h], since Linux 6.13: the sender's own key for a packet's transmit stamp.
pub(crate) const SCM_TS_OPT_ID: c_int = if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) {
    0x5a
} else {
    81
};
/// `ICMP_FILTER` [linux/icmp.h], level `SOL_RAW`: a bit per type, set = not delivered.
pub(crate) const ICMP_FILTER: c_int = 1;
/// `ICMPV6_FILTER` [linux/icmpv6.h], level `SOL_ICMPV6`: 256 bits, set = not delivered.
pub(crate) const ICMPV6_FILTER: c_int = 1;
/// `SK_MEMINFO_RMEM_ALLOC` and its like [linux/sock_diag.h]: places in what `SO_MEMINFO` gives.
pub(crate) const SK_MEMINFO_RMEM_ALLOC: usize = 0;
pub(crate) const SK_MEMINFO_RCVBUF: usize = 1;
pub(crate) const SK_MEMINFO_WMEM_ALLOC: usize = 2;
pub(crate) const SK_MEMINFO_SNDBUF: usize = 3;
pub(crate) const SK_MEMINFO_DROPS: usize = 8;
/// `SK_MEMINFO_VARS` [linux/sock_diag.h].
pub(crate) const SK_MEMINFO_VARS: usize = 9;

/// `SIOCETHTOOL`, `SIOCSHWTSTAMP`, `SIOCGHWTSTAMP` [linux/sockios.h].
pub(crate) const SIOCETHTOOL: u32 = 0x8946;
pub(crate) const SIOCSHWTSTAMP: u32 = 0x89b0;
pub(crate) const SIOCGHWTSTAMP: u32 = 0x89b1;

/// The longest name of an interface, its final zero included (`IFNAMSIZ` [linux/if.h]).
const INTERFACE_NAME: usize = 16;

/// `struct ifreq` [linux/if.h] with a pointer in its union, which is 24 bytes long at most.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; INTERFACE_NAME],
    data: *mut c_void,
    rest: [u8; 24 - size_of::<*mut c_void>()],
}

/// An `ioctl` about an interface whose argument is a structure of plain numbers: `data`, which must be as long as that
/// structure. The kernel reads it and writes its answer into it.
pub(crate) fn interface_call<const N: usize>(
    socket: BorrowedFd<'_>,
    request: u32,
    name: &str,
    data: &mut [u8; N],
) -> io::Result<()> {
    let needed = match request {
        // `struct ethtool_ts_info`, the only one that is asked for.
        SIOCETHTOOL => 44,
        // `struct hwtstamp_config`.
        SIOCSHWTSTAMP | SIOCGHWTSTAMP => 12,
        _ => return Err(io::Error::from(io::ErrorKind::InvalidInput)),
    };
    if N < needed || name.len() >= INTERFACE_NAME {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut described = InterfaceRequest {
        name: [0; INTERFACE_NAME],
        data: data.as_mut_ptr().cast(),
        rest: [0; 24 - size_of::<*mut c_void>()],
    };
    described.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: `described` is at least as long as the kernel's `struct ifreq` and outlives the call, and so does `data`, which
    // is exclusively borrowed and was checked to be as long as the structure that the kernel reads and writes there.
    let code = unsafe { libc::ioctl(socket.as_raw_fd(), request as _, &raw mut described) };
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// `setsockopt` with a value of plain bytes.
pub(crate) fn set_option(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which outlives the call; the kernel only reads it. An option
    // that holds pointers (`SO_ATTACH_FILTER`) isn't set through here.
    let code = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.as_ptr().cast::<c_void>(),
            value.len() as socklen_t,
        )
    };
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// `setsockopt` with an `int`.
pub(crate) fn set_int(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    set_option(socket, level, name, &value.to_ne_bytes())
}

/// `getsockopt` into plain bytes; returns how many the kernel wrote.
pub(crate) fn get_option(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: &mut [u8]) -> io::Result<usize> {
    let mut length = value.len() as socklen_t;
    // SAFETY: the pointer and the length describe `value`, which is exclusively borrowed for the call; the kernel
    // writes at most `length` bytes and then sets `length` to what it wrote.
    let code = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast::<c_void>(),
            &raw mut length,
        )
    };
    if code == 0 {
        Ok((length as usize).min(value.len()))
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Takes a TCP socket's connection apart, so that it can connect again. One that was established ends by RST.
pub(crate) fn disconnect(socket: BorrowedFd<'_>) -> io::Result<()> {
    let nobody = libc::sockaddr {
        sa_family: libc::AF_UNSPEC as libc::sa_family_t,
        sa_data: [0; 14],
    };
    // SAFETY: the address and its length describe `nobody`, which outlives the call; the kernel only reads it.
    let code = unsafe {
        libc::connect(
            socket.as_raw_fd(),
            &raw const nobody,
            size_of::<libc::sockaddr>() as socklen_t,
        )
    };
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// What a socket's buffers hold (`SO_MEMINFO`), by the places above. `None` before Linux 4.12.
pub(crate) fn socket_memory(socket: BorrowedFd<'_>) -> Option<impl Fn(usize) -> Option<u32>> {
    let mut bytes = [0; SK_MEMINFO_VARS * 4];
    let length = get_option(socket, libc::SOL_SOCKET, libc::SO_MEMINFO, &mut bytes).ok()?;
    Some(move |place: usize| {
        let value = bytes[..length].get(place * 4..)?.first_chunk();
        value.map(|value| u32::from_ne_bytes(*value))
    })
}

/// Attaches a classic BPF program: packets for which it returns 0 never reach the socket.
pub(crate) fn attach_filter(socket: BorrowedFd<'_>, program: &[sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let described = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: `described` and the program it points to outlive the call, its length is the program's, and the kernel
    // copies the program without writing to it (the pointer is mutable only in C's declaration).
    let code = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const described).cast::<c_void>(),
            size_of::<libc::sock_fprog>() as socklen_t,
        )
    };
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Puts this thread, or all threads of the process, under a filter of system calls, for good.
pub(crate) fn filter_calls(program: &[sock_filter], all_threads: bool) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let described = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast_mut(),
    };
    let threads = if all_threads {
        libc::SECCOMP_FILTER_FLAG_TSYNC
    } else {
        0
    };
    // SAFETY: `described` and the program it points to outlive the call, its length is the program's, and the kernel copies
    // the program without writing to it (the pointer is mutable only in C's declaration).
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER),
            threads,
            &raw const described,
        )
    };
    match answer {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        thread => Err(io::Error::other(format!("thread {thread} has a filter of its own"))),
    }
}

/// Whether an errno may be an ICMP error about an *earlier* packet, left pending on the socket by `IP_RECVERR` and handed
/// to whichever call comes next (`icmp_err_convert` in net/ipv4/icmp.c, `tab_unreach` in net/ipv6/icmp.c).
pub(crate) fn may_be_pending(errno: c_int) -> bool {
    matches!(
        errno,
        libc::ENETUNREACH
            | libc::EHOSTUNREACH
            | libc::ENOPROTOOPT
            | libc::ECONNREFUSED
            | libc::EMSGSIZE
            | libc::EOPNOTSUPP
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EPROTO
            | libc::EACCES
    )
}

/// The errno of an error that came from a system call.
pub(crate) fn errno(error: &io::Error) -> c_int {
    error.raw_os_error().unwrap_or(0)
}
