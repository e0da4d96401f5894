//! The system calls of a running agent: its own, those of the C library (start of threads, memory, look-up of names, loading
//! of its modules), of the runtime, of librdkafka and of OpenSSL. Calls that do no more than one that is here are here as
//! well: which of them a C library uses changes with its version.

use libc::c_long;

/// When a call is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// Where the lower half of this argument is one of these.
    OneOf(u8, &'static [u32]),
    /// Where the lower half of this argument has all of these bits.
    Has(u8, u32),
    /// Where the lower half of this argument lacks at least one of these bits.
    Lacks(u8, u32),
    /// Where the lower half of this argument is this process's id.
    Own(u8),
}

use When::{Always, Has, Lacks, OneOf, Own};

const FAMILIES: &[u32] = &[
    libc::AF_UNIX as u32,
    libc::AF_INET as u32,
    libc::AF_INET6 as u32,
    // Which interfaces and addresses there are.
    libc::AF_NETLINK as u32,
];

/// How much waits on a socket, whether it blocks, whether it is a terminal; an interface's name, number and state. Not
/// among them: pushing characters into a terminal.
const CONTROLS: &[u32] = &[
    libc::FIONREAD as u32,
    libc::FIONBIO as u32,
    libc::FIOCLEX as u32,
    libc::TCGETS as u32,
    0x8910, // SIOCGIFNAME [linux/sockios.h]
    0x8912, // SIOCGIFCONF
    0x8913, // SIOCGIFFLAGS
    0x8915, // SIOCGIFADDR
    0x8921, // SIOCGIFMTU
    0x8933, // SIOCGIFINDEX
];

/// Names of threads and of memory, and looking.
const PROCESS_CONTROLS: &[u32] = &[
    libc::PR_SET_NAME as u32,
    libc::PR_GET_NAME as u32,
    libc::PR_GET_DUMPABLE as u32,
    libc::PR_CAPBSET_READ as u32,
    0x5356_4d41, // PR_SET_VMA [linux/prctl.h]
];

const WRITE_AND_EXECUTE: u32 = (libc::PROT_WRITE | libc::PROT_EXEC) as u32;
const EXECUTE: u32 = libc::PROT_EXEC as u32;
const THREAD: u32 = libc::CLONE_THREAD as u32;

/// Every call that is allowed, and when.
pub const ALLOWED: &[(c_long, When)] = &[
    // What a turn of the probe thread makes comes first: older kernels look at the list from its beginning.
    (libc::SYS_sendmmsg, Always),
    (libc::SYS_recvmmsg, Always),
    (libc::SYS_clock_nanosleep, Always),
    (libc::SYS_ppoll, Always),
    (libc::SYS_getsockopt, Always),
    (libc::SYS_clock_gettime, Always),
    (libc::SYS_futex, Always),
    (libc::SYS_epoll_pwait, Always),
    (libc::SYS_read, Always),
    (libc::SYS_write, Always),
    // Sockets.
    (libc::SYS_socket, OneOf(0, FAMILIES)),
    (libc::SYS_socketpair, OneOf(0, &[libc::AF_UNIX as u32])),
    (libc::SYS_bind, Always),
    (libc::SYS_connect, Always),
    (libc::SYS_listen, Always),
    (libc::SYS_accept, Always),
    (libc::SYS_accept4, Always),
    (libc::SYS_getsockname, Always),
    (libc::SYS_getpeername, Always),
    (libc::SYS_setsockopt, Always),
    (libc::SYS_shutdown, Always),
    (libc::SYS_sendto, Always),
    (libc::SYS_recvfrom, Always),
    (libc::SYS_sendmsg, Always),
    (libc::SYS_recvmsg, Always),
    // Waiting.
    (libc::SYS_epoll_create1, Always),
    (libc::SYS_epoll_ctl, Always),
    (libc::SYS_epoll_pwait2, Always),
    (libc::SYS_eventfd2, Always),
    (libc::SYS_pselect6, Always),
    (libc::SYS_nanosleep, Always),
    (libc::SYS_restart_syscall, Always),
    // Files: reading, and writing to what is open or can be opened. Nothing is given other rights, and renamed or removed only
    // where that is asked for: see below.
    (libc::SYS_openat, Always),
    (libc::SYS_close, Always),
    (libc::SYS_close_range, Always),
    (libc::SYS_pread64, Always),
    (libc::SYS_pwrite64, Always),
    (libc::SYS_readv, Always),
    (libc::SYS_writev, Always),
    (libc::SYS_preadv, Always),
    (libc::SYS_pwritev, Always),
    (libc::SYS_lseek, Always),
    (libc::SYS_fstat, Always),
    (libc::SYS_newfstatat, Always),
    (libc::SYS_statx, Always),
    (libc::SYS_statfs, Always),
    (libc::SYS_fstatfs, Always),
    (libc::SYS_faccessat, Always),
    (libc::SYS_faccessat2, Always),
    (libc::SYS_readlinkat, Always),
    (libc::SYS_getdents64, Always),
    (libc::SYS_getcwd, Always),
    (libc::SYS_fsync, Always),
    (libc::SYS_fdatasync, Always),
    (libc::SYS_fcntl, Always),
    (libc::SYS_flock, Always),
    (libc::SYS_dup, Always),
    (libc::SYS_dup3, Always),
    (libc::SYS_pipe2, Always),
    (libc::SYS_ioctl, OneOf(1, CONTROLS)),
    // Memory. Libraries are loaded by mapping them executable; nothing that was written is executed.
    (libc::SYS_brk, Always),
    (libc::SYS_mmap, Lacks(2, WRITE_AND_EXECUTE)),
    (libc::SYS_munmap, Always),
    (libc::SYS_mremap, Always),
    (libc::SYS_mprotect, Lacks(2, EXECUTE)),
    (libc::SYS_madvise, Always),
    (libc::SYS_mincore, Always),
    (libc::SYS_membarrier, Always),
    // Threads, and no processes. The arguments of clone3 can't be looked at: it is not there, and the C library uses clone.
    (libc::SYS_clone, Has(0, THREAD)),
    (libc::SYS_exit, Always),
    (libc::SYS_exit_group, Always),
    (libc::SYS_set_robust_list, Always),
    (libc::SYS_get_robust_list, Always),
    (libc::SYS_set_tid_address, Always),
    (libc::SYS_rseq, Always),
    (libc::SYS_gettid, Always),
    (libc::SYS_getpid, Always),
    (libc::SYS_getppid, Always),
    (libc::SYS_sched_yield, Always),
    (libc::SYS_sched_getaffinity, Always),
    (libc::SYS_sched_getparam, Always),
    (libc::SYS_sched_getscheduler, Always),
    (libc::SYS_sched_get_priority_max, Always),
    (libc::SYS_sched_get_priority_min, Always),
    (libc::SYS_getcpu, Always),
    (libc::SYS_prctl, OneOf(0, PROCESS_CONTROLS)),
    // Signals: to itself alone, as when it aborts.
    (libc::SYS_rt_sigaction, Always),
    (libc::SYS_rt_sigprocmask, Always),
    (libc::SYS_rt_sigreturn, Always),
    (libc::SYS_rt_sigtimedwait, Always),
    (libc::SYS_rt_sigpending, Always),
    (libc::SYS_sigaltstack, Always),
    (libc::SYS_tgkill, Own(0)),
    // Looking.
    (libc::SYS_clock_getres, Always),
    (libc::SYS_gettimeofday, Always),
    (libc::SYS_times, Always),
    (libc::SYS_getrusage, Always),
    (libc::SYS_getrandom, Always),
    (libc::SYS_uname, Always),
    (libc::SYS_sysinfo, Always),
    (libc::SYS_getuid, Always),
    (libc::SYS_geteuid, Always),
    (libc::SYS_getgid, Always),
    (libc::SYS_getegid, Always),
    (libc::SYS_getresuid, Always),
    (libc::SYS_getresgid, Always),
    (libc::SYS_getgroups, Always),
    (libc::SYS_capget, Always),
    (libc::SYS_prlimit64, OneOf(0, &[0])),
];

/// The older forms of some of them, which younger architectures lack.
#[cfg(target_arch = "x86_64")]
pub(super) const OLDER: &[(c_long, When)] = &[
    (libc::SYS_poll, Always),
    (libc::SYS_select, Always),
    (libc::SYS_epoll_wait, Always),
    (libc::SYS_epoll_create, Always),
    (libc::SYS_eventfd, Always),
    (libc::SYS_open, Always),
    (libc::SYS_stat, Always),
    (libc::SYS_lstat, Always),
    (libc::SYS_access, Always),
    (libc::SYS_readlink, Always),
    (libc::SYS_getdents, Always),
    (libc::SYS_dup2, Always),
    (libc::SYS_pipe, Always),
    (libc::SYS_time, Always),
    (libc::SYS_getrlimit, Always),
    (libc::SYS_getpgrp, Always),
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const OLDER: &[(c_long, When)] = &[];

/// Where files are exchanged.
pub(super) const EXCHANGING: &[c_long] = &[libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_unlinkat];
/// Their older forms.
#[cfg(target_arch = "x86_64")]
pub(super) const EXCHANGING_OLDER: &[c_long] = &[libc::SYS_rename, libc::SYS_unlink];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const EXCHANGING_OLDER: &[c_long] = &[];

/// Calls that nothing in this program makes, neither as it is nor with another C library: whoever makes one has taken the
/// process over, and it ends at once.
pub(super) const FATAL: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_keyctl,
    libc::SYS_reboot,
];
