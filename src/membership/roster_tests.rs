//! The roster in virtual time.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(10);

fn member(n: usize) -> Arc<Member> {
    Arc::new(Member {
        node: format!("n{n:03}").into(),
        address: format!("10.0.0.{n}").into(),
        port: 1,
        tcp_port: 1,
        ..Member::default()
    })
}

fn those(ids: impl IntoIterator<Item = usize>) -> BTreeMap<String, Arc<Member>> {
    ids.into_iter()
        .map(member)
        .map(|member| (member.key().to_owned(), member))
        .collect()
}

/// A roster and a clock that is set by hand.
struct Run {
    roster: Roster,
    start: Instant,
    now: Instant,
}

impl Run {
    fn new(ids: impl IntoIterator<Item = usize>) -> Run {
        let start = Instant::now();
        let mut run = Run {
            roster: Roster::new(TIMEOUT),
            start,
            now: start,
        };
        run.registered(ids);
        run
    }

    fn registered(&mut self, ids: impl IntoIterator<Item = usize>) {
        self.roster.update(self.now, those(ids));
    }

    /// Lets time pass, polling at each deadline on the way.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.roster.next_deadline().filter(|at| *at <= end) {
            assert!(at >= self.now || at >= self.start, "a deadline that was never served");
            self.now = at.max(self.now);
            self.roster.poll(self.now);
            assert!(
                self.roster.next_deadline().is_none_or(|next| next > self.now),
                "polled, and due still"
            );
        }
        self.now = end;
        self.roster.poll(end);
    }

    fn shown(&self) -> Vec<usize> {
        self.roster
            .shown()
            .iter()
            .map(|member| member.node[1..].parse().unwrap())
            .collect()
    }
}

#[test]
fn a_single_one_leaves_at_once() {
    let mut run = Run::new(0..4);
    for left in (0..4).rev() {
        run.registered(0..left);
        run.pass(GATHER);
        assert_eq!(run.shown(), (0..left).collect::<Vec<_>>());
    }
    assert_eq!((run.roster.mass_vanishes(), run.roster.next_deadline()), (0, None));
}

#[test]
fn half_or_more_are_kept_for_two_session_timeouts() {
    for (before, after, kept) in [
        (4, 2, true),
        (4, 3, false),
        (5, 3, false),
        (5, 2, true),
        (3, 1, true),
        (3, 0, true),
        (2, 0, true),
        (2, 1, false),
        (1, 0, false),
    ] {
        let mut run = Run::new(0..before);
        run.registered(0..after);
        run.pass(2 * TIMEOUT);
        assert_eq!(
            run.shown().len(),
            if kept { before } else { after },
            "{before} to {after}"
        );
        run.pass(GATHER);
        assert_eq!(run.shown().len(), after, "{before} to {after}, later");
        assert_eq!(run.roster.mass_vanishes(), u64::from(kept));
    }
}

#[test]
fn notifications_one_by_one_are_one_vanishing() {
    let mut run = Run::new(0..6);
    for left in [5, 4, 3, 2] {
        run.registered(0..left);
        run.pass(GATHER / 8);
    }
    run.pass(GATHER);
    assert_eq!(
        (run.shown().len(), run.roster.kept(), run.roster.mass_vanishes()),
        (6, 4, 1)
    );
}

#[test]
fn further_ones_are_kept_while_many_are() {
    let mut run = Run::new(0..6);
    run.registered(0..3);
    run.pass(GATHER);
    run.registered(0..1);
    run.pass(GATHER);
    assert_eq!(run.shown().len(), 6);
    run.registered([]);
    run.pass(GATHER);
    assert_eq!(run.shown().len(), 6);
    run.pass(2 * TIMEOUT);
    assert_eq!(run.shown().len(), 0);
}

#[test]
fn after_a_lost_session_of_ones_own_even_a_few_are_kept() {
    let mut run = Run::new(0..20);
    run.roster.doubt(run.now);
    run.registered(0..18);
    run.pass(GATHER);
    assert_eq!((run.shown().len(), run.roster.mass_vanishes()), (20, 0));
    // One comes back; the other really is gone.
    run.registered(0..19);
    run.pass(2 * TIMEOUT);
    assert_eq!((run.shown().len(), run.roster.kept()), (19, 0));
    // By then the service is trusted again.
    run.registered(0..18);
    run.pass(GATHER);
    assert_eq!(run.shown().len(), 18);
}

#[test]
fn who_comes_back_is_kept_no_longer() {
    let mut run = Run::new(0..4);
    run.registered([]);
    run.pass(TIMEOUT);
    run.registered(0..4);
    assert_eq!((run.roster.kept(), run.roster.next_deadline()), (0, None));
    run.pass(3 * TIMEOUT);
    assert_eq!(run.shown().len(), 4);
}

#[test]
fn who_is_there_under_another_name_has_not_vanished() {
    let renamed = |n: usize| {
        let mut member = (*member(n)).clone();
        member.node = format!("new-{n}").into();
        // Another spelling of the same place.
        member.address = format!("::ffff:10.0.0.{n}").into();
        member
    };
    let names = |run: &Run| -> Vec<String> { run.roster.shown().iter().map(|m| m.node.to_string()).collect() };
    let mixed = |old: std::ops::Range<usize>, new: std::ops::Range<usize>| {
        let mut all = those(old);
        all.extend(new.map(renamed).map(|m| (m.key().to_owned(), Arc::new(m))));
        all
    };
    // All of them at once.
    let mut run = Run::new(0..4);
    run.roster.update(run.now, mixed(0..0, 0..4));
    assert_eq!(names(&run), ["new-0", "new-1", "new-2", "new-3"]);
    run.pass(GATHER);
    assert_eq!((run.roster.kept(), run.roster.mass_vanishes()), (0, 0));
    // After they were kept, too.
    let mut run = Run::new(0..4);
    run.registered(0..1);
    run.pass(GATHER);
    assert_eq!(run.roster.kept(), 3);
    run.roster.update(run.now, mixed(0..1, 2..4));
    assert_eq!(names(&run), ["n000", "n001", "new-2", "new-3"]);
    // Nor are they recalled in a large mesh.
    let mut run = Run::new(0..20);
    run.registered(0..19);
    run.pass(GATHER);
    run.roster.update(run.now, mixed(0..19, 19..20));
    run.roster.update(run.now, mixed(0..5, 19..20));
    run.pass(GATHER);
    assert!(
        run.roster.kept() == 14 && !names(&run).contains(&"n019".to_owned()),
        "{:?}",
        names(&run)
    );
}

#[test]
fn in_a_large_mesh_a_slow_vanishing_is_recognized_and_recalled() {
    let mut run = Run::new(0..20);
    for left in (10..20).rev() {
        run.registered(0..left);
        run.pass(TIMEOUT / 20);
    }
    assert_eq!((run.shown().len(), run.roster.mass_vanishes()), (20, 1));
    // At an operator's pace it isn't one.
    let mut run = Run::new(0..20);
    for left in (0..20).rev() {
        run.registered(0..left);
        run.pass(2 * TIMEOUT);
        assert_eq!(run.shown().len(), left);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Whatever comes and goes: who is registered is shown; who isn't is shown no longer than two session timeouts
    /// and the time it takes to decide; and after that long without a change exactly the registered ones are shown.
    #[test]
    fn what_is_shown_follows_what_is_registered(
        steps in proptest::collection::vec((proptest::collection::btree_set(0usize..24, 0..24), 0u64..8_000), 1..40)
    ) {
        let mut run = Run::new([]);
        let mut last_seen: BTreeMap<usize, Instant> = BTreeMap::new();
        let mut registered = BTreeSet::new();
        for (next, pause) in steps {
            registered = next;
            run.registered(registered.iter().copied());
            for id in &registered {
                last_seen.insert(*id, run.now);
            }
            run.pass(Duration::from_millis(pause));
            for id in &registered {
                last_seen.insert(*id, run.now);
            }
            let shown: BTreeSet<usize> = run.shown().into_iter().collect();
            prop_assert!(registered.is_subset(&shown));
            for id in shown.difference(&registered) {
                // Recalled ones are kept from their recall on, at most a session timeout after they left.
                let longest = 3 * TIMEOUT + 2 * GATHER;
                prop_assert!(last_seen.get(id).is_some_and(|seen| run.now <= *seen + longest), "{id} is shown for ever");
            }
        }
        run.pass(2 * TIMEOUT + GATHER);
        let shown: BTreeSet<usize> = run.shown().into_iter().collect();
        prop_assert_eq!(shown, registered);
        prop_assert_eq!(run.roster.next_deadline(), None);
    }
}
