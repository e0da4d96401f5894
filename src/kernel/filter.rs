//! What may reach a channel's receive buffer: kernel filters, so that foreign packets cost neither memory nor a wake-up.

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use libc::sock_filter;

use crate::address::Family;
use crate::bpf::{jump, ret, statement};
use crate::sys;

const ECHO_REPLY_V4: u32 = 0;
const ECHO_REPLY_V6: u32 = 129;
const RST: u32 = 0x04;
const SYN_ACK: u32 = 0x12;

/// Lets only echo replies pass. The raw ICMP table checks this before it copies the packet, which BPF can't:
/// without it every reply to anybody on this host costs us, and ours cost everybody.
pub(crate) fn only_echo_replies_v4(socket: BorrowedFd<'_>) -> io::Result<()> {
    let blocked: u32 = !(1 << ECHO_REPLY_V4);
    sys::set_option(socket, libc::SOL_RAW, sys::ICMP_FILTER, &blocked.to_ne_bytes())
}

/// The same for ICMPv6.
pub(crate) fn only_echo_replies_v6(socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut blocked = [0xff; 32];
    // 32-bit words in the host's order, bit `type & 31` of word `type >> 5` [linux/icmpv6.h].
    let word = (ECHO_REPLY_V6 >> 5) as usize * 4;
    blocked[word..word + 4].copy_from_slice(&(!(1u32 << (ECHO_REPLY_V6 & 31))).to_ne_bytes());
    sys::set_option(socket, libc::SOL_ICMPV6, sys::ICMPV6_FILTER, &blocked)
}

/// Echo replies with this identifier, and, where one is given, a payload that begins with this mark. Raw IPv4 sockets see
/// the packet from its IP header, all others from ICMP on.
pub(crate) fn echo_program(
    family: Family,
    with_ip_header: bool,
    identifier: u16,
    mark: Option<u32>,
) -> Vec<sock_filter> {
    let reply = match family {
        Family::V4 => ECHO_REPLY_V4,
        Family::V6 => ECHO_REPLY_V6,
    };
    let mut program = Vec::with_capacity(9);
    let mode = offsets(&mut program, with_ip_header);
    let rest = if mark.is_some() { 2 } else { 0 };
    program.extend([
        load(libc::BPF_B | mode, 0),
        jump(libc::BPF_JEQ, reply, 0, 3 + rest),
        load(libc::BPF_H | mode, 4),
        jump(libc::BPF_JEQ, u32::from(identifier), 0, 1 + rest),
    ]);
    if let Some(mark) = mark {
        program.extend([load(libc::BPF_W | mode, 8), jump(libc::BPF_JEQ, mark, 0, 1)]);
    }
    program.extend([ret(u32::MAX), ret(0)]);
    program
}

/// TCP segments to one of these ports that answer a SYN: SYN-ACK or RST. Anything else to them can't be about our probes.
pub(crate) fn answer_program(with_ip_header: bool, ports: &Range<u16>) -> Vec<sock_filter> {
    let mut program = Vec::with_capacity(10);
    let mode = offsets(&mut program, with_ip_header);
    program.extend([
        load(libc::BPF_H | mode, 2),
        jump(libc::BPF_JGE, u32::from(ports.start), 0, 6),
        jump(libc::BPF_JGE, u32::from(ports.end), 5, 0),
        load(libc::BPF_B | mode, 13),
        jump(libc::BPF_JSET, RST, 2, 0),
        statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, SYN_ACK),
        jump(libc::BPF_JEQ, SYN_ACK, 0, 1),
        ret(u32::MAX),
        ret(0),
    ]);
    program
}

/// How the transport header is addressed: by X, set to the IPv4 header's length, or absolutely.
fn offsets(program: &mut Vec<sock_filter>, with_ip_header: bool) -> u32 {
    if with_ip_header {
        program.push(statement(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0));
        libc::BPF_IND
    } else {
        libc::BPF_ABS
    }
}

fn load(size_and_mode: u32, offset: u32) -> sock_filter {
    statement(libc::BPF_LD | size_and_mode, offset)
}
