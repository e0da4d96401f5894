//! IPv4 packets as somebody would send them who wants to be taken for another, whole or in fragments, with options or without.

use crate::wire::{HEADERS, sum};

/// The protocol's number in an IP header.
pub const ICMP: u8 = 1;
/// See [`ICMP`].
pub const TCP: u8 = 6;

/// Sends to whom sent a probe, as if from whom it was sent to.
#[derive(Debug, Clone)]
pub struct Forger {
    ethernet: [u8; 14],
    /// Source and destination.
    addresses: [u8; 8],
    identification: u16,
}

impl Forger {
    /// From the target of the probe in `frame` to its sender. Its packets have `identification` and those that follow.
    #[must_use]
    pub fn facing(frame: &[u8], identification: u16) -> Option<Forger> {
        let header: &[u8; HEADERS] = frame.first_chunk()?;
        let ethernet = [&header[6..12], &header[..6], &header[12..14]].concat();
        let addresses = [&header[30..34], &header[26..30]].concat();
        Some(Forger {
            ethernet: *ethernet.first_chunk()?,
            addresses: *addresses.first_chunk()?,
            identification,
        })
    }

    /// Frames of one packet with this body: one where it fits into `mtu` bytes, else fragments. `options` are of its IP header,
    /// a multiple of 4 bytes.
    pub fn frames(&mut self, protocol: u8, options: &[u8], body: &[u8], mtu: usize) -> Vec<Vec<u8>> {
        self.identification = self.identification.wrapping_add(1);
        let header = 20 + options.len();
        // Fragments are counted in units of 8 bytes (RFC 791).
        let most = (mtu - header) / 8 * 8;
        let parts = body.chunks(most).enumerate();
        let frames = parts.map(|(at, part)| {
            let mut frame = self.ethernet.to_vec();
            let more = at * most + part.len() < body.len();
            let offset = (at * most / 8) as u16 | u16::from(more) << 13;
            let length = (header + part.len()) as u16;
            frame.extend([0x40 | (header / 4) as u8, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend(self.identification.to_be_bytes());
            frame.extend(offset.to_be_bytes());
            frame.extend([64, protocol, 0, 0]);
            frame.extend(self.addresses);
            frame.extend(options);
            let checksum = sum(&frame[14..]);
            frame[24..26].copy_from_slice(&checksum.to_be_bytes());
            frame.extend(part);
            frame
        });
        frames.collect()
    }

    /// An ICMP error of this type and code about a packet with this beginning that its receiver sent.
    #[must_use]
    pub fn error(&self, kind: u8, code: u8, protocol: u8, quoted: &[u8]) -> Vec<u8> {
        let mut body = vec![kind, code, 0, 0, 0, 0, 0, 0];
        let mut header = vec![0x45, 0];
        header.extend((20 + quoted.len().max(64) as u16).to_be_bytes());
        header.extend([0, 0, 0, 0, 63, protocol, 0, 0]);
        header.extend([&self.addresses[4..], &self.addresses[..4]].concat());
        let checksum = sum(&header);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        body.extend(header);
        body.extend(quoted);
        sealed(body)
    }

    /// `segment` with its checksum.
    #[must_use]
    pub fn segment(&self, mut segment: Vec<u8>) -> Vec<u8> {
        if let Some(checksum) = segment.get_mut(16..18) {
            checksum.fill(0);
            let mut covered = self.addresses.to_vec();
            covered.extend([0, TCP]);
            covered.extend((segment.len() as u16).to_be_bytes());
            covered.extend(&segment);
            segment[16..18].copy_from_slice(&sum(&covered).to_be_bytes());
        }
        segment
    }
}

/// An ICMP message with its checksum.
#[must_use]
pub fn sealed(mut message: Vec<u8>) -> Vec<u8> {
    if let Some(checksum) = message.get_mut(2..4) {
        checksum.fill(0);
        let checksum = sum(&message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    message
}
