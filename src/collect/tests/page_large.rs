//! A thousand nodes with 250 peers each.

// Each test file uses a part of what they share; in tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

mod support;

use std::sync::Arc;

use dt_collect::Matrix;
use dt_collect::http::Site;
use dt_probe::ProbeKind;
use serde_json::json;
use support::eyes::{RIGHT, no_complaint, open, picture, rows};
use support::hour::told;
use support::mesh::{PATIENT, now_ms, pair, summary};
use support::server::Server;

const NODES: usize = 1000;
const PEERS: usize = 250;

fn node(number: usize) -> (String, String, String) {
    (
        format!("n{number:04}"),
        format!("zone-{}", number * 4 / NODES + 1),
        format!("r{:02}", number * 40 / NODES),
    )
}

/// A ring: each node probes as many before as after it. n0617 is dead; rack r07 loses a fifth.
fn large() -> Arc<Matrix> {
    let matrix = Arc::new(Matrix::new(PATIENT));
    let now = now_ms();
    for s in 0..NODES {
        for step in (1..=PEERS / 2).chain(NODES - PEERS / 2..NODES) {
            let d = (s + step) % NODES;
            let (from, to) = (node(s), node(d));
            let pair = pair((&from.0, &from.1, &from.2), (&to.0, &to.1, &to.2), ProbeKind::Icmp);
            let lost = match () {
                () if s == 617 || d == 617 => 10,
                () if from.2 == "r07" || to.2 == "r07" => 2,
                () => 0,
            };
            let base = 30_000 + u64::from(from.1 != to.1) * 300_000 + (s * 7919 % 97 + d * 31 % 41) as u64 * 700;
            let rtts: Vec<u64> = (0..10 - lost).map(|i| base + i * i * 900).collect();
            matrix.ingest(&summary(&pair, 10_000, now / 10_000 * 10_000, &rtts, lost), now);
        }
    }
    matrix
}

#[test]
fn a_thousand_nodes_are_shown_by_rack_first_and_each_cell_on_demand() {
    let findings = json!([{"kind": "node_down", "subject": {"nodes": ["n0617"]}, "summary": "n0617 is down", "evidence": [],
        "confidence": 0.99, "since_ms": now_ms() - 60_000, "pattern": null, "pairs": 500}]);
    let site = Site::new(large()).findings(told(&findings, "unknown"));
    let server = Server::of(site);
    let mut browser = open(&server, "", 1280, false);
    assert!(browser.text("#map-title").contains("rack × rack"));
    assert_eq!(browser.text("#tile-nodes"), "1000");

    browser.click("#level-node");
    browser.wait("document.getElementById('map-title').innerText.includes('node × node')");
    assert_eq!(browser.text("#tile-nodes-sub"), "250000 ICMP pairs shown");
    // The whole map fits, though a cell is smaller than a pixel.
    let size = browser.eval("[document.getElementById('map').clientWidth, document.getElementById('frame').scrollWidth, document.getElementById('frame').clientWidth]");
    assert!(
        size[0].as_u64() <= size[2].as_u64() && size[1].as_u64() <= size[2].as_u64(),
        "{size}"
    );
    assert!(
        rows(&mut browser, "#worst")
            .iter()
            .all(|row| row[0].contains("n0617") && row[3] == "✕ no answer")
    );
    picture(&mut browser, "page-1000-nodes", 1280);

    // What is dead is seen, though its cells are a thousandth of the map.
    let red = "(() => { const c = document.getElementById('map'); const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; \
         let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i] === 204 && d[i + 1] === 12 && d[i + 2] === 57; return n; })()";
    assert!(browser.eval(red).as_u64().unwrap() > 150);

    browser.eval("document.getElementById('map').focus()");
    browser.key(RIGHT.0, RIGHT.1);
    assert!(
        browser.text("#live").starts_with("n0000 to n0001, ICMP: answers."),
        "{}",
        browser.text("#live")
    );
    // From the table to a cell that is out of sight until it is zoomed into.
    browser.click("#worst tr:nth-child(1) button");
    for _ in 0..5 {
        browser.click("#zoom-in");
    }
    assert_eq!(browser.text("#zoom"), "× 32");
    let scrolled =
        browser.eval("[document.getElementById('frame').scrollLeft, document.getElementById('frame').scrollTop]");
    assert!(
        scrolled[0].as_f64() > Some(1000.0) && scrolled[1].as_f64() > Some(1000.0),
        "{scrolled}"
    );
    assert!(browser.eval(red).as_u64().unwrap() > 1000);
    picture(&mut browser, "page-1000-nodes-zoomed", 1280);

    browser.click(".finding .sentence");
    browser.wait("document.getElementById('tile-nodes-sub').innerText === '500 ICMP pairs shown'");
    picture(&mut browser, "page-1000-nodes-finding", 1280);
    no_complaint(&browser);

    let mut browser = open(&server, "#level=node", 390, true);
    picture(&mut browser, "page-1000-nodes-390-dark", 390);
    no_complaint(&browser);
}
