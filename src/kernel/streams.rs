//! The TCP sockets of connection attempts. One that ended well is taken apart by `connect(AF_UNSPEC)` and used again: a
//! new descriptor with its options costs as much as half a handshake.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Domain, Protocol, Socket, Type};

use crate::batch::BATCH;
use crate::sys;

/// So many sockets of each IP version wait to be used again: twice what one turn of the probe thread starts.
const MOST_IDLE: usize = 2 * BATCH;

/// What a socket in use is watched for, once: it is writable when it is established, and an ICMP error or a refusal
/// shows unasked. Level-triggered, so what happened before is seen.
fn watch(slot: usize) -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLOUT | EpollFlags::EPOLLONESHOT, slot as u64)
}

/// A socket, not connected when it is taken.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) socket: Socket,
    /// Whether epoll knows it.
    watched: bool,
}

/// Sockets with the options of an attempt, and the epoll descriptor that those in use report to.
#[derive(Debug)]
pub(crate) struct Streams {
    epoll: Epoll,
    /// By IP version: 4, 6.
    idle: [Vec<Socket>; 2],
}

impl Streams {
    /// # Errors
    /// Where the kernel gives no epoll descriptor.
    pub(crate) fn new() -> io::Result<Streams> {
        let idle = || Vec::with_capacity(MOST_IDLE);
        Ok(Streams {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            idle: [idle(), idle()],
        })
    }

    /// A socket to connect to `destination` with: one used before, or a new one.
    pub(crate) fn take(&mut self, destination: SocketAddr) -> io::Result<Stream> {
        match self.idle[version(destination)].pop() {
            Some(socket) => Ok(Stream { socket, watched: true }),
            None => Ok(Stream {
                socket: open(destination)?,
                watched: false,
            }),
        }
    }

    /// Has epoll name `slot` once, when there is news of the socket.
    pub(crate) fn watch(&self, stream: &mut Stream, slot: usize) -> io::Result<()> {
        if stream.watched {
            self.epoll.modify(&stream.socket, &mut watch(slot))?;
        } else {
            self.epoll.add(&stream.socket, watch(slot))?;
            stream.watched = true;
        }
        Ok(())
    }

    /// Ends the connection by RST, and keeps the socket for another one. It must have been watched, named by epoll, and
    /// have nothing in its error queue, which outlives the connection.
    pub(crate) fn give_back(&mut self, stream: Stream, destination: SocketAddr) {
        let idle = &mut self.idle[version(destination)];
        // One that can't be taken apart, or that is one too many, is closed, which ends the connection as well.
        if stream.watched && idle.len() < MOST_IDLE && sys::disconnect(stream.socket.as_fd()).is_ok() {
            idle.push(stream.socket);
        }
    }

    /// Fills `events` with the slots of which there is news; doesn't wait.
    pub(crate) fn news(&self, events: &mut [EpollEvent]) -> nix::Result<usize> {
        self.epoll.wait(events, EpollTimeout::ZERO)
    }
}

impl AsFd for Streams {
    /// Readable when there is news.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

fn version(destination: SocketAddr) -> usize {
    usize::from(destination.is_ipv6())
}

fn open(destination: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(destination), kind, Some(Protocol::TCP))?;
    socket.set_linger(Some(Duration::ZERO))?;
    // ICMP errors in the socket's error queue: its errno alone can't tell a port-unreachable from a RST, and an error that
    // is back before `connect()` has returned, as from this host's own firewall, sets no errno at all. A socket of IPv6
    // may have IPv4 on the wire.
    let v4 = destination.ip().to_canonical().is_ipv4();
    if v4 {
        sys::set_int(socket.as_fd(), libc::SOL_IP, libc::IP_RECVERR, 1)?;
    }
    if destination.is_ipv6() {
        sys::set_int(socket.as_fd(), libc::SOL_IPV6, libc::IPV6_RECVERR, 1)?;
    }
    Ok(socket)
}
