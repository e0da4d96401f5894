//! Turns in virtual time.

use super::*;
use proptest::prelude::*;

const MS: u64 = MILLISECOND;

fn host(n: u8) -> IpAddr {
    [10, 0, 0, n].into()
}

fn id(n: u32) -> TargetId {
    TargetId(n)
}

/// Everybody who may be asked until `until`, and when, if nobody ever answers.
fn asked(gate: &mut Gate, until: Mono, of: impl Fn(TargetId) -> IpAddr) -> Vec<(Mono, TargetId)> {
    let mut all = Vec::new();
    while let Some(due) = gate.next_due().filter(|due| *due <= until) {
        if let Some(target) = gate.pop_due(due) {
            all.push((due, target));
            assert!(!gate.answered(target, of(target), false, due));
        }
    }
    all
}

#[test]
fn one_that_never_answers_is_asked_once_in_ten_seconds() {
    let mut gate = Gate::new(1);
    gate.add(id(0), host(1), Mono(0));
    let times: Vec<_> = asked(&mut gate, Mono(60 * SECOND), |_| host(1))
        .iter()
        .map(|(at, _)| *at)
        .collect();
    assert!((5..=6).contains(&times.len()), "{times:?}");
    assert_eq!(times[0], Mono(0));
    assert!(times.windows(2).all(|two| two[1].since(two[0]) >= PAUSE), "{times:?}");
}

#[test]
fn all_that_are_said_to_be_at_one_host_share_its_turns() {
    let mut gate = Gate::new(1);
    (0..100).for_each(|n| gate.add(id(n), host(1), Mono(0)));
    let all = asked(&mut gate, Mono(60 * SECOND), |_| host(1));
    assert!(all.len() <= 6, "{all:?}");
    // One of them answers: it is a peer, and the next is asked at once.
    let due = gate.next_due().unwrap();
    let target = gate.pop_due(due).unwrap();
    assert_eq!(gate.pop_due(due.plus(SECOND)), None, "one at a time");
    assert!(gate.answered(target, host(1), true, due.plus(SECOND)));
    assert_eq!(gate.len(), 99);
    assert!(gate.pop_due(due.plus(SECOND)).is_some());
}

#[test]
fn another_name_for_a_host_that_did_not_answer_gains_nothing() {
    let mut gate = Gate::new(1);
    gate.add(id(0), host(1), Mono(0));
    assert_eq!(gate.pop_due(Mono(0)), Some(id(0)));
    gate.remove(id(0), host(1));
    assert_eq!(gate.len(), 0);
    assert!(!gate.answered(id(0), host(1), false, Mono(MS)));
    gate.add(id(1), host(1), Mono(2 * MS));
    assert_eq!(gate.pop_due(Mono(PAUSE - 1)), None);
    assert_eq!(gate.pop_due(Mono(PAUSE + JITTER)), Some(id(1)));
}

#[test]
fn an_answer_after_its_time_out_counts() {
    let mut gate = Gate::new(1);
    gate.add(id(0), host(1), Mono(0));
    assert_eq!(gate.pop_due(Mono(0)), Some(id(0)));
    assert!(!gate.answered(id(0), host(1), false, Mono(SECOND)));
    assert!(gate.answered(id(0), host(1), true, Mono(2 * SECOND)));
    assert!(!gate.answered(id(0), host(1), true, Mono(3 * SECOND)), "once");
    assert_eq!(gate.len(), 0);
    // Its host is forgotten in time.
    assert_eq!(gate.pop_due(Mono(20 * SECOND)), None);
    assert!(gate.hosts.is_empty() && gate.ready.is_empty());
}

#[test]
fn strangers_are_asked_out_of_their_share_of_the_budget() {
    // 10,000 peers and 2,000 probes a second: a peer's share is one in 5 s.
    let mut gate = Gate::new(1);
    gate.set_share(5 * SECOND);
    let of = |target: TargetId| IpAddr::from([10, 0, (target.0 / 250) as u8, (target.0 % 250) as u8]);
    (0..10_000).for_each(|n| gate.add(id(n), of(id(n)), Mono(0)));
    let second = asked(&mut gate, Mono(SECOND), of);
    assert!((400..=501).contains(&second.len()), "{}", second.len());
    // The last 100 of them have a hundredth of the budget.
    (100..10_000).for_each(|n| gate.remove(id(n), of(id(n))));
    let begin = Mono(20 * SECOND);
    let hundredth = asked(&mut gate, begin.plus(SECOND), of);
    let late = hundredth.iter().filter(|(at, _)| *at >= begin).count();
    assert!(late <= 21, "{late}");
}

#[test]
fn nobody_is_asked_while_probing_is_switched_off() {
    let mut gate = Gate::new(1);
    gate.pause();
    gate.add(id(0), host(1), Mono(0));
    assert_eq!((gate.next_due(), gate.pop_due(Mono(SECOND))), (None, None));
    gate.resume();
    assert_eq!(gate.pop_due(Mono(SECOND)), Some(id(0)));
}

proptest! {
    /// Whatever comes, goes and answers: who waits is counted, and no host is asked within 10 s of asking it in vain.
    #[test]
    fn no_host_is_asked_too_often(steps in prop::collection::vec((0u8..5, 0u32..12, any::<bool>(), 0u64..4 * SECOND), 1..200)) {
        let of = |target: TargetId| host((target.0 % 3) as u8);
        let mut gate = Gate::new(7);
        let mut now = Mono(0);
        let mut inside = BTreeSet::new();
        let mut asking: Vec<(TargetId, Mono)> = Vec::new();
        let mut vain: HashMap<IpAddr, Mono> = HashMap::new();
        for (what, n, well, later) in steps {
            now = now.plus(later);
            let target = id(n);
            // An id is free again only once what was asked of it is decided.
            let open = asking.iter().any(|(asked, _)| *asked == target);
            match what {
                0 | 1 if !inside.contains(&target) && !open => {
                    gate.add(target, of(target), now);
                    inside.insert(target);
                }
                2 if inside.remove(&target) => gate.remove(target, of(target)),
                3 => while let Some(popped) = gate.pop_due(now) {
                    prop_assert!(inside.contains(&popped));
                    prop_assert!(!asking.iter().any(|(asked, _)| of(*asked) == of(popped)), "one at a time");
                    let last = vain.get(&of(popped));
                    prop_assert!(last.is_none_or(|last| now.since(*last) >= PAUSE));
                    asking.push((popped, now));
                    now = now.plus(SHORTEST);
                },
                4 if !asking.is_empty() => {
                    let (asked, since) = asking.remove(n as usize % asking.len());
                    if well {
                        vain.remove(&of(asked));
                    } else {
                        vain.insert(of(asked), since);
                    }
                    prop_assert_eq!(gate.answered(asked, of(asked), well, now), well && inside.contains(&asked));
                    if well {
                        inside.remove(&asked);
                    }
                }
                _ => {}
            }
            prop_assert_eq!(gate.len(), inside.len());
        }
    }
}
