//! What the mesh task shows to the HTTP side.

use std::sync::{Arc, OnceLock};

use dt_kernel::sandbox::Entered;
use dt_kernel::thread::Stats as ThreadStats;
use serde::Serialize;

use crate::books::Shown;
use crate::readiness::Readiness;
use crate::totals::Totals;

/// Shared by the mesh task and the HTTP server.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Counters since the start.
    pub(crate) totals: Totals,
    /// What `/readyz` goes by.
    pub(crate) readiness: Readiness,
    /// Where each probe is.
    pub(crate) books: Shown,
    /// The probe thread's own counters, once it runs.
    pub(crate) thread: OnceLock<Arc<ThreadStats>>,
    /// What this process has given up.
    pub(crate) sandbox: OnceLock<Entered>,
}

/// One peer, as `/peers` shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PeerStatus {
    /// The node's name.
    pub(crate) node: String,
    /// As registered: `host:port`.
    pub(crate) address: String,
    /// The address probed; `null` while the name doesn't resolve.
    pub(crate) ip: Option<String>,
    /// What is amiss: why it isn't probed, or is only asked whether it is there.
    pub(crate) problem: Option<String>,
    /// Its zone.
    pub(crate) zone: String,
    /// Its rack.
    pub(crate) rack: String,
    /// `starting`, `serving` or `draining`.
    pub(crate) state: &'static str,
    /// Whether it is an agent of the Go original.
    pub(crate) original: bool,
    /// Its last closed window, one entry for each probe kind.
    pub(crate) probes: Vec<LastWindow>,
}

/// What the last closed window of one peer and probe kind amounted to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LastWindow {
    /// `icmp`, `tcp` or `grpc`.
    pub(crate) probe: &'static str,
    /// How it is measured.
    pub(crate) method: &'static str,
    /// First millisecond of the window (UTC).
    pub(crate) window_start_ms: u64,
    /// First millisecond after it.
    pub(crate) window_end_ms: u64,
    /// Probes decided, and their fates.
    pub(crate) sent: u64,
    /// Answered in time.
    pub(crate) received: u64,
    /// Unanswered.
    pub(crate) lost: u64,
    /// Answered by RST or an error.
    pub(crate) refused: u64,
    /// ICMP error or no route.
    pub(crate) unreachable: u64,
    /// Never left this host.
    pub(crate) send_error: u64,
    /// Round-trip delay, nanoseconds; `null` where nothing was received.
    pub rtt_p50_ns: Option<u64>,
    /// Likewise.
    pub rtt_p99_ns: Option<u64>,
    /// The weakest clock used on requests.
    pub(crate) timestamp_tx: &'static str,
    /// The weakest clock used on replies.
    pub(crate) timestamp_rx: &'static str,
}
