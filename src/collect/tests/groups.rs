//! Groups, snapshots and details against a plain reckoning of the same records.

// In tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

#[path = "support/mesh.rs"]
mod mesh;

use std::collections::BTreeMap;
use std::sync::Arc;

use dt_collect::grouped::Part;
use dt_collect::{Level, Matrix, MatrixConfig, State, View};
use dt_probe::ProbeKind;
use dt_record::{Options, Origin, Pair, Recorder, SummaryRecord};
use mesh::{NODES, pair, summary};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const S: u64 = 1000;
/// An aligned moment, for any view.
const T: u64 = 1_800_000_000_000;

type Samples = BTreeMap<(String, String), Vec<u64>>;
/// Pair, window's end, round trips.
type Windows = Vec<(Arc<Pair>, u64, Vec<u64>)>;

/// Records of all ordered pairs over `minutes`, in windows of 10 s, in random order within each minute; and what went in: pair,
/// window's end, round trips.
fn filled(seed: u64, minutes: u64, by_record: bool) -> (Matrix, Windows) {
    let mut rng = StdRng::seed_from_u64(seed);
    let matrix = Matrix::new(MatrixConfig::default());
    let mut all = Vec::new();
    for minute in 0..minutes {
        let mut records = Vec::new();
        for (s, source) in NODES.into_iter().enumerate() {
            for destination in NODES
                .into_iter()
                .enumerate()
                .filter(|(d, _)| *d != s)
                .map(|(_, node)| node)
            {
                let pair = pair(source, destination, ProbeKind::Icmp);
                for window in 0..6 {
                    let end = T + minute * 60 * S + (window + 1) * 10 * S;
                    let rtts: Vec<u64> = (0..rng.random_range(0..12))
                        .map(|_| rng.random_range(1..50_000_000_u64) >> rng.random_range(0..20))
                        .collect();
                    records.push((Arc::clone(&pair), end, rtts));
                }
            }
        }
        for at in (1..records.len()).rev() {
            records.swap(at, rng.random_range(0..=at));
        }
        for (pair, end, rtts) in records {
            let one = summary(&pair, 10 * S, end, &rtts, 1);
            let now = T + (minute + 1) * 60 * S;
            if by_record {
                let record = SummaryRecord::new(&one, &Origin::default(), 1, Options::default());
                matrix.ingest_record(&record, 3, false, now).unwrap();
            } else {
                matrix.ingest(&one, now);
            }
            all.push((pair, end, rtts));
        }
    }
    (matrix, all)
}

fn quantiles(samples: &[u64]) -> [Option<u64>; 3] {
    let whole = Recorder::new().distribution(samples.iter().map(|ns| (*ns, 1)));
    [0.5, 0.99, 0.999].map(|q| whole.quantile(q))
}

fn gathered(
    all: &Windows,
    since: u64,
    key: impl Fn(&Pair) -> (String, String),
) -> (Samples, BTreeMap<(String, String), u64>) {
    let (mut samples, mut lost) = (Samples::new(), BTreeMap::new());
    for (pair, _, rtts) in all.iter().filter(|(_, end, _)| *end > since) {
        samples.entry(key(pair)).or_default().extend(rtts);
        *lost.entry(key(pair)).or_default() += 1;
    }
    (samples, lost)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Of every level and view, the percentiles are those of all samples at once, and the fates their sums.
    #[test]
    fn groups_add_up_exactly(seed in any::<u64>(), minutes in 1..24_u64, by_record in any::<bool>()) {
        let (matrix, all) = filled(seed, minutes, by_record);
        let now = T + minutes * 60 * S;
        for (view, reach) in [(View::Recent, 20), (View::Minute, 60), (View::TenMinutes, 600), (View::Hour, 3600)] {
            let since = now - reach * S;
            let since = if view == View::Hour { since.max(T) } else { since };
            for level in Level::ALL {
                let key = |pair: &Pair| match level {
                    Level::Node => (pair.source.node.to_string(), pair.destination.node.to_string()),
                    Level::Rack => (
                        format!("{}/{}", pair.source.zone, pair.source.rack),
                        format!("{}/{}", pair.destination.zone, pair.destination.rack),
                    ),
                    Level::Zone => (pair.source.zone.to_string(), pair.destination.zone.to_string()),
                    Level::Region => (String::new(), String::new()),
                };
                let (samples, lost) = gathered(&all, since, key);
                let grouped = matrix.grouped(level, view, ProbeKind::Icmp, now);
                prop_assert_eq!(grouped.cells.len(), samples.len());
                for cell in &grouped.cells {
                    let [from, to] = [cell.source, cell.destination].map(|at| grouped.groups[at as usize].name.to_string());
                    let key = (from, to);
                    let samples = &samples[&key];
                    prop_assert_eq!(cell.counts.received, samples.len() as u64, "{} {} {:?}", level, view, &key);
                    prop_assert_eq!(cell.counts.lost, lost[&key]);
                    prop_assert_eq!([cell.rtt.p50, cell.rtt.p99, cell.rtt.p999], quantiles(samples));
                }
            }
        }
    }
}

#[test]
fn an_hour_is_six_panes_of_ten_minutes_and_never_more_than_an_hour() {
    let (matrix, all) = filled(7, 95, false);
    let now = T + 95 * 60 * S;
    // 35 min to 95 min; panes begin at 40 min.
    let (samples, _) = gathered(&all, T + 40 * 60 * S, |pair| {
        (pair.source.node.to_string(), pair.destination.node.to_string())
    });
    let rows = matrix.rows(View::Hour, now);
    assert_eq!(rows.len(), 30);
    for row in rows {
        let samples = &samples[&(row.src_node.clone(), row.dst_node.clone())];
        assert_eq!(row.received, samples.len() as u64);
        assert_eq!(row.rtt_p999_ns, quantiles(samples)[2]);
        assert!(row.window_end_ms.unwrap() - row.window_start_ms.unwrap() <= 3_600_000);
    }
    let detail = &matrix.pair("node-1", "node-2", View::Hour, now)[0];
    assert!(detail.panes.is_sorted_by_key(|pane| pane.start_ms));
    assert!(detail.panes.iter().any(|pane| pane.end_ms - pane.start_ms == 600_000));
    assert!(detail.panes.iter().any(|pane| pane.end_ms - pane.start_ms == 60_000));
    assert_eq!(detail.panes.last().unwrap().end_ms, now);
    assert_eq!(detail.distribution.count(), detail.cell.counts.received);
}

#[test]
fn a_snapshot_is_in_order_and_names_its_nodes() {
    let (matrix, _) = filled(1, 1, true);
    let snapshot = matrix.snapshot(View::Minute, T + 60 * S);
    assert_eq!((snapshot.nodes.len(), snapshot.cells.len()), (6, 30));
    let standing = |at: u32| {
        let node = &snapshot.nodes[at as usize];
        (node.zone.clone(), node.rack.clone(), node.node.clone())
    };
    assert!((0..5).all(|at| standing(at) < standing(at + 1)));
    assert!(snapshot.cells.is_sorted_by_key(|cell| (cell.source, cell.destination)));
    assert!(
        snapshot
            .cells
            .iter()
            .all(|cell| cell.state == State::Fresh && cell.failing_since_ms.is_some())
    );
}

#[test]
fn a_run_of_failures_begins_with_its_first_and_ends_with_a_clean_window() {
    let matrix = Matrix::new(MatrixConfig::default());
    let pair = pair(NODES[0], NODES[1], ProbeKind::Tcp);
    let since = |lost: u64, window: u64| {
        let end = T + window * 10 * S;
        matrix.ingest(&summary(&pair, 10 * S, end, &[1000], lost), end);
        matrix.snapshot(View::Recent, end).cells[0].failing_since_ms
    };
    assert_eq!(since(0, 1), None);
    assert_eq!(since(1, 2), Some(T + 10 * S));
    assert_eq!(since(3, 3), Some(T + 10 * S));
    assert_eq!(since(0, 4), None);
    assert_eq!(since(1, 5), Some(T + 40 * S));
}

#[test]
fn a_node_says_itself_where_it_stands() {
    let matrix = Matrix::new(MatrixConfig::default());
    let send = |source, destination, end| {
        matrix.ingest(
            &summary(&pair(source, destination, ProbeKind::Icmp), S, end, &[1], 0),
            end,
        );
    };
    send(NODES[0], ("b", "guessed", ""), T);
    assert_eq!(matrix.rows(View::Minute, T)[0].dst_zone, "guessed");
    send(("b", "told", "r"), NODES[0], T);
    send(NODES[0], ("b", "guessed", ""), T + S);
    let rows = matrix.rows(View::Minute, T);
    let to_b = rows.iter().find(|row| row.dst_node == "b").unwrap();
    assert_eq!((to_b.dst_zone.as_str(), to_b.dst_rack.as_str()), ("told", "r"));
}

#[test]
fn a_partition_that_went_elsewhere_takes_its_series_along() {
    let (matrix, _) = filled(2, 1, true);
    matrix.forget_partition(2);
    assert_eq!(matrix.stats().series, 30);
    matrix.forget_partition(3);
    assert_eq!((matrix.stats().series, matrix.rows(View::Hour, T).len()), (0, 0));
    assert!(matrix.snapshot(View::Hour, T).nodes.is_empty());
}

#[test]
fn more_cells_than_may_be_are_refused_at_every_level() {
    let (matrix, _) = filled(1, 1, false);
    let part = Part::default();
    for (level, cells) in [
        (Level::Node, 30),
        (Level::Rack, 14),
        (Level::Zone, 4),
        (Level::Region, 1),
    ] {
        let ask = |most| matrix.grouped_part(level, View::Minute, ProbeKind::Icmp, &part, most, T + 60 * S);
        assert_eq!(ask(cells).map(|grouped| grouped.cells.len()), Some(cells), "{level}");
        assert!(ask(cells - 1).is_none(), "{level}");
    }
}

#[test]
fn who_fell_silent_counts_no_longer_than_the_view_reaches() {
    let matrix = Matrix::new(MatrixConfig::default());
    let [silent, heard] = [NODES[0], NODES[1]].map(|source| pair(source, NODES[2], ProbeKind::Icmp));
    let feed = |pair: &Arc<Pair>, minutes: std::ops::Range<u64>, lost| {
        for window in minutes.start * 6..minutes.end * 6 {
            let end = T + (window + 1) * 10 * S;
            matrix.ingest(&summary(pair, 10 * S, end, &[100_000; 9], lost), end);
        }
    };
    // One loses of each ten, and is heard for two minutes of six; the other loses nothing.
    feed(&silent, 0..2, 1);
    feed(&heard, 0..6, 0);
    let now = T + 6 * 60 * S;
    let zone = |view| {
        let grouped = matrix.grouped(Level::Zone, view, ProbeKind::Icmp, now);
        let [cell] = &grouped.cells[..] else {
            panic!("{grouped:?}")
        };
        assert_eq!((cell.series, cell.stale, cell.state), (2, 1, State::Fresh));
        (cell.counts.sent(), cell.counts.lost)
    };
    assert_eq!(zone(View::Recent), (2 * 9, 0));
    assert_eq!(zone(View::Minute), (6 * 9, 0));
    assert_eq!(zone(View::TenMinutes), ((12 + 36) * 9 + 12, 12));
    assert_eq!(zone(View::Hour), ((12 + 36) * 9 + 12, 12));
    // Others are told the same.
    let partials = matrix.partials("one", now);
    let told = serde_json::to_value(&partials[0].views["1m"]).unwrap();
    assert_eq!((&told["received"], &told["lost"]), (&(6 * 9).into(), &0.into()));

    // Where nothing else is known, it is shown as it was last, and as stale.
    let rack = |now| {
        let grouped = matrix.grouped(Level::Zone, View::Minute, ProbeKind::Icmp, now);
        (grouped.cells[0].state, grouped.cells[0].counts.lost)
    };
    assert_eq!(rack(now + 300 * S), (State::Stale, 6));
}
