//! What a channel really obtained from the kernel.

use std::fmt;

use crate::address::Family;

/// How a channel reaches the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketMethod {
    /// A raw socket (CAP_NET_RAW).
    Raw,
    /// A datagram ICMP ("ping") socket (`net.ipv4.ping_group_range`).
    Datagram,
}

/// How a transmit stamp says whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampKeying {
    /// By the key the packet was sent with (`SCM_TS_OPT_ID`, Linux 6.13).
    Id,
    /// By bringing the packet back.
    Packet,
}

/// What a channel really obtained. Printed, it is one line for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detected {
    /// What the channel is for: `"ICMP"` or `"TCP SYN"`.
    pub purpose: &'static str,
    /// The IP version.
    pub family: Family,
    /// Raw or datagram.
    pub method: SocketMethod,
    /// How transmit stamps come; `None` where there are none.
    pub tx_stamps: Option<StampKeying>,
    /// Whether received packets are stamped by the kernel.
    pub rx_stamps: bool,
    /// The clock whose stamps the network card gives beside the kernel's; `None` where none is in use.
    pub card: Option<u32>,
    /// Whether ICMP errors about probes are seen.
    pub icmp_errors: bool,
    /// The receive buffer's size in bytes as read back (the kernel counts its own overhead in). It holds replies, stamps and errors.
    pub receive_buffer: usize,
    /// Whether packets that the receive buffer dropped are counted.
    pub drops_counted: bool,
}

impl fmt::Display for Detected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.method {
            SocketMethod::Raw => "raw",
            SocketMethod::Datagram => "datagram (ping)",
        };
        let tx = match self.tx_stamps {
            Some(StampKeying::Id) => "kernel transmit stamps by key",
            Some(StampKeying::Packet) => "kernel transmit stamps by returned packet",
            None => "no kernel transmit stamps",
        };
        let rx = if self.rx_stamps {
            "kernel receive stamps"
        } else {
            "no kernel receive stamps"
        };
        let card = self.card.map_or_else(String::new, |phc| {
            format!(", the network card's stamps by its clock phc{phc}")
        });
        let errors = if self.icmp_errors {
            "ICMP errors seen"
        } else {
            "ICMP errors not seen"
        };
        let drops = if self.drops_counted {
            "drops counted"
        } else {
            "drops not counted"
        };
        let Detected {
            purpose,
            family,
            receive_buffer,
            ..
        } = self;
        write!(
            f,
            "{purpose} over {family}: {method} socket, {tx}, {rx}{card}, {errors}, receive buffer {receive_buffer} bytes, {drops}"
        )
    }
}
