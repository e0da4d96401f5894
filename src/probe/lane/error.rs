//! ICMP errors about our packets.

use std::net::IpAddr;

use super::{Lane, transmit::version_of};
use crate::config::Protocol;
use crate::kind::Fate;
use crate::ring::State;
use crate::time::Mono;
use crate::wire::icmp::{self, Direction, Version};

impl Lane {
    /// An ICMP error came back about a packet of ours to `destination`, quoted from its transport header: the probe,
    /// if it is still in flight, ends as [`Fate::Unreachable`].
    ///
    /// A quote may be as short as 8 bytes over IPv4 (RFC 792). Of a SYN those hold all that is needed; of an echo
    /// request only the low 16 bits of the probe's number, so the newest probe in flight with those bits and that
    /// destination is meant. ICMPv6 quotes whatever fits (RFC 4443, section 2.4), so there the cookie must be right.
    /// Looks at no more than one slot in 65,536.
    pub fn handle_icmp_error(&mut self, bytes: &[u8], destination: IpAddr, now: Mono) {
        let destination = destination.to_canonical();
        let sequence = self
            .match_sent(bytes, destination)
            .or_else(|| self.match_short_quote(bytes, destination));
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

    fn match_short_quote(&mut self, bytes: &[u8], destination: IpAddr) -> Option<u64> {
        let Protocol::Echo { .. } = self.protocol else {
            return None;
        };
        if bytes.len() >= icmp::HEADER + usize::from(icmp::MIN_PAYLOAD) || destination.is_ipv6() {
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
