//! What one window of one pair and probe kind amounts to, before it is numbered and handed to a sink. Summaries of
//! the same [`Pair`] merge exactly: counts and distributions add, window bounds widen.

use std::net::IpAddr;
use std::sync::Arc;

use dt_probe::{Clock, Method, ProbeKind};

use crate::distribution::Distribution;

/// One end of a pair, as it stands in the records. Absent labels are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The node's name.
    pub node: String,
    /// The zone it stands in.
    pub zone: String,
    /// The rack it stands in.
    pub rack: String,
}

/// Who was probed by whom and how: the identity under which summaries merge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The probing node: the same for all pairs of an agent, and so shared.
    pub source: Arc<Endpoint>,
    /// The address probes leave from; `None` where it isn't known.
    pub source_ip: Option<IpAddr>,
    /// The probed node: the same for all kinds of probe to it.
    pub destination: Arc<Endpoint>,
    /// The address probed.
    pub destination_ip: IpAddr,
    /// The port probed; 0 for ICMP.
    pub destination_port: u16,
    /// What is measured.
    pub probe: ProbeKind,
    /// How it is measured.
    pub method: Method,
    /// ICMP payload size in bytes; `None` for the other kinds.
    pub payload_bytes: Option<u32>,
}

/// How many probes met which fate in the window, and what else was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered in time.
    pub received: u64,
    /// Left this host and unanswered at the time-out.
    pub lost: u64,
    /// Answered by RST, or by a gRPC error.
    pub refused: u64,
    /// An ICMP error came back, or there was no route.
    pub unreachable: u64,
    /// Never left this host.
    pub send_error: u64,
    /// Replies after the time-out.
    pub late: u64,
    /// Repeated replies.
    pub duplicate: u64,
    /// Probes due but not sent.
    pub skipped: u64,
    /// Probes that had to fall back to a weaker clock.
    pub timestamp_fallbacks: u64,
}

impl Counts {
    /// Probes whose fate was decided: the sum of the five fates.
    #[must_use]
    pub fn sent(&self) -> u64 {
        [self.lost, self.refused, self.unreachable, self.send_error]
            .into_iter()
            .fold(self.received, u64::saturating_add)
    }
}

/// What one source port (one ECMP flow) saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The source port.
    pub port: u16,
    /// Probes decided on it.
    pub sent: u64,
    /// Of those, lost.
    pub lost: u64,
}

/// One (pair, window), not yet numbered.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Who and how.
    pub pair: Arc<Pair>,
    /// First millisecond of the window (UTC), a multiple of the window.
    pub window_start_ms: u64,
    /// First millisecond after the window (UTC), a multiple of the window.
    pub window_end_ms: u64,
    /// The fates.
    pub counts: Counts,
    /// Packets this host's own socket buffers dropped in the window (the host's total).
    pub receive_drops: u64,
    /// Round-trip delays of the received probes, nanoseconds.
    pub rtt: Distribution,
    /// User-space minus kernel round trip of the same probes, nanoseconds. Empty where it doesn't apply.
    pub host_delay: Distribution,
    /// The weakest clock that stamped a request in the window.
    pub timestamp_tx: Clock,
    /// The weakest clock that stamped a reply in the window.
    pub timestamp_rx: Clock,
    /// Source ports used, ascending by port; empty where ports don't apply.
    pub flows: Vec<Flow>,
}

impl Summary {
    /// Adds `other`, another window of the same pair, to `self`: bounds widen, counts, distributions and flows add, the
    /// weaker clock wins.
    ///
    /// `receive_drops` adds as well. It is the host's total and must not be summed over the records of *one* window,
    /// which all carry the same number; but a pair has one summary per window, so two of them always stand for
    /// different spans of time (even where a clock stepped back and their bounds repeat), and what the host dropped in
    /// both is the sum.
    pub fn merge(&mut self, other: Summary) {
        debug_assert_eq!(self.pair, other.pair, "summaries of different pairs");
        // A window without a probe used no clock, so it says nothing about the weakest one.
        if self.counts.sent() == 0 {
            (self.timestamp_tx, self.timestamp_rx) = (other.timestamp_tx, other.timestamp_rx);
        } else if other.counts.sent() > 0 {
            self.timestamp_tx = self.timestamp_tx.min(other.timestamp_tx);
            self.timestamp_rx = self.timestamp_rx.min(other.timestamp_rx);
        }
        self.window_start_ms = self.window_start_ms.min(other.window_start_ms);
        self.window_end_ms = self.window_end_ms.max(other.window_end_ms);
        self.counts.add(&other.counts);
        self.receive_drops = self.receive_drops.saturating_add(other.receive_drops);
        self.rtt.merge(&other.rtt);
        self.host_delay.merge(&other.host_delay);
        merge_flows(&mut self.flows, other.flows);
    }
}

impl Counts {
    /// Adds `other`, field by field.
    pub fn add(&mut self, other: &Counts) {
        // Taken apart so that a new field can't be forgotten.
        let Counts {
            received,
            lost,
            refused,
            unreachable,
            send_error,
            late,
            duplicate,
            skipped,
            timestamp_fallbacks,
        } = other;
        self.received = self.received.saturating_add(*received);
        self.lost = self.lost.saturating_add(*lost);
        self.refused = self.refused.saturating_add(*refused);
        self.unreachable = self.unreachable.saturating_add(*unreachable);
        self.send_error = self.send_error.saturating_add(*send_error);
        self.late = self.late.saturating_add(*late);
        self.duplicate = self.duplicate.saturating_add(*duplicate);
        self.skipped = self.skipped.saturating_add(*skipped);
        self.timestamp_fallbacks = self.timestamp_fallbacks.saturating_add(*timestamp_fallbacks);
    }
}

impl From<&dt_probe::Counts> for Counts {
    fn from(counts: &dt_probe::Counts) -> Counts {
        // Taken apart so that a new field can't be forgotten.
        let dt_probe::Counts {
            received,
            lost,
            refused,
            unreachable,
            send_error,
            late,
            duplicate,
            skipped,
            fallbacks: timestamp_fallbacks,
        } = *counts;
        Counts {
            received,
            lost,
            refused,
            unreachable,
            send_error,
            late,
            duplicate,
            skipped,
            timestamp_fallbacks,
        }
    }
}

/// Adds `more` to `flows`; both ascend by port, and so does the result.
fn merge_flows(flows: &mut Vec<Flow>, more: Vec<Flow>) {
    for flow in more {
        match flows.binary_search_by_key(&flow.port, |known| known.port) {
            Ok(at) => {
                flows[at].sent = flows[at].sent.saturating_add(flow.sent);
                flows[at].lost = flows[at].lost.saturating_add(flow.lost);
            }
            Err(at) => flows.insert(at, flow),
        }
    }
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
