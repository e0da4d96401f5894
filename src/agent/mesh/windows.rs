//! From events to windows, and from windows to the sinks.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use dt_kernel::thread::Report;
use dt_probe::{Event, ProbeKind, Wall};
use dt_record::TraceReport;
use dt_rpc::GrpcEvent;
use tokio::time::Instant;

use super::{DRAIN_EVERY, Mesh};
use crate::peers::Peer;
use crate::status::{PeerStatus, Shared};

/// So many summaries are made and handed over at a time, as fast as the sinks write them: closing a window of 10,000
/// peers needs memory for a few portions only.
const PORTION: usize = 1024;

/// So many summaries may be made at once where the next window ends before they were.
const AT_ONCE: usize = 8 * PORTION;

impl Mesh {
    pub(super) fn take_ping(&mut self, ping: GrpcEvent) {
        if let Some(trace) = ping.trace
            && self.config.kafka.trace_reports
            && self.config.grpc.is_some()
            && let Some(place) = self.aggregate.place(ProbeKind::Grpc, trace.target)
        {
            // As registered; a peer that has just left is named by the address that was dialled.
            let to = match self.peers.get(&place.destination.node) {
                Some(peer) => peer.member.authority(),
                None => SocketAddr::new(place.ip, place.port).to_string(),
            };
            let rtt_ns = trace.success.then_some(trace.response_ns.into());
            self.publisher
                .trace(&TraceReport::new(self.config.advertise.to_string(), to, rtt_ns));
        }
        self.apply(ProbeKind::Grpc, ping.event);
        if self.shared.totals.strangers.load(Relaxed) > 0 {
            self.take_stranger(ping.event.target, &ping.event.what);
            self.look_for_first_round();
        }
    }

    pub(super) fn apply(&mut self, kind: ProbeKind, mut event: Event) {
        if let Some(between) = &self.between
            && let Some(place) = self.aggregate.place(kind, event.target)
        {
            event = between.pass(&place.destination, kind, event);
        }
        self.shared.totals.kind(kind).apply(&event);
        self.aggregate.apply(kind, &event);
        self.look_for_first_round();
    }

    /// A round in which nothing may be sent is done, too: the kill switch is no reason to hold up a roll-out.
    pub(super) fn look_for_first_round(&self) {
        if self.shared.readiness.is_first_round_done() {
            return;
        }
        let off = self.shared.totals.probing.load(Relaxed) == 0;
        if self.aggregate.is_first_round_done(off) && self.peers.are_looked_up() {
            self.shared.readiness.first_round_done();
        }
    }

    /// Empties the report ring, and goes on with what has to be done from time to time.
    pub(super) fn take_reports(&mut self) {
        self.read_reports();
        self.advance_closing();
        self.books.show(&self.shared.books, &self.shared.totals);
    }

    /// Empties the report ring; ends a window when the thread's clock has passed its end.
    pub(super) fn read_reports(&mut self) {
        while let Some(report) = self.probers.report() {
            match report {
                Report::Event(kind, event) => self.apply(kind, event),
                Report::Books(kind, lane) => self.books.reported(kind, &lane, &self.shared.totals),
                Report::Time(wall) => {
                    if self.aggregate.is_over(wall) {
                        self.end_window(wall);
                    }
                }
            }
            if self.aggregate.ready() >= PORTION {
                self.hand_over();
            }
        }
    }

    /// Ends the window, or lets it go on where this host has not got through with the one before: the sinks would be handed
    /// more than they can hold, and resolution is lost rather than a sample.
    fn end_window(&mut self, now: Wall) {
        let unclosed = self.aggregate.unclosed();
        if unclosed > AT_ONCE || (unclosed > 0 && !self.publisher.keeps_up()) {
            self.aggregate.widen(now);
        }
        if self.aggregate.is_over(now) {
            self.close_window(now);
        }
    }

    /// Ends the window; [`Mesh::advance_closing`] makes its summaries. Those of the window before that aren't made yet go
    /// to the sinks first, in portions all the same.
    pub(super) fn close_window(&mut self, now: Wall) {
        while self.aggregate.unclosed() > 0 {
            self.aggregate.advance(PORTION);
            self.hand_over();
        }
        let opened = std::mem::replace(&mut self.opened, Instant::now());
        self.aggregate
            .close(now, self.opened - opened, self.probers.receive_drops());
        self.books.closed(&self.shared.totals);
        self.hand_over();
        self.closed_by = Instant::now() + self.config.window / 2;
        self.shared.totals.windows.fetch_add(1, Relaxed);
    }

    /// Makes and hands over a portion of the closed window's summaries: where the sinks don't keep up, only as many as
    /// are needed to be done in the middle of the next window, for no sink may hold up the windows.
    pub(super) fn advance_closing(&mut self) {
        let unclosed = self.aggregate.unclosed();
        if unclosed > 0 {
            let left = self.closed_by.saturating_duration_since(Instant::now());
            let ticks = left.as_millis() / DRAIN_EVERY.as_millis();
            let fair = unclosed.div_ceil(usize::try_from(ticks).unwrap_or(usize::MAX).max(1));
            let most = if self.publisher.keeps_up() {
                fair.max(PORTION)
            } else {
                fair
            };
            self.aggregate.advance(most);
        }
        self.hand_over();
    }

    /// Makes and hands over all that is left of the closed window, at the sinks' pace until `deadline`.
    pub(super) async fn finish_closing(&mut self, deadline: Instant) {
        while self.aggregate.unclosed() > 0 {
            self.aggregate.advance(PORTION);
            self.hand_over();
            while !self.publisher.keeps_up() && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    fn hand_over(&mut self) {
        let summaries = self.aggregate.take();
        if !summaries.is_empty() {
            let Shared { totals, books, .. } = &*self.shared;
            totals.summaries.fetch_add(summaries.len() as u64, Relaxed);
            if let Some(tap) = &self.tap {
                let _ = tap.send(summaries.clone());
            }
            if let Some(peers) = &self.peer_totals {
                peers.add(&summaries, |node| self.peers.get(node).is_some());
            }
            let publisher = &self.publisher;
            self.books
                .hand_over(books, totals, summaries, |summaries| publisher.window(summaries));
        }
        if self.aggregate.unclosed() == 0 {
            self.books.settled();
        }
    }

    /// Made when it is asked for: kept, it would weigh as much as all the rest of what is known of a peer.
    pub(super) fn peer_list(&self) -> Vec<PeerStatus> {
        let status = |peer: &Peer| PeerStatus {
            node: peer.member.node.to_string(),
            address: peer.member.authority(),
            ip: peer.ip.map(|ip: IpAddr| ip.to_string()),
            problem: peer.complaint(),
            zone: peer.member.zone.to_string(),
            rack: peer.member.rack.to_string(),
            state: peer.member.state.as_str(),
            original: peer.member.original,
            probes: ProbeKind::ALL
                .iter()
                .filter_map(|kind| self.aggregate.last(*kind, peer.targets[*kind as usize]?))
                .collect(),
        };
        let mut peers: Vec<_> = self.peers.iter().map(status).collect();
        peers.sort_unstable_by(|a, b| a.node.cmp(&b.node));
        peers
    }
}
