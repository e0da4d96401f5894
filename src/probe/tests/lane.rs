//! Behaviours of a lane that the simulation can't show one by one: limits, pacing, clashes, shutdown, refusals.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails here")]

use std::net::SocketAddr;

use dt_probe::time::{MILLISECOND, SECOND};
use dt_probe::{
    AddError, Arrival, Clock, ConfigError, ConnectOutcome, Event, Fate, Lane, LaneConfig, MAX_CAPACITY, MAX_TARGETS,
    Mode, Mono, Protocol, SendFailure, TargetId, TargetSpec, Transmit, Wall, What, capacity_for,
};

const START: Mono = Mono(SECOND);
const ECHO: Protocol = Protocol::Echo {
    identifier: 77,
    identifier_v6: 78,
    payload_bytes: 56,
};

fn config(protocol: Protocol) -> LaneConfig {
    LaneConfig {
        protocol,
        mode: Mode::Continuous { period_ns: SECOND },
        timeout_ns: SECOND,
        rate: 10_000,
        capacity: 4096,
        key: [3; 16],
        seed: 1,
        tx_stamps: false,
        rx_stamps: false,
        phase_start: 0,
        first_sequence: 0,
    }
}

fn counted(protocol: Protocol, count: u32) -> LaneConfig {
    LaneConfig {
        mode: Mode::Counted { count, period_ns: 0 },
        ..config(protocol)
    }
}

fn spec(id: u32, address: &str) -> TargetSpec {
    TargetSpec {
        id: TargetId(id),
        address: address.parse().unwrap(),
        source: Some([10, 0, 0, 1].into()),
    }
}

fn lane(config: LaneConfig, addresses: &[&str]) -> Lane {
    let mut lane = Lane::new(config, START).unwrap();
    for (id, address) in (0..).zip(addresses) {
        lane.add(spec(id, address), START).unwrap();
    }
    lane
}

fn send(lane: &mut Lane, now: Mono) -> Option<(Transmit, Vec<u8>)> {
    let mut buf = [0; 1500];
    let transmit = lane.poll_transmit(now, &mut buf)?;
    lane.handle_sent(transmit.key, now, Wall(now.0), 0);
    Some((transmit, buf[..transmit.len].to_vec()))
}

fn events(lane: &mut Lane) -> Vec<Event> {
    std::iter::from_fn(|| lane.poll_event()).collect()
}

fn whats(lane: &mut Lane) -> Vec<What> {
    events(lane).into_iter().map(|event| event.what).collect()
}

fn arrival(now: Mono) -> Arrival {
    Arrival {
        read_mono: now,
        read_wall: Wall(now.0),
        due_mono: now,
        epoch: 0,
        wall_minus_mono: 0,
    }
}

#[test]
fn a_configuration_out_of_range_is_refused() {
    let refused = |config: LaneConfig| Lane::new(config, START).err();
    let base = || config(ECHO);
    assert_eq!(
        refused(LaneConfig {
            timeout_ns: 0,
            ..base()
        }),
        Some(ConfigError::Timeout(0))
    );
    let long = 60 * SECOND + 1;
    assert_eq!(
        refused(LaneConfig {
            timeout_ns: long,
            ..base()
        }),
        Some(ConfigError::Timeout(long))
    );
    assert_eq!(refused(LaneConfig { rate: 0, ..base() }), Some(ConfigError::Rate));
    assert_eq!(
        refused(LaneConfig { capacity: 0, ..base() }),
        Some(ConfigError::Capacity(0))
    );
    let many = MAX_CAPACITY + 1;
    assert_eq!(
        refused(LaneConfig {
            capacity: many,
            ..base()
        }),
        Some(ConfigError::Capacity(many))
    );
    assert_eq!(refused(counted(ECHO, 0)), Some(ConfigError::Count));
    for payload_bytes in [0, 15, 1453] {
        let protocol = Protocol::Echo {
            identifier: 1,
            identifier_v6: 1,
            payload_bytes,
        };
        assert_eq!(refused(config(protocol)), Some(ConfigError::Payload(payload_bytes)));
    }
    for ports in [vec![], vec![0], vec![5, 5], (1..=4097).collect()] {
        let count = ports.len();
        assert_eq!(
            refused(config(Protocol::Syn { ports })),
            Some(ConfigError::Ports(count))
        );
    }
    let late = u64::MAX / 2 + 2;
    assert_eq!(
        refused(LaneConfig {
            first_sequence: late,
            ..base()
        }),
        Some(ConfigError::FirstSequence(late))
    );
}

#[test]
fn a_target_that_cant_be_probed_is_refused() {
    let mut echo = lane(config(ECHO), &["10.0.0.2:0"]);
    assert_eq!(
        echo.add(spec(0, "10.0.0.3:0"), START),
        Err(AddError::IdInUse(TargetId(0)))
    );
    assert_eq!(
        echo.add(spec(MAX_TARGETS, "10.0.0.3:0"), START),
        Err(AddError::IdTooLarge(TargetId(MAX_TARGETS)))
    );
    for address in [
        "224.0.0.1:0",
        "255.255.255.255:0",
        "0.0.0.0:0",
        "[ff02::1]:0",
        "[::]:0",
        "[::ffff:224.0.0.1]:0",
    ] {
        let spec = TargetSpec {
            source: None,
            ..spec(1, address)
        };
        assert!(
            matches!(echo.add(spec, START), Err(AddError::NotUnicast(_))),
            "{address}"
        );
    }
    let mut syn = lane(config(Protocol::Syn { ports: vec![61_000] }), &[]);
    assert!(matches!(
        syn.add(spec(0, "10.0.0.2:0"), START),
        Err(AddError::PortNeeded(_))
    ));
    let without = TargetSpec {
        source: None,
        ..spec(0, "10.0.0.2:80")
    };
    assert!(matches!(syn.add(without, START), Err(AddError::Source { .. })));
    let other = TargetSpec {
        source: Some("::1".parse().unwrap()),
        ..without
    };
    assert!(matches!(syn.add(other, START), Err(AddError::Source { .. })));
    assert_eq!(
        syn.add(
            TargetSpec {
                source: None,
                ..spec(0, "[fd00::1]:80")
            },
            START
        ),
        Ok(())
    );
}

#[test]
fn a_mapped_address_is_probed_as_what_it_is_and_an_echo_has_no_port() {
    let mut lane = lane(config(ECHO), &["[::ffff:10.0.0.2]:4000"]);
    let (transmit, bytes) = send(&mut lane, START).unwrap();
    assert_eq!(
        (transmit.destination, bytes[0]),
        ("10.0.0.2:0".parse::<SocketAddr>().unwrap(), 8)
    );
}

#[test]
fn capacity_covers_the_time_out_and_the_memory() {
    assert_eq!(capacity_for(2000, SECOND), 8192);
    assert_eq!(capacity_for(10_000, SECOND), 65_536);
    assert_eq!(capacity_for(1, SECOND), 64);
    assert_eq!(capacity_for(u32::MAX, 60 * SECOND), MAX_CAPACITY);
    assert_eq!(capacity_for(100, 10 * SECOND), 2048);
}

#[test]
fn the_rate_is_never_exceeded_and_bursts_are_short() {
    let rate = 1000;
    let addresses: Vec<String> = (0..50).map(|id| format!("10.0.1.{id}:0")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut lane = lane(
        LaneConfig {
            rate,
            timeout_ns: 10 * MILLISECOND,
            ..counted(ECHO, 1000)
        },
        &addresses,
    );
    let mut sent = Vec::new();
    let mut now = START;
    // A driver that now and then isn't there.
    for step in 0..2000_u64 {
        now = now.plus(if step % 100 == 99 {
            500 * MILLISECOND
        } else {
            MILLISECOND
        });
        while send(&mut lane, now).is_some() {
            sent.push(now.0);
        }
        lane.handle_timeout(now, &mut |_| {});
        events(&mut lane);
    }
    assert!(sent.len() > 2000, "{}", sent.len());
    for (first, start) in sent.iter().enumerate() {
        for (count, end) in (1_u64..).zip(&sent[first..]).take(200) {
            // In any interval no more than the rate, and 100 ms of it on top.
            assert!(
                count <= (end - start) * u64::from(rate) / SECOND + 101,
                "{count} in {} ns",
                end - start
            );
        }
    }
}

#[test]
fn after_a_stall_probes_are_caught_up_with_half_as_fast_again() {
    let addresses: Vec<String> = (0..1000)
        .map(|id| format!("10.0.{}.{}:0", id / 250, id % 250))
        .collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut lane = lane(config(ECHO), &addresses);
    let mut now = START;
    let tick = |lane: &mut Lane, now: Mono| {
        let sent = std::iter::from_fn(|| send(lane, now)).count();
        lane.handle_timeout(now, &mut |_| {});
        sent
    };
    for _ in 0..2000 {
        now = now.plus(MILLISECOND);
        assert!(tick(&mut lane, now) <= 25);
    }
    events(&mut lane);
    let before = lane.stats();
    now = now.plus(200 * MILLISECOND);
    let burst = tick(&mut lane, now);
    let mut each: Vec<usize> = vec![burst];
    for _ in 0..300 {
        now = now.plus(MILLISECOND);
        each.push(tick(&mut lane, now));
    }
    let busiest = each.windows(100).map(|some| some.iter().sum::<usize>()).max();
    assert!(
        busiest < Some(300),
        "{busiest:?} probes in 100 ms, of which 100 are the share"
    );
    let stats = lane.stats();
    assert_eq!(stats.skipped, before.skipped, "200 ms are within the limit of 250 ms");
    // 500 ms at 1,000 a second, give or take what was under way.
    let sent = stats.sent - before.sent;
    assert!((495..=505).contains(&sent), "{sent} probes");
}

/// A thousand targets once a second with a cap of just as much: what stalls hold up is sent after all.
#[test]
fn at_the_cap_stalls_are_made_up_for() {
    let addresses: Vec<String> = (0..1000)
        .map(|id| format!("10.0.{}.{}:0", id / 250, id % 250))
        .collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let config = LaneConfig {
        rate: 1000,
        ..config(ECHO)
    };
    let mut lane = lane(config, &addresses);
    let mut now = START;
    for tick in 0..5000_u64 {
        now = now.plus(if tick % 500 == 499 { 120 } else { 2 } * MILLISECOND);
        while send(&mut lane, now).is_some() {}
        lane.handle_timeout(now, &mut |_| {});
        events(&mut lane);
    }
    let stats = lane.stats();
    let due = now.since(START) / MILLISECOND;
    assert_eq!(stats.skipped, 0);
    assert!((due - 200..=due + 1).contains(&stats.sent), "{} of {due}", stats.sent);
}

#[test]
fn a_full_ring_is_own_overload() {
    let config = LaneConfig {
        capacity: 4,
        timeout_ns: 10 * SECOND,
        ..config(ECHO)
    };
    let mut lane = lane(config, &["10.0.0.2:0", "10.0.0.3:0", "10.0.0.4:0"]);
    let mut now = START;
    while now < START.plus(3 * SECOND - 1) {
        while send(&mut lane, now).is_some() {}
        now = now.plus(MILLISECOND);
    }
    let skipped: u32 = whats(&mut lane)
        .iter()
        .map(|what| if let What::Skipped(count) = what { *count } else { 0 })
        .sum();
    assert_eq!((lane.in_flight(), skipped, lane.stats().skipped), (4, 5, 5));
}

#[test]
fn a_counted_lane_waits_where_its_ring_is_full() {
    let mut lane = lane(
        LaneConfig {
            capacity: 2,
            ..counted(ECHO, 3)
        },
        &["10.0.0.2:0", "10.0.0.3:0"],
    );
    let mut now = START;
    let mut keys = Vec::new();
    while !lane.is_finished() {
        while let Some((transmit, _)) = send(&mut lane, now) {
            keys.push(transmit.key);
        }
        assert!(lane.in_flight() <= 2 && lane.stats().skipped == 0);
        let wake = lane.next_wakeup();
        assert!(
            wake.is_none_or(|wake| wake > now),
            "woken at {wake:?}, now {now:?}: a busy loop"
        );
        now = wake.unwrap_or(now).max(now.plus(MILLISECOND));
        lane.handle_timeout(now, &mut |_| {});
        events(&mut lane);
    }
    assert_eq!(keys, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_source_port_is_free_again_only_when_its_probe_is_decided() {
    let ports = vec![61_000, 61_001, 61_002];
    let mut lane = lane(counted(Protocol::Syn { ports }, 4), &["10.0.0.2:80", "10.0.0.2:80"]);
    let mut used = Vec::new();
    let mut now = START;
    for _ in 0..100 {
        now = now.plus(MILLISECOND);
        if let Some((transmit, bytes)) = send(&mut lane, now) {
            used.push((transmit.key, u16::from_be_bytes([bytes[0], bytes[1]])));
        }
    }
    // Two targets with one address share its three ports.
    let mut ports: Vec<u16> = used.iter().map(|(_, port)| *port).collect();
    ports.sort_unstable();
    assert_eq!(ports, [61_000, 61_001, 61_002]);
    lane.handle_send_failed(used[1].0, SendFailure::Failed, now);
    now = now.plus(10 * MILLISECOND);
    let next = send(&mut lane, now).unwrap().1;
    assert_eq!(u16::from_be_bytes([next[0], next[1]]), used[1].1);
    assert!(send(&mut lane, now.plus(10 * MILLISECOND)).is_none());
}

#[test]
fn source_ports_take_turns() {
    let ports: Vec<u16> = (61_000..61_064).collect();
    let mut lane = lane(counted(Protocol::Syn { ports: ports.clone() }, 64), &["10.0.0.2:80"]);
    let mut used: Vec<u16> = Vec::new();
    let mut now = START;
    while used.len() < 64 {
        now = now.plus(MILLISECOND);
        used.extend(send(&mut lane, now).map(|(_, bytes)| u16::from_be_bytes([bytes[0], bytes[1]])));
    }
    assert!(
        used.windows(2)
            .all(|pair| pair[1] == pair[0] + 1 || pair == [61_063, 61_000]),
        "{used:?}"
    );
    used.sort_unstable();
    assert_eq!(used, ports);
}

#[test]
fn eight_quoted_bytes_mean_the_newest_probe_to_that_destination() {
    let far = LaneConfig {
        capacity: 1 << 18,
        timeout_ns: 60 * SECOND,
        rate: u32::MAX,
        ..counted(ECHO, 70_000)
    };
    let mut lane = lane(far, &["10.0.0.2:0", "10.0.0.3:0"]);
    let mut now = START;
    let mut packets = Vec::new();
    while packets.len() < 140_000 {
        now = now.plus(MILLISECOND);
        while let Some(sent) = send(&mut lane, now) {
            packets.push(sent);
        }
    }
    events(&mut lane);
    // Numbers 4, 65,540 and 131,076 look the same in 16 bits, and go to the same destination.
    let (transmit, bytes) = &packets[4];
    let elsewhere = packets[5].0.destination.ip();
    lane.handle_icmp_error(&bytes[..8], elsewhere, now);
    assert_eq!((whats(&mut lane), lane.stats().invalid), (vec![], 1));
    for left in [139_999, 139_998, 139_997] {
        lane.handle_icmp_error(&bytes[..8], transmit.destination.ip(), now);
        assert_eq!(whats(&mut lane), [What::Failed(Fate::Unreachable)]);
        assert_eq!(lane.in_flight(), left);
    }
    // Nobody's fault: it comes a second time.
    lane.handle_icmp_error(&bytes[..8], transmit.destination.ip(), now);
    assert_eq!((whats(&mut lane), lane.stats().unmatched_errors), (vec![], 1));
    // With its cookie a quote means one probe only, and a wrong one means none.
    let (transmit, bytes) = &packets[9];
    lane.handle_icmp_error(bytes, transmit.destination.ip(), now);
    assert_eq!(whats(&mut lane), [What::Failed(Fate::Unreachable)]);
    let mut forged = packets[11].1.clone();
    forged[16] ^= 1;
    lane.handle_icmp_error(&forged, packets[11].0.destination.ip(), now);
    assert_eq!((whats(&mut lane), lane.stats().invalid), (vec![], 2));
    // Another program's is nobody's forgery.
    forged[4] ^= 1;
    lane.handle_icmp_error(&forged, packets[11].0.destination.ip(), now);
    assert_eq!((whats(&mut lane), lane.stats().unmatched_errors), (vec![], 2));
    // A shorter one means nothing.
    lane.handle_icmp_error(&packets[13].1[..7], packets[13].0.destination.ip(), now);
    assert_eq!(whats(&mut lane), []);
}

#[test]
fn a_short_quote_of_icmpv6_means_nothing() {
    let mut lane = lane(config(ECHO), &[]);
    lane.add(
        TargetSpec {
            source: None,
            ..spec(0, "[fd00::2]:0")
        },
        START,
    )
    .unwrap();
    let (transmit, bytes) = send(&mut lane, START).unwrap();
    lane.handle_icmp_error(&bytes[..8], transmit.destination.ip(), START);
    assert_eq!((whats(&mut lane), lane.stats().unmatched_errors), (vec![], 1));
    lane.handle_icmp_error(&bytes[..24], transmit.destination.ip(), START);
    assert_eq!(whats(&mut lane), [What::Failed(Fate::Unreachable)]);
}

#[test]
fn silence_without_a_stamp_is_a_send_error_unless_stamps_got_lost() {
    let stamped = LaneConfig {
        tx_stamps: true,
        rx_stamps: true,
        timeout_ns: 100 * MILLISECOND,
        ..config(ECHO)
    };
    for (stamp, overflow, fate) in [
        (true, false, Fate::Lost),
        (false, false, Fate::SendError),
        (false, true, Fate::Lost),
        (true, true, Fate::Lost),
    ] {
        let mut lane = lane(stamped.clone(), &["10.0.0.2:0"]);
        let (transmit, _) = send(&mut lane, START).unwrap();
        if stamp {
            lane.handle_tx_stamp(transmit.key, Wall(START.0 + 5), Clock::Kernel);
        }
        if overflow {
            lane.note_stamp_overflow();
        }
        lane.handle_timeout(START.plus(100 * MILLISECOND - 1), &mut |_| {});
        assert_eq!(whats(&mut lane), []);
        lane.handle_timeout(START.plus(100 * MILLISECOND), &mut |_| {});
        assert_eq!(
            whats(&mut lane),
            [What::Failed(fate)],
            "stamp {stamp}, overflow {overflow}"
        );
    }
}

#[test]
fn an_overflow_is_forgotten_with_the_probes_that_were_in_flight() {
    let mut lane = lane(
        LaneConfig {
            tx_stamps: true,
            timeout_ns: MILLISECOND,
            ..config(ECHO)
        },
        &["10.0.0.2:0"],
    );
    lane.note_stamp_overflow();
    assert!(send(&mut lane, START).is_some());
    lane.handle_timeout(START.plus(SECOND / 2), &mut |_| {});
    assert_eq!(whats(&mut lane), [What::Failed(Fate::SendError)]);
}

#[test]
fn a_probe_never_reported_as_sent_never_left() {
    let mut lane = lane(
        LaneConfig {
            timeout_ns: MILLISECOND,
            ..config(ECHO)
        },
        &["10.0.0.2:0"],
    );
    let transmit = lane.poll_transmit(START, &mut [0; 100]).unwrap();
    lane.handle_timeout(START.plus(MILLISECOND), &mut |_| {});
    assert_eq!(whats(&mut lane), [What::Failed(Fate::SendError)]);
    lane.handle_sent(transmit.key, START, Wall(0), 0);
    assert_eq!((lane.in_flight(), lane.stats().sent), (0, 1));
}

#[test]
fn a_reply_read_late_by_this_host_is_still_in_time_by_the_kernels_clock() {
    let stamped = LaneConfig {
        tx_stamps: true,
        rx_stamps: true,
        timeout_ns: 100 * MILLISECOND,
        ..config(ECHO)
    };
    let mut lane = lane(stamped, &["10.0.0.2:0"]);
    let (transmit, mut bytes) = send(&mut lane, START).unwrap();
    lane.handle_tx_stamp(transmit.key, Wall(START.0 + 1_000), Clock::Kernel);
    bytes[0] = 0;
    let sum = u32::from(u16::from_be_bytes([bytes[2], bytes[3]])) + 0x0800;
    bytes[2..4].copy_from_slice(&(((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
    // The thread meant to wake after 10 ms, and did after 300.
    let read = START.plus(300 * MILLISECOND);
    let arrival = Arrival {
        due_mono: START.plus(10 * MILLISECOND),
        ..arrival(read)
    };
    let rx = Some((Wall(START.0 + 5_001_000), Clock::Kernel));
    lane.handle_packet(&bytes, transmit.destination.ip(), rx, arrival);
    let [What::Received(sample)] = whats(&mut lane)[..] else {
        panic!("not received")
    };
    assert_eq!((sample.rtt_ns, sample.fallback), (5_000_000, false));
    // 1 us until the transmit stamp, and 290 ms after it had wanted to run: not the 5 ms that it slept.
    assert_eq!(sample.host_delay_ns, Some(1_000 + 290 * MILLISECOND));
}

#[test]
fn connections_are_cancelled_at_their_time_out() {
    let mut lane = lane(config(Protocol::Connect), &["10.0.0.2:80"]);
    let (transmit, packet) = send(&mut lane, START).unwrap();
    assert_eq!((packet.len(), lane.packet_len()), (0, 0));
    let mut cancelled = Vec::new();
    lane.handle_timeout(START.plus(SECOND), &mut |key| cancelled.push(key));
    assert_eq!(
        (cancelled, whats(&mut lane)),
        (vec![transmit.key], vec![What::Failed(Fate::Lost)])
    );
    lane.handle_connected(transmit.key, ConnectOutcome::Refused, 5, START.plus(SECOND));
    assert_eq!(whats(&mut lane), [], "decided already");
}

#[test]
fn tcp_info_counts_only_where_it_is_plausible() {
    for (rtt_ns, user_rtt_ns, clock, expected) in [
        (20_000, 50_000, Clock::Kernel, 20_000),
        (50_999, 50_000, Clock::Kernel, 50_999),
        (51_000, 50_000, Clock::User, 50_000),
        (0, 50_000, Clock::User, 50_000),
        (0, 0, Clock::User, 1),
    ] {
        let mut lane = lane(config(Protocol::Connect), &["10.0.0.2:80"]);
        let (transmit, _) = send(&mut lane, START).unwrap();
        let outcome = ConnectOutcome::Established {
            rtt_ns,
            user_rtt_ns,
            retransmitted: false,
        };
        lane.handle_connected(transmit.key, outcome, 40_000, START);
        let [
            Event {
                what: What::Received(sample),
                source_port: 40_000,
                ..
            },
        ] = events(&mut lane)[..]
        else {
            panic!("not received")
        };
        assert_eq!(
            (sample.rtt_ns, sample.tx, sample.rx, sample.host_delay_ns),
            (expected, clock, clock, None)
        );
        assert_eq!(sample.fallback, clock == Clock::User);
    }
}

#[test]
fn the_kill_switch_stops_sending_and_decides_what_is_in_flight() {
    let mut lane = lane(config(ECHO), &["10.0.0.2:0", "10.0.0.3:0"]);
    assert!(send(&mut lane, START).is_some());
    lane.set_enabled(false, START);
    assert_eq!(lane.next_wakeup(), Some(START.plus(SECOND)), "the time-out");
    assert!(send(&mut lane, START.plus(5 * SECOND)).is_none());
    lane.handle_timeout(START.plus(5 * SECOND), &mut |_| {});
    assert_eq!(whats(&mut lane), [What::Failed(Fate::Lost)]);
    lane.set_enabled(true, START.plus(60 * SECOND));
    let mut sent = 0;
    for step in 0..1000 {
        sent += usize::from(send(&mut lane, START.plus(60 * SECOND + step * MILLISECOND)).is_some());
    }
    assert_eq!((sent, lane.stats().skipped), (2, 0));
}

#[test]
fn abandoned_probes_have_no_fate() {
    let mut lane = lane(counted(ECHO, 5), &["10.0.0.2:0", "10.0.0.3:0"]);
    let mut now = START;
    while lane.in_flight() < 4 {
        now = now.plus(MILLISECOND);
        send(&mut lane, now);
    }
    lane.remove(TargetId(1), now);
    // Decided, and not told to anybody yet.
    lane.handle_send_failed(0, SendFailure::Failed, now);
    assert_eq!((lane.untold(), lane.stats().told), (1, 0));
    assert_eq!(lane.abandon_all(), 3);
    assert!(lane.is_finished() && lane.next_wakeup().is_none() && send(&mut lane, now.plus(SECOND)).is_none());
    lane.handle_timeout(now.plus(60 * SECOND), &mut |_| {});
    assert_eq!(
        whats(&mut lane),
        [What::Failed(Fate::SendError), What::Gone],
        "of the target that was leaving"
    );
    let stats = lane.stats();
    assert_eq!((stats.sent, stats.told, stats.abandoned, lane.untold()), (4, 1, 3, 0));
}

#[test]
fn a_flood_of_repeated_replies_doesnt_take_memory() {
    let mut lane = lane(config(ECHO), &["10.0.0.2:0"]);
    let (transmit, mut bytes) = send(&mut lane, START).unwrap();
    bytes[0] = 0;
    let sum = u32::from(u16::from_be_bytes([bytes[2], bytes[3]])) + 0x0800;
    bytes[2..4].copy_from_slice(&(((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
    for _ in 0..20_000 {
        lane.handle_packet(&bytes, transmit.destination.ip(), None, arrival(START));
    }
    let dropped = lane.stats().events_dropped;
    let events = events(&mut lane);
    assert!(
        events.len() <= 8192 && events.len() as u64 + dropped == 20_000,
        "{} events",
        events.len()
    );
    assert!(matches!(events[0].what, What::Received(_)));
}

#[test]
fn nothing_is_polled_into_a_buffer_too_small() {
    let mut lane = lane(config(ECHO), &["10.0.0.2:0"]);
    assert_eq!(lane.packet_len(), 64);
    assert_eq!(lane.poll_transmit(START, &mut [0; 63]), None);
    assert!(lane.poll_transmit(START, &mut [0; 64]).is_some());
}

#[test]
fn what_the_kernel_had_no_room_for_is_sent_again_first_and_as_it_was() {
    let mut lane = lane(
        counted(Protocol::Syn { ports: vec![61_000] }, 2),
        &["10.0.0.2:80", "10.0.0.3:80"],
    );
    let mut now = START;
    let mut polled = Vec::new();
    let poll = |lane: &mut Lane, now: Mono| {
        let mut buf = [0; 24];
        lane.poll_transmit(now, &mut buf).map(|transmit| (transmit, buf))
    };
    while polled.len() < 2 {
        now = now.plus(MILLISECOND);
        polled.extend(poll(&mut lane, now));
    }
    lane.handle_unsent(polled[0].0.key);
    assert_eq!(lane.in_flight(), 2, "only the newest can be given back");
    lane.handle_unsent(polled[1].0.key);
    lane.handle_unsent(polled[0].0.key);
    assert_eq!((lane.in_flight(), lane.stats().sent, lane.is_finished()), (0, 0, false));
    assert_eq!(
        lane.next_wakeup(),
        Some(START.plus(2 * MILLISECOND)),
        "a millisecond later"
    );
    now = now.plus(MILLISECOND);
    // The same number, the same port, the same packet.
    assert_eq!(
        [poll(&mut lane, now), poll(&mut lane, now)],
        [Some(polled[0]), Some(polled[1])]
    );
    assert_eq!(poll(&mut lane, now), None, "the one port is in flight to both");
}

#[test]
fn what_waited_too_long_for_room_is_skipped() {
    let mut lane = lane(config(ECHO), &["10.0.0.2:0"]);
    let transmit = lane.poll_transmit(START, &mut [0; 64]).unwrap();
    lane.handle_unsent(transmit.key);
    assert_eq!(lane.poll_transmit(START.plus(251 * MILLISECOND), &mut [0; 64]), None);
    assert_eq!((whats(&mut lane), lane.stats().sent), (vec![What::Skipped(1)], 0));
    assert!(
        lane.poll_transmit(START.plus(SECOND), &mut [0; 64]).is_some(),
        "the next turn keeps its time"
    );
}

#[test]
fn a_removed_target_may_come_back_under_the_same_id_once_it_is_gone() {
    let mut lane = lane(config(ECHO), &["10.0.0.2:0"]);
    let (transmit, mut reply) = send(&mut lane, START).unwrap();
    lane.remove(TargetId(0), START);
    assert_eq!(
        lane.add(spec(0, "10.0.0.9:0"), START),
        Err(AddError::IdInUse(TargetId(0)))
    );
    lane.handle_timeout(START.plus(SECOND), &mut |_| {});
    assert_eq!(whats(&mut lane), [What::Failed(Fate::Lost), What::Gone]);
    assert_eq!(lane.add(spec(0, "10.0.0.2:0"), START), Ok(()));
    // What was sent for the earlier one isn't the later one's, even with the same address.
    reply[0] = 0;
    let sum = u32::from(u16::from_be_bytes([reply[2], reply[3]])) + 0x0800;
    reply[2..4].copy_from_slice(&(((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
    lane.handle_packet(&reply, transmit.destination.ip(), None, arrival(START.plus(SECOND)));
    assert_eq!((whats(&mut lane), lane.stats().stale), (vec![], 1));
}
