//! Instructions of classic BPF, in which the kernel takes filters of packets and of system calls.

use libc::sock_filter;

pub(crate) fn statement(code: u32, k: u32) -> sock_filter {
    // BPF codes fit 16 bits [linux/bpf_common.h].
    sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

pub(crate) fn jump(condition: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter {
        jt,
        jf,
        ..statement(libc::BPF_JMP | condition | libc::BPF_K, k)
    }
}

pub(crate) fn ret(k: u32) -> sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, k)
}
