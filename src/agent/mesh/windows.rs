//! From events to windows, and from windows to the sinks.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;

use dt_kernel::thread::Report;
use dt_probe::{Event, ProbeKind, Wall};
use dt_record::{Summary, TraceReport};
use dt_rpc::GrpcEvent;

use super::Mesh;
use crate::peers::Peer;
use crate::status::PeerStatus;

/// Summaries are handed over in portions, so that closing a window of 10,000 peers needs memory for a portion only.
const PORTION: usize = 1024;

impl Mesh {
    pub(super) fn take_ping(&mut self, ping: GrpcEvent) {
        if let Some(trace) = ping.trace
            && self.config.kafka.trace_reports
            && let Some(pair) = self.aggregate.pair(ProbeKind::Grpc, trace.target)
        {
            // As registered; a peer that has just left is named by the address that was dialled.
            let to = match self.peers.get(&pair.destination.node) {
                Some(peer) => peer.member.authority(),
                None => SocketAddr::new(pair.destination_ip, pair.destination_port).to_string(),
            };
            let rtt_ns = trace.success.then_some(trace.response_ns.into());
            self.publisher
                .trace(&TraceReport::new(self.config.advertise.to_string(), to, rtt_ns));
        }
        self.apply(ProbeKind::Grpc, ping.event);
    }

    pub(super) fn apply(&mut self, kind: ProbeKind, event: Event) {
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

    /// Empties the report ring; closes a window when the thread's clock has passed its end.
    pub(super) fn take_reports(&mut self) {
        while let Some(report) = self.probers.report() {
            match report {
                Report::Event(kind, event) => self.apply(kind, event),
                Report::Time(wall) => {
                    if self.aggregate.is_over(wall) {
                        self.close_window(wall);
                    }
                }
            }
        }
    }

    /// Hands the window's summaries to the sinks, in portions.
    pub(super) fn close_window(&mut self, now: Wall) {
        let (publisher, tap, totals) = (&self.publisher, &self.tap, &self.shared.totals);
        let mut portion = Vec::with_capacity(PORTION);
        let hand_over = |portion: &mut Vec<Summary>| {
            totals.summaries.fetch_add(portion.len() as u64, Relaxed);
            if let Some(tap) = tap {
                let _ = tap.send(portion.clone());
            }
            publisher.window(std::mem::take(portion));
        };
        self.aggregate.close(now, self.probers.receive_drops(), &mut |summary| {
            portion.push(summary);
            if portion.len() == PORTION {
                hand_over(&mut portion);
            }
        });
        if !portion.is_empty() {
            hand_over(&mut portion);
        }
        totals.windows.fetch_add(1, Relaxed);
    }

    /// Made when it is asked for: kept, it would weigh as much as all the rest of what is known of a peer.
    pub(super) fn peer_list(&self) -> Vec<PeerStatus> {
        let status = |peer: &Peer| PeerStatus {
            node: peer.member.node.clone(),
            address: peer.member.authority(),
            ip: peer.ip.map(|ip: IpAddr| ip.to_string()),
            problem: peer.problem.clone(),
            zone: peer.member.zone.clone(),
            rack: peer.member.rack.clone(),
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
