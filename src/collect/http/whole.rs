//! Zones as all collectors of a group know them, in the shape of this collector's own.

use std::collections::{BTreeMap, BTreeSet};

use dt_probe::{Counts, ProbeKind};
use smol_str::{SmolStr, format_smolstr};

use crate::grouped::{Group, GroupCell, Grouped, Level, Part};
use crate::matrix::Matrix;
use crate::rollup::{RollupTable, Whole, ZoneCell};
use crate::snapshot::Delays;
use crate::view::View;

/// Region and zone.
type Zone = (SmolStr, SmolStr);

/// What is read by others beside what is in `matrix`, as a sentence for the reader; `None` where that is nothing.
pub(super) fn note(table: &RollupTable, matrix: &Matrix, now_ms: u64) -> Option<String> {
    let whole = table.whole(View::Minute, now_ms);
    let own = matrix.partitions();
    let others = whole.partitions.difference(&own).count();
    (others > 0).then(|| {
        format!(
            "This collector reads {} of {} partitions: nodes, racks, regions and findings show its share, zones over a minute or more show all.",
            own.len(),
            own.len() + others
        )
    })
}

/// From zone to zone, where others know more than `matrix`; `None` where its own picture is whole, and fresher.
pub(super) fn zones(
    table: &RollupTable,
    matrix: &Matrix,
    view: View,
    probe: ProbeKind,
    part: &Part,
    now_ms: u64,
) -> Option<Grouped> {
    // The newest two windows are not shared.
    let whole = (view != View::Recent).then(|| table.whole(view, now_ms))?;
    if whole.partitions.is_subset(&matrix.partitions()) {
        return None;
    }
    Some(grouped(&whole, &nodes(matrix), probe, part))
}

/// How many nodes of each zone this collector knows of.
fn nodes(matrix: &Matrix) -> BTreeMap<Zone, u32> {
    let mut seen = BTreeSet::new();
    let mut nodes = BTreeMap::new();
    matrix.visit(|visited| {
        for (number, node) in [
            (visited.numbers.0, visited.source),
            (visited.numbers.1, visited.destination),
        ] {
            if seen.insert(number) {
                *nodes.entry((node.region.clone(), node.zone.clone())).or_insert(0) += 1;
            }
        }
    });
    nodes
}

fn grouped(whole: &Whole, nodes: &BTreeMap<Zone, u32>, probe: ProbeKind, part: &Part) -> Grouped {
    let within = |place: &Option<crate::place::Place>, (region, zone): &Zone| {
        place
            .as_ref()
            .is_none_or(|place| place.holds_labels([region, zone, "", ""]))
    };
    let ends = |cell: &ZoneCell| {
        let zones = &cell.zones;
        (
            (zones.src_region.clone(), zones.src_zone.clone()),
            (zones.dst_region.clone(), zones.dst_zone.clone()),
        )
    };
    let wanted = |cell: &&ZoneCell| {
        let (source, destination) = ends(cell);
        within(&part.from, &source) && within(&part.to, &destination)
    };
    let cells: Vec<&ZoneCell> = whole.zones.iter().filter(wanted).collect();
    let all: BTreeSet<Zone> = cells.iter().flat_map(|cell| <[Zone; 2]>::from(ends(cell))).collect();
    let place = |zone: &Zone| all.range(..zone.clone()).count() as u32;
    let mut cells: Vec<GroupCell> = cells
        .into_iter()
        .filter(|cell| cell.zones.probe == probe.as_str())
        .map(|cell| {
            let (source, destination) = ends(cell);
            group_cell(cell, place(&source), place(&destination))
        })
        .collect();
    cells.sort_by_key(|cell| (cell.source, cell.destination));
    let group = |(region, zone): &Zone| {
        let is_ambiguous = all.iter().filter(|(_, other)| other == zone).count() > 1;
        Group {
            name: if is_ambiguous && !zone.is_empty() {
                format_smolstr!("{region}/{zone}")
            } else {
                zone.clone()
            },
            zone: zone.clone(),
            rack: SmolStr::default(),
            region: region.clone(),
            nodes: nodes.get(&(region.clone(), zone.clone())).copied().unwrap_or(0),
        }
    };
    Grouped {
        now_ms: whole.now_ms,
        view: whole.view,
        level: Level::Zone,
        probe,
        groups: all.iter().map(group).collect(),
        cells,
    }
}

fn group_cell(cell: &ZoneCell, source: u32, destination: u32) -> GroupCell {
    GroupCell {
        source,
        destination,
        series: cell.series,
        stale: cell.stale,
        state: cell.state,
        counts: Counts {
            received: cell.received,
            lost: cell.lost,
            refused: cell.refused,
            unreachable: cell.unreachable,
            send_error: cell.send_error,
            skipped: cell.skipped,
            ..Counts::default()
        },
        rtt: Delays {
            min: cell.rtt_min_ns,
            mean: cell.rtt_mean_ns,
            p50: cell.rtt_p50_ns,
            p90: cell.rtt_p90_ns,
            p99: cell.rtt_p99_ns,
            p999: cell.rtt_p999_ns,
            max: cell.rtt_max_ns,
        },
        host_delay: Delays {
            p50: cell.host_delay_p50_ns,
            p99: cell.host_delay_p99_ns,
            max: cell.host_delay_max_ns,
            ..Delays::default()
        },
    }
}
