//! Sending and receiving allocate nothing: counted by the allocator itself.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{commit_echo, in_namespace, until};
use dt_kernel::{Batch, Clocks, Connector, Family, Features, PacketChannel};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is handed on to the system's allocator as it came; counting touches a thread-local without a destructor,
// which allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; what `alloc` gave came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn nothing_is_allocated_per_packet() {
    in_namespace(|| {
        common::firewall(
            "input",
            &["icmp type echo-request ip daddr 127.0.0.2 reject with icmpx type admin-prohibited"],
        );
        for off in ["", "ts-opt-id"] {
            let features: Features = off.parse().unwrap();
            let mut channel = PacketChannel::echo(Family::V4, 9, &features).unwrap();
            channel.warm_up().unwrap();
            let (mut batch, mut clocks, mut connector) = (Batch::new(), Clocks::new(), Connector::new(64).unwrap());
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let to = listener.local_addr().unwrap();
            let before = ALLOCATIONS.get();
            let (mut replies, mut stamps, mut connected) = (0, 0, 0);
            for round in 0..20 {
                clocks.read();
                for key in 0..64 {
                    // Rejected ones too, one without a route, and one of the wrong family.
                    let target = match key {
                        5 => "198.51.100.1".parse().unwrap(),
                        6 => "::1".parse().unwrap(),
                        _ => std::net::IpAddr::from([127, 0, 0, 1 + (key % 2) as u8]),
                    };
                    commit_echo(&mut batch, &channel, target, round * 64 + key);
                }
                channel.send(&mut batch, &mut |_| {});
                connector.start(round, to).unwrap();
                connector.poll(&mut |_| connected += 1).unwrap();
                channel.receive(&mut |_| replies += 1).unwrap();
                channel.receive_errors(&mut |_| stamps += 1).unwrap();
                channel.memory().unwrap();
            }
            let allocations = ALLOCATIONS.get() - before;
            assert!(replies > 0 && stamps > 0);
            assert_eq!(allocations, 0, "{off:?}");
            until("a connection", || {
                connector.poll(&mut |_| connected += 1).unwrap();
                (connected > 0).then_some(())
            });
        }
    });
}

/// The counter counts: without this the test above couldn't fail.
#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    std::hint::black_box(Box::new(7));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}
