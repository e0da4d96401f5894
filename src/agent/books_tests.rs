use std::panic::{AssertUnwindSafe, catch_unwind};

use dt_probe::{Event, TargetId, What};
use dt_sink::Probes;

use super::*;

/// Totals with so many lost probes of a kind.
fn lost(totals: &Totals, kind: ProbeKind, count: u64) {
    for _ in 0..count {
        totals.kind(kind).apply(&Event {
            target: TargetId(0),
            source_port: 0,
            what: What::Failed(Fate::Lost),
        });
    }
}

fn lane(told: u64) -> LaneBooks {
    LaneBooks {
        sent: told + 6,
        told,
        voided: 1,
        in_flight: 2,
        abandoned: 3,
    }
}

/// Debug builds end where the books don't balance.
fn is_wrong(act: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(act)).is_err() || !cfg!(debug_assertions)
}

#[test]
fn what_is_shown_sums_up() {
    let (totals, shown) = (Totals::default(), Shown::default());
    let pings = Arc::new(PingCounters::default());
    let mut books = Books::new(Some(Arc::clone(&pings)), false);
    lost(&totals, ProbeKind::Icmp, 5);
    books.reported(ProbeKind::Icmp, &lane(5), &totals);
    pings.begun.store(10, Relaxed);
    pings.voided.store(1, Relaxed);
    lost(&totals, ProbeKind::Grpc, 7);
    // Decided since, and shown with the next report only.
    lost(&totals, ProbeKind::Icmp, 1);
    books.show(&shown, &totals);
    let ledger = shown.look().clone();
    assert_eq!(ledger.kind(ProbeKind::Icmp).decided(), 5);
    assert_eq!(ledger.kind(ProbeKind::Grpc).in_flight, 2);
    assert_eq!((ledger.unrecorded(), ledger.abandoned()), (12, 3));
    assert!(ProbeKind::ALL.iter().all(|kind| ledger.kind(*kind).balances()));
    assert!(ledger.wrong_at_the_end().is_some(), "some are in flight");
}

#[test]
fn a_fate_that_got_lost_on_the_way_is_noticed() {
    let totals = Totals::default();
    lost(&totals, ProbeKind::Tcp, 5);
    assert!(is_wrong(|| Books::new(None, false).reported(
        ProbeKind::Tcp,
        &lane(6),
        &totals
    )));
    let mut broken = lane(5);
    broken.in_flight += 1;
    assert!(is_wrong(|| Books::new(None, false).reported(
        ProbeKind::Tcp,
        &broken,
        &totals
    )));
    let pings = Arc::new(PingCounters::default());
    lost(&totals, ProbeKind::Grpc, 1);
    let mut books = Books::new(Some(pings), false);
    assert!(is_wrong(|| books.show(&Shown::default(), &totals)), "none was begun");
}

#[test]
fn a_window_holds_what_was_decided_in_it() {
    let totals = Totals::default();
    let mut books = Books::new(None, false);
    books.settled();
    lost(&totals, ProbeKind::Icmp, 3);
    books.closed(&totals);
    assert!(is_wrong(|| books.settled()), "no summaries came");
}

#[test]
fn sinks_hold_what_they_were_handed() {
    let ledger = Ledger {
        handed: 7,
        ..Ledger::default()
    };
    let snapshot = |accepted, published, dropped, waiting| Snapshot {
        probes: Probes {
            accepted,
            published,
            dropped,
            waiting,
        },
        ..Snapshot::default()
    };
    assert_eq!(ledger.wrong_with("s", &snapshot(7, 4, 1, 2)), None);
    for (accepted, published, dropped, waiting) in [(7, 4, 1, 1), (6, 4, 0, 2)] {
        let wrong = ledger.wrong_with("s", &snapshot(accepted, published, dropped, waiting));
        assert!(wrong.is_some_and(|wrong| wrong.contains("sink s")));
    }
}
