//! Of how many series the numbers describe the present.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use dt_metrics::{Page, Source};
use dt_probe::ProbeKind;
use dt_record::Endpoint;

use super::network::source;
use super::{Labels, labels};
use crate::clock::now_ms;
use crate::grouped::{Level, Members};
use crate::matrix::Matrix;
use crate::row::State;
use crate::snapshot::standing;

const STATES: [(State, &str); 3] = [
    (State::Waiting, "waiting"),
    (State::Fresh, "fresh"),
    (State::Stale, "stale"),
];

/// Series by state, in the order of [`STATES`].
type ByState = [u32; STATES.len()];

/// How many series there are in which state.
#[derive(Debug)]
pub(super) struct States(pub(super) Arc<Matrix>);

impl Source for States {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        let matrix = &*self.0;
        let (bounds, now_ms) = (matrix.config().tally, now_ms());
        let mut members = Members::new(Level::Zone);
        let mut between: HashMap<(u32, u32, ProbeKind), ByState> = HashMap::new();
        let mut sources: HashMap<u32, (Arc<Endpoint>, ByState)> = HashMap::new();
        matrix.visit(|visited| {
            let state = State::of(visited.series, matrix.config().stale_windows, now_ms) as usize;
            let source = members.group_of(visited.numbers.0, visited.source);
            let destination = members.group_of(visited.numbers.1, visited.destination);
            between.entry((source, destination, visited.probe)).or_default()[state] += 1;
            let node = sources.entry(visited.numbers.0);
            let (_, states) = node.or_insert_with(|| (Arc::clone(visited.source), ByState::default()));
            states[state] += 1;
        });
        let (zones, places) = members.finish();
        let mut between: Vec<_> = between
            .into_iter()
            .map(|((source, destination, probe), states)| {
                ((places[source as usize], places[destination as usize], probe), states)
            })
            .collect();
        between.sort_by_key(|(place, _)| *place);
        let most = bounds.zone_pairs.saturating_mul(ProbeKind::ALL.len());
        let rows = between.iter().take(most).map(|((source, destination, probe), states)| {
            let (source, destination) = (&zones[*source as usize], &zones[*destination as usize]);
            let labels = labels([
                ("src_region", source.region.as_str()),
                ("src_zone", source.zone.as_str()),
                ("dst_region", destination.region.as_str()),
                ("dst_zone", destination.zone.as_str()),
                ("probe", probe.as_str()),
            ]);
            (labels, states)
        });
        encode(page, "zone_series", "Series from zone to zone by state", rows)?;
        let mut sources: Vec<_> = sources.into_values().collect();
        sources.sort_by(|(a, _), (b, _)| standing(a).cmp(&standing(b)));
        let rows = sources
            .iter()
            .take(bounds.nodes)
            .map(|(node, states)| (source(node), states));
        encode(
            page,
            "source_series",
            "Series of a node by state: it probes so many pairs",
            rows,
        )
    }
}

fn encode<'a>(
    page: &mut Page<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (Labels<'a>, &'a ByState)>,
) -> fmt::Result {
    let series: Vec<_> = rows
        .flat_map(|(labels, states)| {
            STATES.iter().zip(states).map(move |((_, word), count)| {
                let mut labels = labels.clone();
                labels.push(("state", word));
                (labels, f64::from(*count))
            })
        })
        .collect();
    page.gauges(name, help, series.iter().map(|(labels, count)| (&labels[..], *count)))
}
