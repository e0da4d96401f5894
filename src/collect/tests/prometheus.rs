//! A real Prometheus scrapes a collector: quantiles by PromQL against the matrix's own, native histograms and classic ones.

// In tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

#[path = "support/mesh.rs"]
mod mesh;
#[path = "support/scraper.rs"]
mod scraper;

use std::sync::Arc;

use dt_collect::diagnosis::Findings;
use dt_collect::http::{self, Site};
use dt_collect::{Level, Matrix, MatrixConfig, View, metrics};
use dt_metrics::{COARSE, FINE, Layout};
use dt_probe::ProbeKind;
use mesh::{NODES, pair, summary};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use scraper::Prometheus;
use tokio::sync::watch;

const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// An hour of records between all nodes: most delays near one another, some far beyond.
fn filled(now_ms: u64) -> Arc<Matrix> {
    let mut rng = StdRng::seed_from_u64(7);
    let matrix = Arc::new(Matrix::new(MatrixConfig::default()));
    for minute in (0..50).rev() {
        for source in NODES {
            for destination in NODES.into_iter().filter(|node| *node != source) {
                let far = if source.1 == destination.1 { 60_000 } else { 400_000 };
                let rtts: Vec<u64> = (0..20)
                    .map(|_| {
                        let slow = if rng.random_bool(0.02) { 8_000_000 } else { 90_000 };
                        far + rng.random_range(0..slow)
                    })
                    .collect();
                let pair = pair(source, destination, ProbeKind::Icmp);
                let end = now_ms / 10_000 * 10_000 - minute * 60_000;
                matrix.ingest(&summary(&pair, 10_000, end, &rtts, 0), now_ms);
            }
        }
    }
    matrix
}

/// What the tests ask for, and of which layout it is.
fn selected() -> [(&'static str, &'static str, &'static Layout); 3] {
    [
        (
            "dt_zone_rtt_seconds",
            r#"src_zone="zone-a",dst_zone="zone-b",probe="icmp""#,
            &FINE,
        ),
        ("dt_source_rtt_seconds", r#"src_node="node-1",probe="icmp""#, &COARSE),
        (
            "dt_destination_rtt_seconds",
            r#"dst_node="node-6",probe="icmp""#,
            &COARSE,
        ),
    ]
}

#[test]
fn quantiles_by_promql_are_those_of_the_matrix() {
    let now_ms = mesh::now_ms();
    let matrix = filled(now_ms);
    let (_, findings) = watch::channel(Arc::<Findings>::default());
    let site = Site::new(Arc::clone(&matrix)).metrics(metrics::of_matrix(&matrix, findings));
    let (_stop, stopping) = watch::channel(false);
    let routes = http::router(site, stopping);
    let (_runtime, scraped) = scraper::serve(routes);

    let native = Prometheus::start(scraped, &[], &["--enable-feature=native-histograms"]);
    let classic = Prometheus::start(scraped, &[], &[]);
    for prometheus in [&native, &classic] {
        assert_eq!(prometheus.wait_for(r#"up{job="dt-collect"} == 1"#), 1.0);
    }
    for (metric, labels, layout) in selected() {
        let own = own_quantiles(&matrix, metric, now_ms);
        for (q, own) in QUANTILES.into_iter().zip(own) {
            let own = own as f64 / 1e9;
            let read = native.wait_for(&format!("histogram_quantile({q}, {metric}{{{labels}}})"));
            // Both lie in one bucket.
            let growth = 2_f64.powf(1.0 / f64::from(1 << layout.schema()));
            let (least, most) = (own / growth * 0.999, own * growth * 1.001);
            assert!(
                (least..=most).contains(&read),
                "{metric} {q}: {read} by PromQL, {own} here"
            );
            println!(
                "{metric} {q}: native {read:.9}, matrix {own:.9}, {:+.2} %",
                (read / own - 1.0) * 100.0
            );

            let read = classic.wait_for(&format!("histogram_quantile({q}, {metric}_bucket{{{labels}}})"));
            let bounds: Vec<f64> = layout.bounds().iter().map(|nanos| *nanos as f64 / 1e9).collect();
            let class = |value: f64| bounds.partition_point(|bound| *bound < value * 0.999_999);
            assert_eq!(class(read), class(own), "{metric} {q}: {read} by PromQL, {own} here");
        }
        let count = classic.wait_for(&format!("{metric}_count{{{labels}}}"));
        assert_eq!(
            native.wait_for(&format!("histogram_count({metric}{{{labels}}})")),
            count
        );
        let sums = [
            native.wait_for(&format!("histogram_sum({metric}{{{labels}}})")),
            classic.wait_for(&format!("{metric}_sum{{{labels}}}")),
        ];
        assert!((sums[0] - sums[1]).abs() < 1e-9, "{sums:?}");
    }
    // A classic one is none of what a Prometheus with native ones keeps.
    assert_eq!(native.query(r#"count(dt_zone_rtt_seconds_bucket)"#), None);
}

/// The quantiles of all that was recorded, by the matrix.
fn own_quantiles(matrix: &Matrix, metric: &str, now_ms: u64) -> [u64; 4] {
    let level = if metric.starts_with("dt_zone") {
        Level::Zone
    } else {
        Level::Node
    };
    let grouped = matrix.grouped(level, View::Hour, ProbeKind::Icmp, now_ms);
    if level == Level::Zone {
        let place = |name| grouped.groups.iter().position(|group| group.name == name).unwrap() as u32;
        let wanted = (place("zone-a"), place("zone-b"));
        let cell = grouped
            .cells
            .iter()
            .find(|cell| (cell.source, cell.destination) == wanted)
            .unwrap();
        let rtt = &cell.rtt;
        return [rtt.p50, rtt.p90, rtt.p99, rtt.p999].map(Option::unwrap);
    }
    let mut all = dt_record::Distribution::default();
    for (source, destination) in NODES
        .iter()
        .flat_map(|source| NODES.iter().map(move |other| (source.0, other.0)))
    {
        let is_wanted = if metric.starts_with("dt_source") {
            source == "node-1"
        } else {
            destination == "node-6"
        };
        if is_wanted {
            for kind in matrix.pair(source, destination, View::Hour, now_ms) {
                all.merge(&kind.distribution);
            }
        }
    }
    QUANTILES.map(|q| all.quantile(q).unwrap())
}
