//! What the agent has counted since it started: plain counters, written by the mesh task, read by `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dt_probe::{Event, Fate, ProbeKind, What};

/// Upper bounds of the classes of host delay, in nanoseconds; a further class holds what is beyond the last. An idle host
/// stays within the first few, one that lets its programs wait for a processor reaches the milliseconds.
pub(crate) const HOST_DELAY_BOUNDS: [u64; 13] = [
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
    1_000_000_000,
];

/// How long this host made its own program wait, over all probes of a kind.
#[derive(Debug, Default)]
pub(crate) struct HostDelays {
    /// By class, not cumulative: see [`HOST_DELAY_BOUNDS`].
    classes: [AtomicU64; HOST_DELAY_BOUNDS.len() + 1],
    /// All together, nanoseconds.
    sum_ns: AtomicU64,
}

impl HostDelays {
    fn record(&self, delay_ns: u64) {
        let class = HOST_DELAY_BOUNDS.partition_point(|bound| *bound < delay_ns);
        self.classes[class].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(delay_ns, Relaxed);
    }

    /// The sum, and how many fell into each class.
    pub(crate) fn read(&self) -> (u64, [u64; HOST_DELAY_BOUNDS.len() + 1]) {
        let classes = std::array::from_fn(|class| self.classes[class].load(Relaxed));
        (self.sum_ns.load(Relaxed), classes)
    }
}

/// Counters of one probe kind.
#[derive(Debug, Default)]
pub(crate) struct KindTotals {
    fates: [AtomicU64; Fate::ALL.len()],
    /// Replies after the time-out.
    pub(crate) late: AtomicU64,
    /// Repeated replies.
    pub(crate) duplicate: AtomicU64,
    /// Probes due that gave no measurement by this host's own doing.
    pub(crate) skipped: AtomicU64,
    /// Probes that had to fall back to a weaker clock.
    pub(crate) fallbacks: AtomicU64,
    /// Sum of the round-trip delays of received probes, nanoseconds.
    pub(crate) rtt_sum_ns: AtomicU64,
    /// What the host added to the probes that have kernel stamps on both ways.
    pub(crate) host_delays: HostDelays,
    /// Targets probed now.
    pub(crate) targets: AtomicU64,
    /// The interval in force per target, nanoseconds: the configured one, stretched where the rate cap bites.
    pub(crate) period_ns: AtomicU64,
    /// 1 where this host can measure the kind.
    pub(crate) available: AtomicU64,
}

impl KindTotals {
    /// How many probes met which fate.
    #[must_use]
    pub(crate) fn fates(&self) -> [u64; Fate::ALL.len()] {
        std::array::from_fn(|fate| self.fates[fate].load(Relaxed))
    }

    /// Counts one event.
    pub(crate) fn apply(&self, event: &Event) {
        match event.what {
            What::Received(sample) => {
                self.fates[Fate::Received as usize].fetch_add(1, Relaxed);
                self.fallbacks.fetch_add(u64::from(sample.fallback), Relaxed);
                self.rtt_sum_ns.fetch_add(sample.rtt_ns, Relaxed);
                if let Some(delay_ns) = sample.host_delay_ns {
                    self.host_delays.record(delay_ns);
                }
            }
            What::Failed(fate) => {
                self.fates[fate as usize].fetch_add(1, Relaxed);
            }
            What::Late => {
                self.late.fetch_add(1, Relaxed);
            }
            What::Duplicate => {
                self.duplicate.fetch_add(1, Relaxed);
            }
            What::Skipped(n) => {
                self.skipped.fetch_add(u64::from(n), Relaxed);
            }
            What::Gone => {}
        }
    }
}

/// Counters of the whole agent.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    kinds: [KindTotals; ProbeKind::ALL.len()],
    /// Windows closed.
    pub(crate) windows: AtomicU64,
    /// Summary records handed to the sinks.
    pub(crate) summaries: AtomicU64,
    /// Peers on the pinglist.
    pub(crate) peers: AtomicU64,
    /// Members known, before the pinglist chooses.
    pub(crate) members: AtomicU64,
    /// Peers whose registered name doesn't resolve, and which are therefore not probed.
    pub(crate) unresolved: AtomicU64,
    /// Peers that may not be probed.
    pub(crate) refused: AtomicU64,
    /// Peers that have never answered, and are only asked.
    pub(crate) strangers: AtomicU64,
    /// How far the rate cap stretches the intervals, in thousandths: 1000 is not at all.
    pub(crate) stretch_milli: AtomicU64,
    /// 1 while probing is switched on.
    pub(crate) probing: AtomicU64,
}

impl Totals {
    /// The counters of one kind.
    #[must_use]
    pub(crate) fn kind(&self, kind: ProbeKind) -> &KindTotals {
        &self.kinds[kind as usize]
    }
}
