//! Whom this node probes, and what changes when the membership does.

use std::borrow::Borrow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
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
    /// What is amiss.
    pub(crate) problem: Option<Problem>,
    /// How far it has come.
    pub(crate) standing: Standing,
    /// Whether it has answered at this address and port.
    pub(crate) proven: bool,
    /// Its targets, one for each kind that is probed.
    pub(crate) targets: Targets,
}

/// A peer's targets by kind.
pub(crate) type Targets = [Option<TargetId>; ProbeKind::ALL.len()];

/// How far a peer has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has no targets: its address isn't known, or it may not be probed.
    #[default]
    Out,
    /// It has targets, and is only asked, until it answers for the first time.
    Stranger,
    /// It is probed in every way.
    Probed,
}

/// What is amiss with a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Its name doesn't resolve.
    Lookup(Box<str>),
    /// It may not be probed.
    Refused(Box<str>),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Lookup(why) => f.write_str(why),
            Problem::Refused(why) => write!(f, "not probed: {why}"),
        }
    }
}

impl Peer {
    fn new(member: Arc<Member>) -> Peer {
        let ip = member.address.parse().ok().map(|ip: IpAddr| ip.to_canonical());
        Peer {
            member,
            ip,
            source: None,
            problem: None,
            standing: Standing::Out,
            proven: false,
            targets: [None; ProbeKind::ALL.len()],
        }
    }

    /// What `/peers` says is amiss.
    pub(crate) fn complaint(&self) -> Option<String> {
        let stranger = (self.standing == Standing::Stranger)
            .then(|| "has never answered PingNode: only asked once in 10 s until it does".to_owned());
        self.problem.as_ref().map(ToString::to_string).or(stranger)
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.problem, Some(Problem::Refused(_)))
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
    /// Who is probed where, of peers of which two may claim the same place: several names may lead to one.
    by_place: BTreeMap<(IpAddr, u16), SmolStr>,
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
                        peer.proven = old.proven && old.member.port == member.port;
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

    /// Takes a peer out, to be put back at once.
    pub(crate) fn take(&mut self, node: &str) -> Option<Peer> {
        self.all.remove(node)
    }

    /// Puts it back.
    pub(crate) fn put(&mut self, peer: Peer) {
        self.all.insert(Name(Arc::clone(&peer.member)), peer);
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

    /// Gives `node` the place, unless another peer has it.
    ///
    /// # Errors
    /// That peer's name.
    pub(crate) fn claim(&mut self, ip: IpAddr, port: u16, node: &SmolStr) -> Result<(), SmolStr> {
        match self.by_place.entry((ip, port)) {
            Entry::Occupied(other) if other.get() != node => Err(other.get().clone()),
            Entry::Occupied(_) => Ok(()),
            Entry::Vacant(free) => {
                free.insert(node.clone());
                Ok(())
            }
        }
    }

    /// Takes back what [`Peers::claim`] gave.
    pub(crate) fn release(&mut self, ip: IpAddr, port: u16, node: &str) {
        if self.by_place.get(&(ip, port)).is_some_and(|holder| holder == node) {
            self.by_place.remove(&(ip, port));
        }
    }

    /// The nodes that have claimed a place at this address.
    pub(crate) fn placed_at(&self, ip: IpAddr) -> impl Iterator<Item = &Peer> {
        let places = self.by_place.range((ip, 0)..=(ip, u16::MAX));
        places.filter_map(|(_, node)| self.get(node))
    }

    /// The nodes that may not be probed.
    pub(crate) fn refused(&self) -> Vec<SmolStr> {
        let refused = self.all.values().filter(|peer| peer.is_refused());
        refused.map(|peer| peer.member.node.clone()).collect()
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
    fn what_answered_at_an_address_and_port_has_answered_under_other_labels_only() {
        for (changed, proven) in [
            (selected("a", "10.0.0.1", "y"), true),
            (selected("a", "10.0.0.2", "z"), false),
            (
                {
                    let mut port = selected("a", "10.0.0.1", "z");
                    Arc::make_mut(&mut port.member).port = 22;
                    port
                },
                false,
            ),
        ] {
            let mut peers = Peers::default();
            peers.update(&[selected("a", "10.0.0.1", "z")]);
            peers.get_mut("a").unwrap().proven = true;
            peers.update(&[changed]);
            assert_eq!(peers.get("a").unwrap().proven, proven);
        }
    }

    #[test]
    fn a_place_is_one_peers() {
        let mut peers = Peers::default();
        let ip: IpAddr = [10, 0, 0, 1].into();
        assert_eq!(peers.claim(ip, 1, &"a".into()), Ok(()));
        assert_eq!(peers.claim(ip, 1, &"a".into()), Ok(()));
        assert_eq!(peers.claim(ip, 1, &"b".into()), Err("a".into()));
        assert_eq!(peers.claim(ip, 2, &"b".into()), Ok(()));
        peers.update(&[selected("a", "10.0.0.1", ""), selected("b", "10.0.0.1", "")]);
        let there: Vec<_> = peers.placed_at(ip).map(|peer| peer.member.key()).collect();
        assert_eq!(there, ["a", "b"]);
        assert_eq!(peers.placed_at([10, 0, 0, 2].into()).count(), 0);
        peers.release(ip, 1, "b");
        assert_eq!(peers.claim(ip, 1, &"b".into()), Err("a".into()));
        peers.release(ip, 1, "a");
        assert_eq!(peers.claim(ip, 1, &"b".into()), Ok(()));
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
