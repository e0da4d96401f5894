//! For benchmarks and fuzzing, behind the feature of the same name: what reads the bytes of one received message.

use std::net::{IpAddr, SocketAddr};

use dt_probe::{Phc, Wall};

use crate::address::{self, Family, RawAddress};
use crate::cmsg::{self, Control};
use crate::mailbox::RawMessage;
use crate::packet;
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

/// The two stamps and the drop counter in a message's control data.
#[must_use]
pub fn received_control(control: &[u8]) -> (Option<Wall>, Option<Phc>, Option<u32>) {
    let read = Control::read(control);
    (read.stamp, read.card, read.drops)
}

/// An entry of the error queue of a raw socket: its bytes, the address that came with it, and its control data.
#[must_use]
pub fn queued<'a>(family: Family, keyed: bool, bytes: &'a [u8], name: &'a [u8], control: &'a [u8]) -> Queued<'a> {
    let message = RawMessage {
        bytes,
        name,
        control,
        truncated: false,
    };
    let protocol = match family {
        Family::V4 => libc::IPPROTO_ICMP,
        Family::V6 => libc::IPPROTO_ICMPV6,
    };
    queued::read(&message, family, protocol as u8, keyed)
}

/// The control messages in what a call left in its control buffer: level, type, data.
pub fn control_messages(control: &[u8]) -> impl Iterator<Item = (i32, i32, &[u8])> {
    cmsg::messages(control).map(|message| (message.level, message.kind, message.data))
}

/// One control message as the kernel lays it out.
#[must_use]
pub fn control_message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; cmsg::space(data.len())];
    cmsg::write(&mut bytes, level, kind, data);
    bytes
}

/// See [`packet::strip_ipv4`].
#[must_use]
pub fn strip_ipv4(bytes: &[u8], protocol: u8) -> Option<&[u8]> {
    packet::strip_ipv4(bytes, protocol)
}

/// See [`packet::find_sent`].
#[must_use]
pub fn find_sent(bytes: &[u8], family: Family, protocol: u8) -> Option<(IpAddr, &[u8])> {
    packet::find_sent(bytes, family, protocol)
}

/// See [`address::read`].
#[must_use]
pub fn socket_address(bytes: &[u8]) -> Option<IpAddr> {
    address::read(bytes)
}

/// A socket address as it is given to the kernel.
#[must_use]
pub fn raw_address(address: SocketAddr) -> Vec<u8> {
    let mut raw = RawAddress::EMPTY;
    let length = raw.write(&address) as usize;
    raw.0[..length].to_vec()
}
