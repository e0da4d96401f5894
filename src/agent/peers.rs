//! Whom this node probes, and what changes when the membership does.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use dt_membership::{Member, Selected};
use dt_probe::{ProbeKind, TargetId};
use smol_str::SmolStr;

/// One peer on the pinglist.
#[derive(Debug)]
pub(crate) struct Peer {
    /// What the membership says of it.
    pub(crate) member: Arc<Member>,
    /// The address probed; `None` until its name is resolved.
    pub(crate) ip: Option<IpAddr>,
    /// The address its probes leave from; `None` where there is no route.
    pub(crate) source: Option<IpAddr>,
    /// Why it has no address.
    pub(crate) problem: Option<Box<str>>,
    /// Its targets, one for each kind that is probed.
    pub(crate) targets: [Option<TargetId>; ProbeKind::ALL.len()],
}

impl Peer {
    fn new(member: Arc<Member>) -> Peer {
        let ip = member.address.parse().ok();
        Peer {
            member,
            ip,
            source: None,
            problem: None,
            targets: [None; ProbeKind::ALL.len()],
        }
    }
}

/// A member's node name as a key, without a copy of it.
#[derive(Debug)]
struct Name(Arc<Member>);

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self.0.key()
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for Name {}

/// The pinglist in force, by node name.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    all: HashMap<Name, Peer>,
    /// The nodes registered by a name, by that name.
    by_host: HashMap<SmolStr, Vec<SmolStr>>,
}

/// What an update of the pinglist amounts to.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Peers that are no longer probed, or not in this way.
    pub(crate) removed: Vec<Peer>,
    /// The peers to start with.
    pub(crate) added: Vec<Arc<Member>>,
}

impl Peers {
    /// Takes over a new pinglist. A peer whose address, port or labels changed counts as removed and added: its records
    /// would say something else. One that only changed its state or was restarted is probed on without a break.
    pub(crate) fn update(&mut self, selected: &[Selected]) -> Change {
        let mut old = std::mem::take(&mut self.all);
        self.all.reserve(selected.len());
        let mut change = Change::default();
        for Selected { member, .. } in selected {
            let peer = match old.remove(member.key()) {
                Some(mut peer) if same_pair(&peer.member, member) => {
                    peer.member = Arc::clone(member);
                    peer
                }
                changed => {
                    let mut peer = Peer::new(Arc::clone(member));
                    // A look-up that was good is still good under another label.
                    if let Some(old) = changed.as_ref().filter(|old| old.member.address == member.address) {
                        peer.ip = old.ip;
                    }
                    change.removed.extend(changed);
                    change.added.push(Arc::clone(member));
                    peer
                }
            };
            self.all.insert(Name(Arc::clone(member)), peer);
        }
        change.removed.extend(old.into_values());
        self.by_host.clear();
        for peer in self.all.values() {
            let Member { node, address, .. } = &*peer.member;
            if address.parse::<IpAddr>().is_err() {
                self.by_host.entry(address.clone()).or_default().push(node.clone());
            }
        }
        change
    }

    pub(crate) fn get(&self, node: &str) -> Option<&Peer> {
        self.all.get(node)
    }

    pub(crate) fn get_mut(&mut self, node: &str) -> Option<&mut Peer> {
        self.all.get_mut(node)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.all.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The registered names of hosts that aren't addresses, each once.
    pub(crate) fn host_names(&self) -> Vec<SmolStr> {
        self.by_host.keys().cloned().collect()
    }

    /// The nodes registered under this host name.
    pub(crate) fn nodes_at(&self, host: &str) -> Vec<SmolStr> {
        self.by_host.get(host).cloned().unwrap_or_default()
    }

    /// How many have no address.
    pub(crate) fn unresolved(&self) -> usize {
        self.by_host
            .values()
            .flatten()
            .filter(|node| self.get(node).is_some_and(|peer| peer.ip.is_none()))
            .count()
    }

    /// Whether every name has been looked up once, with whatever answer.
    pub(crate) fn are_looked_up(&self) -> bool {
        let mut named = self.by_host.values().flatten().filter_map(|node| self.get(node));
        named.all(|peer| peer.ip.is_some() || peer.problem.is_some())
    }
}

/// Whether records of the two would carry the same pair.
fn same_pair(a: &Member, b: &Member) -> bool {
    (a.port, a.tcp_port) == (b.port, b.tcp_port)
        && [&a.address, &a.zone, &a.rack, &a.region] == [&b.address, &b.zone, &b.rack, &b.region]
}

#[cfg(test)]
mod tests {
    use super::*;
    use dt_membership::Why;

    fn selected(node: &str, address: &str, zone: &str) -> Selected {
        let member = Member {
            node: node.into(),
            address: address.into(),
            port: 4000,
            tcp_port: 4000,
            zone: zone.into(),
            ..Member::default()
        };
        Selected {
            member: Arc::new(member),
            why: Why::All,
        }
    }

    fn names(change: &Change) -> (Vec<&str>, Vec<&str>) {
        let mut removed: Vec<_> = change.removed.iter().map(|p| p.member.key()).collect();
        removed.sort_unstable();
        (removed, change.added.iter().map(|m| m.key()).collect())
    }

    #[test]
    fn an_update_tells_what_came_and_went() {
        let mut peers = Peers::default();
        let change = peers.update(&[selected("a", "10.0.0.1", ""), selected("b", "b.example", "")]);
        assert_eq!(names(&change), (vec![], vec!["a", "b"]));
        assert_eq!(peers.host_names(), ["b.example"]);
        assert_eq!(peers.nodes_at("b.example"), ["b"]);
        let change = peers.update(&[selected("b", "b.example", ""), selected("c", "10.0.0.3", "")]);
        assert_eq!(names(&change), (vec!["a"], vec!["c"]));
        assert_eq!(peers.len(), 2);
    }

    #[test]
    fn a_restart_keeps_the_targets_and_a_move_does_not() {
        let mut peers = Peers::default();
        peers.update(&[selected("a", "10.0.0.1", "z")]);
        peers.get_mut("a").expect("a").targets[0] = Some(TargetId(7));
        let mut again = selected("a", "10.0.0.1", "z");
        Arc::make_mut(&mut again.member).boot_id = "another".into();
        let change = peers.update(&[again]);
        assert_eq!(names(&change), (vec![], vec![]));
        assert_eq!(peers.get_mut("a").expect("a").targets[0], Some(TargetId(7)));
        for moved in [selected("a", "10.0.0.2", "z"), selected("a", "10.0.0.2", "y")] {
            let change = peers.update(&[moved]);
            assert_eq!(names(&change), (vec!["a"], vec!["a"]));
        }
    }
}
