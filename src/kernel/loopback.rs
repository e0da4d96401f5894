//! Probes to this host itself, before the first real one: does the kernel take keys, has it begun to stamp?

use std::io;
use std::net::{IpAddr, SocketAddr};

use dt_probe::time::{MILLISECOND, SECOND};

use crate::address::Family;
use crate::batch::Batch;
use crate::channel::{PacketChannel, bare};
use crate::clock::{mono, sleep_until};
use crate::packet::checksum;
use crate::queued::Queued;

/// How long a probe to oneself is waited for; only a loopback that drops it lets this pass.
const PATIENCE_NS: u64 = 200 * MILLISECOND;
/// How long to go on while answers come without their stamps.
const LIMIT_NS: u64 = SECOND;

/// Whether the kernel accepts `SCM_TS_OPT_ID`: before 6.13 a send with it is `EINVAL`, which is found out before anything else
/// about the packet is looked at, so that any other error means yes.
pub(crate) fn takes_keys(channel: &mut PacketChannel) -> bool {
    let mut batch = Batch::with_capacity(1);
    commit_probe(channel, &mut batch, 0);
    let taken = match channel.try_send(&batch, true) {
        // Unless the packet itself is what it objects to.
        Err(libc::EINVAL) => channel.try_send(&batch, false) == Err(libc::EINVAL),
        _ => true,
    };
    // The answer to the one probe that was sent either way.
    let _ = Tally::default().wait(channel, 1);
    taken
}

/// See [`PacketChannel::warm_up`].
pub(crate) fn warm_up(channel: &mut PacketChannel) -> io::Result<bool> {
    let (wants_tx, wants_rx) = (channel.detected().tx_stamps.is_some(), channel.detected().rx_stamps);
    let mut batch = Batch::with_capacity(1);
    let mut total = Tally::default();
    let mut complete = false;
    let end = mono().plus(LIMIT_NS);
    for round in 1.. {
        commit_probe(channel, &mut batch, round);
        if channel.send(&mut batch, &mut |_| {}) == 0 {
            break;
        }
        let mut tally = Tally::default();
        tally.wait(channel, 1)?;
        total.add(tally);
        complete = tally.replies > 0 && (tally.stamped > 0 || !wants_rx) && (tally.left > 0 || !wants_tx);
        if complete || total.replies == 0 || mono() >= end {
            break;
        }
        // The kernel switches stamping on by rewriting its own code in the background: give it time.
        sleep_until(mono().plus(u64::from(round) * MILLISECOND / 2));
    }
    if !complete && total.replies > 0 {
        channel.without_stamps(total.left > 0, total.stamped > 0);
    }
    Ok(complete)
}

/// What came back.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    replies: u32,
    /// Replies with a receive stamp.
    stamped: u32,
    /// Transmit stamps.
    left: u32,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.replies += other.replies;
        self.stamped += other.stamped;
        self.left += other.left;
    }

    /// Reads until `sent` probes are answered and stamped, or patience ends. The socket is empty after it.
    fn wait(&mut self, channel: &mut PacketChannel, sent: u32) -> io::Result<()> {
        let wants_tx = channel.detected().tx_stamps.is_some();
        let end = mono().plus(PATIENCE_NS);
        loop {
            let replies = channel.receive(&mut |received| {
                self.replies += 1;
                self.stamped += u32::from(received.stamp.is_some());
            })?;
            let errors = channel.receive_errors(&mut |queued| {
                self.left += u32::from(matches!(queued, Queued::TxStamp { .. }));
            })?;
            if replies > 0 || errors > 0 {
                continue;
            }
            // A kernel without transmit stamps mustn't cost all the patience: once answered, its stamp is due at once.
            let answered = self.replies >= sent;
            if (answered && (self.left >= sent || !wants_tx)) || mono() >= end {
                return Ok(());
            }
            sleep_until(mono().plus(MILLISECOND / 10));
        }
    }
}

/// Puts a probe to the loopback address into the batch, such that its answer passes the channel's filter.
fn commit_probe(channel: &PacketChannel, batch: &mut Batch, round: u16) {
    let to = channel.family().loopback();
    let buffer = batch.next_buffer();
    let (destination, length) = match channel.ports() {
        None => (
            bare(to),
            echo_request(buffer, channel.family(), channel.identifier(), round),
        ),
        Some(ports) => {
            // From one reserved port to another: nothing listens there, so the kernel answers with RST.
            let (from, closed) = (ports.start, ports.end - 1);
            (SocketAddr::new(to, closed), syn(buffer, to, from, closed, round))
        }
    };
    batch.commit(u32::from(round), destination, Some(to), length);
}

/// An echo request with 16 bytes of zeros (RFC 792, RFC 4443).
fn echo_request(buffer: &mut [u8], family: Family, identifier: u16, sequence: u16) -> usize {
    let packet = &mut buffer[..24];
    packet.fill(0);
    packet[0] = if family == Family::V4 { 8 } else { 128 };
    packet[4..6].copy_from_slice(&identifier.to_be_bytes());
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    if family == Family::V4 {
        let sum = checksum(&[packet]);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet.len()
}

/// A SYN without options (RFC 9293) from the address to itself.
fn syn(buffer: &mut [u8], address: IpAddr, from: u16, to: u16, round: u16) -> usize {
    let packet = &mut buffer[..20];
    packet.fill(0);
    packet[..2].copy_from_slice(&from.to_be_bytes());
    packet[2..4].copy_from_slice(&to.to_be_bytes());
    packet[4..6].copy_from_slice(&round.to_be_bytes());
    // Data offset 5 words; SYN; a window.
    (packet[12], packet[13], packet[14]) = (0x50, 0x02, 0x10);
    if let IpAddr::V4(v4) = address {
        let octets = v4.octets();
        let sum = checksum(&[&octets, &octets, &[0, libc::IPPROTO_TCP as u8, 0, 20], packet]);
        packet[16..18].copy_from_slice(&sum.to_be_bytes());
    }
    packet.len()
}
