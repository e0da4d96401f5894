//! `/metrics` against a plain reckoning of the same records.

// In tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

#[path = "support/mesh.rs"]
mod mesh;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dt_collect::diagnosis::Findings;
use dt_collect::{Matrix, MatrixConfig, TallyBounds, metrics};
use dt_metrics::Format;
use dt_probe::ProbeKind;
use dt_record::{Options, Origin, SummaryRecord};
use mesh::{NODES, pair, summary};
use tokio::sync::watch;

const S: u64 = 1000;
const T: u64 = 1_800_000_000_000;

fn page(matrix: &Arc<Matrix>, format: Format) -> String {
    let (_, findings) = watch::channel(Arc::<Findings>::default());
    let page = metrics::of_matrix(matrix, findings).render(format);
    String::from_utf8(page.unwrap()).unwrap()
}

/// The values by name and labels.
fn values(matrix: &Arc<Matrix>) -> BTreeMap<String, f64> {
    let page = page(matrix, Format::OpenMetrics);
    let series = page.lines().filter(|line| !line.starts_with('#'));
    let value = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    series.map(value).collect()
}

#[track_caller]
fn assert_values(values: &BTreeMap<String, f64>, expected: &[(&str, f64)]) {
    for (name, value) in expected {
        let found = values.get(*name).copied();
        assert!(
            found.is_some_and(|found| (found - value).abs() < 1e-9),
            "{name}: {found:?} in place of {value}; there are {:#?}",
            values
                .keys()
                .filter(|known| !known.contains("_bucket"))
                .collect::<Vec<_>>()
        );
    }
}

#[test]
fn zones_and_nodes_have_what_their_records_add_up_to() {
    // By TCP: node-1 -> node-5 loses all 50, node-2 -> node-6 5 of 50; node-6 -> node-1 is stale, node-6 -> node-2 waits.
    let matrix = mesh::mesh();
    let values = values(&matrix);
    let sum = |prefix: &str, labels: &str| -> f64 {
        let of = values
            .iter()
            .filter(|(name, _)| name.starts_with(prefix) && name.contains(labels));
        of.map(|(_, value)| value).sum()
    };
    assert_values(
        &values,
        &[
            (
                r#"dt_zone_probes_total{src_zone="zone-a",dst_zone="zone-b",probe="tcp",fate="lost"}"#,
                55.0,
            ),
            (
                r#"dt_zone_probes_total{src_zone="zone-a",dst_zone="zone-b",probe="tcp",fate="received"}"#,
                395.0,
            ),
            (
                r#"dt_zone_probes_total{src_zone="zone-b",dst_zone="zone-a",probe="tcp",fate="lost"}"#,
                0.0,
            ),
            (
                r#"dt_zone_rtt_seconds_count{src_zone="zone-a",dst_zone="zone-b",probe="tcp"}"#,
                395.0,
            ),
            (
                r#"dt_zone_host_delay_seconds_count{src_zone="zone-a",dst_zone="zone-b",probe="tcp"}"#,
                395.0,
            ),
            (
                r#"dt_source_probes_total{src_zone="zone-a",src_rack="r1",src_node="node-1",probe="tcp",fate="lost"}"#,
                50.0,
            ),
            (
                r#"dt_source_rtt_seconds_count{src_zone="zone-a",src_rack="r1",src_node="node-1",probe="tcp"}"#,
                200.0,
            ),
            (
                r#"dt_destination_probes_total{dst_zone="zone-b",dst_rack="r3",dst_node="node-5",probe="tcp",fate="lost"}"#,
                50.0,
            ),
            (
                r#"dt_destination_rtt_seconds_count{dst_zone="zone-b",dst_rack="r4",dst_node="node-6",probe="tcp"}"#,
                245.0,
            ),
            (
                r#"dt_zone_series{src_zone="zone-b",dst_zone="zone-a",probe="tcp",state="fresh"}"#,
                7.0,
            ),
            (
                r#"dt_zone_series{src_zone="zone-b",dst_zone="zone-a",probe="tcp",state="stale"}"#,
                1.0,
            ),
            (
                r#"dt_zone_series{src_zone="zone-b",dst_zone="zone-a",probe="tcp",state="waiting"}"#,
                1.0,
            ),
            (
                r#"dt_source_series{src_zone="zone-b",src_rack="r4",src_node="node-6",state="stale"}"#,
                1.0,
            ),
            (
                r#"dt_source_series{src_zone="zone-b",src_rack="r4",src_node="node-6",state="fresh"}"#,
                8.0,
            ),
            ("dt_collect_nodes", 6.0),
            ("dt_collect_series", 60.0),
            ("dt_collect_uncounted_records_total", 0.0),
        ],
    );
    // As docs/monitoring.md says.
    let count = |labels: &str| values.keys().filter(|name| name.contains(labels)).count();
    assert_eq!(count(r#"src_zone="zone-a",dst_zone="zone-b",probe="tcp""#), 53);
    assert_eq!(count(r#"_node="node-1""#), 103);
    // Each of the three ways of adding up holds each probe once.
    for family in ["dt_zone", "dt_source", "dt_destination"] {
        assert_eq!(
            sum(&format!("{family}_probes_total"), r#"fate="received""#),
            59.0 * 50.0 - 55.0,
            "{family}"
        );
        assert_eq!(
            sum(&format!("{family}_rtt_seconds_count"), ""),
            59.0 * 50.0 - 55.0,
            "{family}"
        );
    }
    let seconds = |family: &str| sum(&format!("dt_{family}_rtt_seconds_sum"), "");
    assert!((seconds("zone") - seconds("source")).abs() < 1e-9);
    assert!((seconds("zone") - seconds("destination")).abs() < 1e-9);
    assert!(
        !values
            .keys()
            .any(|name| name.contains("src_node") && name.contains("dst_node")),
        "never by pair of nodes"
    );
}

#[test]
fn promtool_has_nothing_to_say_to_it() {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed (Debian: prometheus)");
    let page = page(&mesh::mesh(), Format::Text);
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success() && said.concat().is_empty(), "{said:?}");
}

/// Three answers of one window, by record.
fn record(from: usize, to: usize, end_ms: u64) -> SummaryRecord {
    let pair = pair(NODES[from], NODES[to], ProbeKind::Icmp);
    let summary = summary(&pair, 10 * S, end_ms, &[50_000, 60_000, 70_000], 0);
    SummaryRecord::new(&summary, &Origin::default(), 1, Options::default())
}

fn received(matrix: &Arc<Matrix>) -> f64 {
    let values = values(matrix);
    let of = values
        .iter()
        .filter(|(name, _)| name.starts_with("dt_zone_probes_total") && name.contains("received"));
    of.map(|(_, value)| value).sum()
}

#[test]
fn what_is_read_again_is_not_counted_again() {
    let matrix = Arc::new(Matrix::new(MatrixConfig::default()));
    let take = |partition, end_ms, now_ms| {
        matrix
            .ingest_record(&record(0, 3, end_ms), partition, false, now_ms)
            .unwrap()
    };
    matrix.begin_partition(1, T);
    // The hour before, as it is read for the picture; then what comes.
    for back in (0..360).rev() {
        take(1, T - back * 10 * S, T);
    }
    assert_eq!(received(&matrix), 0.0);
    assert_eq!(matrix.rows(dt_collect::View::Minute, T)[0].received, 18);
    take(1, T + 10 * S, T + 12 * S);
    assert_eq!(received(&matrix), 3.0);
    // Another reader has it for a while.
    matrix.forget_partition(1);
    matrix.begin_partition(1, T + 100 * S);
    for window in 1..=10 {
        take(1, T + window * 10 * S, T + 100 * S);
    }
    assert_eq!(
        received(&matrix),
        0.0,
        "the nodes were forgotten meanwhile, and begin anew"
    );
    take(1, T + 110 * S, T + 112 * S);
    // Of a partition that nobody said was taken over, all counts.
    take(0, T + 50 * S, T + 112 * S);
    assert_eq!(received(&matrix), 6.0);
}

#[test]
fn beyond_the_bounds_the_picture_goes_on() {
    let bounded = |zone_pairs, nodes| {
        let matrix = Arc::new(Matrix::new(MatrixConfig {
            tally: TallyBounds { zone_pairs, nodes },
            ..MatrixConfig::default()
        }));
        // From a to b, b to a, and within a.
        for (from, to) in [(0, 3), (3, 0), (1, 2)] {
            matrix.ingest_record(&record(from, to, T), 0, false, T).unwrap();
        }
        assert_eq!(matrix.rows(dt_collect::View::Minute, T).len(), 3);
        values(&matrix)
    };
    let count = |values: &BTreeMap<String, f64>, prefix: &str| {
        values
            .keys()
            .filter(|name| name.starts_with(prefix) && !name.contains("_bucket"))
            .count()
    };
    let uncounted = "dt_collect_uncounted_records_total";
    let all = bounded(10, 10);
    assert_eq!((count(&all, "dt_zone_rtt_seconds_count"), all[uncounted]), (3, 0.0));
    let pairs = bounded(2, 10);
    assert_eq!((count(&pairs, "dt_zone_rtt_seconds_count"), pairs[uncounted]), (2, 1.0));
    assert_eq!(count(&pairs, "dt_source_rtt_seconds_count"), 3);
    let nodes = bounded(10, 3);
    assert_eq!(
        (count(&nodes, "dt_source_rtt_seconds_count"), nodes[uncounted]),
        (3, 1.0)
    );
    assert_eq!(count(&nodes, "dt_destination_rtt_seconds_count"), 2);
    let none = bounded(10, 0);
    assert_eq!((count(&none, "dt_zone_rtt_seconds_count"), none[uncounted]), (3, 0.0));
    assert_eq!(count(&none, "dt_source") + count(&none, "dt_destination"), 0);
}

#[test]
fn nodes_and_zones_that_are_gone_are_forgotten() {
    let matrix = Arc::new(Matrix::new(MatrixConfig {
        forget: Duration::from_secs(600),
        tally: TallyBounds {
            zone_pairs: 2,
            nodes: 4,
        },
        ..MatrixConfig::default()
    }));
    // Far more nodes and zones one after another than may be counted at once.
    for round in 0..40_u64 {
        let now = T + round * 1_300 * S;
        let (one, other) = (format!("node-{round}a"), format!("node-{round}b"));
        let (zone, far) = (format!("zone-{round}"), format!("zone-{round}-far"));
        for (from, to) in [((&*one, &*zone), (&*other, &*far)), ((&*other, &*far), (&*one, &*zone))] {
            let pair = pair((from.0, from.1, ""), (to.0, to.1, ""), ProbeKind::Icmp);
            matrix.ingest(&summary(&pair, 10 * S, now, &[50_000], 0), now);
        }
        let values = values(&matrix);
        assert_values(
            &values,
            &[
                ("dt_collect_uncounted_records_total", 0.0),
                ("dt_collect_nodes", 2.0),
                (
                    &format!(r#"dt_source_rtt_seconds_count{{src_zone="{zone}",src_node="{one}",probe="icmp"}}"#),
                    1.0,
                ),
            ],
        );
    }
}

#[test]
fn a_node_that_is_labelled_anew_counts_for_its_new_zone() {
    let matrix = Arc::new(Matrix::new(MatrixConfig::default()));
    for (node, zone, end) in [
        ("other", "old", T),
        ("a", "old", T),
        ("a", "new", T + 10 * S),
        ("a", "new", T + 20 * S),
    ] {
        let pair = pair((node, zone, ""), ("b", "there", ""), ProbeKind::Icmp);
        matrix.ingest(&summary(&pair, 10 * S, end, &[50_000], 0), end);
    }
    assert_values(
        &values(&matrix),
        &[
            (
                r#"dt_zone_rtt_seconds_count{src_zone="old",dst_zone="there",probe="icmp"}"#,
                2.0,
            ),
            (
                r#"dt_zone_rtt_seconds_count{src_zone="new",dst_zone="there",probe="icmp"}"#,
                2.0,
            ),
            (
                r#"dt_source_rtt_seconds_count{src_zone="new",src_node="a",probe="icmp"}"#,
                3.0,
            ),
        ],
    );
}

#[test]
fn labels_may_be_anything() {
    let matrix = Arc::new(Matrix::new(MatrixConfig::default()));
    let pair = pair((mesh::HOSTILE, "z\"\n\\", ""), ("b", "", ""), ProbeKind::Icmp);
    matrix.ingest(&summary(&pair, 10 * S, T, &[50_000], 0), T);
    let page = page(&matrix, Format::OpenMetrics);
    assert!(
        page.contains(r#"{src_zone="z\"\n\\",probe="icmp",fate="received"} 1"#),
        "{page}"
    );
}
