//! Whom a node probes. All others, or, where there are more than a limit, its neighbours on a ring that every node
//! computes alike, so that each pair is measured from both ends and a join or a leave moves few pairs.

use std::sync::Arc;

use siphasher::sip::SipHasher24;

use crate::member::{Member, View};

/// One member of a pinglist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// Whom to probe.
    pub member: Arc<Member>,
    /// Why this one.
    pub why: Why,
}

/// Why a member is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// There are no more others than the limit.
    All,
    /// The n-th after the own node on the ring, counted from 1.
    Successor(usize),
    /// The n-th before the own node on the ring, counted from 1.
    Predecessor(usize),
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::All => f.write_str("all"),
            Why::Successor(n) => write!(f, "successor {n}"),
            Why::Predecessor(n) => write!(f, "predecessor {n}"),
        }
    }
}

/// A node's place on the ring: SipHash-2-4 of the name's UTF-8 bytes under the all-zero key. Fixed for ever: agents of
/// different versions must agree on it. Names that hash alike are ordered by name.
#[must_use]
pub fn ring_position(node: &str) -> u64 {
    SipHasher24::new().hash(node.as_bytes())
}

/// Whom `own_node` probes of `view`. Every member where `max_peers` is `None` or not exceeded, in the view's order.
/// Else `max_peers / 2` successors and as many predecessors on the ring of all nodes, the nearest first; an odd limit
/// is rounded down so that both directions of each pair are measured. A limit of 1 gives one successor, of 0 nobody.
#[must_use]
pub fn pinglist(own_node: &str, view: &View, max_peers: Option<usize>) -> Vec<Selected> {
    let others: Vec<&Arc<Member>> = view.members.iter().filter(|member| member.key() != own_node).collect();
    let limit = max_peers.unwrap_or(usize::MAX);
    if others.len() <= limit {
        return others
            .into_iter()
            .map(|member| Selected {
                member: Arc::clone(member),
                why: Why::All,
            })
            .collect();
    }
    let mut ring: Vec<(u64, &Arc<Member>)> = others
        .into_iter()
        .map(|member| (ring_position(member.key()), member))
        .collect();
    ring.sort_unstable_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.key().cmp(y.key())));
    let own = (ring_position(own_node), own_node);
    // The first node after one's own place.
    let next = ring.partition_point(|(position, member)| (*position, member.key()) < own);
    let n = ring.len();
    let each_side = limit / 2;
    let successors = if limit == 1 { 1 } else { each_side };
    let pick = |index: usize, why| Selected {
        member: Arc::clone(ring[index % n].1),
        why,
    };
    let after = (1..=successors).map(|i| pick(next + i - 1, Why::Successor(i)));
    let before = (1..=each_side).map(|i| pick(next + n - i, Why::Predecessor(i)));
    after.chain(before).collect()
}
