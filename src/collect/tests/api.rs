//! What the server answers: the JSON, its types and headers, events, and its end.

// Each test file uses a part of what they share; in tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

#[path = "support/mesh.rs"]
mod mesh;
#[path = "support/server.rs"]
mod server;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use mesh::{NODES, mesh, now_ms, pair, summary};
use serde_json::Value;
use server::Server;

#[test]
fn pairs_hold_one_object_for_every_pair_and_kind() {
    let server = Server::start(mesh::mesh());
    let (head, body) = server.get("/api/v1/pairs");
    assert!(
        head.starts_with("http/1.1 200") && head.contains("content-type: application/json"),
        "{head}"
    );
    let rows: Vec<Value> = serde_json::from_str(&body).unwrap();
    assert_eq!(rows.len(), 6 * 5 * 2);
    let find = |from: &str, to: &str, probe: &str| {
        rows.iter()
            .find(|r| r["src_node"] == from && r["dst_node"] == to && r["probe"] == probe)
            .unwrap()
    };

    let lossy = find("node-2", "node-6", "tcp");
    assert_eq!(
        (lossy["sent"].as_u64(), lossy["received"].as_u64()),
        (Some(50), Some(45))
    );
    assert_eq!(
        (lossy["lost"].as_u64(), lossy["stale"].as_bool()),
        (Some(5), Some(false))
    );
    assert_eq!(
        (&lossy["src_zone"], &lossy["dst_rack"]),
        (&"zone-a".into(), &"r4".into())
    );
    assert_eq!(
        (&lossy["method"], &lossy["timestamp_tx"]),
        (&"syn".into(), &"kernel".into())
    );
    let p50 = lossy["rtt_p50_ns"].as_u64().unwrap();
    let p99 = lossy["rtt_p99_ns"].as_u64().unwrap();
    assert!(p50 < p99 && p99 <= lossy["rtt_max_ns"].as_u64().unwrap(), "{lossy}");

    let dead = find("node-1", "node-5", "tcp");
    assert_eq!((dead["lost"].as_u64(), dead["received"].as_u64()), (Some(50), Some(0)));
    assert!(dead["rtt_p99_ns"].is_null() && dead["rtt_mean_ns"].is_null() && dead["host_delay_max_ns"].is_null());

    assert_eq!(find("node-6", "node-1", "tcp")["state"], "stale");
    let waiting = find("node-6", "node-2", "tcp");
    assert_eq!(
        (&waiting["state"], waiting["sent"].as_u64()),
        (&"waiting".into(), Some(0))
    );
    assert!(waiting["window_end_ms"].is_null());
}

#[test]
fn files_have_their_types_and_a_strict_policy() {
    let server = Server::start(mesh::mesh());
    for (path, kind) in [
        ("/", "text/html"),
        ("/app.js", "text/javascript"),
        ("/app.css", "text/css"),
        ("/icon.svg", "image/svg+xml"),
        ("/api/v1/status", "application/json"),
    ] {
        let (head, _) = server.get(path);
        assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
        assert!(head.contains(&format!("content-type: {kind}")), "{path}: {head}");
        assert!(
            head.contains("content-security-policy: default-src 'self';"),
            "{path}: {head}"
        );
        assert!(head.contains("x-content-type-options: nosniff"), "{path}: {head}");
    }
    let (_, page) = server.get("/");
    assert!(page.contains(r#"<link rel="alternate" type="application/json" href="/api/v1/pairs">"#));
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "the page names an outside resource"
    );
    assert!(server.get("/nothing").0.starts_with("http/1.1 404"));
}

#[test]
fn events_tell_of_records_and_end_with_the_server() {
    let matrix = mesh();
    let mut server = Server::start(matrix.clone());
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream);
    let mut read_event = || {
        let mut line = String::new();
        while lines.read_line(&mut line).unwrap() > 0 {
            if let Some(number) = line.strip_prefix("data: ") {
                return number.trim().parse::<u64>().unwrap();
            }
            line.clear();
        }
        panic!("the stream of events ended");
    };
    let first = read_event();
    let now = now_ms();
    let pair = pair(NODES[0], NODES[1], dt_probe::ProbeKind::Icmp);
    matrix.ingest(&summary(&pair, 1000, now / 1000 * 1000, &[1000], 0), now);
    assert!(read_event() > first);

    // The open stream doesn't keep the server from stopping, and ends with it.
    server.stop();
    let mut rest = Vec::new();
    lines.read_to_end(&mut rest).unwrap();
}
