//! TCP probes by `connect()`, for hosts where raw sockets aren't permitted: no privilege, more CPU, and the kernel's own
//! measure of the handshake (`tcpi_rtt`, microseconds) in place of packet stamps.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use dt_probe::Mono;
use libc::c_int;
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use socket2::Socket;

use crate::clock::mono;
use crate::cmsg::Control;
use crate::mailbox::Mailbox;
use crate::streams::{Stream, Streams};
use crate::sys;

/// Events taken by one `epoll_wait`.
const EVENTS: usize = 64;
/// `tcpi_state` in `struct tcp_info` [linux/tcp.h], a byte; `tcpi_rtt` and `tcpi_total_retrans`, both 32 bits.
const TCPI_STATE: usize = 0;
const TCPI_RTT: usize = 68;
const TCPI_TOTAL_RETRANS: usize = 100;
/// States [net/tcp_states.h] in which the handshake isn't complete, or in which that can't be told.
const TCP_SYN_SENT: u8 = 2;
const TCP_SYN_RECV: u8 = 3;
const TCP_CLOSE: u8 = 7;

/// A finished attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected {
    /// The key it was started with.
    pub key: u32,
    /// The port it came from; 0 where it got none.
    pub source_port: u16,
    /// How it ended.
    pub result: ConnectOutcome,
}

/// How a connection attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectOutcome {
    /// The handshake succeeded.
    Established {
        /// SYN to SYN-ACK by the kernel's clock, in nanoseconds, to the microsecond. Means nothing where `retransmitted`.
        rtt_ns: u64,
        /// From before `connect()` to when this program saw it succeed, in nanoseconds.
        user_rtt_ns: u64,
        /// Whether the SYN had to be sent again: the first one was lost.
        retransmitted: bool,
    },
    /// Answered with RST.
    Refused,
    /// No route, or an ICMP error came back, whatever its type: a port-unreachable too.
    Unreachable,
    /// The attempt couldn't be made, by its errno: `EMFILE` (out of descriptors), `EADDRNOTAVAIL` (out of ports),
    /// `EBUSY` (the table has no room for this key)...
    Failed(c_int),
}

impl ConnectOutcome {
    fn of(errno: c_int) -> ConnectOutcome {
        match errno {
            libc::ECONNREFUSED => ConnectOutcome::Refused,
            libc::ENETUNREACH
            | libc::EHOSTUNREACH
            | libc::ENETDOWN
            | libc::EHOSTDOWN
            | libc::ENOPROTOOPT
            | libc::EACCES => ConnectOutcome::Unreachable,
            other => ConnectOutcome::Failed(other),
        }
    }
}

#[derive(Debug)]
struct Attempt {
    key: u32,
    source_port: u16,
    started: Mono,
    destination: SocketAddr,
    stream: Stream,
}

/// Connection attempts under way, each in a slot of a table of fixed size.
///
/// An attempt that nobody answers stays until it is cancelled; that is for whoever keeps the time-outs. Connections end with RST, so
/// that none of them lingers in TIME_WAIT and uses up the host's ports.
#[derive(Debug)]
pub struct Connector {
    streams: Streams,
    attempts: Box<[Option<Attempt>]>,
    events: Box<[EpollEvent]>,
    /// What a socket's error queue is read into.
    errors: Mailbox,
    in_flight: usize,
}

impl Connector {
    /// A table for `capacity` attempts at once, rounded up to a power of two, at most 2^20. The keys in flight at one time must
    /// differ modulo that, as consecutive numbers do. Each attempt needs a descriptor: see [`raise_file_limit`](crate::rights::raise_file_limit).
    ///
    /// # Errors
    /// Where the kernel gives no epoll descriptor.
    pub fn new(capacity: usize) -> io::Result<Connector> {
        let capacity = capacity.clamp(1, 1 << 20).next_power_of_two();
        Ok(Connector {
            streams: Streams::new()?,
            attempts: std::iter::repeat_with(|| None).take(capacity).collect(),
            events: vec![EpollEvent::empty(); EVENTS].into_boxed_slice(),
            errors: Mailbox::new(),
            in_flight: 0,
        })
    }

    /// Attempts under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Starts connecting.
    ///
    /// # Errors
    /// How it ended, where it did so at once: never [`ConnectOutcome::Established`].
    pub fn start(&mut self, key: u32, destination: SocketAddr) -> Result<(), ConnectOutcome> {
        let slot = self.slot(key);
        if self.attempts[slot].is_some() {
            return Err(ConnectOutcome::Failed(libc::EBUSY));
        }
        let attempt = self
            .connect(key, slot, destination)
            .map_err(|error| ConnectOutcome::of(sys::errno(&error)))?;
        self.attempts[slot] = Some(attempt);
        self.in_flight += 1;
        Ok(())
    }

    fn connect(&mut self, key: u32, slot: usize, destination: SocketAddr) -> io::Result<Attempt> {
        let mut stream = self.streams.take(destination)?;
        let started = mono();
        match stream.socket.connect(&destination.into()) {
            Ok(()) => {}
            Err(error) if sys::errno(&error) == libc::EINPROGRESS => {}
            Err(error) => return Err(error),
        }
        // Now, for a refused socket loses its port.
        let local = stream.socket.local_addr()?.as_socket();
        // TCP answers itself where the kernel happens to choose the very port that is probed on this host (simultaneous
        // open, RFC 9293, section 3.5): nobody listens there.
        if local.is_some_and(|local| (local.ip(), local.port()) == (destination.ip(), destination.port())) {
            return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
        }
        let source_port = local.map_or(0, |local| local.port());
        self.streams.watch(&mut stream, slot)?;
        Ok(Attempt {
            key,
            source_port,
            started,
            destination,
            stream,
        })
    }

    /// Tells every attempt that has ended; doesn't wait. Returns how many.
    ///
    /// # Errors
    /// An error of the epoll descriptor itself.
    pub fn poll(&mut self, report: &mut impl FnMut(Connected)) -> io::Result<usize> {
        let mut reported = 0;
        loop {
            let count = match self.streams.news(&mut self.events) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for index in 0..count {
                let event = self.events[index];
                let slot = usize::try_from(event.data()).unwrap_or(usize::MAX);
                if let Some(connected) = self.look_at(slot, event.events()) {
                    report(connected);
                    reported += 1;
                }
            }
            if count < EVENTS {
                return Ok(reported);
            }
        }
    }

    /// Looks at the attempt that epoll has named; gives its end, if that is one to be told.
    fn look_at(&mut self, slot: usize, flags: EpollFlags) -> Option<Connected> {
        let place = self.attempts.get_mut(slot)?;
        let attempt = place.as_mut()?;
        let result = match state(attempt, &mut self.errors) {
            State::Ended(result) => Some(result),
            State::GivenUp => None,
            // Named once: to be named again it has to be watched again.
            State::UnderWay => match self.streams.watch(&mut attempt.stream, slot) {
                Ok(()) => return None,
                Err(error) => Some(ConnectOutcome::Failed(sys::errno(&error))),
            },
        };
        let attempt = place.take()?;
        self.in_flight -= 1;
        let result = result?;
        let (key, source_port) = (attempt.key, attempt.source_port);
        let established = matches!(result, ConnectOutcome::Established { .. });
        // An error may lie in the queue of the others, to be taken for the next attempt's.
        if established && !flags.contains(EpollFlags::EPOLLERR) {
            self.streams.give_back(attempt.stream, attempt.destination);
        }
        Some(Connected {
            key,
            source_port,
            result,
        })
    }

    /// Gives an attempt up; nothing will be told of it. Returns whether there was one.
    pub fn cancel(&mut self, key: u32) -> bool {
        let slot = self.slot(key);
        let cancelled = self.attempts[slot].take_if(|attempt| attempt.key == key).is_some();
        self.in_flight -= usize::from(cancelled);
        cancelled
    }

    fn slot(&self, key: u32) -> usize {
        key as usize & (self.attempts.len() - 1)
    }
}

impl AsFd for Connector {
    /// Readable when an attempt has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.streams.as_fd()
    }
}

/// Reads the socket's error queue: whether an ICMP error was in it. The kernel has matched it to the SYN by its ports and
/// sequence number.
fn icmp_error(socket: &Socket, errors: &mut Mailbox) -> bool {
    let count = errors.fill(socket.as_fd(), libc::MSG_ERRQUEUE).unwrap_or(0);
    (0..count).any(|index| {
        let error = Control::read(errors.message(index).control).error;
        error.is_some_and(|error| matches!(error.origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6))
    })
}

/// Where an attempt has got to.
enum State {
    UnderWay,
    /// The kernel gave up sending SYNs (`ETIMEDOUT`): nobody answered, and the probe's own time-out, if it should be later,
    /// is to find that.
    GivenUp,
    Ended(ConnectOutcome),
}

/// Looks at an attempt that epoll has named.
fn state(attempt: &Attempt, errors: &mut Mailbox) -> State {
    let (socket, started) = (&attempt.stream.socket, &attempt.started);
    let handshake = match Handshake::read(socket, *started) {
        Ok(handshake) => handshake,
        Err(error) => return State::Ended(ConnectOutcome::Failed(sys::errno(&error))),
    };
    // First, for an ICMP error about a later packet changes nothing about the handshake.
    if handshake.complete() {
        return State::Ended(handshake.established());
    }
    // Before the errno, which leaving the queue clears.
    if icmp_error(socket, errors) {
        return State::Ended(ConnectOutcome::Unreachable);
    }
    match socket.take_error().unwrap_or_else(Some).as_ref().map(sys::errno) {
        // Established and ended by the peer at once: the handshake was complete all the same. Its figures may be newer than
        // those read above.
        Some(libc::ECONNRESET | libc::EPIPE) => State::Ended(match Handshake::read(socket, *started) {
            Ok(handshake) => handshake.established(),
            Err(error) => ConnectOutcome::Failed(sys::errno(&error)),
        }),
        Some(libc::ETIMEDOUT) => State::GivenUp,
        Some(errno) => State::Ended(ConnectOutcome::of(errno)),
        // Closed without an error: it would be named for ever.
        None if handshake.state == TCP_CLOSE => State::GivenUp,
        None => State::UnderWay,
    }
}

/// What `TCP_INFO` says of the handshake.
#[derive(Clone, Copy, Debug)]
struct Handshake {
    state: u8,
    rtt_ns: u64,
    user_rtt_ns: u64,
    retransmitted: bool,
}

impl Handshake {
    fn read(socket: &Socket, started: Mono) -> io::Result<Handshake> {
        let user_rtt_ns = mono().since(started);
        let mut info = [0; TCPI_TOTAL_RETRANS + 4];
        let length = sys::get_option(socket.as_fd(), libc::SOL_TCP, libc::TCP_INFO, &mut info)?;
        let field = |at: usize| {
            info[..length]
                .get(at..)?
                .first_chunk()
                .map(|value| u32::from_ne_bytes(*value))
        };
        match (field(TCPI_RTT), field(TCPI_TOTAL_RETRANS)) {
            (Some(micros), Some(retransmissions)) => Ok(Handshake {
                state: info[TCPI_STATE],
                rtt_ns: u64::from(micros) * 1_000,
                user_rtt_ns,
                retransmitted: retransmissions > 0,
            }),
            // No Linux that this can run on is that old.
            _ => Err(io::Error::from_raw_os_error(libc::ENOPROTOOPT)),
        }
    }

    fn complete(&self) -> bool {
        !matches!(self.state, TCP_SYN_SENT | TCP_SYN_RECV | TCP_CLOSE)
    }

    fn established(self) -> ConnectOutcome {
        ConnectOutcome::Established {
            rtt_ns: self.rtt_ns,
            user_rtt_ns: self.user_rtt_ns,
            retransmitted: self.retransmitted,
        }
    }
}
