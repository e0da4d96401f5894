//! The keyed hashes that tie a reply to the probe it answers, so that nobody who hasn't seen the probe can forge one.

use std::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher24;

/// Hashes under one lane's secret.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed(SipHasher24);

/// What a hash is for; the first byte of its input, so that no two uses can be confused.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Purpose {
    Echo = 1,
    SynNonce = 2,
    SynMask = 3,
    Mark = 4,
}

impl Keyed {
    pub(crate) fn new(key: &[u8; 16]) -> Keyed {
        Keyed(SipHasher24::new_with_key(key))
    }

    /// What every echo request of the lane begins its payload with, and nobody who hasn't seen one can know.
    pub(crate) fn mark(&self) -> u32 {
        self.hash(Purpose::Mark, 0, IpAddr::from([0; 4]), 0, 0) as u32
    }

    /// The cookie in an echo request's payload.
    pub(crate) fn echo(&self, sequence: u64, destination: IpAddr, identifier: u16) -> u64 {
        self.hash(Purpose::Echo, sequence, destination, identifier, 0)
    }

    /// The initial sequence number of a SYN: 20 bits of the probe's number and 12 bits of nonce, the whole masked by
    /// what both ends of the connection can see and nobody else can compute. Where the next lane of the same host
    /// starts in those 32 bits says nothing to an onlooker (RFC 6528 asks no more of a connection that never opens).
    pub(crate) fn isn(&self, sequence: u64, destination: SocketAddr, source_port: u16) -> u32 {
        let nonce = self.hash(
            Purpose::SynNonce,
            sequence,
            destination.ip(),
            destination.port(),
            source_port,
        ) & 0xfff;
        // Truncation intended: only 20 bits of each travel.
        let plain = ((sequence as u32 & SEQUENCE_MASK) << 12) | nonce as u32;
        plain ^ self.mask(destination, source_port)
    }

    /// The low 20 bits of the number of the probe that `isn` belongs to, if any: to be confirmed by [`Keyed::isn`].
    pub(crate) fn isn_sequence(&self, isn: u32, destination: SocketAddr, source_port: u16) -> u32 {
        (isn ^ self.mask(destination, source_port)) >> 12
    }

    fn mask(&self, destination: SocketAddr, source_port: u16) -> u32 {
        self.hash(Purpose::SynMask, 0, destination.ip(), destination.port(), source_port) as u32
    }

    fn hash(&self, purpose: Purpose, number: u64, address: IpAddr, a: u16, b: u16) -> u64 {
        let mut input = [0; 30];
        input[0] = purpose as u8;
        input[1..9].copy_from_slice(&number.to_be_bytes());
        match address {
            IpAddr::V4(v4) => {
                input[9] = 4;
                input[10..14].copy_from_slice(&v4.octets());
            }
            IpAddr::V6(v6) => {
                input[9] = 6;
                input[10..26].copy_from_slice(&v6.octets());
            }
        }
        input[26..28].copy_from_slice(&a.to_be_bytes());
        input[28..30].copy_from_slice(&b.to_be_bytes());
        self.0.hash(&input)
    }
}

/// What the payloads of an echo lane with this key begin with, big-endian, and so those of all genuine replies: for a filter
/// that keeps others out before they cost anything. Whoever sees one of the packets knows it, so that it proves nothing.
#[must_use]
pub fn echo_mark(key: &[u8; 16]) -> u32 {
    Keyed::new(key).mark()
}

/// The part of a probe's number that travels in its initial sequence number.
pub(crate) const SEQUENCE_MASK: u32 = 0xf_ffff;
