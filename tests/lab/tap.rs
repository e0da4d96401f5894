//! A packet socket on one interface of a namespace: sees and sends whole Ethernet frames.

use crate::error::{Context, LabError, Result};
use crate::namespaces::Namespace;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvmsg,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};

/// `sll_pkttype` of a frame that this host sends (linux/if_packet.h).
const PACKET_OUTGOING: u8 = 4;
/// Holds thousands of frames while the machine is busy elsewhere.
const BUFFER_BYTES: usize = 32 << 20;
/// How long one receive waits at most, so that a thread around it can be told to stop.
const POLL_US: i64 = 50_000;

/// A frame as the kernel saw it pass.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The kernel's stamp, nanoseconds of CLOCK_REALTIME.
    pub stamp_ns: u64,
    /// Whether this side sent it.
    pub outgoing: bool,
    /// From the Ethernet header on.
    pub bytes: Vec<u8>,
}

/// The socket.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
    buffer: Vec<u8>,
    control: Vec<u8>,
}

impl Tap {
    /// Opens one on `interface` of `namespace`, to be used from any thread. Frames from now on are seen.
    ///
    /// # Errors
    /// Where the interface is absent or the privilege is missing.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Tap> {
        let socket = namespace.enter(|| open_inside(interface))?;
        let socket = socket.during(format!("packet socket on {interface} of {}", namespace.name()))?;
        Ok(Tap {
            socket,
            buffer: vec![0; 1 << 16],
            control: nix::cmsg_space!(nix::sys::time::TimeSpec),
        })
    }

    /// The next frame, or `None` after a short while without one.
    ///
    /// # Errors
    /// Where the socket fails.
    pub fn receive(&mut self) -> Result<Option<Frame>> {
        let mut parts = [IoSliceMut::new(&mut self.buffer)];
        let message = recvmsg::<LinkAddr>(
            self.socket.as_raw_fd(),
            &mut parts,
            Some(&mut self.control),
            MsgFlags::empty(),
        );
        let message = match message {
            Ok(message) => message,
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stamp = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp),
            _ => None,
        });
        let Some(stamp) = stamp else {
            return Err(LabError::new("a frame without a kernel stamp"));
        };
        let stamp_ns = u64::try_from(stamp.tv_sec())? * 1_000_000_000 + u64::try_from(stamp.tv_nsec())?;
        let outgoing = message
            .address
            .is_some_and(|address| address.pkttype() == PACKET_OUTGOING);
        let length = message.bytes;
        Ok(Some(Frame {
            stamp_ns,
            outgoing,
            bytes: self.buffer.get(..length).unwrap_or_default().to_vec(),
        }))
    }

    /// Sends one frame out of the interface.
    ///
    /// # Errors
    /// Where the kernel refuses it, e.g. for its length.
    pub fn send(&self, frame: &[u8]) -> Result {
        nix::unistd::write(&self.socket, frame).during(format!("send a frame of {} bytes", frame.len()))?;
        Ok(())
    }
}

fn open_inside(interface: &str) -> Result<OwnedFd> {
    // A packet socket is bound by interface index; the interface list has it in just the form that bind wants.
    let address = getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .ok_or_else(|| LabError::new("no such interface"))?;
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::EthAll,
    )?;
    setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, POLL_US))?;
    bind(socket.as_raw_fd(), &address)?;
    // Between socket() and bind() frames of every interface were queued: throw them away.
    let mut scratch = [0; 64];
    while nix::sys::socket::recv(socket.as_raw_fd(), &mut scratch, MsgFlags::MSG_DONTWAIT).is_ok() {}
    Ok(socket)
}
