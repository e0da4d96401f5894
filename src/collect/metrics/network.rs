//! Fates and delays since the start.

use std::fmt;
use std::sync::Arc;

use dt_metrics::{Page, Source};
use dt_probe::{Fate, ProbeKind};
use dt_record::Endpoint;

use super::{Labels, labels};
use crate::matrix::Matrix;
use crate::tally::{Kinds, Tally, ZonePair};

/// All that the matrix counted.
#[derive(Debug)]
pub(super) struct Network(pub(super) Arc<Matrix>);

impl Source for Network {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        let counted = self.0.counted();
        let pairs = counted.zone_pairs.iter();
        let between: Vec<_> = pairs.flat_map(|pair| by_kind(zones(pair), &pair.kinds)).collect();
        let nodes = || counted.nodes.iter();
        let sources: Vec<_> = nodes()
            .flat_map(|(node, tally)| by_kind(source(node), &tally.source))
            .collect();
        let destinations: Vec<_> = nodes()
            .flat_map(|(node, tally)| by_kind(destination(node), &tally.destination))
            .collect();

        fates(page, "zone_probes", "Probes from zone to zone by fate", &between)?;
        skipped(page, "zone_probes_skipped", &between)?;
        round_trips(page, "zone_rtt_seconds", "Round-trip delay from zone to zone", &between)?;
        host_delays(page, "zone_host_delay_seconds", &between)?;

        fates(page, "source_probes", "Probes of a node by fate", &sources)?;
        skipped(page, "source_probes_skipped", &sources)?;
        round_trips(
            page,
            "source_rtt_seconds",
            "Round-trip delay of a node's probes",
            &sources,
        )?;
        host_delays(page, "source_host_delay_seconds", &sources)?;

        fates(page, "destination_probes", "Probes to a node by fate", &destinations)?;
        round_trips(
            page,
            "destination_rtt_seconds",
            "Round-trip delay of probes to a node",
            &destinations,
        )?;

        page.gauge("collect_nodes", "Nodes known", self.0.nodes() as f64)?;
        page.gauge(
            "collect_series",
            "Series known: ordered pairs of nodes by kind of probe",
            self.0.stats().series as f64,
        )?;
        page.counter(
            "collect_uncounted_records",
            "Records that the picture has and these counters have not, or not all: too many pairs of zones, or nodes",
            counted.left_out,
        )
    }
}

/// One series of each family of its kind.
type Row<'a> = (Labels<'a>, &'a Tally);

fn by_kind<'a>(known: Labels<'a>, kinds: &'a Kinds) -> impl Iterator<Item = Row<'a>> {
    ProbeKind::ALL.iter().zip(kinds).filter_map(move |(kind, tally)| {
        let mut labels = known.clone();
        labels.push(("probe", kind.as_str()));
        Some((labels, tally.as_deref()?))
    })
}

fn zones(pair: &ZonePair) -> Labels<'_> {
    labels([
        ("src_region", pair.source.region.as_str()),
        ("src_zone", pair.source.zone.as_str()),
        ("dst_region", pair.destination.region.as_str()),
        ("dst_zone", pair.destination.zone.as_str()),
    ])
}

/// The labels of a node that probes.
pub(super) fn source(node: &Endpoint) -> Labels<'_> {
    labels([
        ("src_region", node.region.as_str()),
        ("src_zone", node.zone.as_str()),
        ("src_rack", node.rack.as_str()),
        ("src_node", node.node.as_str()),
    ])
}

/// The labels of a node that is probed.
fn destination(node: &Endpoint) -> Labels<'_> {
    labels([
        ("dst_region", node.region.as_str()),
        ("dst_zone", node.zone.as_str()),
        ("dst_rack", node.rack.as_str()),
        ("dst_node", node.node.as_str()),
    ])
}

fn fates(page: &mut Page<'_>, name: &str, help: &str, rows: &[Row<'_>]) -> fmt::Result {
    let series: Vec<_> = rows
        .iter()
        .flat_map(|(labels, tally)| Fate::ALL.iter().map(move |fate| (labels, *fate, tally)))
        .map(|(labels, fate, tally)| {
            let mut labels = labels.clone();
            labels.push(("fate", fate.as_str()));
            (labels, tally.counts.of(fate))
        })
        .collect();
    page.counters(name, help, series.iter().map(|(labels, count)| (&labels[..], *count)))
}

fn skipped(page: &mut Page<'_>, name: &str, rows: &[Row<'_>]) -> fmt::Result {
    page.counters(
        name,
        "Probes due that gave no measurement by their host's own doing; never loss",
        rows.iter().map(|(labels, tally)| (&labels[..], tally.counts.skipped)),
    )
}

fn round_trips(page: &mut Page<'_>, name: &str, help: &str, rows: &[Row<'_>]) -> fmt::Result {
    page.delays(name, help, rows.iter().map(|(labels, tally)| (&labels[..], &tally.rtt)))
}

fn host_delays(page: &mut Page<'_>, name: &str, rows: &[Row<'_>]) -> fmt::Result {
    let known = rows
        .iter()
        .filter_map(|(labels, tally)| Some((&labels[..], tally.host_delay.as_ref()?)));
    page.delays(
        name,
        "How long the probing hosts made their own programs wait, beyond the network's time; at most this",
        known,
    )
}
