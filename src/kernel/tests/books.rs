//! The books of the probe thread: at any moment each probe is in one place, also where nobody takes the reports.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;

use common::{firewall, in_namespace, until};
use dt_kernel::Features;
use dt_kernel::sandbox::Sandbox;
use dt_kernel::setup::{self, Wanted};
use dt_kernel::thread::{self, Books, Command, Handle, Report, Scheduling};
use dt_probe::time::MILLISECOND;
use dt_probe::{Mode, ProbeKind, TargetId, TargetSpec};

const TARGETS: u8 = 100;

/// The thread, with [`TARGETS`] targets probed every 10 ms, of which nobody takes the reports yet. `ring` of them may wait.
fn start(ring: usize) -> Handle {
    let wanted = Wanted {
        mode: Mode::Continuous {
            period_ns: 10 * MILLISECOND,
        },
        timeout_ns: 100 * MILLISECOND,
        rate: 1_000_000,
        slots: 1 << 14,
        seed: 1,
        phase_start: 0,
        features: Features::default(),
        card: None,
    };
    let ready = setup::icmp(&wanted, 56, dt_kernel::clock::mono()).unwrap();
    let handle = thread::spawn("probes", vec![ready.setup], ring, Scheduling::default(), Sandbox::Off).unwrap();
    for n in 0..TARGETS {
        let spec = TargetSpec {
            id: TargetId(n.into()),
            address: SocketAddr::new(IpAddr::from([127, 2, 0, n]), 0),
            source: None,
        };
        handle.command(Command::Add(ProbeKind::Icmp, spec)).unwrap();
    }
    handle
}

/// Takes what is in the ring: the fates, and how often the books were reported. Each time they must agree with the fates.
fn take(handle: &mut Handle, fates: &mut u64) -> Vec<Books> {
    let mut all = Vec::new();
    while let Some(report) = handle.report() {
        match report {
            Report::Event(_, event) => *fates += u64::from(event.what.is_fate()),
            Report::Books(_, books) => {
                assert_eq!(books.told, *fates, "{books:?}");
                assert!(books.balance(), "{books:?}");
                all.push(books);
            }
            Report::Time(_) => {}
        }
    }
    all
}

#[test]
fn reported_books_agree_with_the_fates_before_them() {
    in_namespace(|| {
        // Half are answered, half are lost.
        firewall("input", &["icmp type echo-request numgen inc mod 2 0 drop"]);
        let mut handle = start(1 << 14);
        let mut fates = 0;
        let mut reported = Vec::new();
        until("thousands of fates", || {
            reported.extend(take(&mut handle, &mut fates));
            (fates > 5_000).then_some(())
        });
        assert!(reported.len() > 5, "{reported:?}");
        assert!(reported.iter().any(|books| books.in_flight > 0), "{reported:?}");
        let (_, end) = handle.stop()[0];
        take(&mut handle, &mut fates);
        assert_eq!((end.told, end.in_flight), (fates, 0), "{end:?}");
        assert!(end.balance() && end.abandoned > 0, "{end:?}");
        assert_eq!(handle.stats().abandoned.load(Relaxed), end.abandoned);
        assert!(handle.stop().is_empty(), "ended before");
    });
}

#[test]
fn what_a_full_ring_has_no_room_for_is_given_up_and_counted() {
    in_namespace(|| {
        firewall("input", &["icmp type echo-request drop"]);
        let mut handle = start(0);
        let stall = |handle: &Handle| {
            let stalled = &handle.stats().stalled;
            // Longer than the time-out.
            let enough = stalled.load(Relaxed) + 20;
            until("a ring without room", || (stalled.load(Relaxed) > enough).then_some(()));
        };
        let mut fates = 0;
        stall(&handle);
        take(&mut handle, &mut fates);
        // All that was in flight expires in one turn: far more than the ring holds, and so nothing more is sent.
        stall(&handle);
        let (_, end) = handle.stop()[0];
        take(&mut handle, &mut fates);
        assert_eq!((end.told, end.in_flight), (fates, 0), "{end:?}");
        assert!(end.balance() && end.abandoned > 0, "{end:?}");
    });
}
