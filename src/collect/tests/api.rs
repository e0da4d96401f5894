//! What the server answers: the JSON, its types and headers, events, and its end.

// Each test file uses a part of what they share; in tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use dt_collect::http::Site;
use serde_json::{Value, json};
use support::hour::hour;
use support::mesh::{NODES, mesh, now_ms, pair, summary};
use support::server::Server;

#[test]
fn pairs_hold_one_object_for_every_pair_and_kind() {
    let server = Server::start(mesh());
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
    let server = Server::start(mesh());
    for (path, kind) in [
        ("/", "text/html"),
        ("/app.js", "text/javascript"),
        ("/app.css", "text/css"),
        ("/icon.svg", "image/svg+xml"),
        ("/vendor/uPlot.esm.js", "text/javascript"),
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

#[test]
fn the_matrix_says_in_columns_what_the_pairs_say_in_rows() {
    let server = Server::start(hour());
    for view in ["recent", "1m", "10m", "1h"] {
        let (_, rows) = server.get(&format!("/api/v1/pairs?view={view}"));
        let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
        let (_, matrix) = server.get(&format!("/api/v1/matrix?view={view}&probe=tcp"));
        let matrix: Value = serde_json::from_str(&matrix).unwrap();
        assert_eq!((&matrix["view"], &matrix["level"]), (&view.into(), &"node".into()));
        let cells = &matrix["cells"];
        let name = |column: &str, k: usize| &matrix["groups"][cells[column][k].as_u64().unwrap() as usize]["name"];
        let count = cells["source"].as_array().unwrap().len();
        assert_eq!(count, 12 * 11);
        for k in 0..count {
            let row = rows
                .iter()
                .find(|row| {
                    (&row["src_node"], &row["dst_node"]) == (name("source", k), name("destination", k))
                        && row["probe"] == "tcp"
                })
                .unwrap();
            for (column, field) in [
                ("sent", "sent"),
                ("received", "received"),
                ("failed", "lost"),
                ("p50_ns", "rtt_p50_ns"),
                ("p99_ns", "rtt_p99_ns"),
                ("p999_ns", "rtt_p999_ns"),
                ("host_delay_p99_ns", "host_delay_p99_ns"),
            ] {
                assert_eq!(cells[column][k], row[field], "{view} {column} of {row}");
            }
        }
    }
}

#[test]
fn a_pair_is_told_in_both_directions_over_time() {
    let server = Server::start(hour());
    let (_, body) = server.get("/api/v1/pair?source=node-02&destination=node-10&view=1h");
    let pair: Value = serde_json::from_str(&body).unwrap();
    let [there, back] = [0, 1].map(|at| &pair["directions"][at]);
    assert_eq!(
        there["source"],
        json!({"node": "node-02", "zone": "zone-a", "rack": "rack-1", "region": ""})
    );
    assert_eq!(there["source"], back["destination"]);
    let probes = |direction: &Value| {
        direction["kinds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|kind| kind["probe"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(probes(there), ["icmp", "tcp", "grpc"]);
    assert_eq!(probes(back), probes(there));

    let tcp = &there["kinds"][1];
    assert!(tcp["failing_since_ms"].is_u64() && back["kinds"][1]["failing_since_ms"].is_null());
    assert!(tcp["flows"][0]["lost"].as_u64() >= tcp["flows"][1]["lost"].as_u64());
    assert_eq!(tcp["flows_used"], 60);
    let panes = tcp["panes"].as_array().unwrap();
    // Ten-minute panes, then minutes.
    assert!((14..=17).contains(&panes.len()), "{}", panes.len());
    assert!(
        panes
            .windows(2)
            .all(|two| two[0]["start_ms"].as_u64() < two[1]["start_ms"].as_u64())
    );
    let sum = |column: &str| {
        tcp["distribution"][column]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(sum("count"), tcp["counts"]["received"].as_u64().unwrap());

    for (query, status) in [
        ("source=node-02&destination=nobody", "404"),
        ("source=node-02&destination=node-02", "404"),
        ("source=node-02", "400"),
        ("source=node-02&destination=node-10&view=2h", "400"),
    ] {
        let (head, body) = server.get(&format!("/api/v1/pair?{query}"));
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{query}: {head}");
        assert!(
            serde_json::from_str::<Value>(&body).unwrap()["error"].is_string(),
            "{body}"
        );
    }
}

#[test]
fn errors_name_what_was_given_and_what_is_accepted() {
    let server = Server::start(mesh());
    for (path, words) in [
        ("/api/v1/pairs?veiw=1h", r#"unknown parameter "veiw"; accepted: view"#),
        ("/api/v1/status?x=1", r#"unknown parameter "x"; accepted: none"#),
        (
            "/api/v1/pairs?view=2h",
            r#"parameter "view": "2h" is no view; accepted: recent, 1m, 10m, 1h"#,
        ),
        ("/api/v1/pairs?view=1m&view=1h", r#"parameter "view" is given twice"#),
        ("/api/v1/matrix", r#"parameter "probe" is missing"#),
        (
            "/api/v1/matrix?probe=tcp&level=house",
            "accepted: node, rack, zone, region",
        ),
        ("/api/v1/nothing", "there is no /api/v1/nothing"),
        ("/api/v2/pairs", "/api/v1/openapi.json"),
    ] {
        let (head, body) = server.get(path);
        assert!(head.starts_with("http/1.1 4"), "{path}: {head}");
        let told: Value = serde_json::from_str(&body).unwrap();
        assert!(told["error"].as_str().unwrap().contains(words), "{path}: {body}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let (head, body) = server.ask(method, "/api/v1/pairs", &[]);
        assert!(head.starts_with("http/1.1 405"), "{method}: {head}");
        assert!(String::from_utf8(body).unwrap().contains("read-only"));
    }
}

#[test]
fn with_a_token_only_who_shows_it_reads_numbers() {
    let site = Site::new(mesh()).token(Some("s3cret-token".parse().unwrap()));
    let server = Server::of(site);
    let status = |path: &str, authorization: Option<&str>| {
        let headers: Vec<_> = authorization.iter().map(|value| ("Authorization", *value)).collect();
        let (head, _) = server.ask("GET", path, &headers);
        (head.lines().next().unwrap()["http/1.1 ".len()..][..3].to_owned(), head)
    };
    for path in [
        "/api/v1/pairs",
        "/api/v1/events",
        "/api/v1/openapi.json",
        "/api/v1/nothing",
        "/api/else",
    ] {
        for wrong in [
            None,
            Some("Bearer "),
            Some("Bearer s3cret-toke"),
            Some("Bearer S3CRET-TOKEN"),
            Some("Basic s3cret-token"),
            Some("s3cret-token"),
        ] {
            let (code, head) = status(path, wrong);
            assert_eq!(code, "401", "{path} {wrong:?}");
            assert!(head.contains("www-authenticate: bearer realm="), "{head}");
        }
    }
    for right in ["Bearer s3cret-token", "bearer s3cret-token"] {
        assert_eq!(status("/api/v1/pairs", Some(right)).0, "200");
    }
    // The page itself holds no numbers.
    for path in ["/", "/app.js", "/icon.svg"] {
        assert_eq!(status(path, None).0, "200", "{path}");
    }
}

#[test]
fn other_sites_pages_may_read_only_where_they_are_named() {
    let origin = ("Origin", "https://grafana.example");
    let asks = [
        origin,
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "authorization"),
    ];
    let closed = Server::start(mesh());
    for (method, headers) in [("GET", &asks[..1]), ("OPTIONS", &asks[..])] {
        let (head, _) = closed.ask(method, "/api/v1/pairs", headers);
        assert!(!head.contains("access-control"), "{head}");
    }

    let site = Site::new(mesh())
        .token(Some("s3cret".parse().unwrap()))
        .origins(vec!["https://grafana.example".parse().unwrap()]);
    let open = Server::of(site);
    let (head, _) = open.ask("OPTIONS", "/api/v1/pairs", &asks);
    assert!(head.starts_with("http/1.1 200"), "{head}");
    for line in [
        "access-control-allow-origin: https://grafana.example",
        "access-control-allow-methods: get",
        "access-control-allow-headers: authorization",
    ] {
        assert!(head.contains(line), "{line} is missing:\n{head}");
    }
    let (head, _) = open.ask("GET", "/api/v1/pairs", &[origin, ("Authorization", "Bearer s3cret")]);
    assert!(
        head.starts_with("http/1.1 200") && head.contains("access-control-allow-origin: https://grafana.example"),
        "{head}"
    );
    let (head, _) = open.ask(
        "GET",
        "/api/v1/pairs",
        &[("Origin", "https://evil.example"), ("Authorization", "Bearer s3cret")],
    );
    assert!(!head.contains("access-control-allow-origin"), "{head}");
    assert!(!open.ask("GET", "/", &[origin]).0.contains("access-control"));
}

#[test]
fn large_answers_are_compressed_for_those_who_take_it() {
    let server = Server::start(hour());
    for path in [
        "/api/v1/pairs",
        "/api/v1/pair?source=node-01&destination=node-02",
        "/app.js",
        "/vendor/uPlot.esm.js",
        "/api/v1/openapi.json",
    ] {
        let (head, plain) = server.ask("GET", path, &[]);
        assert!(
            !head.contains("content-encoding") && head.contains("vary: accept-encoding"),
            "{path}: {head}"
        );
        let (head, packed) = server.ask("GET", path, &[("Accept-Encoding", "br, gzip")]);
        assert!(head.contains("content-encoding: gzip"), "{path}: {head}");
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice())
            .read_to_end(&mut unpacked)
            .unwrap();
        assert!(
            packed.len() * 2 < plain.len(),
            "{path}: {} of {}",
            packed.len(),
            plain.len()
        );
        // The clock stands in some.
        assert_eq!(unpacked.len(), plain.len(), "{path}");
    }
}

#[test]
fn the_chart_library_is_the_released_one() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/page/vendor");
    let told = include_str!("../page/vendor/README.md");
    let sums: String = told
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(sums.lines().count(), 3, "{told}");
    let mut check = Command::new("sha256sum")
        .args(["--check", "--strict"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sha256sum, of coreutils, can't be started");
    check.stdin.take().unwrap().write_all(sums.as_bytes()).unwrap();
    assert!(
        check.wait().unwrap().success(),
        "what vendor/README.md says is not what lies there"
    );
}

#[test]
fn a_part_of_the_matrix_is_what_the_whole_has_of_it() {
    let server = Server::start(hour());
    let ask = |query: &str| {
        let (head, body) = server.get(&format!("/api/v1/matrix?probe=tcp&view=1h{query}"));
        assert!(head.starts_with("http/1.1 200"), "{query}: {head}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    // (source, destination, sent, p99) of every cell.
    let cells = |matrix: &Value| -> Vec<[Value; 4]> {
        let cells = &matrix["cells"];
        let name =
            |column: &str, k: usize| matrix["groups"][cells[column][k].as_u64().unwrap() as usize]["name"].clone();
        let count = cells["source"].as_array().unwrap().len();
        (0..count)
            .map(|k| {
                [
                    name("source", k),
                    name("destination", k),
                    cells["sent"][k].clone(),
                    cells["p99_ns"][k].clone(),
                ]
            })
            .collect()
    };
    let whole = cells(&ask("&level=node"));
    for (query, count, from, to) in [
        ("&from=%2Fzone-a", 44, "0", ""),
        ("&to=%2Fzone-b%2Frack-3", 22, "", "05 06"),
        ("&from=%2Fzone-a%2Frack-1&to=%2Fzone-c", 8, "01 02", "09 10 11 12"),
    ] {
        let part = cells(&ask(&format!("&level=node{query}")));
        assert_eq!(part.len(), count, "{query}");
        assert!(part.iter().all(|cell| whole.contains(cell)), "{query}");
        let ends = |cell: &[Value; 4], at: usize| cell[at].as_str().unwrap()["node-".len()..].to_owned();
        assert!(
            part.iter().all(|cell| (from.len() < 2 || from.contains(&ends(cell, 0)))
                && (to.is_empty() || to.contains(&ends(cell, 1))))
        );
    }
    assert_eq!(cells(&ask("&level=zone&from=%2Fzone-a")).len(), 3);
    assert_eq!(cells(&ask("&level=rack&from=nowhere")).len(), 0);
    let (head, body) = server.get("/api/v1/matrix?probe=tcp&from=a/b/c/d");
    assert!(
        head.starts_with("http/1.1 400") && body.contains("accepted: REGION"),
        "{body}"
    );
}
