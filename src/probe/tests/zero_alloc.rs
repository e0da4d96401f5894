//! Once its targets are there, a lane allocates nothing: not per probe, not per reply, not per time-out.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails here")]

use std::net::{IpAddr, SocketAddr};

use dt_probe::time::{MILLISECOND, SECOND};
use dt_probe::{
    Arrival, Clock, ConnectOutcome, Lane, LaneConfig, Mode, Mono, Protocol, TargetId, TargetSpec, Wall, WindowTable,
    capacity_for,
};

const RATE: u32 = 5000;
const TARGETS: u32 = 1000;

fn lane(protocol: Protocol) -> Lane {
    let config = LaneConfig {
        tx_stamps: protocol != Protocol::Connect,
        rx_stamps: protocol != Protocol::Connect,
        protocol,
        mode: Mode::Continuous {
            period_ns: 200 * MILLISECOND,
        },
        timeout_ns: 100 * MILLISECOND,
        rate: RATE,
        capacity: capacity_for(RATE, 100 * MILLISECOND),
        key: [7; 16],
        seed: 1,
        phase_start: 0,
        first_sequence: 0,
    };
    let mut lane = Lane::new(config, Mono(SECOND)).unwrap();
    for id in 0..TARGETS {
        let address = SocketAddr::new(IpAddr::from([127, 1, (id >> 8) as u8, id as u8]), 7);
        let source = Some(IpAddr::from([127, 0, 0, 1]));
        lane.add(
            TargetSpec {
                id: TargetId(id),
                address,
                source,
            },
            Mono(SECOND),
        )
        .unwrap();
    }
    lane
}

/// What came of `ticks` of 1 ms, in which every second probe is answered, some of them twice or late.
fn drive(lane: &mut Lane, table: &mut WindowTable, now: &mut u64, ticks: u32) -> u64 {
    const WALL: u64 = 1_790_000_000 * SECOND;
    let mut received = 0;
    let mut buf = [0; 128];
    for _ in 0..ticks {
        *now += MILLISECOND;
        let mono = Mono(*now);
        let wall = Wall(WALL + *now);
        while let Some(transmit) = lane.poll_transmit(mono, &mut buf) {
            lane.handle_sent(transmit.key, mono, wall, 0);
            if transmit.key % 8 != 1 {
                lane.handle_tx_stamp(transmit.key, Wall(wall.0 + 1000), Clock::Kernel);
            }
            if transmit.key % 2 == 0 {
                continue;
            }
            let arrival = Arrival {
                read_mono: mono.plus(50_000),
                read_wall: Wall(wall.0 + 50_000),
                due_mono: mono,
                epoch: 0,
                wall_minus_mono: WALL as i64,
            };
            let packet = answer(&mut buf, transmit.len);
            let stamp = Some((Wall(wall.0 + 20_000), Clock::Kernel));
            if packet.is_empty() {
                let outcome = ConnectOutcome::Established {
                    rtt_ns: 20_000,
                    user_rtt_ns: 50_000,
                    retransmitted: false,
                };
                lane.handle_connected(transmit.key, outcome, 40_000, mono);
            }
            for _ in 0..1 + transmit.key % 3 {
                lane.handle_packet(packet, transmit.destination.ip(), stamp, arrival);
            }
            lane.handle_packet(b"garbage", transmit.destination.ip(), stamp, arrival);
        }
        lane.settle(mono);
        lane.handle_timeout(mono, &mut |_| {});
        while let Some(event) = lane.poll_event() {
            table.apply(&event);
            received += u64::from(matches!(event.what, dt_probe::What::Received(_)));
        }
    }
    received
}

/// The answer to the packet in `buf`, in its place.
fn answer(buf: &mut [u8], len: usize) -> &[u8] {
    let packet = &mut buf[..len];
    match len {
        0 => {}
        24 => {
            // SYN -> SYN-ACK.
            let isn = u32::from_be_bytes(packet[4..8].try_into().unwrap());
            packet[8..12].copy_from_slice(&isn.wrapping_add(1).to_be_bytes());
            packet.swap(0, 2);
            packet.swap(1, 3);
            packet[13] = 0x12;
        }
        _ => {
            // Echo request -> reply: type 8 less, so the checksum 0x0800 more, with the carry that RFC 1624 asks for.
            packet[0] = 0;
            let sum = u32::from(u16::from_be_bytes([packet[2], packet[3]])) + 0x0800;
            let sum = (sum & 0xffff) + (sum >> 16);
            packet[2..4].copy_from_slice(&(sum as u16).to_be_bytes());
        }
    }
    packet
}

fn nothing_is_allocated(protocol: Protocol) {
    let mut lane = lane(protocol);
    let mut table = WindowTable::new();
    (0..TARGETS).for_each(|id| assert!(table.add(TargetId(id))));
    let mut now = SECOND;
    // Two windows to grow into, then one to be counted.
    for _ in 0..2 {
        assert!(drive(&mut lane, &mut table, &mut now, 2000) > 1000);
        table.close(|_, _, _| {});
    }
    let mut received = 0;
    let counted = allocation_counter::measure(|| {
        received = drive(&mut lane, &mut table, &mut now, 2000);
        table.close(|_, _, _| {});
    });
    assert!(received > 1000, "only {received} replies: nothing was measured");
    assert_eq!(
        counted.count_total, 0,
        "allocations during {received} replies: {counted:?}"
    );
}

#[test]
fn echo() {
    nothing_is_allocated(Protocol::Echo {
        identifier: 9,
        identifier_v6: 10,
        payload_bytes: 56,
    });
}

#[test]
fn syn() {
    nothing_is_allocated(Protocol::Syn {
        ports: (61_000..61_064).collect(),
    });
}

#[test]
fn connect() {
    nothing_is_allocated(Protocol::Connect);
}
