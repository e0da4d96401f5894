//! When echo requests arrive on this host, by the kernel's clock: what a capture would show, read as it comes.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use dt_bench::{Failure, Result, doing};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeSpec, TimeVal};

/// Bytes for the requests of a second, whatever this thread waits for the processor.
const BUFFER: usize = 4 << 20;
const ECHO_REQUEST: u8 = 8;

/// Collects arrivals until it is asked for them.
pub(crate) struct Sniffer {
    over: Arc<AtomicBool>,
    join: JoinHandle<Result<Vec<Duration>>>,
}

impl Sniffer {
    /// Starts in the calling thread's network namespace.
    pub(crate) fn start() -> Result<Sniffer> {
        let socket = open().map_err(doing("open a raw ICMP socket to count requests by"))?;
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let join = std::thread::spawn(move || collect(&socket, &ended));
        Ok(Sniffer { over, join })
    }

    /// The arrivals so far, in their order.
    pub(crate) fn stop(self) -> Result<Vec<Duration>> {
        self.over.store(true, Ordering::Relaxed);
        let mut arrivals = self
            .join
            .join()
            .map_err(|_| Failure("the sniffer panicked".to_owned()))??;
        arrivals.sort_unstable();
        Ok(arrivals)
    }
}

fn open() -> nix::Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::Icmp,
    )?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
    // So that it looks up from its reading.
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 100_000))?;
    Ok(socket)
}

fn collect(socket: &OwnedFd, over: &AtomicBool) -> Result<Vec<Duration>> {
    let mut arrivals = Vec::with_capacity(1 << 17);
    let mut control = nix::cmsg_space!(TimeSpec);
    let mut packet = [0; 128];
    while !over.load(Ordering::Relaxed) {
        let mut into = [IoSliceMut::new(&mut packet)];
        let message = match recvmsg::<()>(socket.as_raw_fd(), &mut into, Some(&mut control), MsgFlags::empty()) {
            Ok(message) => message,
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(error) => return Err(Failure(format!("read the requests: {error}"))),
        };
        let stamp = message
            .cmsgs()
            .map_err(doing("read a request's stamp"))?
            .find_map(|message| match message {
                ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
                _ => None,
            });
        let header = usize::from(packet[0] & 15) * 4;
        if let (Some(stamp), Some(&ECHO_REQUEST)) = (stamp, packet.get(header)) {
            arrivals.push(stamp);
        }
    }
    Ok(arrivals)
}
