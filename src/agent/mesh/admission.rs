//! From a peer with an address to its targets: whether it may be probed, whether it has to answer first, and how it ends.
//!
//! Members of a ZooKeeper are judged, since anybody who can write there can add some: by their address, by whether another
//! is probed at the same place, and by whether they have ever answered PingNode. One that hasn't is a stranger: it has its
//! records, but is only asked now and then ([`dt_rpc::Prober::add_stranger`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use dt_probe::{Event, ProbeKind, TargetId, TargetSpec, What};
use dt_record::Endpoint;
use dt_rpc::{GrpcTarget, TlsMode};

use super::Mesh;
use crate::config::is_one_host;
use crate::peers::{Peer, Problem, Standing};
use crate::place::Place;

impl Mesh {
    /// Begins to probe a peer whose address is known, or asks for the address.
    pub(super) fn start(&mut self, node: &str) {
        let Some(peer) = self.peers.get(node) else { return };
        let Some(ip) = peer.ip else {
            self.resolver.ask(peer.member.address.to_string());
            return;
        };
        let member = Arc::clone(&peer.member);
        let known = !self.verifies || peer.proven || self.proofs.hold((ip, member.port), Instant::now());
        let permitted = self.permit(ip).and_then(|()| {
            let claimed = match self.allowed {
                Some(_) => self.peers.claim(ip, member.port, &member.node),
                None => Ok(()),
            };
            claimed.map_err(|other| format!("{other} has the same address and port, {ip} and {}", member.port))
        });
        if let Err(why) = permitted {
            return self.refuse(node, &why);
        }
        let source = dt_kernel::route::source_for(ip).ok();
        let destination = Arc::new(Endpoint {
            node: member.node.clone(),
            zone: member.zone.clone(),
            rack: member.rack.clone(),
            region: member.region.clone(),
        });
        let mut targets = [None; ProbeKind::ALL.len()];
        for kind in ProbeKind::ALL.iter().copied() {
            if self.probers.method(kind).is_none() && (known || kind != ProbeKind::Grpc) {
                continue;
            }
            let port = match kind {
                ProbeKind::Icmp => 0,
                ProbeKind::Tcp => member.tcp_port,
                ProbeKind::Grpc => member.port,
            };
            let place = Place {
                destination: Arc::clone(&destination),
                ip,
                port,
                source_ip: source,
            };
            targets[kind as usize] = Some(self.aggregate.add(kind, place));
        }
        let Some(peer) = self.peers.get_mut(node) else { return };
        peer.source = source;
        peer.targets = targets;
        if peer.is_refused() {
            self.shared.totals.refused.fetch_sub(1, Relaxed);
        }
        peer.problem = None;
        if known {
            peer.standing = Standing::Probed;
            peer.proven = true;
            self.probe(node, ProbeKind::ALL);
        } else {
            peer.standing = Standing::Stranger;
            self.shared.totals.strangers.fetch_add(1, Relaxed);
            self.probe(node, &[ProbeKind::Grpc]);
        }
    }

    /// Whether a peer may be probed at `ip`.
    fn permit(&self, ip: IpAddr) -> Result<(), String> {
        if !is_one_host(ip) {
            return Err(format!("{ip} is no single host's address"));
        }
        self.allowed.as_ref().map_or(Ok(()), |allowed| allowed.check(ip))
    }

    /// Of several addresses that a name has, the first that may be probed.
    pub(super) fn preferred(&self, found: &[IpAddr]) -> Option<IpAddr> {
        let mut permitted = found.iter().filter(|ip| self.permit(**ip).is_ok());
        permitted.next().or(found.first()).copied()
    }

    fn refuse(&mut self, node: &str, why: &str) {
        let Some(peer) = self.peers.get_mut(node) else { return };
        let problem = Problem::Refused(why.into());
        if peer.problem.as_ref() == Some(&problem) {
            return;
        }
        // Whoever can add one can add thousands: one line, and `/peers` has the rest. He can also take it away and add it
        // again.
        let is_first = !peer.is_refused() && self.shared.totals.refused.fetch_add(1, Relaxed) == 0;
        if is_first && let Some(held_back) = self.lines.refused.pass(Instant::now()) {
            tracing::warn!(node, why, held_back, "there are members that may not be probed");
        } else {
            tracing::debug!(node, why, "a member may not be probed");
        }
        peer.problem = Some(problem);
    }

    /// Looks again at those who may not be probed: this node's networks change, and places become free.
    pub(super) fn start_refused(&mut self) {
        if self.shared.totals.refused.load(Relaxed) > 0 {
            for node in self.peers.refused() {
                self.start(&node);
            }
        }
    }

    /// Tells the probers to probe a peer in these ways, of those that it has targets for.
    fn probe(&self, node: &str, kinds: &[ProbeKind]) {
        let Some(peer) = self.peers.get(node) else { return };
        let Some(ip) = peer.ip else { return };
        for kind in kinds.iter().copied() {
            let Some(id) = peer.targets[kind as usize] else {
                continue;
            };
            match kind {
                ProbeKind::Grpc => {
                    let authority = peer.member.authority();
                    let tls = &self.config.grpc_tls;
                    // What somebody may have written into ZooKeeper doesn't decide where TLS is required.
                    let by_tls = match tls.mode {
                        TlsMode::Off | TlsMode::Accept => false,
                        TlsMode::Use => !peer.member.original,
                        TlsMode::Require => true,
                    };
                    let target = GrpcTarget {
                        tls: by_tls.then(|| tls.name.clone().unwrap_or_else(|| peer.member.address.to_string())),
                        host_addr: authority.clone(),
                        authority,
                        address: SocketAddr::new(ip, peer.member.port),
                        source: None,
                    };
                    self.probers.add_grpc(id, target, peer.standing == Standing::Probed);
                }
                ProbeKind::Icmp | ProbeKind::Tcp => {
                    let port = if kind == ProbeKind::Tcp {
                        peer.member.tcp_port
                    } else {
                        0
                    };
                    let spec = TargetSpec {
                        id,
                        address: SocketAddr::new(ip, port),
                        // Where there is no way to the peer, its probes tell: they can't be sent.
                        source: Some(peer.source.unwrap_or_else(|| unspecified(ip))),
                    };
                    self.probers.add(kind, spec);
                }
            }
            self.shared.totals.kind(kind).targets.fetch_add(1, Relaxed);
        }
    }

    /// A ping of a stranger was decided: one who answers is probed in every way from now on. The first round doesn't wait
    /// for those who don't.
    pub(super) fn take_stranger(&mut self, id: TargetId, what: &What) {
        let Some(place) = self.aggregate.place(ProbeKind::Grpc, id) else {
            return;
        };
        let node = place.destination.node.clone();
        if matches!(what, What::Received(_) | What::Late) {
            // Also where the peer is gone meanwhile: it may come again by another name.
            self.proofs.add((place.ip, place.port), Instant::now());
        }
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.standing != Standing::Stranger || peer.targets[ProbeKind::Grpc as usize] != Some(id) {
            return;
        }
        match what {
            What::Received(_) | What::Late => {
                peer.standing = Standing::Probed;
                peer.proven = true;
                self.shared.totals.strangers.fetch_sub(1, Relaxed);
                self.probe(&node, &[ProbeKind::Icmp, ProbeKind::Tcp]);
                if self.probers.method(ProbeKind::Grpc).is_none() {
                    // It was asked this once only.
                    self.leave(ProbeKind::Grpc, &node);
                }
            }
            What::Failed(_) => {
                let Some(ip) = peer.ip.filter(|_| !self.shared.readiness.is_first_round_done()) else {
                    return;
                };
                // Those that are said to be at the same address wait for its next turn.
                let silent = self
                    .peers
                    .placed_at(ip)
                    .filter(|peer| peer.standing == Standing::Stranger);
                for peer in silent {
                    for kind in ProbeKind::ALL.iter().copied() {
                        if let Some(id) = peer.targets[kind as usize] {
                            self.aggregate.waive(kind, id);
                        }
                    }
                }
            }
            What::Skipped(_) | What::Duplicate | What::Gone => {}
        }
    }

    fn leave(&mut self, kind: ProbeKind, node: &str) {
        if let Some(id) = self
            .peers
            .get_mut(node)
            .and_then(|peer| peer.targets[kind as usize].take())
        {
            self.end(kind, id, true);
        }
    }

    /// Ends a target; `told` says whether the probers know it. What is in flight is still decided and recorded.
    fn end(&mut self, kind: ProbeKind, id: TargetId, told: bool) {
        self.aggregate.leave(kind, id);
        if told {
            self.probers.remove(kind, id);
            self.shared.totals.kind(kind).targets.fetch_sub(1, Relaxed);
        } else {
            let gone = Event {
                target: id,
                source_port: 0,
                what: What::Gone,
            };
            self.aggregate.apply(kind, &gone);
        }
    }

    /// Sends no more to the peer.
    pub(super) fn stop(&mut self, peer: &mut Peer) {
        let standing = std::mem::take(&mut peer.standing);
        let targets = std::mem::take(&mut peer.targets);
        for kind in ProbeKind::ALL.iter().copied() {
            if let Some(id) = targets[kind as usize] {
                self.end(kind, id, standing == Standing::Probed || kind == ProbeKind::Grpc);
            }
        }
        if let Some(ip) = peer.ip {
            self.peers.release(ip, peer.member.port, peer.member.key());
        }
        if standing == Standing::Stranger {
            self.shared.totals.strangers.fetch_sub(1, Relaxed);
        }
        if peer.is_refused() {
            self.shared.totals.refused.fetch_sub(1, Relaxed);
        }
        peer.problem = None;
    }

    /// Ends the peer's targets and begins anew, at `ip` where one is given.
    pub(super) fn restart(&mut self, node: &str, ip: Option<IpAddr>) {
        let Some(mut peer) = self.peers.take(node) else { return };
        self.stop(&mut peer);
        if let Some(ip) = ip {
            peer.ip = Some(ip);
            peer.proven = false;
        }
        self.peers.put(peer);
        self.start(node);
    }
}

/// The unspecified address of the family of `ip`.
fn unspecified(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
