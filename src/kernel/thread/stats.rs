//! What the probe thread tells about itself: plain counters, written by it alone, read by anybody at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dt_probe::{Lane, LaneStats, Mono, ProbeKind};

use super::Granted;

/// Upper bounds of the lateness classes, in nanoseconds; a further class holds what is beyond the last.
pub const LATENESS_BOUNDS: [u64; 10] = [
    20_000,
    50_000,
    100_000,
    200_000,
    1_000_000,
    5_000_000,
    20_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
];

/// What became of a lane's probes until one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Given to the kernel, or refused by it.
    pub sent: u64,
    /// Of those, the ones whose fate is in the report ring or was taken from it.
    pub told: u64,
    /// Those that got no fate, since this host dropped packets or was suspended meanwhile.
    pub voided: u64,
    /// Those without a fate yet, or with one that the ring has had no room for.
    pub in_flight: u64,
    /// Those given up at the end.
    pub abandoned: u64,
}

impl Books {
    pub(super) fn of(lane: &Lane) -> Books {
        let stats = lane.stats();
        Books {
            sent: stats.sent,
            told: stats.told,
            voided: stats.voided,
            in_flight: (lane.in_flight() + lane.untold()) as u64,
            abandoned: stats.abandoned,
        }
    }

    /// Whether each probe is in one place and only one.
    #[must_use]
    pub fn balance(&self) -> bool {
        self.sent == self.told + self.voided + self.in_flight + self.abandoned
    }
}

/// Counters of one lane, as of the thread's last turn.
#[derive(Debug)]
pub struct LaneCounters {
    /// What is measured.
    pub kind: ProbeKind,
    /// Probes without a fate yet.
    pub in_flight: AtomicU64,
    /// Packets that no probe of ours can have caused: malformed, forged, foreign.
    pub invalid: AtomicU64,
    /// Genuine replies to probes so old that their fate is no longer known.
    pub stale: AtomicU64,
    /// Round trips whose kernel stamps contradicted the user-space clock, as over a clock step.
    pub clock_fallbacks: AtomicU64,
    /// Packets that this host's own socket buffers dropped.
    pub receive_drops: AtomicU64,
    /// Turns that found the socket buffer so full that transmit stamps may have been dropped.
    pub stamp_overflows: AtomicU64,
}

/// Counters of the probe thread.
#[derive(Debug)]
pub struct Stats {
    /// One for each lane, in the order of the set-up.
    pub lanes: Vec<LaneCounters>,
    /// `CLOCK_MONOTONIC` of the last turn, nanoseconds.
    pub last_turn: AtomicU64,
    /// Turns in all.
    pub turns: AtomicU64,
    /// Turns left out because the reader of the reports had fallen behind.
    pub stalled: AtomicU64,
    /// Turns by how late they began, not cumulative: see [`LATENESS_BOUNDS`].
    pub lateness: [AtomicU64; LATENESS_BOUNDS.len() + 1],
    /// All lateness together, nanoseconds.
    pub lateness_sum: AtomicU64,
    /// Probes that were in flight when the thread ended.
    pub abandoned: AtomicU64,
    /// Steps of the wall clock that were noticed.
    pub clock_steps: AtomicU64,
    /// Suspends of this host that were noticed.
    pub suspends: Arc<AtomicU64>,
    /// The thread's real-time priority; 0 for an ordinary thread.
    pub realtime_priority: AtomicU64,
    /// How many processors it may run on.
    pub cpus: AtomicU64,
}

impl Stats {
    pub(super) fn new(kinds: Vec<ProbeKind>) -> Stats {
        let lane = |kind| LaneCounters {
            kind,
            in_flight: AtomicU64::new(0),
            invalid: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            clock_fallbacks: AtomicU64::new(0),
            receive_drops: AtomicU64::new(0),
            stamp_overflows: AtomicU64::new(0),
        };
        Stats {
            lanes: kinds.into_iter().map(lane).collect(),
            last_turn: AtomicU64::new(crate::clock::mono().0),
            turns: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            lateness: [const { AtomicU64::new(0) }; LATENESS_BOUNDS.len() + 1],
            lateness_sum: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            clock_steps: AtomicU64::new(0),
            suspends: Arc::default(),
            realtime_priority: AtomicU64::new(0),
            cpus: AtomicU64::new(0),
        }
    }

    /// Probes without a fate yet, over all lanes.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.lanes.iter().map(|l| l.in_flight.load(Relaxed)).sum()
    }

    /// Packets that this host's own socket buffers dropped, over all lanes.
    #[must_use]
    pub fn receive_drops(&self) -> u64 {
        self.lanes.iter().map(|l| l.receive_drops.load(Relaxed)).sum()
    }

    pub(super) fn turned(&self, now: Mono, late_ns: u64) {
        self.last_turn.store(now.0, Relaxed);
        self.turns.fetch_add(1, Relaxed);
        self.lateness_sum.fetch_add(late_ns, Relaxed);
        let class = LATENESS_BOUNDS.partition_point(|bound| *bound < late_ns);
        self.lateness[class].fetch_add(1, Relaxed);
    }

    pub(super) fn scheduled(&self, granted: &Granted) {
        self.realtime_priority.store(granted.realtime_priority.into(), Relaxed);
        self.cpus.store(granted.cpus as u64, Relaxed);
    }

    pub(super) fn clocks(&self, steps: u64, suspends: u64) {
        self.clock_steps.store(steps, Relaxed);
        self.suspends.store(suspends, Relaxed);
    }

    pub(super) fn stalled(&self) {
        self.stalled.fetch_add(1, Relaxed);
    }

    pub(super) fn abandoned(&self, probes: u64) {
        self.abandoned.fetch_add(probes, Relaxed);
    }

    /// Takes over each lane's own counters: (the lane's, its in-flight probes, drops, overflows).
    pub(super) fn publish(&self, lanes: impl Iterator<Item = (LaneStats, usize, u64, u64)>) {
        for (counters, (lane, in_flight, drops, overflows)) in self.lanes.iter().zip(lanes) {
            counters.in_flight.store(in_flight as u64, Relaxed);
            counters.invalid.store(lane.invalid, Relaxed);
            counters.stale.store(lane.stale, Relaxed);
            counters.clock_fallbacks.store(lane.clock_fallbacks, Relaxed);
            counters.receive_drops.store(drops, Relaxed);
            counters.stamp_overflows.store(overflows, Relaxed);
        }
    }
}
