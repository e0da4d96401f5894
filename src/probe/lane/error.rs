//! ICMP errors about our packets.

use std::net::IpAddr;

use super::{Lane, transmit::version_of};
use crate::config::Protocol;
use crate::kind::Fate;
use crate::ring::State;
use crate::time::Mono;
use crate::wire::icmp::{self, Direction, Version};
use crate::wire::tcp;

impl Lane {
    /// An ICMP error came back about a packet of ours to `destination`, quoted from its transport header: the probe,
    /// if it is still in flight, ends as [`Fate::Unreachable`].
    ///
    /// A quote may be as short as 8 bytes over IPv4 (RFC 792). Of a SYN those hold all that is needed; of an echo
    /// request only the low 16 bits of the probe's number, so the newest probe in flight with those bits and that
    /// destination is meant. ICMPv6 quotes whatever fits (RFC 4443, section 2.4), so there the cookie must be right.
    /// Looks at no more than one slot in 65,536.
    ///
    /// A raw socket is given the errors about everybody's packets on this host. Those that quote one that could be of this
    /// lane and isn't are counted as invalid, others as unmatched, and so are those about probes decided before.
    pub fn handle_icmp_error(&mut self, bytes: &[u8], destination: IpAddr, now: Mono) {
        let destination = destination.to_canonical();
        let sequence = self
            .match_sent(bytes, destination)
            .or_else(|| self.match_short_quote(bytes, destination));
        if sequence.is_none() && self.is_forged_quote(bytes, destination) {
            self.stats.invalid += 1;
            return;
        }
        let slot = sequence.and_then(|sequence| self.ring.get(sequence));
        match slot {
            Some(slot) if slot.state == State::Sent => {
                let rtt = now.since(slot.sent_mono);
                let sequence = slot.sequence;
                if rtt <= self.timeout {
                    self.fail(sequence, Fate::Unreachable, State::Answered);
                }
            }
            _ => self.stats.unmatched_errors += 1,
        }
    }

    /// Whether a quoted packet that is no probe in flight bears what all of this lane bear, the identifier or one of the source
    /// ports. A short quote of an echo request may be one of a probe decided before: that is no forgery.
    fn is_forged_quote(&mut self, bytes: &[u8], destination: IpAddr) -> bool {
        match &self.protocol {
            Protocol::Echo { .. } => {
                let header = icmp::read_header(bytes, version_of(destination), Direction::Request)
                    .filter(|header| header.identifier == self.protocol.identifier(destination));
                header.is_some_and(|header| !(is_short(bytes) && self.may_have_been_sent(header.sequence, destination)))
            }
            Protocol::Syn { .. } => tcp::read_quoted(bytes).is_some_and(|syn| self.ports.may_hold(syn.source_port)),
            Protocol::Connect => false,
        }
    }

    /// Whether the newest probe whose number has these lower bits went there, or may have: it, or its target, is forgotten.
    fn may_have_been_sent(&mut self, low: u16, destination: IpAddr) -> bool {
        let Some(sequence) = self.ring.newest_with(u64::from(low), 16) else {
            return false;
        };
        let slot = self.ring.get(sequence).map(|slot| (slot.target, slot.generation));
        let owner = slot.and_then(|(target, generation)| self.targets.owner(target, generation));
        owner.is_none_or(|target| target.address.ip() == destination)
    }

    fn match_short_quote(&mut self, bytes: &[u8], destination: IpAddr) -> Option<u64> {
        let Protocol::Echo { .. } = self.protocol else {
            return None;
        };
        if !is_short(bytes) || destination.is_ipv6() {
            return None;
        }
        let header = icmp::read_header(bytes, version_of(destination), Direction::Request)?;
        debug_assert_eq!(version_of(destination), Version::V4);
        if header.identifier != self.protocol.identifier(destination) {
            return None;
        }
        let oldest = self.ring.window().start;
        let mut candidate = self.ring.newest_with(u64::from(header.sequence), 16);
        while let Some(sequence) = candidate.filter(|sequence| *sequence >= oldest) {
            let slot = self
                .ring
                .get(sequence)
                .filter(|slot| slot.state == State::Sent)
                .map(|slot| *slot);
            let owner = slot.and_then(|slot| self.targets.owner(slot.target, slot.generation));
            if owner.is_some_and(|target| target.address.ip() == destination) {
                return Some(sequence);
            }
            candidate = sequence.checked_sub(1 << 16);
        }
        None
    }
}

/// Whether a quoted echo request was cut before the end of its cookie.
fn is_short(bytes: &[u8]) -> bool {
    bytes.len() < icmp::HEADER + usize::from(icmp::MIN_PAYLOAD)
}
