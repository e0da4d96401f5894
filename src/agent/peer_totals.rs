//! What the probes of each peer came to since the start, where `/metrics` is to show that.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dt_metrics::{COARSE, Histogram, Page, Placed, Source};
use dt_probe::{Counts, Fate, ProbeKind};
use dt_record::{Endpoint, Summary};
use smol_str::SmolStr;

/// By node. Added to at the end of each window, for which every summary is made anyway.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeerTotals(Arc<Mutex<HashMap<SmolStr, PeerTotal>>>);

#[derive(Clone, Debug)]
struct PeerTotal {
    /// As its newest summary calls it.
    peer: Arc<Endpoint>,
    /// In the order of [`ProbeKind::ALL`].
    kinds: [Option<Box<KindTotal>>; ProbeKind::ALL.len()],
}

#[derive(Clone, Debug)]
struct KindTotal {
    counts: Counts,
    rtt: Histogram,
}

impl PeerTotals {
    /// Counts the summaries of those that `is_peer` says are peers still.
    pub(crate) fn add(&self, summaries: &[Summary], is_peer: impl Fn(&str) -> bool) {
        let mut peers = self.lock();
        for summary in summaries {
            let peer = &summary.pair.destination;
            if !is_peer(&peer.node) {
                continue;
            }
            let total = peers.entry(peer.node.clone()).or_insert_with(|| PeerTotal {
                peer: Arc::clone(peer),
                kinds: Default::default(),
            });
            total.peer = Arc::clone(peer);
            let kind = total.kinds[summary.pair.probe as usize].get_or_insert_with(|| {
                Box::new(KindTotal {
                    counts: Counts::default(),
                    rtt: Histogram::new(&COARSE),
                })
            });
            kind.counts.add(&summary.counts);
            kind.rtt.add(&Placed::fine(&summary.rtt).coarse());
        }
    }

    /// Forgets those that are peers no longer.
    pub(crate) fn keep(&self, is_peer: impl Fn(&str) -> bool) {
        self.lock().retain(|node, _| is_peer(node));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SmolStr, PeerTotal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for PeerTotals {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        // A copy, so that a scrape doesn't hold the windows up.
        let mut peers: Vec<PeerTotal> = self.lock().values().cloned().collect();
        peers.sort_by(|a, b| a.peer.node.cmp(&b.peer.node));
        let rows: Vec<_> = peers
            .iter()
            .flat_map(|total| {
                ProbeKind::ALL.iter().zip(&total.kinds).filter_map(|(kind, totals)| {
                    let peer = &*total.peer;
                    let all = [
                        ("dst_region", peer.region.as_str()),
                        ("dst_zone", peer.zone.as_str()),
                        ("dst_rack", peer.rack.as_str()),
                        ("dst_node", peer.node.as_str()),
                        ("probe", kind.as_str()),
                    ];
                    let labels: Vec<_> = all.into_iter().filter(|(_, value)| !value.is_empty()).collect();
                    Some((labels, totals.as_deref()?))
                })
            })
            .collect();
        let fates: Vec<_> = rows
            .iter()
            .flat_map(|(labels, totals)| {
                Fate::ALL.iter().map(move |fate| {
                    let mut labels = labels.clone();
                    labels.push(("fate", fate.as_str()));
                    (labels, totals.counts.of(*fate))
                })
            })
            .collect();
        page.counters(
            "peer_probes",
            "Probes of each peer by fate, up to the last window's end",
            fates.iter().map(|(labels, count)| (&labels[..], *count)),
        )?;
        page.delays(
            "peer_rtt_seconds",
            "Round-trip delay of each peer, up to the last window's end",
            rows.iter().map(|(labels, totals)| (&labels[..], &totals.rtt)),
        )
    }
}

#[cfg(test)]
mod tests {
    use dt_metrics::{Format, Metrics};
    use dt_probe::{Clock, Method};
    use dt_record::{Pair, Recorder};

    use super::*;

    fn summary(node: &str, zone: &str, received: u64, lost: u64) -> Summary {
        let end = |node: &str, zone: &str| {
            Arc::new(Endpoint {
                node: node.into(),
                zone: zone.into(),
                ..Endpoint::default()
            })
        };
        Summary {
            pair: Arc::new(Pair {
                source: end("me", ""),
                source_ip: None,
                destination: end(node, zone),
                destination_ip: [127, 0, 0, 2].into(),
                destination_port: 0,
                probe: ProbeKind::Icmp,
                method: Method::Echo,
                payload_bytes: Some(56),
            }),
            window_start_ms: 0,
            window_end_ms: 10_000,
            counts: Counts {
                received,
                lost,
                ..Counts::default()
            },
            receive_drops: 0,
            rtt: Recorder::new().distribution([(80_000, received)]),
            host_delay: Recorder::new().distribution([]),
            timestamp_tx: Clock::Kernel,
            timestamp_rx: Clock::Kernel,
            flows: Vec::new(),
        }
    }

    fn page(totals: &PeerTotals) -> String {
        let metrics = Metrics::new(vec![Box::new(totals.clone())]);
        String::from_utf8(metrics.render(Format::OpenMetrics).unwrap()).unwrap()
    }

    #[test]
    fn windows_add_up_by_peer() {
        let totals = PeerTotals::default();
        let all = |_: &str| true;
        totals.add(&[summary("b", "z", 9, 1), summary("a", "", 10, 0)], all);
        totals.add(&[summary("b", "z", 10, 0)], all);
        let page = page(&totals);
        for line in [
            r#"dt_peer_probes_total{dst_node="a",probe="icmp",fate="received"} 10"#,
            r#"dt_peer_probes_total{dst_zone="z",dst_node="b",probe="icmp",fate="received"} 19"#,
            r#"dt_peer_probes_total{dst_zone="z",dst_node="b",probe="icmp",fate="lost"} 1"#,
            r#"dt_peer_rtt_seconds_bucket{le="0.0001",dst_zone="z",dst_node="b",probe="icmp"} 19"#,
        ] {
            assert!(page.lines().any(|found| found == line), "no {line} in\n{page}");
        }
    }

    #[test]
    fn who_is_no_peer_is_not_shown() {
        let totals = PeerTotals::default();
        totals.add(&[summary("a", "", 1, 0), summary("b", "", 1, 0)], |node| node != "b");
        assert!(!page(&totals).contains(r#"dst_node="b""#));
        totals.keep(|node| node != "a");
        assert!(!page(&totals).contains("dst_node"));
    }
}
