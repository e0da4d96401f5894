//! The pinglist's ring: golden places, and what must hold for any mesh.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dt_membership::{Member, View, Why, pinglist, ring_position};
use proptest::prelude::*;

fn member(node: &str) -> Arc<Member> {
    Arc::new(Member {
        node: node.into(),
        address: "10.0.0.1".into(),
        port: 4000,
        tcp_port: 4000,
        ..Member::default()
    })
}

/// The view that `own` has of a mesh.
fn view<'a>(own: &str, nodes: impl IntoIterator<Item = &'a String>) -> View {
    let members = nodes
        .into_iter()
        .filter(|node| *node != own)
        .map(|node| member(node))
        .collect();
    View { members, generation: 1 }
}

type Lists = BTreeMap<String, BTreeSet<String>>;

fn lists(nodes: &BTreeSet<String>, max: usize) -> Lists {
    nodes
        .iter()
        .map(|own| {
            let list = pinglist(own, &view(own, nodes), Some(max));
            let names: BTreeSet<String> = list.iter().map(|s| s.member.node.to_string()).collect();
            assert_eq!(names.len(), list.len(), "nobody is chosen twice");
            (own.clone(), names)
        })
        .collect()
}

#[test]
fn places_on_the_ring_are_fixed_for_ever() {
    // SipHash-2-4 under the zero key; computed independently of this crate's code.
    for (node, place) in GOLDEN {
        assert_eq!(ring_position(node), place, "{node:?}");
    }
}

const GOLDEN: [(&str, u64); 5] = [
    ("", 0x1e92_4b9d_7377_00d7),
    ("a", 0x96c2_0860_cd93_a249),
    ("node-1", 0x66c6_bac1_a280_94a0),
    ("10.0.0.1:4000", 0x6ee2_f1db_6b59_3dce),
    ("rack7-knoten-ä", 0x816e_53ac_c572_056d),
];

#[test]
fn the_order_of_a_small_ring() {
    let nodes: BTreeSet<String> = ["a", "b", "node-1", "10.0.0.1:4000"].map(String::from).into();
    let mut ring: Vec<&String> = nodes.iter().collect();
    ring.sort_by_key(|node| ring_position(node));
    let own = ring[1];
    let list = pinglist(own, &view(own, &nodes), Some(2));
    assert_eq!(
        list.iter().map(|s| (s.member.node.as_str(), s.why)).collect::<Vec<_>>(),
        [
            (ring[2].as_str(), Why::Successor(1)),
            (ring[0].as_str(), Why::Predecessor(1))
        ]
    );
    // Over the end of the ring.
    let last = ring[3];
    let list = pinglist(last, &view(last, &nodes), Some(2));
    assert_eq!(list[0].member.node, *ring[0]);
}

#[test]
fn limits_that_do_not_bite_and_odd_ones() {
    let nodes: BTreeSet<String> = (0..6).map(|n| format!("n{n}")).collect();
    let chosen = |max| pinglist("n0", &view("n0", &nodes), max).len();
    assert_eq!([None, Some(9), Some(5)].map(chosen), [5, 5, 5]);
    assert!(
        pinglist("n0", &view("n0", &nodes), None)
            .iter()
            .all(|s| s.why == Why::All)
    );
    assert_eq!(
        [Some(4), Some(3), Some(2), Some(1), Some(0)].map(chosen),
        [4, 2, 2, 1, 0]
    );
    assert_eq!(pinglist("n0", &View::default(), Some(4)), vec![]);
}

fn mesh() -> impl Strategy<Value = BTreeSet<String>> {
    proptest::collection::btree_set("[a-e0-9.:-]{1,6}", 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn each_pair_is_measured_from_both_ends(nodes in mesh(), max in 2usize..12) {
        let lists = lists(&nodes, max);
        for (from, list) in &lists {
            for to in list {
                prop_assert!(lists[to].contains(from), "{from} probes {to}, which doesn't probe back");
            }
            let others = nodes.len() - 1;
            let expected = if others <= max { others } else { max / 2 * 2 };
            prop_assert_eq!(list.len(), expected);
            let in_degree = lists.values().filter(|list| list.contains(from)).count();
            prop_assert_eq!(in_degree, list.len());
        }
    }

    #[test]
    fn a_join_changes_one_entry_in_few_lists(nodes in mesh(), newcomer in "[f-j]{3}", max in 2usize..12) {
        // Below the limit everyone gains the newcomer, which needs no ring.
        prop_assume!(nodes.len() > max + 1);
        let before = lists(&nodes, max);
        let mut more = nodes.clone();
        more.insert(newcomer.clone());
        let after = lists(&more, max);
        let mut changed = 0;
        for node in &nodes {
            let gained: Vec<_> = after[node].difference(&before[node]).collect();
            let lost = before[node].difference(&after[node]).count();
            if !gained.is_empty() || lost > 0 {
                changed += 1;
                prop_assert_eq!(gained, vec![&newcomer]);
                prop_assert_eq!(lost, 1);
            }
        }
        prop_assert_eq!(changed, max / 2 * 2);
    }
}
