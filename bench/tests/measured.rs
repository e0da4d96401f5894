//! What the benchmarks run measures what it says: every probe answered, by the kernel's clock on both sides. Needs root.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails here")]

use dt_bench::exchange::{Exchange, Probes};
use dt_bench::namespace;
use dt_bench::reference::{Mode, Reference};
use dt_kernel::internals::{control_data, error_queue_entry, receive_stamp};
use dt_kernel::{Queued, StampKey};
use dt_probe::{Clock, Wall};

const TARGETS: u32 = 300;

/// A network namespace belongs to a thread and to what it starts.
fn in_namespace(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            namespace::enter().unwrap();
            test();
        });
    });
}

#[test]
fn the_loop_measures_each_probe_at_any_batch() {
    in_namespace(|| {
        let reference = Reference::compile().unwrap();
        let listener = reference.listen().unwrap();
        for probes in [
            Probes::Icmp,
            Probes::Syn(listener.port()),
            Probes::Connect(listener.port()),
        ] {
            let mut exchange = Exchange::new(probes, TARGETS).unwrap();
            for batch in [1, 8, 64] {
                for _ in 0..100 {
                    exchange.turn(batch).unwrap();
                }
            }
        }
    });
}

#[test]
fn a_probe_without_an_answer_is_an_error() {
    in_namespace(|| {
        let mut exchange = Exchange::new(Probes::Syn(9), TARGETS).unwrap();
        let failure = exchange.turn(8).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "of 8 probes only 0 were answered with kernel stamps"
        );
    });
}

#[test]
fn the_reference_measures_each_probe_too() {
    in_namespace(|| {
        let reference = Reference::compile().unwrap();
        let listener = reference.listen().unwrap();
        for mode in [Mode::Icmp, Mode::Syn, Mode::ConnectReused, Mode::ConnectFresh] {
            let ran = reference.run(mode, 64, 10, TARGETS, listener.port()).unwrap();
            assert!(ran.probes >= 3_000 && ran.measured == ran.probes, "{mode:?}: {ran:?}");
            assert!(ran.mean_rtt_ns > 0 && ran.system_ns > 0, "{mode:?}: {ran:?}");
        }
        assert!(reference.run(Mode::Icmp, 65, 1, 1, 0).is_err(), "a batch too large");
    });
}

/// Without this the count of instructions might be that of giving up.
#[test]
fn the_control_data_of_the_benchmarks_is_read() {
    let stamp = Wall(1_790_000_000_123_456_789);
    assert_eq!(receive_stamp(&control_data(stamp, None)), Some(stamp));
    let entry = Queued::TxStamp {
        key: StampKey::Id(7),
        stamp,
        clock: Clock::Kernel,
    };
    assert_eq!(error_queue_entry(&control_data(stamp, Some(7))), entry);
}
