use std::sync::Arc;

use dt_probe::{Clock, Method, ProbeKind};
use proptest::prelude::*;

use super::*;
use crate::distribution::Recorder;

fn pair() -> Arc<Pair> {
    Arc::new(Pair {
        source: Arc::default(),
        source_ip: None,
        destination: Arc::default(),
        destination_ip: [127, 0, 0, 1].into(),
        destination_port: 4000,
        probe: ProbeKind::Tcp,
        method: Method::Syn,
        payload_bytes: None,
    })
}

/// A summary of `samples`, one lost probe per port of `lost_ports`.
fn summary(window: u64, samples: &[u64], lost_ports: &[u16], clock: Clock) -> Summary {
    let mut recorder = Recorder::new();
    let mut flows = Vec::new();
    for &port in lost_ports {
        merge_flows(&mut flows, vec![Flow { port, sent: 1, lost: 1 }]);
    }
    Summary {
        pair: pair(),
        window_start_ms: window * 10_000,
        window_end_ms: (window + 1) * 10_000,
        counts: Counts {
            received: samples.len() as u64,
            lost: lost_ports.len() as u64,
            ..Counts::default()
        },
        receive_drops: window,
        rtt: recorder.distribution(samples.iter().map(|&value| (value, 1))),
        host_delay: recorder.distribution(samples.iter().map(|&value| (value / 3, 1))),
        timestamp_tx: clock,
        timestamp_rx: clock,
        flows,
    }
}

proptest! {
    #[test]
    fn merging_is_recording_everything_at_once(
        a in prop::collection::vec(0..100_000_000_000_u64, 0..50),
        b in prop::collection::vec(0..100_000_000_000_u64, 0..50),
        ports_a in prop::collection::vec(1_u16..20, 0..20),
        ports_b in prop::collection::vec(1_u16..20, 0..20),
    ) {
        let mut merged = summary(7, &a, &ports_a, Clock::Kernel);
        merged.merge(summary(3, &b, &ports_b, Clock::Kernel));
        let mut whole = summary(0, &[a, b].concat(), &[ports_a, ports_b].concat(), Clock::Kernel);
        (whole.window_start_ms, whole.window_end_ms, whole.receive_drops) = (30_000, 80_000, 10);
        prop_assert_eq!(merged, whole);
    }
}

#[test]
fn the_weaker_clock_wins_unless_its_window_was_empty() {
    let merged = |mut a: Summary, b| {
        a.merge(b);
        a.timestamp_tx
    };
    let used = |clock| summary(1, &[5], &[], clock);
    let empty = |clock| summary(1, &[], &[], clock);
    assert_eq!(merged(used(Clock::Hardware), used(Clock::Kernel)), Clock::Kernel);
    assert_eq!(merged(used(Clock::User), used(Clock::Kernel)), Clock::User);
    assert_eq!(merged(used(Clock::Kernel), empty(Clock::User)), Clock::Kernel);
    assert_eq!(merged(empty(Clock::User), used(Clock::Hardware)), Clock::Hardware);
}

#[test]
fn sent_is_the_sum_of_the_five_fates() {
    let counts = Counts {
        received: 1,
        lost: 2,
        refused: 4,
        unreachable: 8,
        send_error: 16,
        ..Counts::default()
    };
    assert_eq!(counts.sent(), 31);
    assert_eq!(
        Counts {
            late: 5,
            duplicate: 6,
            skipped: 7,
            ..counts
        }
        .sent(),
        31
    );
}
