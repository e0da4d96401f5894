//! For the benchmarks, behind the feature of the same name: what reads the bytes of one received message.

use dt_probe::Wall;

use crate::address::Family;
use crate::cmsg::{self, Control};
use crate::mailbox::RawMessage;
use crate::queued::{self, Queued};

/// The receive stamp in a message's control data.
#[must_use]
pub fn receive_stamp(control: &[u8]) -> Option<Wall> {
    Control::read(control).stamp
}

/// An entry of the error queue of a raw ICMPv4 socket whose probes carry a key each.
#[must_use]
pub fn error_queue_entry(control: &[u8]) -> Queued<'_> {
    let message = RawMessage {
        bytes: &[],
        name: &[],
        control,
        truncated: false,
    };
    queued::read(&message, Family::V4, libc::IPPROTO_ICMP as u8, true)
}

/// Control data as the kernel writes it: a software stamp, and of an entry of the error queue the key of its probe.
#[must_use]
pub fn control_data(stamp: Wall, key: Option<u32>) -> Vec<u8> {
    let mut bytes = vec![0; 256];
    let mut times = [0; 48];
    times[..8].copy_from_slice(&((stamp.0 / 1_000_000_000) as i64).to_ne_bytes());
    times[8..16].copy_from_slice(&((stamp.0 % 1_000_000_000) as i64).to_ne_bytes());
    let mut used = cmsg::write(&mut bytes, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &times);
    if let Some(key) = key {
        // `struct sock_extended_err`, then an offender of no family [linux/errqueue.h].
        let mut error = [0; 32];
        error[..4].copy_from_slice(&(libc::ENOMSG as u32).to_ne_bytes());
        error[4] = libc::SO_EE_ORIGIN_TIMESTAMPING;
        error[12..16].copy_from_slice(&key.to_ne_bytes());
        used += cmsg::write(&mut bytes[used..], libc::SOL_IP, libc::IP_RECVERR, &error);
    }
    bytes.truncate(used);
    bytes
}
