//! The two batched system calls, and the memory that received messages land in.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, c_uint, iovec, mmsghdr};

use crate::address::{LENGTH_V6, RawAddress};
use crate::batch::{BATCH, Batch};

/// Bytes kept of one received packet, its IP header included. Longer ones are cut off and skipped.
const ROOM: usize = 2_048;
/// Bytes for one message's control data: the stamp (64), an error with its offender (64), the drop counter (24), and to spare.
const CONTROL: usize = 256;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
struct Control([u8; CONTROL]);

/// What the kernel said about one received message.
#[derive(Clone, Copy, Debug, Default)]
struct Lengths {
    bytes: usize,
    name: usize,
    control: usize,
    flags: c_int,
}

/// Room for 64 received messages (about 150 KB), allocated once.
#[derive(Debug)]
pub(crate) struct Mailbox {
    bytes: Box<[u8]>,
    control: Box<[Control]>,
    names: Box<[RawAddress]>,
    lengths: Box<[Lengths]>,
}

/// One message as it was received.
#[derive(Debug)]
pub(crate) struct RawMessage<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) name: &'a [u8],
    pub(crate) control: &'a [u8],
    pub(crate) truncated: bool,
}

impl Mailbox {
    pub(crate) fn new() -> Mailbox {
        Mailbox {
            bytes: vec![0; BATCH * ROOM].into_boxed_slice(),
            control: vec![Control([0; CONTROL]); BATCH].into_boxed_slice(),
            names: vec![RawAddress::EMPTY; BATCH].into_boxed_slice(),
            lengths: vec![Lengths::default(); BATCH].into_boxed_slice(),
        }
    }

    /// One `recvmmsg` of up to 64 messages; returns how many came.
    pub(crate) fn fill(&mut self, socket: BorrowedFd<'_>, flags: c_int) -> io::Result<usize> {
        let mut vectors = [const { MaybeUninit::<iovec>::uninit() }; BATCH];
        let mut headers = [const { MaybeUninit::<mmsghdr>::uninit() }; BATCH];
        let buffers = self
            .bytes
            .chunks_exact_mut(ROOM)
            .zip(self.control.iter_mut())
            .zip(self.names.iter_mut());
        let places = vectors.iter_mut().zip(headers.iter_mut());
        // Headers are made anew for every call: the kernel overwrites the lengths of what they point to.
        for (((bytes, control), name), (vector, header)) in buffers.zip(places) {
            let vector = vector.write(iovec {
                iov_base: bytes.as_mut_ptr().cast(),
                iov_len: ROOM,
            });
            let header = header.write(empty_header());
            header.msg_hdr.msg_name = (&raw mut name.0).cast();
            header.msg_hdr.msg_namelen = LENGTH_V6 as _;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = (&raw mut control.0).cast();
            header.msg_hdr.msg_controllen = CONTROL as _;
        }
        // SAFETY: the loop above initialised all 64 headers and vectors (each of the zipped parts has 64 elements); they and
        // what they point to are disjoint parts of `self` and of this frame, live through the call, and aren't otherwise
        // touched during it. The lengths given are those of the buffers, so the kernel writes inside them. No time-out.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr().cast(),
                BATCH as c_uint,
                (flags | libc::MSG_DONTWAIT) as _,
                std::ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            return Err(io::Error::last_os_error());
        };
        let count = count.min(BATCH);
        for (header, lengths) in headers[..count].iter().zip(self.lengths.iter_mut()) {
            // SAFETY: every header was initialised above; the kernel only stored lengths and flags into the first `count`.
            let header = unsafe { header.assume_init_ref() };
            *lengths = Lengths {
                bytes: (header.msg_len as usize).min(ROOM),
                name: (header.msg_hdr.msg_namelen as usize).min(LENGTH_V6),
                control: control_length(&header.msg_hdr).min(CONTROL),
                flags: header.msg_hdr.msg_flags,
            };
        }
        Ok(count)
    }

    /// One of the messages of the last [`fill`](Mailbox::fill).
    pub(crate) fn message(&self, index: usize) -> RawMessage<'_> {
        let lengths = self.lengths[index];
        RawMessage {
            bytes: &self.bytes[index * ROOM..][..lengths.bytes],
            name: &self.names[index].0[..lengths.name],
            control: &self.control[index].0[..lengths.control],
            truncated: lengths.flags & libc::MSG_TRUNC != 0,
        }
    }
}

/// One `sendmmsg` of the batch's packets from number `from` on, with their keys where `keyed`. Returns how many were sent, at
/// least one; an error is about the first of them and says that none was sent.
pub(crate) fn send(socket: BorrowedFd<'_>, batch: &Batch, from: usize, keyed: bool) -> io::Result<usize> {
    let mut vectors = [const { MaybeUninit::<iovec>::uninit() }; BATCH];
    let mut headers = [const { MaybeUninit::<mmsghdr>::uninit() }; BATCH];
    let mut count: c_uint = 0;
    let places = vectors.iter_mut().zip(headers.iter_mut());
    for ((slot, bytes), (vector, header)) in batch.packets().skip(from).zip(places) {
        let control = slot.control(keyed);
        let vector = vector.write(iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        });
        let header = header.write(empty_header());
        header.msg_hdr.msg_name = slot.address.0.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = slot.address_length as _;
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        if !control.is_empty() {
            header.msg_hdr.msg_control = control.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_controllen = control.len() as _;
        }
        count += 1;
    }
    // SAFETY: the first `count` headers and vectors were initialised above; what they point to lies in `batch`, is borrowed
    // for the call, and is only read by the kernel (the pointers are mutable in C's declaration alone). The kernel writes
    // `msg_len` into the headers, which are ours.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            count,
            libc::MSG_DONTWAIT as _,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

#[allow(
    clippy::unnecessary_cast,
    reason = "the field is `socklen_t` with musl, `size_t` with glibc"
)]
fn control_length(header: &libc::msghdr) -> usize {
    header.msg_controllen as usize
}

fn empty_header() -> mmsghdr {
    // SAFETY: a C struct of integers and pointers, for which all zeros is a valid value. Some C libraries pad it with
    // fields that can't be named here.
    unsafe { MaybeUninit::<mmsghdr>::zeroed().assume_init() }
}
