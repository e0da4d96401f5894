//! How findings come and go.

use dt_collect::diagnosis::FindingKind;
use dt_probe::ProbeKind;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::course::{Course, Doings, QUIET};
use crate::world::Fate;

fn lost(applies: bool, share: f64) -> Fate {
    Fate {
        lost: if applies { share } else { 0.0 },
        ..Fate::default()
    }
}

fn slow(applies: bool) -> Fate {
    Fate {
        delay_ns: if applies { 20_000_000 } else { 0 },
        ..Fate::default()
    }
}

/// A demo that has run for a while without a finding.
fn settled(seed: u64) -> Course {
    let mut course = Course::demo(StdRng::seed_from_u64(seed));
    assert_eq!(course.windows(20, &QUIET), [], "nothing is the matter");
    course
}

#[test]
fn a_dead_node_is_named_two_windows_after_its_time_outs() {
    for dead in 0..6 {
        let mut course = settled(dead);
        let dead = usize::try_from(dead).unwrap_or(0);
        let doings = Doings {
            fate: &|_, d, _| lost(d == dead, 1.0),
            silent: &[dead],
            unknown: &[],
        };
        // In the first window nothing has timed out yet.
        let said = course.windows(10, &doings);
        let name = format!("node-{}", dead + 1);
        assert!(
            said.contains(&(2, FindingKind::NodeDown, name)) && said.len() == 1,
            "{said:?}"
        );
        let since = course.window(&doings).findings[0].since_ms;
        assert_eq!(course.window(&doings).findings[0].since_ms, since, "the same fault");
        assert!(course.now_ms - since >= 10_000, "since {since}, now {}", course.now_ms);
        // It comes back: its first windows still hold time-outs.
        course.windows(3, &QUIET);
        assert_eq!(course.windows(20, &QUIET), [], "all is well again");
    }
}

#[test]
fn a_lossy_pair_and_a_slow_one_are_named_within_two_windows() {
    for seed in 0..10 {
        let mut course = settled(seed);
        let between = |s: usize, d: usize| (s.min(d), s.max(d)) == (1, 4);
        let lossy = Doings {
            fate: &|s, d, _| lost(between(s, d), 0.6),
            ..QUIET
        };
        let said = course.windows(5, &lossy);
        let name = "node-2 node-5".to_owned();
        // One for the time-outs to pass, and two.
        assert!(said.len() == 1 && said[0].0 <= 3, "{said:?}");
        assert_eq!((said[0].1, &said[0].2), (FindingKind::Pair, &name));
        course.windows(3, &QUIET);
        let late = course.windows(62, &QUIET);
        assert!(
            late.iter()
                .all(|(window, kind, _)| *window <= 1 && *kind == FindingKind::Pair),
            "{late:?}"
        );
        let delayed = Doings {
            fate: &|s, d, _| slow(between(s, d)),
            ..QUIET
        };
        let said = course.windows(5, &delayed);
        assert_eq!(said, [(2, FindingKind::Pair, name)]);
        course.windows(1, &QUIET);
        assert_eq!(course.windows(10, &QUIET), []);
    }
}

#[test]
fn a_slow_pair_stays_slow_when_the_hour_has_forgotten_how_it_was() {
    let mut course = Course::slow(StdRng::seed_from_u64(1));
    course.windows(60, &QUIET);
    let doings = Doings {
        fate: &|s, d, _| slow((s.min(d), s.max(d)) == (1, 4)),
        ..QUIET
    };
    course.windows(2, &doings);
    let since = course.window(&doings).findings[0].since_ms;
    // Two hours.
    for window in 0..720 {
        let findings = &course.window(&doings).findings;
        assert_eq!(findings.len(), 1, "{window}: {findings:?}");
        assert_eq!((findings[0].kind, findings[0].since_ms), (FindingKind::Pair, since));
    }
    course.windows(2, &QUIET);
    assert_eq!(course.windows(10, &QUIET), []);
}

#[test]
fn calls_that_time_out_late_are_no_second_fault() {
    let mut course = Course::slow(StdRng::seed_from_u64(2));
    course.windows(30, &QUIET);
    let doings = Doings {
        fate: &|s, d, _| lost(s == 2 || d == 2, 1.0),
        ..QUIET
    };
    let said = course.windows(6, &doings);
    assert_eq!(said, [(2, FindingKind::NodeLink, "node-3".to_owned())]);
    let after = course.windows(20, &QUIET);
    let same = |(_, kind, node): &(usize, FindingKind, String)| *kind == FindingKind::NodeLink && node == "node-3";
    assert!(after.iter().all(same), "{after:?}");
}

#[test]
fn a_node_that_leaves_is_not_down() {
    for seed in 0..10 {
        let mut course = settled(seed);
        // It stopped answering just before the last of the others heard of it.
        let refusing = Doings {
            fate: &|s, d, kind| Fate {
                refused: if d == 3 && s % 2 == 0 && kind != ProbeKind::Icmp {
                    0.2
                } else {
                    0.0
                },
                ..Fate::default()
            },
            silent: &[3],
            unknown: &[],
        };
        let gone = Doings {
            silent: &[3],
            unknown: &[3],
            ..QUIET
        };
        let mut said = course.windows(1, &refusing);
        said.extend(course.windows(100, &gone));
        assert_eq!(said, []);
    }
}

#[test]
fn a_node_that_died_stays_down_when_nobody_probes_it_any_more() {
    let mut course = settled(3);
    let dying = Doings {
        fate: &|_, d, _| lost(d == 3, 1.0),
        silent: &[3],
        unknown: &[],
    };
    course.windows(10, &dying);
    let gone = Doings {
        silent: &[3],
        unknown: &[3],
        ..QUIET
    };
    for _ in 0..100 {
        let findings = &course.window(&gone).findings;
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].kind, FindingKind::NodeDown);
    }
}

#[test]
fn where_no_records_come_the_collector_is_blind_and_nothing_else_is_said() {
    let mut course = settled(4);
    let all = [0, 1, 2, 3, 4, 5];
    let doings = Doings { silent: &all, ..QUIET };
    let said = course.windows(20, &doings);
    assert_eq!(said, [(3, FindingKind::CollectorBlind, String::new())]);
    assert_eq!(course.windows(20, &QUIET), []);
}

#[test]
fn a_clock_that_is_behind_is_no_silence() {
    for mut course in [
        Course::demo(StdRng::seed_from_u64(11)),
        Course::slow(StdRng::seed_from_u64(12)),
    ] {
        course.behind_ms[2] = 40_000;
        assert_eq!(course.windows(40, &QUIET), []);
    }
}

#[test]
fn a_link_is_told_from_a_death_where_the_clock_is_behind() {
    for mut course in [
        Course::demo(StdRng::seed_from_u64(13)),
        Course::slow(StdRng::seed_from_u64(14)),
    ] {
        course.behind_ms[2] = 26_000;
        course.windows(30, &QUIET);
        let cut = Doings {
            fate: &|s, d, _| lost(s == 2 || d == 2, 1.0),
            ..QUIET
        };
        assert_eq!(
            course.windows(8, &cut),
            [(2, FindingKind::NodeLink, "node-3".to_owned())]
        );
        let dead = Doings { silent: &[2], ..cut };
        let said = course.windows(20, &dead);
        assert!(
            said.iter().any(|(_, kind, _)| *kind == FindingKind::NodeDown),
            "{said:?}"
        );
    }
}

#[test]
fn nothing_is_ever_said_of_a_sound_network() {
    for (mut course, windows) in [
        (Course::demo(StdRng::seed_from_u64(5)), 400),
        (Course::slow(StdRng::seed_from_u64(6)), 400),
    ] {
        let noise = Doings {
            fate: &|_, _, _| lost(true, 0.003),
            ..QUIET
        };
        assert_eq!(course.windows(windows, &noise), []);
    }
}
