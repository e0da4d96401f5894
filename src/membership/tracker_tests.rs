//! The tracker with lists, notifications and data in every order.

use proptest::prelude::*;

use super::*;

fn own() -> Registration {
    Registration {
        node: "own".into(),
        address: "10.0.0.1".into(),
        port: 1,
        tcp_port: 1,
        boot_id: "own-boot".into(),
        ..Registration::default()
    }
}

fn data(node: &str, address: &str, boot: &str) -> Vec<u8> {
    format!(r#"{{"My_address":"{address}","My_port":1,"node":"{node}","boot_id":"{boot}"}}"#).into_bytes()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn keys(tracker: &Tracker) -> Vec<String> {
    tracker.registered().members.into_keys().collect()
}

#[test]
fn each_name_is_read_once() {
    let mut tracker = Tracker::new(own());
    let mark = tracker.mark();
    assert_eq!(tracker.listed(mark, names(&["x", "y"])), ["x", "y"]);
    tracker.read("x", 1, &data("a", "a", "1")).unwrap();
    assert!(tracker.read("y", 2, b"?").is_err());
    assert!(tracker.read("y", 2, b"?").is_ok(), "told once");
    let mark = tracker.mark();
    assert_eq!(tracker.listed(mark, names(&["x", "y", "z"])), ["z"]);
    assert_eq!((keys(&tracker), tracker.registered().malformed), (names(&["a"]), 1));
}

#[test]
fn those_not_serving_are_read_with_each_list() {
    let mut tracker = Tracker::new(own());
    let mark = tracker.mark();
    tracker.listed(mark, names(&["x"]));
    tracker
        .read("x", 1, br#"{"My_address":"a","My_port":1,"state":"draining"}"#)
        .unwrap();
    let mark = tracker.mark();
    assert_eq!(tracker.listed(mark, names(&["x"])), ["x"]);
}

#[test]
fn a_list_says_nothing_about_what_came_after_it() {
    let mut tracker = Tracker::new(own());
    let mark = tracker.mark();
    assert!(tracker.created("new"));
    tracker.listed(mark, names(&["old"]));
    assert!(tracker.contains("new") && tracker.contains("old"));
    let mark = tracker.mark();
    tracker.listed(mark, names(&["new"]));
    assert!(tracker.contains("new") && !tracker.contains("old"));
}

#[test]
fn data_of_entries_that_are_gone_is_ignored() {
    let mut tracker = Tracker::new(own());
    tracker.created("x");
    tracker.deleted("x");
    tracker.read("x", 1, &data("a", "a", "1")).unwrap();
    tracker.read("y", 1, b"?").unwrap();
    assert_eq!((keys(&tracker), tracker.len()), (names(&[]), 0));
}

#[test]
fn of_twins_the_newest_counts_whatever_the_order() {
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
        let mut tracker = Tracker::new(own());
        for n in order {
            let name = format!("e{n}");
            tracker.created(&name);
            // The same name at a new address, and the same address under a new name.
            let (node, address) = [("a", "x"), ("a", "y"), ("b", "Y")][n - 1];
            tracker
                .read(&name, n as i64, &data(node, address, &n.to_string()))
                .unwrap();
        }
        let registered = tracker.registered();
        let seen: Vec<_> = registered
            .members
            .values()
            .map(|m| (m.node.as_str(), m.boot_id.as_str()))
            .collect();
        assert_eq!(seen, [("a", "1"), ("b", "3")]);
        assert_eq!(registered.twins, 1);
    }
}

#[test]
fn ones_own_entries_are_left_out() {
    let mut tracker = Tracker::new(own());
    for (i, (node, address, boot)) in [
        ("own", "10.0.0.1", "own-boot"),
        ("own", "10.0.0.9", "former"),
        ("x", "10.0.0.1", "former"),
        ("y", "z", "own-boot"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("e{i}");
        tracker.created(&name);
        tracker.read(&name, i as i64, &data(node, address, boot)).unwrap();
    }
    let registered = tracker.registered();
    assert!(registered.members.is_empty(), "{registered:?}");
    assert_eq!(registered.namesakes.len(), 1);
}

#[test]
fn unchanged_data_keeps_its_allocation() {
    let mut tracker = Tracker::new(own());
    tracker.created("x");
    tracker.read("x", 1, &data("a", "a", "1")).unwrap();
    let first = Arc::clone(&tracker.registered().members["a"]);
    tracker.read("x", 1, &data("a", "a", "1")).unwrap();
    assert!(Arc::ptr_eq(&first, &tracker.registered().members["a"]));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// A server whose entries come and go, notifications lost at will, lists that are answered late: after one list
    /// without anything in between, and the reading it asks for, the members are the server's.
    #[test]
    fn a_list_mends_whatever_was_missed(
        steps in proptest::collection::vec((0u8..4, 0usize..8, any::<bool>()), 0..80)
    ) {
        let mut tracker = Tracker::new(own());
        // What the server has: the name of entry n grows with each creation, as sequence numbers do.
        let mut server: HashMap<usize, String> = HashMap::new();
        let mut sequence = 0;
        let mut listing: Option<(u64, Vec<String>)> = None;
        let answer = |tracker: &mut Tracker, mark, list: Vec<String>, server: &HashMap<usize, String>| {
            for name in tracker.listed(mark, list) {
                match server.iter().find(|(_, known)| **known == name) {
                    Some((n, _)) => {
                        tracker.read(&name, 1, &data(&format!("n{n}"), &format!("h{n}"), "")).unwrap();
                    }
                    None => tracker.deleted(&name),
                }
            }
        };
        for (what, n, lost) in steps {
            match what {
                0 => {
                    if let std::collections::hash_map::Entry::Vacant(slot) = server.entry(n) {
                        sequence += 1;
                        let name = slot.insert(format!("{n}-{sequence}"));
                        if !lost {
                            tracker.created(name);
                        }
                    }
                }
                1 => {
                    if let Some(name) = server.remove(&n)
                        && !lost
                    {
                        tracker.deleted(&name);
                    }
                }
                2 if listing.is_none() => {
                    let mark = tracker.mark();
                    listing = Some((mark, server.values().cloned().collect()));
                }
                _ => {
                    if let Some((mark, list)) = listing.take() {
                        answer(&mut tracker, mark, list, &server);
                    }
                }
            }
        }
        let mark = tracker.mark();
        answer(&mut tracker, mark, server.values().cloned().collect(), &server);
        let mut expected: Vec<String> = server.keys().map(|n| format!("n{n}")).collect();
        expected.sort();
        prop_assert_eq!(keys(&tracker), expected);
    }
}
