//! What counts as a fault. Every default is argued for where it stands.

use std::time::Duration;

/// The thresholds of [`Diagnosis`](super::Diagnosis).
#[derive(Clone, Debug, PartialEq)]
pub struct DiagnosisConfig {
    /// The share of probes that may be lost at random in a sound network. Loss is evidence only as far as it exceeds
    /// this. Default 0.5 %: ten times what a busy data centre's network loses, so that no sound one is accused.
    pub tolerated_loss: f64,
    /// No finding where less than this share of the probes is lost, however sure it is. Default 1 %.
    pub min_loss: f64,
    /// A probe is slow where it took longer than the usual median times this ... Default 2.
    pub slow_factor: f64,
    /// ... and longer than that median by at least this. Default 1 ms: less is hardly felt, and the delay of a virtual
    /// machine's neighbours amounts to it. Of calls (gRPC), ten times as much.
    pub slow_margin: Duration,
    /// Where a pair has no past, or has always been slow: slow are probes that took longer than the median of the same
    /// pair of zones by this factor, and by as many times `slow_margin`. Default 4.
    pub peer_factor: f64,
    /// So many pairs make a median to compare with. Default 5.
    pub min_peers: usize,
    /// So many probes of a pair within the hour make a past. Default 20.
    pub min_past: u64,
    /// Slow whatever the past. Default 400 ms: more than light takes around the Earth in fibre.
    pub slow_absolute: Duration,
    /// The share of probes that may be slow by chance. Default 5 %.
    pub tolerated_slow: f64,
    /// No finding where less than this share of the probes is slow. Default 25 %.
    pub min_slow: f64,
    /// A node is busy where half of its probes waited for its own programs longer than this. Default 5 ms: a loaded
    /// machine that still gives every program its turn stays below.
    pub busy_median: Duration,
    /// A node is busy where, for `busy_windows` on end, the slowest hundredth waited longer than this. Default 50 ms.
    pub busy_tail: Duration,
    /// See `busy_tail`. Default 3: one stall is in at most two windows of what is looked at.
    pub busy_windows: u32,
    /// A node's own failures to send, and the turns it skipped, are a finding from this share on. Default 20 %.
    pub min_own: f64,
    /// An echo with a payload from this many bytes on may fail for its size alone. Default 1,000: below the smallest
    /// limit in use (1,280) and above what is sent where nobody asks for large ones.
    pub large_payload: u32,
    /// Chance that one look at a sound network gives a finding, for each kind of symptom. Default one in a million: at
    /// a look a second one in eleven days, were looks independent.
    pub false_alarm: f64,
    /// Of what a cause predicts to be bad, this share may be sound. Default 20 %.
    pub exceptions: f64,
    /// The collector is blind where no record came for this long since the start. Default 60 s.
    pub blind_after: Duration,
    /// At most this many findings; the gravest stay. Default 100.
    pub max_findings: usize,
}

impl Default for DiagnosisConfig {
    fn default() -> Self {
        Self {
            tolerated_loss: 0.005,
            min_loss: 0.01,
            slow_factor: 2.0,
            slow_margin: Duration::from_millis(1),
            peer_factor: 4.0,
            min_peers: 5,
            min_past: 20,
            slow_absolute: Duration::from_millis(400),
            tolerated_slow: 0.05,
            min_slow: 0.25,
            busy_median: Duration::from_millis(5),
            busy_tail: Duration::from_millis(50),
            busy_windows: 3,
            min_own: 0.2,
            large_payload: 1_000,
            false_alarm: 1e-6,
            exceptions: 0.2,
            blind_after: Duration::from_secs(60),
            max_findings: 100,
        }
    }
}
