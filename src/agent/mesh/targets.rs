//! From the membership's view to targets: whom this node probes, where, and how often.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use dt_membership::{Selected, View, pinglist};
use dt_probe::time::nanos;
use dt_probe::{ProbeKind, TargetId, TargetSpec};
use dt_record::Endpoint;
use dt_rpc::GrpcTarget;

use super::Mesh;
use crate::config::{Membership, is_one_host, stretch};
use crate::peers::Peer;
use crate::place::Place;
use crate::resolve::Resolved;

impl Mesh {
    /// Takes over a view of the membership.
    pub(super) fn take_view(&mut self, view: &View) {
        // The list before the first complete one says nothing.
        if view.generation == 0 {
            return;
        }
        let most = match self.config.membership {
            Membership::ZooKeeper(_) => Some(self.config.max_peers),
            Membership::File(_) => None,
        };
        let selected: Vec<Selected> = pinglist(&self.config.node, view, most);
        let change = self.peers.update(&selected);
        let (added, removed) = (change.added.len(), change.removed.len());
        for peer in change.removed {
            self.stop(peer.targets);
        }
        self.pace();
        for member in change.added {
            self.start(member.key());
        }
        let totals = &self.shared.totals;
        totals.members.store(view.members.len() as u64, Relaxed);
        totals.peers.store(self.peers.len() as u64, Relaxed);
        totals.unresolved.store(self.peers.unresolved() as u64, Relaxed);
        if added + removed > 0 {
            tracing::info!(
                members = view.members.len(),
                peers = self.peers.len(),
                added,
                removed,
                "pinglist changed"
            );
        }
        self.aggregate.view_taken();
        self.look_for_first_round();
    }

    /// Stretches the intervals where peers x kinds / interval is more than the cap, all by the same factor.
    pub(super) fn pace(&mut self) {
        let peers = self.peers.len();
        let kinds: Vec<_> = self
            .config
            .probes()
            .filter(|(kind, _)| self.probers.method(*kind).is_some())
            .collect();
        let stretch = stretch(
            peers,
            kinds.iter().map(|(_, timing)| timing.interval),
            self.config.max_rate,
        );
        let factor = stretch.factor;
        if factor > 1.0 && !self.stretched {
            let (wanted, max_rate) = (stretch.wanted, self.config.max_rate);
            tracing::warn!(
                peers,
                wanted,
                max_rate,
                factor,
                "more probes per second than the cap: intervals stretch"
            );
        }
        self.stretched = factor > 1.0;
        self.shared
            .totals
            .stretch_milli
            .store((factor * 1000.0) as u64, Relaxed);
        for (kind, timing) in kinds {
            let period = stretch.apply(timing.interval);
            let known = &self.shared.totals.kind(kind).period_ns;
            if known.swap(nanos(period), Relaxed) != nanos(period) {
                self.probers.set_period(kind, period);
            }
            // The cap is shared out as the schedule needs it, so that all kinds together keep to it, also when one
            // catches up.
            let share = period_share(peers, period, stretch.rate());
            self.probers
                .set_rate(kind, (f64::from(self.config.max_rate) * share).ceil().max(1.0) as u32);
        }
    }

    /// Begins to probe a peer whose address is known, or asks for the address.
    pub(super) fn start(&mut self, node: &str) {
        let Some(peer) = self.peers.get_mut(node) else { return };
        let Some(ip) = peer.ip else {
            self.resolver.ask(peer.member.address.to_string());
            return;
        };
        if !is_one_host(ip) {
            let problem = format!("{ip}: no single host's address");
            tracing::warn!(node, %problem, "a peer can't be probed");
            peer.problem = Some(problem.into());
            return;
        }
        let source = dt_kernel::route::source_for(ip).ok();
        peer.source = source;
        let destination = Arc::new(Endpoint {
            node: peer.member.node.clone(),
            zone: peer.member.zone.clone(),
            rack: peer.member.rack.clone(),
            region: peer.member.region.clone(),
        });
        for kind in ProbeKind::ALL.iter().copied() {
            if self.probers.method(kind).is_none() {
                continue;
            }
            let port = match kind {
                ProbeKind::Icmp => 0,
                ProbeKind::Tcp => peer.member.tcp_port,
                ProbeKind::Grpc => peer.member.port,
            };
            let place = Place {
                destination: Arc::clone(&destination),
                ip,
                port,
                source_ip: source,
            };
            let id = self.aggregate.add(kind, place);
            peer.targets[kind as usize] = Some(id);
            let address = SocketAddr::new(ip, port);
            match kind {
                ProbeKind::Grpc => {
                    let authority = peer.member.authority();
                    self.probers.add_grpc(
                        id,
                        GrpcTarget {
                            host_addr: authority.clone(),
                            authority,
                            address,
                            source: None,
                        },
                    );
                }
                ProbeKind::Icmp | ProbeKind::Tcp => {
                    // Where there is no way to the peer, its probes tell: the kernel refuses to send them.
                    let source = source.or_else(|| Some(unspecified(ip)));
                    self.probers.add(kind, TargetSpec { id, address, source });
                }
            }
            self.shared.totals.kind(kind).targets.fetch_add(1, Relaxed);
        }
    }

    /// Where probes failed on this host, the way to the peer may have changed: a SYN's checksum is made for the address
    /// it leaves from. Starts anew with those peers whose source is another one now.
    pub(super) fn reroute(&mut self) {
        let failing = |peer: &&Peer| {
            let last = |kind: &ProbeKind| self.aggregate.last(*kind, peer.targets[*kind as usize]?);
            ProbeKind::ALL
                .iter()
                .filter_map(last)
                .any(|last| last.unreachable + last.send_error > 0)
        };
        let moved: Vec<String> = self
            .peers
            .iter()
            .filter(failing)
            .filter(|peer| {
                peer.ip
                    .is_some_and(|ip| dt_kernel::route::source_for(ip).ok() != peer.source)
            })
            .map(|peer| peer.member.key().to_owned())
            .collect();
        for node in moved {
            tracing::info!(node, "the way to a peer has changed");
            self.restart(&node);
        }
    }

    /// Ends the peer's targets and begins anew with its present address.
    pub(super) fn restart(&mut self, node: &str) {
        if let Some(peer) = self.peers.get_mut(node) {
            let targets = std::mem::take(&mut peer.targets);
            self.stop(targets);
            self.start(node);
        }
    }

    /// Sends no more to the peer; what is in flight is still decided and recorded.
    pub(super) fn stop(&mut self, targets: [Option<TargetId>; ProbeKind::ALL.len()]) {
        for kind in ProbeKind::ALL.iter().copied() {
            if let Some(id) = targets[kind as usize] {
                self.aggregate.leave(kind, id);
                self.probers.remove(kind, id);
                self.shared.totals.kind(kind).targets.fetch_sub(1, Relaxed);
            }
        }
    }

    /// A name was looked up: start with it, or move to where it points now.
    pub(super) fn take_answer(&mut self, answer: Resolved) {
        self.resolver.answered(&answer.host);
        for node in self.peers.nodes_at(&answer.host) {
            let Some(peer) = self.peers.get_mut(&node) else {
                continue;
            };
            match &answer.answer {
                Ok(ip) if peer.ip == Some(*ip) => peer.problem = None,
                Ok(ip) => {
                    if let Some(old) = peer.ip.replace(*ip) {
                        tracing::info!(%node, %old, new = %ip, "a peer's name points elsewhere");
                    }
                    peer.problem = None;
                    self.restart(&node);
                }
                // A name server's bad minute is no reason to stop probing an address that answers.
                Err(why) => {
                    if peer.problem.is_none() {
                        tracing::warn!(%node, problem = %why, "a peer's name doesn't resolve");
                    }
                    peer.problem = Some(why.as_str().into());
                }
            }
        }
        self.shared
            .totals
            .unresolved
            .store(self.peers.unresolved() as u64, Relaxed);
        self.look_for_first_round();
    }
}

/// The unspecified address of the family of `ip`.
fn unspecified(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// The part of all probes (`rate` per second) that a kind with this period has.
fn period_share(peers: usize, period: Duration, rate: f64) -> f64 {
    if rate > 0.0 {
        (peers as f64 / period.as_secs_f64() / rate).clamp(0.0, 1.0)
    } else {
        1.0
    }
}
