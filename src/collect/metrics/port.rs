//! Who calls at the port of the page.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dt_metrics::{Page, Source};
use dt_serve::Door;

/// Connections, and what became of them.
#[derive(Debug)]
pub(super) struct Port(pub(super) Arc<Door>);

impl Source for Port {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        let stats = self.0.stats();
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        page.counter(
            "collect_http_connections",
            "Connections accepted at the page's port, this one too",
            get(&stats.accepted),
        )?;
        page.gauge(
            "collect_http_connections_open",
            "Those of callers that are in",
            get(&stats.open) as f64,
        )?;
        page.counter(
            "collect_http_connections_pushed_out",
            "Connections closed to make room for others",
            get(&stats.pushed_out),
        )?;
        page.counter(
            "collect_http_connections_refused",
            "Connections of callers that were in, closed because more came, in all or from one address",
            get(&stats.turned_away),
        )?;
        page.counter(
            "collect_http_accept_errors",
            "Connections that failed to be accepted",
            get(&stats.accept_errors),
        )
    }
}
