//! What a collector shows to Prometheus: between zones, and of each node as source and as destination. Never of a pair of
//! nodes: there are hundreds of thousands of them, and they are in the records.
//!
//! Counters and histograms begin with the collector and count what it reads, so those of several collectors of a group add
//! up. Where a partition is taken over its last hour is read again for the picture, but not counted again.

mod findings;
mod network;
mod port;
mod reading;
mod rollup;
mod states;

use std::fmt;
use std::sync::Arc;

use dt_metrics::{Metrics, Page, Source};
use tokio::sync::watch;

use crate::diagnosis::Findings;
use crate::matrix::Matrix;
use crate::service::Collector;

use findings::Found;
use network::Network;
use port::Port;
use reading::Reading;
use rollup::Shared;
use states::States;

/// What `dt collect` shows, with what an [`Observer`](crate::Observer) finds.
#[must_use]
pub fn of_collector(
    collector: &Collector,
    findings: watch::Receiver<Arc<Findings>>,
    door: Arc<dt_serve::Door>,
) -> Metrics {
    let mut sources = of_network(collector.matrix(), findings);
    sources.push(Box::new(Port(door)));
    sources.push(Box::new(Reading {
        stats: Arc::clone(collector.stats()),
        progress: Arc::clone(collector.progress()),
        lag: collector.watch_lag(),
    }));
    if let Some(share) = collector.share() {
        sources.push(Box::new(Shared {
            table: Arc::clone(share.table()),
            counts: Arc::clone(share.counts()),
            refused: share.watch_refused(),
        }));
    }
    Metrics::new(sources)
}

/// What is shown of a matrix that isn't fed from Kafka.
#[must_use]
pub fn of_matrix(matrix: &Arc<Matrix>, findings: watch::Receiver<Arc<Findings>>) -> Metrics {
    Metrics::new(of_network(matrix, findings))
}

fn of_network(matrix: &Arc<Matrix>, findings: watch::Receiver<Arc<Findings>>) -> Vec<Box<dyn Source>> {
    vec![
        Box::new(Build),
        Box::new(Network(Arc::clone(matrix))),
        Box::new(States(Arc::clone(matrix))),
        Box::new(Found(findings)),
    ]
}

/// Which program this is.
#[derive(Debug)]
struct Build;

impl Source for Build {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        let labels = [("version", env!("CARGO_PKG_VERSION"))];
        page.gauges("build_info", "Always 1; the version is the label", [(&labels[..], 1.0)])
    }
}

/// Labels, as the encoder takes them.
type Labels<'a> = Vec<(&'a str, &'a str)>;

/// Labels without those that say nothing: Prometheus takes an empty label for none.
fn labels<'a>(all: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels<'a> {
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}
