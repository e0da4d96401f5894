//! What the agent has counted since it started: plain counters, written by the mesh task, read by `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dt_probe::{Event, Fate, ProbeKind, What};

/// Counters of one probe kind.
#[derive(Debug, Default)]
pub(crate) struct KindTotals {
    fates: [AtomicU64; Fate::ALL.len()],
    /// Replies after the time-out.
    pub(crate) late: AtomicU64,
    /// Repeated replies.
    pub(crate) duplicate: AtomicU64,
    /// Probes due but not sent, by this host's own overload.
    pub(crate) skipped: AtomicU64,
    /// Probes that had to fall back to a weaker clock.
    pub(crate) fallbacks: AtomicU64,
    /// Sum of the round-trip delays of received probes, nanoseconds.
    pub(crate) rtt_sum_ns: AtomicU64,
    /// Sum of the host delays, nanoseconds.
    pub(crate) host_delay_sum_ns: AtomicU64,
    /// Targets probed now.
    pub(crate) targets: AtomicU64,
    /// The interval in force per target, nanoseconds: the configured one, stretched where the rate cap bites.
    pub(crate) period_ns: AtomicU64,
    /// 1 where this host can measure the kind.
    pub(crate) available: AtomicU64,
}

impl KindTotals {
    /// How many probes met this fate.
    #[must_use]
    pub(crate) fn fate(&self, fate: Fate) -> u64 {
        self.fates[fate as usize].load(Relaxed)
    }

    /// Counts one event.
    pub(crate) fn apply(&self, event: &Event) {
        match event.what {
            What::Received(sample) => {
                self.fates[Fate::Received as usize].fetch_add(1, Relaxed);
                self.fallbacks.fetch_add(u64::from(sample.fallback), Relaxed);
                self.rtt_sum_ns.fetch_add(sample.rtt_ns, Relaxed);
                self.host_delay_sum_ns
                    .fetch_add(sample.host_delay_ns.unwrap_or(0), Relaxed);
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
    /// How far the rate cap stretches the intervals, in thousandths: 1000 is not at all.
    pub(crate) stretch_milli: AtomicU64,
    /// Probes in flight when the agent gave them up at its end: no fate.
    pub(crate) abandoned: AtomicU64,
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
