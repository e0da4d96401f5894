//! Whose turn it is when: evenness, phases, what a late or stalled driver leads to, and that thousands cost little.

use std::collections::HashMap;

use dt_probe::time::{MILLISECOND, SECOND};
use dt_probe::{MIN_PAIR_INTERVAL, Mono, Pattern, Schedule, TargetId, late_limit};
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

fn continuous(period: u64, targets: u32, seed: u64) -> Schedule {
    let mut schedule = Schedule::new(Pattern::Continuous, period, seed, Mono(0));
    (0..targets).for_each(|id| schedule.add(TargetId(id), Mono(0)));
    schedule
}

/// The turns until `end`, by a driver that is always in time: (when, who).
fn turns(schedule: &mut Schedule, end: u64) -> Vec<(u64, TargetId)> {
    let mut turns = Vec::new();
    while let Some(due) = schedule.next_due().filter(|due| due.0 < end) {
        while let Some(turn) = schedule.pop_due(due) {
            assert!(turn.send && turn.skipped == 0, "{turn:?}");
            turns.push((due.0, turn.target));
        }
    }
    turns
}

#[test]
fn the_first_target_is_due_at_once_and_every_target_within_a_period() {
    for targets in [1, 2, 3, 10, 1000] {
        let turns = turns(&mut continuous(SECOND, targets, 1), SECOND);
        assert_eq!(turns[0].0, 0, "{targets} targets");
        let distinct: std::collections::HashSet<_> = turns.iter().map(|(_, target)| target).collect();
        assert_eq!((turns.len(), distinct.len()), (targets as usize, targets as usize));
    }
}

#[test]
fn turns_are_spread_evenly_over_the_period() {
    for targets in [10_u32, 100, 1000, 10_000] {
        let turns = turns(&mut continuous(10 * SECOND, targets, 3), 20 * SECOND);
        let mean = 10 * SECOND / u64::from(targets);
        let gaps: Vec<u64> = turns.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        // The three-gap theorem: the widest gap is at most 2.62 times the narrowest.
        let (least, most) = (gaps.iter().min().copied(), gaps.iter().max().copied());
        assert!(
            least >= Some(mean / 3) && most <= Some(mean * 2),
            "{targets} targets: gaps {least:?} to {most:?}"
        );
    }
}

#[test]
fn the_seed_orders_the_targets() {
    let order = |seed| {
        turns(&mut continuous(SECOND, 100, seed), SECOND)
            .iter()
            .map(|turn| turn.1)
            .collect::<Vec<_>>()
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
    assert_ne!(order(1), (0..100).map(TargetId).collect::<Vec<_>>());
}

#[test]
fn targets_that_come_later_take_the_room_between_the_others() {
    let mut schedule = continuous(SECOND, 500, 5);
    turns(&mut schedule, 3 * SECOND);
    (500..1000).for_each(|id| schedule.add(TargetId(id), Mono(3 * SECOND)));
    let after = turns(&mut schedule, 5 * SECOND);
    let gaps: Vec<u64> = after.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(
        gaps.iter().all(|gap| *gap <= 2 * MILLISECOND),
        "widest gap {:?}",
        gaps.iter().max()
    );
    for id in 500..1000 {
        let first = after.iter().find(|turn| turn.1 == TargetId(id)).map(|turn| turn.0);
        assert!(
            first.is_some_and(|first| first < 4 * SECOND),
            "{id}: first turn at {first:?}"
        );
    }
}

#[test]
fn a_removed_target_has_no_turn_and_may_come_back() {
    let mut schedule = continuous(SECOND, 3, 1);
    turns(&mut schedule, SECOND / 2);
    schedule.remove(TargetId(1));
    assert!(
        !turns(&mut schedule, 2 * SECOND)
            .iter()
            .any(|turn| turn.1 == TargetId(1))
    );
    schedule.add(TargetId(1), Mono(2 * SECOND));
    schedule.add(TargetId(1), Mono(2 * SECOND));
    let again = turns(&mut schedule, 5 * SECOND)
        .iter()
        .filter(|turn| turn.1 == TargetId(1))
        .count();
    assert_eq!(again, 3, "one turn a second");
}

#[test]
fn churn_faster_than_the_period_takes_no_memory() {
    let mut schedule = continuous(60 * SECOND, 10, 1);
    for round in 0..100_000_u64 {
        schedule.remove(TargetId(3));
        schedule.add(TargetId(3), Mono(round));
        assert!(schedule.pop_due(Mono(round)).is_none_or(|turn| turn.send));
    }
    let size = format!("{schedule:?}").len();
    assert!(
        size < 20_000,
        "the schedule takes {size} characters to print: removed entries stay"
    );
}

#[test]
fn a_million_additions_and_removals_are_merged_in_steps() {
    // Quadratic work would take hours here.
    let mut schedule = continuous(10 * SECOND, 500_000, 1);
    assert!(schedule.pop_due(Mono(0)).is_some());
    (0..250_000).for_each(|id| schedule.remove(TargetId(id * 2)));
    (500_000..750_000).for_each(|id| schedule.add(TargetId(id), Mono(0)));
    let count = schedule.len();
    let turns = turns(&mut schedule, 10 * SECOND).len();
    // The one that had its turn before may have been removed.
    assert!(
        count == 500_000 && (turns == count || turns == count - 1),
        "{turns} turns of {count} targets"
    );
}

#[test]
fn what_is_a_little_late_is_sent_and_keeps_its_phase() {
    let mut schedule = continuous(SECOND, 1, 1);
    assert_eq!(schedule.overdue(Mono(0)), Some(0));
    let late = late_limit(SECOND);
    assert_eq!(late, 250 * MILLISECOND);
    assert!(
        schedule
            .pop_due(Mono(late))
            .is_some_and(|turn| turn.send && turn.skipped == 0)
    );
    assert_eq!(schedule.next_due(), Some(Mono(SECOND)));
}

#[test]
fn what_is_too_late_is_skipped_and_counted_by_periods() {
    let mut schedule = continuous(SECOND, 1, 1);
    assert_eq!(schedule.overdue(Mono(0)), Some(0));
    let turn = schedule.pop_due(Mono(250 * MILLISECOND + 1));
    assert!(turn.is_some_and(|turn| !turn.send && turn.skipped == 1), "{turn:?}");
    assert_eq!(schedule.next_due(), Some(Mono(SECOND)));
    // Turns at 1, 2, ... 7 s passed unserved; that of 8 s is 100 ms late.
    let turn = schedule.pop_due(Mono(8 * SECOND + 100 * MILLISECOND));
    assert!(turn.is_some_and(|turn| turn.send && turn.skipped == 7), "{turn:?}");
    assert_eq!(schedule.next_due(), Some(Mono(9 * SECOND)));
}

#[test]
fn a_changed_period_keeps_order_and_evenness() {
    let mut schedule = continuous(SECOND, 100, 9);
    let mut start = SECOND / 3;
    let mut before = turns(&mut schedule, start);
    for period in [2 * SECOND, SECOND / 2, SECOND / 50, 10 * SECOND, SECOND] {
        let old = schedule.period();
        schedule.set_period(period, Mono(start));
        let first = schedule.next_due().map_or(0, |due| due.0);
        assert!(
            first >= start && first - start <= old / 30,
            "{period}: nothing for {} ns",
            first - start
        );
        start = first + 2 * period;
        let after = turns(&mut schedule, start);
        assert!(
            (199..=201).contains(&after.len()),
            "{period}: {} turns in two periods",
            after.len()
        );
        let widest = after.windows(2).map(|pair| pair[1].0 - pair[0].0).max();
        assert!(widest <= Some(period / 30), "{period}: a gap of {widest:?}");
        let last: HashMap<TargetId, u64> = before.iter().map(|(when, target)| (*target, *when)).collect();
        for (when, target) in after.iter().take(100) {
            let gap = last.get(target).map(|last| when - last);
            assert!(
                gap.is_none_or(|gap| gap >= MIN_PAIR_INTERVAL),
                "{period}: {target:?} again after {gap:?}"
            );
        }
        before = after;
    }
    // Later ones still take the room between the others.
    (100..200).for_each(|id| schedule.add(TargetId(id), Mono(start)));
    let after = turns(&mut schedule, start + 2 * SECOND);
    let widest = after.windows(2).map(|pair| pair[1].0 - pair[0].0).max();
    assert!(widest <= Some(SECOND / 60), "a gap of {widest:?}");
}

#[test]
fn a_pause_is_nobodys_overload() {
    let mut schedule = continuous(SECOND, 50, 1);
    turns(&mut schedule, SECOND);
    schedule.pause();
    assert_eq!((schedule.next_due(), schedule.pop_due(Mono(5 * SECOND))), (None, None));
    schedule.resume(Mono(60 * SECOND + 1));
    let after = turns(&mut schedule, 61 * SECOND + 1);
    assert_eq!(after.len(), 50, "each target once in the next second, none late");
}

#[test]
fn a_waiting_schedule_starts_in_order_and_skips_nothing() {
    let mut schedule = Schedule::new(Pattern::Waiting, SECOND, 1, Mono(0));
    (0..5).for_each(|id| schedule.add(TargetId(id), Mono(0)));
    let first = turns(&mut schedule, SECOND);
    assert_eq!(
        first,
        (0..5)
            .map(|id| (u64::from(id) * 10 * MILLISECOND, TargetId(id)))
            .collect::<Vec<_>>()
    );
    // After ten seconds of nothing everybody has one turn, then waits for half a period.
    let now = Mono(11 * SECOND);
    let late: Vec<TargetId> = std::iter::from_fn(|| schedule.pop_due(now))
        .map(|turn| turn.target)
        .collect();
    assert_eq!(late, (0..5).map(TargetId).collect::<Vec<_>>());
    assert_eq!(schedule.next_due(), Some(now.plus(SECOND / 2)));
}

#[test]
fn a_waiting_schedule_without_a_period_takes_turns() {
    let mut schedule = Schedule::new(Pattern::Waiting, 0, 1, Mono(0));
    (0..3).for_each(|id| schedule.add(TargetId(id), Mono(0)));
    let order: Vec<u32> = (0..9)
        .filter_map(|_| schedule.pop_due(Mono(5)))
        .map(|turn| turn.target.0)
        .collect();
    assert_eq!(order, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

proptest! {
    /// However the driver stalls, each turn is either served or counted, and none is served twice.
    #[test]
    fn every_turn_is_served_or_counted(seed: u64, targets in 1..50_u32, period in 80 * MILLISECOND..2 * SECOND) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut schedule = continuous(period, targets, seed);
        let first: HashMap<TargetId, u64> =
            turns(&mut schedule, period).into_iter().map(|(when, target)| (target, when)).collect();
        let mut count: HashMap<TargetId, u64> = first.keys().map(|target| (*target, 1)).collect();
        let mut now = period;
        for _ in 0..200 {
            now += match rng.random_range(0..10) {
                0 => rng.random_range(0..10 * period),
                _ => rng.random_range(0..period / 4),
            };
            while let Some(turn) = schedule.pop_due(Mono(now)) {
                prop_assert!(turn.send || turn.skipped > 0);
                *count.entry(turn.target).or_default() += u64::from(turn.send) + u64::from(turn.skipped);
            }
        }
        for (target, first) in first {
            let turns = (now - first) / period + 1;
            prop_assert_eq!(count[&target], turns, "{:?}", target);
        }
    }

    /// Whatever changes, the order by due time holds, and a target's turns keep their distance.
    #[test]
    fn the_pair_interval_holds_at_any_period(seed: u64, targets in 1..20_u32, period in 0..50 * MILLISECOND) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut schedule = continuous(period, targets, seed);
        prop_assert!(schedule.period() >= MIN_PAIR_INTERVAL);
        let mut last: HashMap<TargetId, u64> = HashMap::new();
        let mut now = 0;
        for _ in 0..500 {
            now += rng.random_range(0..8 * MILLISECOND);
            while let Some(turn) = schedule.pop_due(Mono(now)) {
                if turn.send {
                    let before = last.insert(turn.target, now);
                    prop_assert!(before.is_none_or(|before| now - before >= MIN_PAIR_INTERVAL));
                }
            }
            prop_assert!(schedule.next_due().is_some_and(|due| due.0 > now));
        }
    }
}
