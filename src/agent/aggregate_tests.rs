use super::*;
use dt_probe::{Fate, Method, Sample};
use dt_record::Endpoint;

const KERNEL: (Clock, Clock) = (Clock::Kernel, Clock::Kernel);

fn aggregate(now_ms: u64) -> Aggregate {
    let manner = |probe| Manner {
        source: endpoint("me"),
        probe,
        recorded: true,
        method: Method::Echo,
        payload_bytes: Some(56),
        clocks: KERNEL,
    };
    Aggregate::new(
        10_000,
        at(now_ms),
        [ProbeKind::Icmp, ProbeKind::Tcp, ProbeKind::Grpc].map(manner),
    )
}

fn endpoint(node: &str) -> Arc<Endpoint> {
    Arc::new(Endpoint {
        node: node.into(),
        ..Endpoint::default()
    })
}

fn at(ms: u64) -> Wall {
    Wall(ms * 1_000_000)
}

fn place(node: &str) -> Place {
    Place {
        destination: endpoint(node),
        ip: [127, 0, 0, 1].into(),
        port: 0,
        source_ip: None,
    }
}

fn event(target: TargetId, what: What) -> Event {
    Event {
        target,
        source_port: 0,
        what,
    }
}

fn received(target: TargetId) -> Event {
    let sample = Sample {
        rtt_ns: 25_000,
        host_delay_ns: Some(100),
        tx: Clock::Kernel,
        rx: Clock::Kernel,
        fallback: false,
    };
    event(target, What::Received(sample))
}

fn close(aggregate: &mut Aggregate, now_ms: u64, drops: u64) -> Vec<Summary> {
    aggregate.close(at(now_ms), Duration::ZERO, drops);
    aggregate.advance(usize::MAX);
    assert_eq!(aggregate.unclosed(), 0);
    aggregate.take()
}

#[test]
fn every_known_target_has_a_summary_also_with_nothing_sent() {
    let mut aggregate = aggregate(12_345);
    let a = aggregate.add(ProbeKind::Icmp, place("a"));
    aggregate.add(ProbeKind::Icmp, place("b"));
    aggregate.apply(ProbeKind::Icmp, &received(a));
    assert!(!aggregate.is_over(at(19_999)));
    assert!(aggregate.is_over(at(20_000)));
    let all = close(&mut aggregate, 20_010, 7);
    let sent: Vec<_> = all
        .iter()
        .map(|s| (s.pair.destination.node.as_str(), s.counts.sent()))
        .collect();
    assert_eq!(sent, [("a", 1), ("b", 0)]);
    assert!(
        all.iter()
            .all(|s| (s.window_start_ms, s.window_end_ms, s.receive_drops) == (10_000, 20_000, 7))
    );
    assert_eq!(close(&mut aggregate, 30_000, 9)[0].receive_drops, 2);
}

#[test]
fn a_leaver_is_recorded_until_its_last_probe_and_its_id_is_given_again() {
    let mut aggregate = aggregate(0);
    let a = aggregate.add(ProbeKind::Icmp, place("a"));
    aggregate.leave(ProbeKind::Icmp, a);
    aggregate.apply(ProbeKind::Icmp, &event(a, What::Failed(Fate::Lost)));
    aggregate.apply(ProbeKind::Icmp, &event(a, What::Gone));
    assert_ne!(
        aggregate.add(ProbeKind::Icmp, place("b")),
        a,
        "still a's until the window closes"
    );
    let all = close(&mut aggregate, 10_000, 0);
    let lost: Vec<_> = all
        .iter()
        .map(|s| (s.pair.destination.node.as_str(), s.counts.lost))
        .collect();
    assert_eq!(lost, [("b", 0), ("a", 1)]);
    assert_eq!(aggregate.add(ProbeKind::Icmp, place("c")), a);
}

#[test]
fn a_leaver_that_was_not_probed_since_has_no_summary() {
    let mut aggregate = aggregate(0);
    let a = aggregate.add(ProbeKind::Tcp, place("a"));
    aggregate.leave(ProbeKind::Tcp, a);
    assert!(close(&mut aggregate, 10_000, 0).is_empty());
}

#[test]
fn a_pair_begun_anew_within_a_window_has_one_summary() {
    let mut aggregate = aggregate(0);
    let a = aggregate.add(ProbeKind::Icmp, place("a"));
    aggregate.apply(ProbeKind::Icmp, &received(a));
    aggregate.leave(ProbeKind::Icmp, a);
    let again = aggregate.add(ProbeKind::Icmp, place("a"));
    aggregate.apply(ProbeKind::Icmp, &received(again));
    aggregate.apply(ProbeKind::Icmp, &event(a, What::Failed(Fate::Lost)));
    aggregate.apply(ProbeKind::Icmp, &event(a, What::Gone));
    let all = close(&mut aggregate, 10_000, 5);
    let counts: Vec<_> = all
        .iter()
        .map(|s| (s.counts.received, s.counts.lost, s.receive_drops))
        .collect();
    assert_eq!(counts, [(2, 1, 5)]);
}

#[test]
fn an_id_that_a_peer_still_holds_is_nobody_elses() {
    let mut aggregate = aggregate(0);
    let a = aggregate.add(ProbeKind::Icmp, place("a"));
    // Refused by the prober, while the peer is still on the pinglist.
    aggregate.apply(ProbeKind::Icmp, &event(a, What::Gone));
    close(&mut aggregate, 10_000, 0);
    assert_ne!(aggregate.add(ProbeKind::Icmp, place("b")), a);
}

#[test]
fn a_stall_widens_the_window_and_a_step_does_not() {
    let mut aggregate = aggregate(0);
    aggregate.add(ProbeKind::Icmp, place("a"));
    let bounds = |all: &[Summary]| (all[0].window_start_ms, all[0].window_end_ms);
    assert_eq!(bounds(&close(&mut aggregate, 35_000, 0)), (0, 30_000));
    assert_eq!(bounds(&close(&mut aggregate, 3_600_000, 0)), (30_000, 40_000));
    // Set back: the window that was open is closed as it is, and an earlier one opens.
    assert!(aggregate.is_over(at(5_000)));
    assert_eq!(bounds(&close(&mut aggregate, 5_000, 0)), (3_600_000, 3_610_000));
    assert_eq!(bounds(&close(&mut aggregate, 10_000, 0)), (0, 10_000));
    // A stall may be as long as it likes: all of it passed for this process, too.
    aggregate.close(at(3_605_000), Duration::from_secs(3_595), 0);
    aggregate.advance(usize::MAX);
    assert_eq!(bounds(&aggregate.take()), (10_000, 3_600_000));
    // Stepped by an hour at the end of a window: no more than the window has passed.
    aggregate.close(at(7_210_000), Duration::from_secs(10), 0);
    aggregate.advance(usize::MAX);
    assert_eq!(bounds(&aggregate.take()), (3_600_000, 3_610_000));
}

#[test]
fn the_first_round_is_done_when_each_target_had_a_fate() {
    let mut aggregate = aggregate(0);
    assert!(
        !aggregate.is_first_round_done(false),
        "nobody has said that there are no peers"
    );
    aggregate.view_taken();
    assert!(aggregate.is_first_round_done(false));
    let a = aggregate.add(ProbeKind::Icmp, place("a"));
    let b = aggregate.add(ProbeKind::Grpc, place("b"));
    aggregate.apply(ProbeKind::Icmp, &event(a, What::Skipped(1)));
    assert!(!aggregate.is_first_round_done(false));
    aggregate.apply(ProbeKind::Icmp, &received(a));
    aggregate.apply(ProbeKind::Icmp, &received(a));
    assert!(!aggregate.is_first_round_done(false));
    aggregate.leave(ProbeKind::Grpc, b);
    aggregate.apply(ProbeKind::Grpc, &event(b, What::Gone));
    assert!(aggregate.is_first_round_done(false));
}

fn names(all: &[Summary]) -> Vec<(&str, u64)> {
    all.iter()
        .map(|s| (s.pair.destination.node.as_str(), s.counts.sent()))
        .collect()
}

#[test]
fn an_event_of_the_new_window_closes_its_target_first() {
    let mut aggregate = aggregate(0);
    let ids: Vec<_> = ["a", "b", "c"]
        .map(|node| aggregate.add(ProbeKind::Icmp, place(node)))
        .into();
    for id in &ids {
        aggregate.apply(ProbeKind::Icmp, &received(*id));
    }
    aggregate.close(at(10_000), Duration::ZERO, 0);
    assert_eq!((aggregate.unclosed(), aggregate.ready()), (3, 0));
    aggregate.apply(ProbeKind::Icmp, &received(ids[2]));
    aggregate.apply(ProbeKind::Icmp, &received(ids[2]));
    aggregate.advance(1);
    let all = aggregate.take();
    assert_eq!(names(&all), [("c", 1), ("a", 1)]);
    // Shown with the window that it was counted in, closed or not.
    let shown = |aggregate: &Aggregate, id| aggregate.last(ProbeKind::Icmp, id).map(|last| last.window_end_ms);
    assert_eq!(
        (shown(&aggregate, ids[0]), shown(&aggregate, ids[1])),
        (Some(10_000), None)
    );
    // Added and removed while the old window is being closed.
    aggregate.add(ProbeKind::Icmp, place("d"));
    aggregate.leave(ProbeKind::Icmp, ids[1]);
    aggregate.apply(ProbeKind::Icmp, &event(ids[1], What::Failed(Fate::Lost)));
    aggregate.advance(usize::MAX);
    assert_eq!(names(&aggregate.take()), [("b", 1)]);
    assert_eq!(
        names(&close(&mut aggregate, 20_000, 0)),
        [("a", 0), ("c", 2), ("d", 0), ("b", 1)]
    );
}

#[test]
fn a_window_that_ends_early_finds_the_one_before_closed() {
    let mut aggregate = aggregate(0);
    let a = aggregate.add(ProbeKind::Icmp, place("a"));
    aggregate.apply(ProbeKind::Icmp, &received(a));
    aggregate.close(at(10_000), Duration::ZERO, 3);
    aggregate.close(at(20_000), Duration::ZERO, 4);
    aggregate.advance(usize::MAX);
    let all = aggregate.take();
    assert_eq!(names(&all), [("a", 1), ("a", 0)]);
    let bounds: Vec<_> = all.iter().map(|s| (s.window_end_ms, s.receive_drops)).collect();
    assert_eq!(bounds, [(10_000, 3), (20_000, 1)]);
}

#[test]
fn where_the_node_stands_is_in_every_summary_made_since_it_is_known() {
    let mut aggregate = aggregate(0);
    let a = aggregate.add(ProbeKind::Icmp, place("a"));
    aggregate.apply(ProbeKind::Icmp, &received(a));
    // Begun anew in the same window: one summary, with the labels.
    aggregate.leave(ProbeKind::Icmp, a);
    aggregate.apply(ProbeKind::Icmp, &event(a, What::Gone));
    let again = aggregate.add(ProbeKind::Icmp, place("a"));
    aggregate.apply(ProbeKind::Icmp, &received(again));
    aggregate.stands(Labels {
        zone: "z".into(),
        rack: "r".into(),
        region: "g".into(),
    });
    let all = close(&mut aggregate, 10_000, 0);
    assert_eq!(all.len(), 1);
    let source = &all[0].pair.source;
    assert_eq!(
        [&source.node, &source.zone, &source.rack, &source.region],
        ["me", "z", "r", "g"]
    );
    assert_eq!(all[0].counts.sent(), 2);
}

#[test]
fn a_window_that_goes_on_is_one_of_several_widths() {
    let mut aggregate = aggregate(0);
    let a = aggregate.add(ProbeKind::Icmp, place("a"));
    aggregate.apply(ProbeKind::Icmp, &received(a));
    aggregate.widen(at(10_500));
    assert!(!aggregate.is_over(at(19_999)) && aggregate.is_over(at(20_000)));
    aggregate.apply(ProbeKind::Icmp, &received(a));
    // A clock that was set back doesn't make it go on.
    aggregate.widen(at(3_000));
    let windows: Vec<_> = close(&mut aggregate, 20_000, 0)
        .iter()
        .map(|s| (s.window_start_ms, s.window_end_ms, s.counts.received))
        .collect();
    assert_eq!(windows, [(0, 20_000, 2)]);
    let windows: Vec<_> = close(&mut aggregate, 30_000, 0)
        .iter()
        .map(|s| s.window_start_ms)
        .collect();
    assert_eq!(windows, [20_000]);
}

#[test]
fn a_target_that_is_only_asked_has_no_records_and_holds_up_no_round() {
    let mut aggregate = aggregate(0);
    aggregate.tables[ProbeKind::Grpc as usize].manner.recorded = false;
    let asked = aggregate.add(ProbeKind::Grpc, place("a"));
    let waiting = aggregate.add(ProbeKind::Icmp, place("a"));
    aggregate.view_taken();
    aggregate.apply(ProbeKind::Grpc, &event(asked, What::Failed(Fate::Refused)));
    assert!(!aggregate.is_first_round_done(false));
    aggregate.waive(ProbeKind::Icmp, waiting);
    aggregate.waive(ProbeKind::Icmp, waiting);
    assert!(aggregate.is_first_round_done(false));
    aggregate.close(at(10_000), Duration::ZERO, 0);
    aggregate.advance(usize::MAX);
    let made: Vec<_> = aggregate
        .take()
        .iter()
        .map(|s| (s.pair.probe, s.counts.sent()))
        .collect();
    assert_eq!(made, [(ProbeKind::Icmp, 0)]);
    assert!(aggregate.last(ProbeKind::Grpc, asked).is_none());
    // Its id is free again once it is gone.
    aggregate.leave(ProbeKind::Grpc, asked);
    aggregate.apply(ProbeKind::Grpc, &event(asked, What::Gone));
    aggregate.close(at(20_000), Duration::ZERO, 0);
    aggregate.advance(usize::MAX);
    assert_eq!(aggregate.take().len(), 1);
    assert_eq!(aggregate.add(ProbeKind::Grpc, place("b")), asked);
}
