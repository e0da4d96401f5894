//! What a lane counts.

/// Counters of a lane since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// Probes handed out to be sent and not given back: each has a fate, is in flight, was voided, or was abandoned.
    pub sent: u64,
    /// Fates that were taken by [`Lane::poll_event`](super::Lane::poll_event).
    pub told: u64,
    /// Probes sent whose fate can't be told, because this host dropped packets or was suspended meanwhile. They are
    /// reported as skipped.
    pub voided: u64,
    /// Turns of targets that passed without a probe, by this host's own overload. Those voided aren't among them.
    pub skipped: u64,
    /// Probes forgotten at shutdown, without a fate.
    pub abandoned: u64,
    /// Packets that are no answer to any probe of this lane: forged, broken, or somebody else's. Also ICMP errors that quote a
    /// packet which bears this lane's identifier or one of its ports and is none of its probes.
    pub invalid: u64,
    /// Answers to probes of this lane that it has forgotten, or whose target is gone.
    pub stale: u64,
    /// Samples for which a better clock was in use but gave no usable stamp.
    pub clock_fallbacks: u64,
    /// Transmit stamps that belong to no probe in flight.
    pub unmatched_stamps: u64,
    /// ICMP errors that belong to no probe in flight.
    pub unmatched_errors: u64,
    /// Late and repeated replies that weren't reported because nobody took the events.
    pub events_dropped: u64,
}
