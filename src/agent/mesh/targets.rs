//! From the membership's view to targets: whom this node probes, where, and how often.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use dt_membership::{Selected, View, pinglist};
use dt_probe::ProbeKind;
use dt_probe::time::nanos;

use super::Mesh;
use crate::config::{Membership, stretch};
use crate::peers::{Peer, Problem};
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
        if let Some(allowed) = &mut self.allowed {
            allowed.look_again();
        }
        let change = self.peers.update(&selected);
        let (added, removed) = (change.added.len(), change.removed.len());
        for mut peer in change.removed {
            self.stop(&mut peer);
        }
        if let Some(totals) = &self.peer_totals {
            totals.keep(|node| self.peers.get(node).is_some());
        }
        self.pace();
        for member in change.added {
            self.start(member.key());
        }
        if removed > 0 {
            // What they had may be another's now.
            self.start_refused();
        }
        let totals = &self.shared.totals;
        totals.members.store(view.members.len() as u64, Relaxed);
        totals.peers.store(self.peers.len() as u64, Relaxed);
        totals.unresolved.store(self.peers.unresolved() as u64, Relaxed);
        if added + removed > 0
            && let Some(held_back) = self.lines.pinglist.pass(Instant::now())
        {
            tracing::info!(
                members = view.members.len(),
                peers = self.peers.len(),
                added,
                removed,
                held_back,
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
        let share = peers as f64 / f64::from(self.config.max_rate.max(1));
        self.probers.set_share(Duration::from_secs_f64(share));
    }

    /// Where probes failed on this host, the way to the peer may have changed: a SYN's checksum is made for the address
    /// it leaves from. Starts anew with those peers whose source is another one now. One that is probed without a known
    /// way is always looked at: once there is one again, nothing else need fail here.
    pub(super) fn reroute(&mut self) {
        let failing = |peer: &&Peer| {
            let failed = |kind: ProbeKind, id| {
                let last = self.aggregate.last(kind, id);
                last.is_some_and(|last| last.unreachable + last.send_error > 0)
            };
            // Who is refused has no targets.
            let mut targets = ProbeKind::ALL.iter().zip(peer.targets);
            targets.any(|(kind, id)| id.is_some_and(|id| peer.source.is_none() || failed(*kind, id)))
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
            if let Some(held_back) = self.lines.rerouted.pass(Instant::now()) {
                tracing::info!(node, held_back, "the way to a peer has changed");
            }
            self.restart(&node, None);
        }
    }

    /// A name was looked up: start with it, or move to where it points now.
    pub(super) fn take_answer(&mut self, answer: Resolved) {
        self.resolver.answered(&answer.host);
        for node in self.peers.nodes_at(&answer.host) {
            match &answer.answer {
                Ok(found) => {
                    let ip = self.preferred(found);
                    let Some(peer) = self.peers.get_mut(&node) else {
                        continue;
                    };
                    if matches!(peer.problem, Some(Problem::Lookup(_))) {
                        peer.problem = None;
                    }
                    if peer.ip == ip || ip.is_none() {
                        continue;
                    }
                    if let (Some(old), Some(new)) = (peer.ip, ip)
                        && let Some(held_back) = self.lines.moved.pass(Instant::now())
                    {
                        tracing::info!(node = node.as_str(), %old, %new, held_back, "a peer's name points elsewhere");
                    }
                    self.restart(&node, ip);
                }
                // A name server's bad minute is no reason to stop probing an address that answers.
                Err(why) => {
                    let Some(peer) = self.peers.get_mut(&node) else {
                        continue;
                    };
                    if peer.problem.is_none()
                        && let Some(held_back) = self.lines.unresolved.pass(Instant::now())
                    {
                        tracing::warn!(
                            node = node.as_str(),
                            problem = why.as_str(),
                            held_back,
                            "a peer's name doesn't resolve"
                        );
                    }
                    if !peer.is_refused() {
                        peer.problem = Some(Problem::Lookup(why.as_str().into()));
                    }
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

/// The part of all probes (`rate` per second) that a kind with this period has.
fn period_share(peers: usize, period: Duration, rate: f64) -> f64 {
    if rate > 0.0 {
        (peers as f64 / period.as_secs_f64() / rate).clamp(0.0, 1.0)
    } else {
        1.0
    }
}
