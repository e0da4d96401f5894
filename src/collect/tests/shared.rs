//! One of two collectors asked: zones are those of both, all else is its own.

// Each test file uses a part of what they share; in tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

mod support;

use std::sync::Arc;

use dt_collect::Matrix;
use dt_collect::http::Site;
use dt_collect::rollup::RollupTable;
use dt_probe::ProbeKind;
use dt_record::{Options, Origin, SummaryRecord};
use serde_json::Value;
use support::mesh::{NODES, PATIENT, now_ms, pair, summary};
use support::server::Server;

/// Records of all pairs, those of every other pair in another partition, in the matrices whose partitions those are.
fn fill(matrices: &[(&Matrix, &[i32])]) {
    let now = now_ms();
    for (s, source) in NODES.into_iter().enumerate() {
        for (d, destination) in NODES.into_iter().enumerate().filter(|(d, _)| *d != s) {
            let partition = ((s + d) % 2) as i32;
            let rtts: Vec<u64> = (0..40)
                .map(|i| 50_000 + (s as u64 * 31 + d as u64 * 7 + i * i) * 1_000)
                .collect();
            let told = summary(
                &pair(source, destination, ProbeKind::Tcp),
                10_000,
                now / 10_000 * 10_000,
                &rtts,
                s as u64,
            );
            let record = SummaryRecord::new(&told, &Origin::default(), 1, Options::default());
            for (matrix, partitions) in matrices {
                if partitions.contains(&partition) {
                    matrix.ingest_record(&record, partition, false, now).unwrap();
                }
            }
        }
    }
}

fn shared(matrices: &[&Matrix]) -> Arc<RollupTable> {
    let table = RollupTable::default();
    for partial in matrices.iter().flat_map(|matrix| matrix.partials("one", now_ms())) {
        let value = serde_json::to_vec(&partial).unwrap();
        table.apply(&partial.key(), Some(value.as_slice()));
    }
    Arc::new(table)
}

fn asked(server: &Server, path: &str) -> Value {
    let (head, body) = server.get(path);
    assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn zones_are_those_of_all_collectors() {
    let [one, other, both] = [(); 3].map(|()| Arc::new(Matrix::new(PATIENT)));
    fill(&[(&one, &[0]), (&other, &[1]), (&both, &[0, 1])]);
    let part = Server::of(Site::new(Arc::clone(&one)).rollup(Some(shared(&[&one, &other]))));
    let whole = Server::start(both);
    let zones = "/api/v1/matrix?level=zone&probe=tcp&view=1m";
    let (theirs, ours) = (asked(&part, zones), asked(&whole, zones));
    assert_eq!((&theirs["groups"], &theirs["cells"]), (&ours["groups"], &ours["cells"]));
    assert_eq!(theirs["cells"]["series"], serde_json::json!([6, 9, 9, 6]));
    // A part of it.
    for query in ["&from=%2Fzone-a", "&to=%2Fzone-b", "&from=%2Fzone-a&to=%2Fzone-b"] {
        let path = format!("{zones}{query}");
        let (theirs, ours) = (asked(&part, &path), asked(&whole, &path));
        assert_eq!(
            (&theirs["groups"], &theirs["cells"]),
            (&ours["groups"], &ours["cells"]),
            "{query}"
        );
    }

    // The newest windows and nodes are this collector's own, and it says so.
    for (query, pairs) in [
        ("level=zone&view=recent", [2, 4, 4, 2].as_slice()),
        ("level=node&view=1m", &[]),
    ] {
        let own = asked(&part, &format!("/api/v1/matrix?probe=tcp&{query}"));
        let series = own["cells"]["series"]
            .as_array()
            .map(|all| all.iter().map(|n| n.as_i64().unwrap()).collect::<Vec<_>>());
        assert_eq!(
            series.unwrap_or_default().iter().sum::<i64>(),
            pairs.iter().sum::<i64>()
        );
        assert_eq!(
            own["cells"]["sent"].as_array().unwrap().len(),
            if pairs.is_empty() { 12 } else { 4 }
        );
    }
    let notes = asked(&part, "/api/v1/status")["notes"].to_string();
    assert!(notes.contains("1 of 2 partitions"), "{notes}");
}

#[test]
fn a_collector_alone_shows_its_own_fresher_picture() {
    let matrix = Arc::new(Matrix::new(PATIENT));
    fill(&[(&matrix, &[0, 1])]);
    let server = Server::of(Site::new(Arc::clone(&matrix)).rollup(Some(shared(&[&matrix]))));
    assert_eq!(asked(&server, "/api/v1/status")["notes"], serde_json::json!([]));
    let before = asked(&server, "/api/v1/matrix?level=zone&probe=tcp&view=1m")["cells"]["sent"].clone();
    // What came since it was shared is in it.
    fill(&[(&matrix, &[0, 1])]);
    let after = asked(&server, "/api/v1/matrix?level=zone&probe=tcp&view=10m")["cells"]["sent"].clone();
    assert_eq!(after[0].as_u64().unwrap(), 2 * before[0].as_u64().unwrap());
}
