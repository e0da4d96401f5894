//! Transmit stamps from the error queue.

use std::net::{IpAddr, SocketAddr};

use super::{Lane, transmit::version_of};
use crate::config::Protocol;
use crate::kind::Clock;
use crate::ring::State;
use crate::time::{Mono, Wall};
use crate::wire::icmp::{self, Direction};
use crate::wire::tcp;

impl Lane {
    /// The kernel stamped the probe as it left.
    pub fn handle_tx_stamp(&mut self, key: u32, stamp: Wall, clock: Clock) {
        let sequence = self.sequence_of(key);
        self.stamp(sequence, stamp, clock);
    }

    /// As [`handle_tx_stamp`](Lane::handle_tx_stamp), where the kernel gives back the packet, from the transport
    /// header onward, instead of its key.
    pub fn handle_tx_stamp_packet(&mut self, bytes: &[u8], destination: IpAddr, stamp: Wall, clock: Clock) {
        let sequence = self.match_sent(bytes, destination.to_canonical());
        self.stamp(sequence, stamp, clock);
    }

    /// The error queue is empty: the stamps that are still missing won't come. Replies that wait for one complete with
    /// the user's clock, which is counted. Takes time proportional to the replies that wait.
    ///
    /// A network card's transmit stamps come when they come: a reply that bears the card's stamp is given some time.
    pub fn settle(&mut self, now: Mono) {
        while !self.has_enough_events() {
            let Some(&sequence) = self.unsettled.front() else {
                return;
            };
            let kept = self.ring.get(sequence).filter(|slot| slot.state == State::Replied);
            if let Some(&mut slot) = kept {
                if self.is_patient(&slot, now) {
                    return;
                }
                if self.stamps.tx && self.cards.kernel_stamp(sequence).is_none() {
                    // If this stamp was lost, those of other probes may have been.
                    self.note_stamp_overflow();
                }
                self.complete_kept(&slot, None);
            }
            self.unsettled.pop_front();
        }
    }

    /// The error queue ran over, or may have: the probes in flight now can't be told to have stayed on this host only
    /// because their stamps are missing.
    pub fn note_stamp_overflow(&mut self) {
        self.suspect_before = self.ring.next();
    }

    fn stamp(&mut self, sequence: Option<u64>, stamp: Wall, clock: Clock) {
        let slot = sequence
            .and_then(|sequence| self.ring.get(sequence))
            .filter(|slot| slot.state.is_undecided());
        match slot {
            Some(slot) if slot.state == State::Replied && self.cards.are_used() => {
                let slot = *slot;
                self.cards.keep_kernel_stamp(slot.sequence, stamp);
                self.complete_if_stamped(&slot);
            }
            Some(slot) if slot.state == State::Replied => {
                let slot = *slot;
                self.complete_kept(&slot, Some((stamp, clock)));
            }
            // The first of several stamps: it is the one from before the packet was queued anew.
            Some(slot) if slot.tx_clock.is_none() => {
                slot.stamp = stamp;
                slot.tx_clock = Some(clock);
            }
            Some(_) => {}
            None => self.stats.unmatched_stamps += 1,
        }
    }

    /// The probe whose packet this is.
    pub(super) fn match_sent(&mut self, bytes: &[u8], destination: IpAddr) -> Option<u64> {
        match self.protocol {
            Protocol::Echo { .. } => {
                let echo = icmp::read_unchecked(bytes, version_of(destination), Direction::Request)?;
                // A datagram socket's packet may be looped before the kernel wrote the identifier into it.
                self.echoed(&echo, destination, self.protocol.identifier(destination))
            }
            Protocol::Syn { .. } => {
                let syn = tcp::read_quoted(bytes)?;
                self.match_isn(
                    syn.sequence,
                    SocketAddr::new(destination, syn.destination_port),
                    syn.source_port,
                )
            }
            Protocol::Connect => None,
        }
    }
}
