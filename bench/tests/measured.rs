//! What the benchmarks run measures what it says: every probe answered, by the kernel's clock on both sides. Needs root.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails here")]

use dt_bench::addresses::LOOPBACK;
use dt_bench::exchange::{Exchange, Probes};
use dt_bench::namespace;
use dt_bench::others::{Held, Others};
use dt_bench::place::Place;
use dt_bench::reference::{Mode, Reference, Run};
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
        let others = Others::compile().unwrap();
        for place in [Place::loopback(&others).unwrap(), Place::veth(&others).unwrap()] {
            for probes in [
                Probes::Icmp,
                Probes::Syn(place.listener.port),
                Probes::Connect(place.listener.port),
            ] {
                let mut exchange = Exchange::new(probes, place.addresses, TARGETS).unwrap();
                for batch in [1, 8, 64] {
                    for _ in 0..100 {
                        exchange.turn(batch).unwrap();
                    }
                }
            }
        }
    });
}

#[test]
fn a_probe_without_an_answer_is_an_error() {
    in_namespace(|| {
        let mut exchange = Exchange::new(Probes::Syn(9), LOOPBACK, TARGETS).unwrap();
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
        let (reference, others) = (Reference::compile().unwrap(), Others::compile().unwrap());
        for place in [Place::loopback(&others).unwrap(), Place::veth(&others).unwrap()] {
            for mode in [Mode::Icmp, Mode::Syn, Mode::ConnectReused, Mode::ConnectFresh] {
                let mut run = Run {
                    mode,
                    batch: 64,
                    rounds: 10,
                    targets: TARGETS,
                    port: place.listener.port,
                    addresses: place.addresses,
                };
                let ran = reference.run(&run).unwrap();
                assert!(ran.probes >= 3_000 && ran.measured == ran.probes, "{run:?}: {ran:?}");
                assert!(ran.mean_rtt_ns > 0 && ran.system_ns > 0, "{run:?}: {ran:?}");
                run.batch = 65;
                assert!(reference.run(&run).is_err(), "a batch too large");
            }
        }
    });
}

#[test]
fn raw_sockets_of_others_are_open_while_they_are_held() {
    in_namespace(|| {
        let others = Others::compile().unwrap();
        // The kernel's list of this thread's namespace: a heading, and a line for each raw socket.
        let open = || {
            std::fs::read_to_string("/proc/thread-self/net/raw")
                .unwrap()
                .lines()
                .count()
                - 1
        };
        for held in [
            Held::Icmp,
            Held::IcmpRead,
            Held::IcmpFilter,
            Held::IcmpBpf,
            Held::Tcp,
            Held::TcpRead,
            Held::TcpBpf,
        ] {
            let holder = others.hold(held, 3).unwrap();
            assert_eq!(open(), 3, "{held:?}");
            drop(holder);
            assert_eq!(open(), 0, "{held:?}");
        }
        assert!(others.chat(100).unwrap().total_ns() > 0);
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
