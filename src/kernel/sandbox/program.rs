//! From the list of calls to the kernel's filter: a classic BPF program over `struct seccomp_data` [linux/seccomp.h].

use libc::{c_long, sock_filter};

use super::Files;
use super::calls::{ALLOWED, EXCHANGING, EXCHANGING_OLDER, FATAL, OLDER, When};
use crate::bpf::{jump, ret, statement};

/// From this number on, calls came with Linux 5.1 or later. Libraries try them, and do without where they "aren't there"; a
/// call that is there and refused makes some of them fail.
const YOUNG: u32 = 424;

/// `AUDIT_ARCH_*` [linux/audit.h]: a process can make the calls of another architecture too, which have other numbers.
const ARCHITECTURE: Option<u32> = if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
    Some(0xc000_003e)
} else if cfg!(all(target_arch = "aarch64", target_endian = "little")) {
    Some(0xc000_00b7)
} else {
    None
};

/// Places in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// The program; `None` on architectures whose calls aren't listed.
pub(super) fn build(files: Files) -> Option<Vec<sock_filter>> {
    let architecture = ARCHITECTURE?;
    let mut program = vec![
        load(ARCH),
        jump(libc::BPF_JEQ, architecture, 1, 0),
        ret(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
    ];
    let exchanging = EXCHANGING
        .iter()
        .chain(EXCHANGING_OLDER)
        .map(|call| (*call, When::Always));
    let exchanging = exchanging.filter(|_| files == Files::Exchanged);
    for (call, when) in ALLOWED.iter().chain(OLDER).copied().chain(exchanging) {
        let verdict = judge(when);
        // A verdict is far shorter than the longest jump.
        program.push(jump(libc::BPF_JEQ, number(call), 0, verdict.len() as u8));
        program.extend(verdict);
    }
    for call in FATAL {
        program.extend([
            jump(libc::BPF_JEQ, number(*call), 0, 1),
            ret(libc::SECCOMP_RET_KILL_PROCESS),
        ]);
    }
    program.extend([jump(libc::BPF_JGE, YOUNG, 0, 1), fail(libc::ENOSYS), fail(libc::EPERM)]);
    Some(program)
}

/// What follows where a call is the one: it ends with an answer, since it may have loaded something else.
fn judge(when: When) -> Vec<sock_filter> {
    let allow = ret(libc::SECCOMP_RET_ALLOW);
    let refuse = fail(libc::EPERM);
    match when {
        When::Always => vec![allow],
        When::OneOf(place, values) => {
            let mut verdict = vec![argument(place)];
            for (index, value) in values.iter().enumerate() {
                let behind = values.len() - index;
                verdict.push(jump(libc::BPF_JEQ, *value, behind as u8, 0));
            }
            verdict.extend([refuse, allow]);
            verdict
        }
        When::Has(place, bits) => with_bits(place, bits, allow, refuse),
        When::Lacks(place, bits) => with_bits(place, bits, refuse, allow),
        When::Own(place) => vec![
            argument(place),
            jump(libc::BPF_JEQ, std::process::id(), 1, 0),
            refuse,
            allow,
        ],
    }
}

fn with_bits(place: u8, bits: u32, all: sock_filter, not_all: sock_filter) -> Vec<sock_filter> {
    vec![
        argument(place),
        statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, bits),
        jump(libc::BPF_JEQ, bits, 1, 0),
        not_all,
        all,
    ]
}

/// The lower half of an argument, on machines with the lower half first.
fn argument(place: u8) -> sock_filter {
    load(ARGUMENTS + 8 * u32::from(place))
}

fn number(call: c_long) -> u32 {
    // Numbers of calls are small.
    call as u32
}

fn load(offset: u32) -> sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

fn fail(errno: libc::c_int) -> sock_filter {
    ret(libc::SECCOMP_RET_ERRNO | errno as u32)
}
