//! A network card's stamps: a round trip is by both of them or by neither, whatever comes late, never, or jumps.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails here")]

mod host;

use dt_probe::time::{MILLISECOND, SECOND};
use dt_probe::{Clock, Mono, Phc, RxStamps, Sample, What};
use host::{Host, START, after};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// What the card's clock shows at the start: nothing to do with any other clock.
const CARD: u64 = 77 * SECOND;
/// From the kernel's stamp to the card's on the way out, and back.
const DRIVER: u64 = 2_000;

fn host() -> Host {
    let mut host = Host::echo();
    host.lane.use_card_stamps();
    host
}

fn card(now: Mono) -> Phc {
    Phc(CARD + now.0)
}

/// The stamps of a reply that passed the wire at `at`.
fn stamps(host: &Host, at: Mono) -> RxStamps {
    RxStamps {
        kernel: Some(host.wall(at.plus(DRIVER))),
        card: Some(card(at)),
    }
}

fn sample(host: &mut Host) -> Option<Sample> {
    let event = host.lane.poll_event()?;
    match event.what {
        What::Received(sample) => Some(sample),
        other => panic!("{other:?}"),
    }
}

fn is_by_card(sample: Sample, rtt_ns: u64) {
    is_by(Clock::Hardware, false, sample, rtt_ns);
}

/// Where the card's stamps were wanted, which is a fallback.
fn is_by_kernel(sample: Sample, rtt_ns: u64) {
    is_by(Clock::Kernel, true, sample, rtt_ns);
}

fn is_by(clock: Clock, fell_back: bool, sample: Sample, expected_ns: u64) {
    let Sample {
        rtt_ns,
        tx,
        rx,
        fallback,
        ..
    } = sample;
    assert_eq!(
        (rtt_ns, tx, rx, fallback),
        (expected_ns, clock, clock, fell_back),
        "{sample:?}"
    );
}

/// On the wire from 1.002 ms to 6 ms; read at 10 ms.
const TRIP: u64 = 5 * MILLISECOND - DRIVER;

#[test]
fn a_reply_whose_stamps_are_all_there_is_complete_at_once() {
    let mut host = host();
    let probes = host.send(1, after(1));
    host.lane.handle_card_stamp(probes[0].key, card(after(1).plus(DRIVER)));
    host.reply_stamped(&probes[0], stamps(&host, after(6)), after(10));
    let sample = sample(&mut host).unwrap();
    is_by_card(sample, TRIP);
    // 4 ms less the driver's time between the kernel's stamp and the reading, and the driver's time both ways.
    assert_eq!(
        sample.host_delay_ns,
        Some(2 * DRIVER),
        "the thread meant to sleep until it read the reply"
    );
}

#[test]
fn a_reply_waits_for_the_cards_transmit_stamp() {
    let mut host = host();
    let probes = host.send(1, after(1));
    host.reply_stamped(&probes[0], stamps(&host, after(6)), after(10));
    host.lane.settle(after(11));
    assert_eq!(sample(&mut host), None);
    host.lane.handle_card_stamp(probes[0].key, card(after(1).plus(DRIVER)));
    is_by_card(sample(&mut host).unwrap(), TRIP);
    host.lane.settle(after(100));
    assert_eq!(host.tally(), (0, 0, 0), "told once");
}

#[test]
fn a_transmit_stamp_that_does_not_come_leaves_the_kernels_round_trip() {
    let mut host = host();
    let probes = host.send(2, after(1));
    host.reply_stamped(&probes[0], stamps(&host, after(6)), after(10));
    host.reply_stamped(&probes[1], stamps(&host, after(7)), after(30));
    host.lane.settle(after(59));
    assert_eq!(sample(&mut host), None);
    host.lane.settle(after(60));
    is_by_kernel(sample(&mut host).unwrap(), 5 * MILLISECOND + DRIVER);
    assert_eq!(sample(&mut host), None, "the other has time yet");
    // It came after all: too late.
    host.lane.handle_card_stamp(probes[0].key, card(after(1)));
    assert_eq!(host.lane.stats().unmatched_stamps, 1);
    host.lane.settle(after(80));
    is_by_kernel(sample(&mut host).unwrap(), 6 * MILLISECOND + DRIVER);
    assert_eq!(host.lane.stats().clock_fallbacks, 2, "counted");
}

#[test]
fn a_reply_that_the_card_did_not_stamp_does_not_wait() {
    let mut host = host();
    let probes = host.send(1, after(1));
    host.lane.handle_card_stamp(probes[0].key, card(after(1)));
    host.reply(&probes[0], host.wall(after(6)), after(10));
    is_by_kernel(sample(&mut host).unwrap(), 5 * MILLISECOND);
}

#[test]
fn a_time_out_ends_the_waiting() {
    let mut host = host();
    let probes = host.send(1, START);
    host.reply_stamped(&probes[0], stamps(&host, after(980)), after(990));
    host.expire(after(1000));
    is_by_kernel(sample(&mut host).unwrap(), 980 * MILLISECOND + DRIVER);
}

#[test]
fn without_the_kernels_transmit_stamp_the_cards_two_do() {
    let mut host = host();
    let probes = host.send_unstamped(1, after(1));
    host.reply_stamped(&probes[0], stamps(&host, after(6)), after(10));
    host.lane.handle_card_stamp(probes[0].key, card(after(1).plus(DRIVER)));
    assert_eq!(sample(&mut host), None, "the kernel's may come yet");
    host.lane.settle(after(11));
    let sample = sample(&mut host).unwrap();
    is_by_card(sample, TRIP);
    assert_eq!(sample.host_delay_ns, None);
}

#[test]
fn the_kernels_transmit_stamp_may_come_last() {
    let mut host = host();
    let probes = host.send_unstamped(1, after(1));
    host.reply_stamped(&probes[0], stamps(&host, after(6)), after(10));
    host.lane
        .handle_tx_stamp(probes[0].key, host.wall(after(1)), Clock::Kernel);
    assert_eq!(sample(&mut host), None, "the card's is awaited");
    host.lane.handle_card_stamp(probes[0].key, card(after(1).plus(DRIVER)));
    is_by_card(sample(&mut host).unwrap(), TRIP);
}

/// Only a packet that left has a transmit stamp, and the kernel's comes for each that does: the card's proves nothing more.
#[test]
fn a_silent_probe_is_judged_by_the_kernels_stamp() {
    let mut host = host();
    host.send(1, START);
    host.expire(after(1000));
    assert_eq!(host.tally(), (0, 1, 0));
}

#[test]
fn a_clock_that_jumps_between_the_two_stamps_is_not_believed() {
    for jump in [
        -(SECOND as i64),
        -(6 * MILLISECOND as i64),
        5 * MILLISECOND as i64,
        SECOND as i64,
        37 * SECOND as i64,
    ] {
        let mut host = host();
        let probes = host.send(1, after(1));
        host.lane.handle_card_stamp(probes[0].key, card(after(1).plus(DRIVER)));
        let mut stamps = stamps(&host, after(6));
        stamps.card = stamps.card.map(|phc| Phc(phc.0.checked_add_signed(jump).unwrap()));
        host.reply_stamped(&probes[0], stamps, after(10));
        is_by_kernel(sample(&mut host).unwrap(), 5 * MILLISECOND + DRIVER);
    }
}

/// Whatever is missing and whatever the clocks show: both stamps are the card's or neither is, and no sample is nothing or
/// longer than what the user saw.
#[test]
fn a_round_trip_is_never_by_two_clocks() {
    let mut rng = SmallRng::seed_from_u64(3);
    let (mut by_card, mut by_others) = (0, 0);
    for round in 0..20_000 {
        let mut host = host();
        let sent = after(1);
        let probe = &host.send_unstamped(1, sent)[0];
        let odd = |rng: &mut SmallRng| if rng.random_bool(0.2) { rng.random() } else { 0 };
        let card_sent = card(sent.plus(DRIVER)).0.wrapping_add(odd(&mut rng));
        let (kernel, before) = (rng.random_bool(0.8), rng.random_bool(0.5));
        let carded = rng.random_bool(0.8);
        let tell = |host: &mut Host| {
            if kernel {
                host.lane.handle_tx_stamp(probe.key, host.wall(sent), Clock::Kernel);
            }
            if carded {
                host.lane.handle_card_stamp(probe.key, Phc(card_sent));
            }
        };
        if before {
            tell(&mut host);
        }
        if rng.random_bool(0.1) {
            host.step(rng.random_range(-5..5) * SECOND as i64);
        }
        let came = sent.plus(rng.random_range(DRIVER + 1..9 * MILLISECOND));
        let card_came = card(came).0.wrapping_add(odd(&mut rng));
        let stamps = RxStamps {
            kernel: rng.random_bool(0.8).then(|| host.wall(came.plus(DRIVER))),
            card: rng.random_bool(0.8).then_some(Phc(card_came)),
        };
        host.reply_stamped(probe, stamps, after(11));
        if !before {
            tell(&mut host);
        }
        host.lane.settle(after(11));
        host.lane.settle(after(100));
        let sample = sample(&mut host).unwrap();
        assert_eq!(host.tally(), (0, 0, 0));
        let hardware = sample.tx == Clock::Hardware;
        assert_eq!(hardware, sample.rx == Clock::Hardware, "{round}: {sample:?}");
        assert!((1..=10 * MILLISECOND).contains(&sample.rtt_ns), "{round}: {sample:?}");
        assert_eq!(sample.fallback, !hardware, "{round}: {sample:?}");
        if hardware {
            assert_eq!(sample.rtt_ns, card_came - card_sent, "{round}");
        }
        (by_card, by_others) = (by_card + u32::from(hardware), by_others + u32::from(!hardware));
    }
    assert!(by_card > 5_000 && by_others > 5_000, "{by_card} {by_others}");
}
