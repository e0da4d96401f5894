//! The alerts about delays, evaluated by a real Prometheus that keeps native histograms alone. All else about alerts is tested by
//! `promtool test rules` (helm-charts/tests); that of Debian 12 (2.42) knows no way to write down such histograms.

// In tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

#[path = "support/mesh.rs"]
mod mesh;
#[path = "support/scraper.rs"]
mod scraper;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use dt_collect::diagnosis::Findings;
use dt_collect::{Matrix, MatrixConfig, metrics};
use dt_metrics::Format;
use dt_probe::ProbeKind;
use mesh::{NODES, pair, summary};
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
use prost::Message;
use scraper::Prometheus;
use tokio::sync::watch;

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

/// The families of a collector's page as of a moment that may be long past.
fn scraped_at(matrix: &Arc<Matrix>, time_ms: u64) -> Vec<MetricFamily> {
    let (_, findings) = watch::channel(Arc::<Findings>::default());
    let page = metrics::of_matrix(matrix, findings).render(Format::Protobuf).unwrap();
    let (mut rest, mut families) = (&page[..], Vec::new());
    while !rest.is_empty() {
        let mut family = MetricFamily::decode_length_delimited(&mut rest).unwrap();
        for metric in &mut family.metric {
            metric.timestamp_ms = i64::try_from(time_ms).unwrap();
        }
        families.push(family);
    }
    families
}

/// What a Prometheus would have scraped yesterday and within the last minutes, as one page: what goes from node-1 to the other zone
/// took 2 ms then and takes 300 ms now, of which its host makes it wait for 75 ms; all others are as they were.
fn two_days(now_ms: u64) -> Vec<MetricFamily> {
    let matrix = Arc::new(Matrix::new(MatrixConfig::default()));
    let feed = |end_ms: u64, far_ns: u64| {
        for (source, destination, ns) in [(0, 3, far_ns), (3, 0, 2_000_000), (3, 4, 2_000_000)] {
            let pair = pair(NODES[source], NODES[destination], ProbeKind::Icmp);
            matrix.ingest(&summary(&pair, 10_000, end_ms / 10_000 * 10_000, &[ns; 50], 0), end_ms);
        }
    };
    let mut all: Vec<MetricFamily> = Vec::new();
    for (time_ms, far_ns) in [
        (now_ms - DAY - 30 * MINUTE, 2_000_000),
        (now_ms - DAY - 10 * MINUTE, 2_000_000),
        (now_ms - 10 * MINUTE, 300_000_000),
        (now_ms - MINUTE, 300_000_000),
    ] {
        feed(time_ms, far_ns);
        for family in scraped_at(&matrix, time_ms) {
            match all.iter_mut().find(|known| known.name == family.name) {
                Some(known) => known.metric.extend(family.metric),
                None => all.push(family),
            }
        }
    }
    all
}

#[test]
fn slow_zones_and_hosts_are_seen_in_native_histograms() {
    let families = two_days(mesh::now_ms());
    let page: Vec<u8> = families
        .iter()
        .flat_map(Message::encode_length_delimited_to_vec)
        .collect();
    let answer = ([(CONTENT_TYPE, Format::Protobuf.content_type())], page);
    let routes = Router::new().route("/metrics", get(async move || answer));
    let (_runtime, scraped) = scraper::serve(routes);

    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../helm-charts/dt-chart/files/collector-alerts.yaml");
    let prometheus = Prometheus::start(scraped, &[&rules], &["--enable-feature=native-histograms"]);
    // Pending, and firing once it has lasted for a quarter of an hour: that promtool's tests see.
    for (alert, labels) in [
        ("DtZonesSlow", r#"src_zone="zone-a",dst_zone="zone-b",probe="icmp""#),
        ("DtHostSlow", r#"src_node="node-1""#),
    ] {
        let selected = format!(r#"count(ALERTS{{alertname="{alert}",{labels}}})"#);
        assert_eq!(prometheus.wait_for(&selected), 1.0, "{selected}");
        let all = format!(r#"count(ALERTS{{alertname="{alert}"}})"#);
        assert_eq!(prometheus.query(&all), Some(1.0), "of others too");
    }
    assert_eq!(
        prometheus.query(r#"count({__name__=~"dt_.+_bucket"})"#),
        None,
        "classic histograms are kept"
    );
}
