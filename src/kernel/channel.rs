//! A socket that packets of one probe kind and one IP version leave by and come back on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use dt_probe::{Clock, Phc, RxStamps, Wall};
use libc::c_int;
use socket2::Socket;

use crate::address::{self, Family};
use crate::batch::{Batch, SendOutcome, SendResult};
use crate::cmsg::Control;
use crate::detected::{Detected, SocketMethod, StampKeying};
use crate::drops::DropCounter;
use crate::errors::OpenError;
use crate::features::Features;
use crate::filter;
use crate::loopback;
use crate::mailbox::{self, Mailbox};
use crate::open::{self, Opened};
use crate::packet;
use crate::ports::SourcePorts;
use crate::queued::{self, Queued};
use crate::sys;

/// How often a call is made again because it was given an ICMP error about an earlier packet. Each further try needs another
/// ICMP error to arrive within the microsecond between two calls.
const PENDING_ERRORS: usize = 3;

/// How the kernel hands packets over: which family and protocol, and whether an IP header stands before them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Framing {
    pub(crate) family: Family,
    pub(crate) protocol: u8,
    with_ip_header: bool,
}

impl Framing {
    pub(crate) fn of(family: Family, method: SocketMethod, protocol: u8) -> Framing {
        // Raw IPv6 and datagram sockets deliver from the transport header on.
        Framing {
            family,
            protocol,
            with_ip_header: family == Family::V4 && method == SocketMethod::Raw,
        }
    }
}

/// A packet that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// From its transport header on. Whoever sent it wrote it. On IPv4 the transport checksum isn't verified yet, and a TCP
    /// one can't be where the sender is on the same host (the kernel leaves it to a network card that isn't there).
    pub bytes: &'a [u8],
    /// Who sent it, as its IP header says.
    pub from: IpAddr,
    /// When it entered this host's network stack, and who stamped it. `None` where the kernel gave no stamp.
    pub stamp: Option<(Wall, Clock)>,
    /// When it came in by the network card's clock. `None` where that isn't in use, and on what no card has seen.
    pub card: Option<Phc>,
}

impl Received<'_> {
    /// Both stamps, for the core.
    #[must_use]
    pub fn stamps(&self) -> RxStamps {
        RxStamps {
            kernel: self.stamp.map(|(wall, _)| wall),
            card: self.card,
        }
    }
}

/// Packets that came in and were passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Longer than what is kept of a packet (2,048 bytes).
    pub truncated: u64,
    /// Not a sound IP packet of this channel's protocol.
    pub malformed: u64,
}

/// Sends packets in batches and receives what answers them, with the kernel's stamps on both. One socket, whatever the number of targets.
///
/// Call order of one tick: [`receive`](Self::receive) until it gives less than 64, then
/// [`receive_errors`](Self::receive_errors) until it does, then [`send`](Self::send). A transmit stamp is queued before its packet
/// leaves, so read in this order every reply's transmit stamp is known in the same tick.
///
/// It knows nothing of what the packets mean beyond the filter that keeps foreign ones out. Nothing is allocated after opening.
#[derive(Debug)]
pub struct PacketChannel {
    socket: Socket,
    framing: Framing,
    identifier: u16,
    ports: Option<std::ops::Range<u16>>,
    detected: Detected,
    mailbox: Mailbox,
    drops: DropCounter,
    skipped: Skipped,
    used: bool,
}

impl PacketChannel {
    /// A channel for ICMP or ICMPv6 echo: a raw socket, else a datagram one. Only replies with this identifier come in; see
    /// [`identifier`](Self::identifier) for the one in effect.
    ///
    /// # Errors
    /// [`OpenError`], naming what to permit where both kinds of socket were refused.
    pub fn echo(family: Family, identifier: u16, features: &Features) -> Result<PacketChannel, OpenError> {
        let opened = open::echo(family, identifier, *features)?;
        Ok(PacketChannel::new(opened, None))
    }

    /// A channel for SYNs from the reserved ports, over a raw socket. Only SYN-ACK and RST to these ports come in. The kernel
    /// itself answers each SYN-ACK with RST, since nothing listens on the reserved ports.
    ///
    /// A raw TCP socket costs every TCP segment this host receives the run of a ten-instruction filter.
    ///
    /// # Errors
    /// [`OpenError`], naming what to permit where raw sockets are refused.
    pub fn tcp(family: Family, ports: &SourcePorts, features: &Features) -> Result<PacketChannel, OpenError> {
        let opened = open::tcp(family, ports, *features)?;
        Ok(PacketChannel::new(opened, Some(ports.ports())))
    }

    /// From now on only echo replies whose payload begins with these 4 bytes, big-endian, come in: what bears our identifier
    /// by chance, or is sent by somebody who knows it, costs neither memory nor a wake-up. For a channel of echoes; call it
    /// after [`warm_up`](Self::warm_up), whose probes bear no mark.
    ///
    /// # Errors
    /// The kernel refuses the filter; the one before stays.
    pub fn only_marked(&self, mark: u32) -> io::Result<()> {
        let Framing {
            family, with_ip_header, ..
        } = self.framing;
        let program = filter::echo_program(family, with_ip_header, self.identifier, Some(mark));
        sys::attach_filter(self.socket.as_fd(), &program)
    }

    /// From now on the stamps of the network card whose clock is `phc` are asked for beside the kernel's own, on both ways.
    /// Only where the kernel stamps both ways, for its stamps decide what the card's can't. Returns whether they were granted.
    pub fn use_card(&mut self, phc: u32) -> bool {
        let (tx, rx) = (self.detected.tx_stamps, self.detected.rx_stamps);
        let granted = tx.is_some() && rx && open::request_stamps(&self.socket, tx, rx, true).is_ok();
        self.detected.card = granted.then_some(phc);
        granted
    }

    fn new(opened: Opened, ports: Option<std::ops::Range<u16>>) -> PacketChannel {
        let Opened {
            socket,
            framing,
            identifier,
            detected,
        } = opened;
        let (mailbox, drops, skipped) = (Mailbox::new(), DropCounter::default(), Skipped::default());
        let mut channel = PacketChannel {
            socket,
            framing,
            identifier,
            ports,
            detected,
            mailbox,
            drops,
            skipped,
            used: false,
        };
        channel.settle_keying();
        channel
    }

    /// Sends what the batch holds, tells the outcome of each packet, and clears the batch. Returns how many were sent.
    ///
    /// One packet's failure is its own: the packets after it are sent all the same, and an ICMP error about an earlier packet,
    /// which the kernel hands to the next call on the socket whatever that sends, makes it try again.
    ///
    /// Only where the socket's send buffer is full ([`SendOutcome::WouldBlock`]) does the batch end there: what is after it
    /// would fare no better, and can be sent a moment later. Those results come last, the newest packet first. A raw socket says
    /// `ENOBUFS` of that, and says the same of a packet that the device's queue has no room for or that a policy at the device
    /// drops, which is that packet's own failure: others may leave by another device, or fit into the queue.
    pub fn send(&mut self, batch: &mut Batch, report: &mut impl FnMut(SendResult)) -> usize {
        let (mut at, mut sent, mut tries) = (0, 0, 0);
        self.used |= !batch.is_empty();
        let keyed = self.keyed();
        while at < batch.len() {
            let error = match mailbox::send(self.socket.as_fd(), batch, at, keyed) {
                // sendmmsg never sends nothing without an error; were it to, ending the batch is what can't loop.
                Ok(0) => libc::EAGAIN,
                Ok(count) => {
                    for index in at..at + count {
                        report(SendResult {
                            key: batch.key(index),
                            outcome: SendOutcome::Sent,
                        });
                    }
                    (at, sent, tries) = (at + count, sent + count, 0);
                    continue;
                }
                Err(error) => sys::errno(&error),
            };
            if error == libc::EINTR {
                continue;
            }
            if sys::may_be_pending(error) && tries < PENDING_ERRORS {
                tries += 1;
                self.clear_pending_error();
                continue;
            }
            match SendOutcome::of(error, || self.is_send_buffer_full()) {
                SendOutcome::WouldBlock => {
                    for index in (at..batch.len()).rev() {
                        report(SendResult {
                            key: batch.key(index),
                            outcome: SendOutcome::WouldBlock,
                        });
                    }
                    break;
                }
                outcome => report(SendResult {
                    key: batch.key(at),
                    outcome,
                }),
            }
            (at, tries) = (at + 1, 0);
        }
        batch.clear();
        sent
    }

    /// Reads up to 64 packets that came in. Returns how many were taken from the socket, the skipped ones included: less than
    /// 64 means that no more were there.
    ///
    /// # Errors
    /// An error of the socket itself. ICMP errors about probes aren't errors here.
    pub fn receive(&mut self, accept: &mut impl FnMut(Received<'_>)) -> io::Result<usize> {
        let count = self.fill(0)?;
        for index in 0..count {
            let message = self.mailbox.message(index);
            let control = Control::read(message.control);
            if let Some(drops) = control.drops {
                self.drops.observe(drops);
            }
            if message.truncated {
                self.skipped.truncated += 1;
                continue;
            }
            let bytes = if self.framing.with_ip_header {
                packet::strip_ipv4(message.bytes, self.framing.protocol)
            } else {
                Some(message.bytes)
            };
            match (bytes, address::read(message.name)) {
                (Some(bytes), Some(from)) => {
                    // Where another socket has the kernel stamp all packets, ours come stamped unasked.
                    let stamp = control
                        .stamp
                        .filter(|_| self.detected.rx_stamps)
                        .map(|wall| (wall, Clock::Kernel));
                    let card = control.card.filter(|_| self.detected.card.is_some());
                    accept(Received {
                        bytes,
                        from,
                        stamp,
                        card,
                    });
                }
                _ => self.skipped.malformed += 1,
            }
        }
        Ok(count)
    }

    /// Reads up to 64 entries of the error queue: transmit stamps and ICMP errors. Returns how many; less than 64 means that no
    /// more were there.
    ///
    /// # Errors
    /// An error of the socket itself.
    pub fn receive_errors(&mut self, accept: &mut impl FnMut(Queued<'_>)) -> io::Result<usize> {
        if self.detected.tx_stamps.is_none() && !self.detected.icmp_errors {
            return Ok(0);
        }
        let count = self.fill(libc::MSG_ERRQUEUE)?;
        let (Framing { family, protocol, .. }, keyed) = (self.framing, self.keyed());
        for index in 0..count {
            accept(queued::read(&self.mailbox.message(index), family, protocol, keyed));
        }
        Ok(count)
    }

    /// One `recvmmsg`; nothing there is 0.
    fn fill(&mut self, flags: c_int) -> io::Result<usize> {
        for _ in 0..=PENDING_ERRORS {
            match self.mailbox.fill(self.socket.as_fd(), flags) {
                Err(error) => match sys::errno(&error) {
                    libc::EAGAIN => return Ok(0),
                    // An ICMP error about a packet sent earlier, handed over once; its entry stays in the error queue.
                    pending if pending == libc::EINTR || sys::may_be_pending(pending) => {}
                    _ => return Err(error),
                },
                done => return done,
            }
        }
        // ICMP errors keep coming: what waits is read in the next tick.
        Ok(0)
    }

    fn clear_pending_error(&self) {
        // Reading SO_ERROR clears it. What it says is in the error queue as well.
        let _ = self.socket.take_error();
    }

    fn keyed(&self) -> bool {
        self.detected.tx_stamps == Some(StampKeying::Id)
    }

    /// What the kernel granted.
    #[must_use]
    pub fn detected(&self) -> &Detected {
        &self.detected
    }

    /// Whether [`send`](Self::send) was given a packet since the warm-up: before that nothing can come in.
    #[must_use]
    pub fn was_used(&self) -> bool {
        self.used
    }

    /// The ICMP identifier in effect: for a datagram socket the kernel's, which may not be the one asked for. For TCP the first source port.
    #[must_use]
    pub fn identifier(&self) -> u16 {
        self.identifier
    }

    /// Packets that the socket's receive buffer has dropped since it was opened: this host's loss, not the network's. As
    /// far as the packets read since and [`memory`](Self::memory) have told. While the buffer is full a raw socket's count
    /// has foreign packets in it too.
    #[must_use]
    pub fn drops(&self) -> u64 {
        self.drops.total()
    }

    /// Packets that were read and passed over.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// Bytes of the receive buffer in use and its limit, and the drop count brought up to date. Stamps that find the buffer
    /// full vanish uncounted: where it was nearly full, missing stamps mean nothing. `None` before Linux 4.12.
    pub fn memory(&mut self) -> Option<(u32, u32)> {
        let value = sys::socket_memory(self.socket.as_fd())?;
        if let Some(drops) = value(sys::SK_MEMINFO_DROPS).filter(|_| self.detected.drops_counted) {
            self.drops.observe(drops);
        }
        Some((value(sys::SK_MEMINFO_RMEM_ALLOC)?, value(sys::SK_MEMINFO_RCVBUF)?))
    }

    /// Whether packets of ours that have not left yet fill the send buffer. Where that can't be told (before Linux 4.12) it is
    /// taken to be so.
    fn is_send_buffer_full(&self) -> bool {
        let used_and_limit = || {
            let value = sys::socket_memory(self.socket.as_fd())?;
            Some((value(sys::SK_MEMINFO_WMEM_ALLOC)?, value(sys::SK_MEMINFO_SNDBUF)?))
        };
        used_and_limit().is_none_or(|(used, limit)| used >= limit)
    }

    /// Sends probes to this host's own loopback address until one has come back with every stamp that was asked for, for the
    /// kernel begins to stamp only a while after it was first asked to. Leaves the socket empty. Returns whether all stamps came: false
    /// also where loopback doesn't answer. Where it answers without a stamp to the end, [`detected`](Self::detected) then says so.
    ///
    /// Call it once, before the first probe. It may take up to a second where something is amiss.
    ///
    /// # Errors
    /// An error of the socket itself.
    pub fn warm_up(&mut self) -> io::Result<bool> {
        let warm = loopback::warm_up(self);
        self.used = false;
        warm
    }

    /// Finds out whether the kernel takes a key with each packet, by sending one to this host itself.
    fn settle_keying(&mut self) {
        if self.keyed() && !loopback::takes_keys(self) {
            self.use_returned_packets();
        }
    }

    pub(crate) fn use_returned_packets(&mut self) {
        let packet = Some(StampKeying::Packet);
        let rx = self.detected.rx_stamps;
        let granted = open::request_stamps(&self.socket, packet, rx, false).is_ok();
        self.detected.tx_stamps = packet.filter(|_| granted);
    }

    pub(crate) fn family(&self) -> Family {
        self.framing.family
    }

    /// The source ports of a TCP channel.
    pub(crate) fn ports(&self) -> Option<std::ops::Range<u16>> {
        self.ports.clone()
    }

    /// Takes back what the warm-up has shown not to come.
    pub(crate) fn without_stamps(&mut self, tx: bool, rx: bool) {
        if !tx {
            self.detected.tx_stamps = None;
        }
        self.detected.rx_stamps &= rx;
    }

    /// Sends a batch of one without a key; the errno where it isn't sent.
    pub(crate) fn try_send(&self, batch: &Batch, keyed: bool) -> Result<(), c_int> {
        mailbox::send(self.socket.as_fd(), batch, 0, keyed)
            .map(drop)
            .map_err(|error| sys::errno(&error))
    }
}

impl AsFd for PacketChannel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for PacketChannel {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// A destination without a port, as [`Batch::commit`] takes it.
pub(crate) fn bare(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 0)
}
