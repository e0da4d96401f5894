//! What one window of one pair and probe kind amounts to, before it is numbered and handed to a sink. Summaries of
//! the same [`Pair`] merge exactly: counts and distributions add, window bounds widen.

use std::net::IpAddr;
use std::sync::Arc;

use dt_probe::{Clock, Counts, Method, ProbeKind};
use smol_str::SmolStr;

use crate::distribution::Distribution;

/// One end of a pair, as it stands in the records. Absent labels are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The node's name.
    pub node: SmolStr,
    /// The zone it stands in.
    pub zone: SmolStr,
    /// The rack it stands in.
    pub rack: SmolStr,
    /// The region its zone belongs to.
    pub region: SmolStr,
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
