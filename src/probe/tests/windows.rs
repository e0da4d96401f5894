//! Windows of UTC and what is summed up in them.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails here")]

use dt_probe::{Accumulator, Clock, Event, Fate, Flow, Sample, TargetId, Wall, What, Window, WindowTable};
use proptest::prelude::*;

fn event(id: u32, port: u16, what: What) -> Event {
    Event {
        target: TargetId(id),
        source_port: port,
        what,
    }
}

fn received(rtt_ns: u64, tx: Clock, rx: Clock) -> What {
    What::Received(Sample {
        rtt_ns,
        host_delay_ns: Some(rtt_ns / 2),
        tx,
        rx,
        fallback: tx == Clock::User,
    })
}

#[test]
fn windows_are_aligned_to_utc() {
    let window = Window::containing(Wall(1_790_000_012_345_678_901), 10_000);
    assert_eq!((window.start_ms, window.end_ms), (1_790_000_010_000, 1_790_000_020_000));
    assert!(window.contains(Wall(1_790_000_010_000_000_000)) && window.contains(Wall(1_790_000_019_999_999_999)));
    assert!(!window.contains(Wall(1_790_000_009_999_999_999)) && !window.contains(Wall(1_790_000_020_000_000_000)));
    assert_eq!(Window::containing(Wall(5_000_000), 0).width_ms(), 1);
}

#[test]
fn every_known_target_has_its_place_in_every_window() {
    let mut table = WindowTable::new();
    assert!(table.add(TargetId(0)) && table.add(TargetId(2)) && !table.add(TargetId(2)));
    table.apply(&event(2, 0, What::Failed(Fate::Lost)));
    table.apply(&event(1, 0, What::Failed(Fate::Lost)));
    table.apply(&event(9, 0, What::Failed(Fate::Lost)));
    assert_eq!((table.len(), table.strays()), (2, 2));
    let seen = |table: &mut WindowTable| {
        let mut seen = Vec::new();
        table.close(|id, sums, last| seen.push((id.0, sums.counts().sent(), last)));
        seen
    };
    assert_eq!(seen(&mut table), [(0, 0, false), (2, 1, false)]);
    assert_eq!(seen(&mut table), [(0, 0, false), (2, 0, false)]);
    table.apply(&event(2, 0, What::Failed(Fate::Refused)));
    table.apply(&event(2, 0, What::Gone));
    assert!(!table.add(TargetId(2)), "its last window isn't closed");
    assert_eq!(seen(&mut table), [(0, 0, false), (2, 1, true)]);
    assert_eq!(seen(&mut table), [(0, 0, false)]);
    assert!(table.add(TargetId(2)));
    assert_eq!(seen(&mut table), [(0, 0, false), (2, 0, false)]);
}

#[test]
fn the_weakest_clock_counts() {
    let mut sums = Accumulator::new();
    assert_eq!(sums.clocks(), None);
    sums.apply(&event(0, 0, received(5, Clock::Kernel, Clock::Hardware)));
    assert_eq!(sums.clocks(), Some((Clock::Kernel, Clock::Hardware)));
    sums.apply(&event(0, 0, received(5, Clock::User, Clock::Kernel)));
    sums.apply(&event(0, 0, received(5, Clock::Hardware, Clock::Kernel)));
    assert_eq!(
        (sums.clocks(), sums.counts().timestamp_fallbacks),
        (Some((Clock::User, Clock::Kernel)), 1)
    );
    sums.clear();
    assert_eq!(sums.clocks(), None);
}

#[test]
fn flows_are_counted_by_source_port() {
    let mut sums = Accumulator::new();
    for (port, what) in [
        (7, What::Failed(Fate::Lost)),
        (5, received(1, Clock::Kernel, Clock::Kernel)),
        (7, received(1, Clock::Kernel, Clock::Kernel)),
        (5, What::Failed(Fate::Refused)),
        (5, What::Late),
        (0, What::Failed(Fate::Lost)),
    ] {
        sums.apply(&event(0, port, what));
    }
    assert_eq!(
        sums.flows(),
        [
            Flow {
                port: 5,
                sent: 2,
                lost: 0
            },
            Flow {
                port: 7,
                sent: 2,
                lost: 1
            }
        ]
    );
}

proptest! {
    /// The counts are those of the events, whichever they are.
    #[test]
    fn nothing_is_lost_in_the_sum(kinds in prop::collection::vec(0..9_u8, 0..300)) {
        let mut sums = Accumulator::new();
        for kind in &kinds {
            let what = match kind {
                0 => received(u64::from(*kind) + 1000, Clock::Kernel, Clock::Kernel),
                1 => What::Failed(Fate::Lost),
                2 => What::Failed(Fate::Refused),
                3 => What::Failed(Fate::Unreachable),
                4 => What::Failed(Fate::SendError),
                5 => What::Late,
                6 => What::Duplicate,
                7 => What::Skipped(3),
                _ => What::Gone,
            };
            sums.apply(&event(0, 0, what));
        }
        let count = |wanted: u8| kinds.iter().filter(|kind| **kind == wanted).count() as u64;
        let counts = sums.counts();
        prop_assert_eq!(counts.received, count(0));
        prop_assert_eq!(counts.lost, count(1));
        prop_assert_eq!(counts.refused, count(2));
        prop_assert_eq!(counts.unreachable, count(3));
        prop_assert_eq!(counts.send_error, count(4));
        prop_assert_eq!(counts.late, count(5));
        prop_assert_eq!(counts.duplicate, count(6));
        prop_assert_eq!(counts.skipped, 3 * count(7));
        prop_assert_eq!(counts.sent(), (0..5).map(count).sum::<u64>());
        prop_assert_eq!((sums.rtt().len(), sums.host_delay().len()), (count(0), count(0)));
        prop_assert_eq!((sums.rtt().sum(), sums.host_delay().sum()), (1000 * count(0), 500 * count(0)));
    }
}

proptest! {
    /// Sums are handed from targets to targets; none of them may carry over.
    #[test]
    fn a_targets_window_holds_its_own_events_only(
        steps in prop::collection::vec(prop_oneof![9 => (0..12_u32).prop_map(Some), 1 => Just(None)], 0..400)
    ) {
        let mut table = WindowTable::new();
        (0..12).for_each(|id| assert!(table.add(TargetId(id))));
        let mut model = [const { Vec::new() }; 12];
        for (n, step) in (1_u64..).zip(steps) {
            match step {
                Some(id) => {
                    table.apply(&event(id, 7, received(n, Clock::Kernel, Clock::Kernel)));
                    model[id as usize].push(n);
                }
                None => {
                    table.close(|id, sums, _| {
                        let delays: Vec<u64> = sums.rtt().iter().map(|(value, _)| value).collect();
                        assert_eq!(delays, model[id.0 as usize]);
                        assert_eq!(sums.counts().sent(), delays.len() as u64);
                        assert_eq!(sums.flows().len(), usize::from(!delays.is_empty()));
                    });
                    model.iter_mut().for_each(Vec::clear);
                }
            }
            prop_assert_eq!(table.get(TargetId(5)).unwrap().counts().sent(), model[5].len() as u64);
        }
    }
}
