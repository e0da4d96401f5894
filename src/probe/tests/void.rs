//! What this host itself did to its probes is never told as the network's loss, and every turn stays accounted for.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails here")]

mod host;

use dt_probe::time::{MILLISECOND, SECOND};
use dt_probe::{Clock, ConnectOutcome, Protocol, What};
use host::{Host, START, after};

#[test]
fn as_many_silent_probes_are_void_as_packets_were_dropped() {
    let mut host = Host::echo();
    let probes = host.send(10, START);
    host.lane.note_receive_drops(4);
    for probe in &probes[..3] {
        host.reply(probe, host.wall(after(1)), after(2));
    }
    assert!(!host.lane.has_expired(after(999)));
    assert!(host.lane.has_expired(after(1000)));
    host.expire(after(1000));
    assert_eq!(host.tally(), (3, 3, 4), "7 are silent, 4 of them for a drop of our own");
    let stats = host.lane.stats();
    assert_eq!((stats.sent, stats.voided, host.lane.in_flight()), (10, 4, 0));
}

#[test]
fn what_was_sent_after_the_drops_is_lost_by_the_network() {
    let mut host = Host::echo();
    host.send(2, START);
    host.lane.note_receive_drops(100);
    host.send(5, after(1));
    host.expire(after(2000));
    assert_eq!(host.tally(), (0, 5, 2));
    // What was left of the hundred is about nobody any more.
    host.send(5, after(2001));
    host.lane.note_receive_drops(1);
    host.expire(after(4000));
    assert_eq!(host.tally(), (0, 4, 1));
}

#[test]
fn an_answer_to_a_void_probe_changes_nothing() {
    let mut host = Host::echo();
    let probes = host.send(1, START);
    host.lane.note_receive_drops(1);
    host.expire(after(1000));
    host.reply(&probes[0], host.wall(after(1)), after(1100));
    assert_eq!(host.tally(), (0, 0, 1));
    assert_eq!(host.lane.stats().stale, 1);
}

#[test]
fn without_a_stamp_after_drops_it_is_not_said_that_it_never_left() {
    let mut host = Host::echo();
    host.send_unstamped(1, START);
    host.send(1, START);
    // The stamp and the other's reply.
    host.lane.note_receive_drops(1);
    host.expire(after(1000));
    assert_eq!(host.tally(), (0, 1, 1), "no send error");
}

#[test]
fn what_the_host_slept_through_is_void_at_once() {
    let mut host = Host::echo();
    let probes = host.send(3, START);
    host.step(3600 * SECOND as i64);
    host.lane.note_suspend();
    // A reply that an access point kept until the host woke up: an hour by the wall clock, 5 ms by the monotonic one.
    host.reply(&probes[0], host.wall(after(5)), after(5));
    assert_eq!(host.tally(), (0, 0, 1));
    assert!(host.lane.has_expired(after(5)), "long before the time-out");
    assert!(host.lane.next_wakeup().unwrap() <= after(5));
    host.expire(after(5));
    assert_eq!(host.tally(), (0, 0, 2));
    // What is sent after it is measured as ever.
    let probes = host.send(1, after(10));
    host.reply(&probes[0], host.wall(after(11)), after(12));
    assert_eq!(host.tally(), (1, 0, 0));
    let stats = host.lane.stats();
    assert_eq!((stats.voided, stats.clock_fallbacks, stats.sent), (3, 0, 4));
}

#[test]
fn a_handshake_that_the_host_slept_through_is_void_and_given_up() {
    let mut host = Host::new(Protocol::Connect);
    let probes = host.send(2, START);
    host.lane.note_suspend();
    let outcome = ConnectOutcome::Established {
        rtt_ns: 5,
        user_rtt_ns: 10,
        retransmitted: false,
    };
    host.lane.handle_connected(probes[0].key, outcome, 4000, after(1));
    let mut cancelled = Vec::new();
    host.lane.handle_timeout(after(1), &mut |key| cancelled.push(key));
    assert_eq!(cancelled, [probes[1].key]);
    assert_eq!(host.tally(), (0, 0, 2));
}

/// A leap second is a step of the wall clock by a second backwards; the kernel does it between two packets of a probe.
#[test]
fn over_a_leap_second_the_monotonic_clock_measures() {
    for by in [-(SECOND as i64), SECOND as i64, 86_400 * SECOND as i64] {
        let mut host = Host::echo();
        let probes = host.send(2, START);
        let before_the_step = host.wall(after(3));
        host.step(by);
        host.reply(&probes[0], before_the_step, after(20));
        host.reply(&probes[1], host.wall(after(4)), after(20));
        for _ in 0..2 {
            let event = host.lane.poll_event().unwrap();
            let What::Received(sample) = event.what else {
                panic!("{event:?}")
            };
            assert_eq!(
                (sample.rtt_ns, sample.tx, sample.rx),
                (20 * MILLISECOND, Clock::User, Clock::User)
            );
            assert!(sample.fallback && sample.host_delay_ns.is_none());
        }
        assert_eq!(host.lane.stats().clock_fallbacks, 2, "counted");
    }
}
