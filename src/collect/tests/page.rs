//! The page in a real browser: what is seen, pointed at, clicked and typed.

// Each test file uses a part of what they share; in tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

mod support;

use std::sync::Arc;

use dt_collect::{Matrix, MatrixConfig};
use dt_probe::ProbeKind;
use serde_json::json;
use support::browser::Browser;
use support::mesh::{HOSTILE, NODES, mesh, now_ms, pair, summary};
use support::server::Server;

const RIGHT: (&str, u32) = ("ArrowRight", 39);
const DOWN: (&str, u32) = ("ArrowDown", 40);

fn open(server: &Server, hash: &str, width: u32, dark: bool) -> Browser {
    let mut browser = Browser::open(&format!("http://{}/{hash}", server.address), width, 900, dark);
    browser.wait("document.getElementById('link').dataset.link === 'live'");
    browser
}

/// Where the cell of two nodes (by index) lies: both zones' strips and the gap between zones are found by asking the
/// page which cell a point belongs to, as a person with a pointer does.
fn point_at(browser: &mut Browser, source: &str, destination: &str) {
    let frame = browser.eval(
        "(() => { const c = document.getElementById('map'); c.scrollIntoView({block: 'center'}); \
         const b = c.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })()",
    );
    let [x, y, width, height] = [0, 1, 2, 3].map(|i| frame[i].as_f64().unwrap());
    let wanted = format!("{source} to {destination},");
    for down in 1..16 {
        for right in 1..16 {
            browser.mouse(
                "mouseMoved",
                x + width * f64::from(right) / 16.0,
                y + height * f64::from(down) / 16.0,
            );
            let tip = browser.eval("document.getElementById('tip').textContent");
            if tip.as_str().unwrap().starts_with(&wanted) {
                return;
            }
        }
    }
    panic!("no point of the map belongs to {source} -> {destination}");
}

#[test]
fn pointer_keys_and_selectors_show_a_pairs_numbers() {
    let server = Server::start(mesh());
    let mut browser = open(&server, "", 1280, false);

    // ICMP has no data, so the first kind that has is shown, and the note says why.
    assert!(browser.text("#notes").contains("No ICMP: this user may not"));
    assert!(browser.text("#map-title").contains("TCP p99 delay"));
    assert_eq!(
        browser.eval("document.querySelector('[name=probe]:checked').value"),
        json!("tcp")
    );

    point_at(&mut browser, "node-3", "node-4");
    assert!(browser.text("#tip").contains("p99 14.5 ms"), "{}", browser.text("#tip"));
    assert!(browser.text("#pair").contains("14.5 ms"), "{}", browser.text("#pair"));

    // By keyboard: the first key shows the cursor at the first pair, the next ones move it.
    browser.eval("document.getElementById('map').focus()");
    browser.key(RIGHT.0, RIGHT.1);
    assert!(
        browser.text("#live").starts_with("node-1 to node-2, TCP: answers."),
        "{}",
        browser.text("#live")
    );
    for _ in 0..3 {
        browser.key(RIGHT.0, RIGHT.1);
    }
    assert!(
        browser
            .text("#live")
            .starts_with("node-1 to node-5, TCP: no answer to any probe.")
    );
    browser.key(DOWN.0, DOWN.1);
    browser.key(RIGHT.0, RIGHT.1);
    let told = browser.text("#live");
    assert!(told.starts_with("node-2 to node-6, TCP: answers, with loss."), "{told}");
    assert!(told.contains("loss 10 %") && told.contains("45 of 50"), "{told}");
    assert!(browser.text("#pair").contains("5 lost"));
    let hash = browser.eval("location.hash");
    assert_eq!(hash, json!("#metric=p99&probe=tcp&src=node-2&dst=node-6"));

    // Another metric and another kind repaint the map.
    let before = browser.eval("document.getElementById('map').toDataURL()");
    browser.click("#metric-loss");
    assert!(browser.text("#map-title").contains("TCP loss"));
    assert!(
        browser.text("#legend").contains("≤ 0.1 %"),
        "{}",
        browser.text("#legend")
    );
    let loss = browser.eval("document.getElementById('map').toDataURL()");
    assert_ne!(before, loss);
    browser.click("#probe-grpc");
    assert!(browser.text("#map-title").contains("gRPC loss"));
    assert_ne!(loss, browser.eval("document.getElementById('map').toDataURL()"));
    browser.click("#probe-icmp");
    assert!(browser.text("#empty").contains("No ICMP data"));

    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn every_state_has_words_and_the_worst_come_first() {
    let server = Server::start(mesh());
    let mut browser = open(&server, "#metric=p99&probe=tcp&src=node-6&dst=node-1", 1280, false);
    assert!(browser.text("#pair").contains("stale"), "{}", browser.text("#pair"));
    let worst = browser.eval(
        "[...document.querySelectorAll('#worst tr')].map(r => [r.cells[0].innerText, r.cells[1].innerText, r.cells[8].innerText])",
    );
    assert_eq!(worst[0], json!(["node-1", "node-5", "✕ no answer"]));
    assert_eq!(worst[1], json!(["node-6", "node-1", "╱╱ stale"]));
    assert_eq!(worst[2], json!(["node-3", "node-4", "ok"]));
    assert_eq!(browser.text("#tile-worst"), "no answer");
    assert_eq!(browser.text("#tile-stale"), "1");

    for (hash, words) in [
        ("node-6&dst=node-2", "no data yet"),
        ("node-1&dst=node-5", "no answer to any probe"),
        ("node-2&dst=node-2", "The node itself"),
    ] {
        browser.eval(&format!("location.hash = 'metric=p99&probe=tcp&src={hash}'"));
        browser.wait(&format!(
            "document.getElementById('pair').innerText.includes({})",
            json!(words)
        ));
    }
    // A row of the table leads to its cell.
    browser.click("#worst tr:nth-child(3) button");
    assert!(browser.text("#pair").contains("node-3"));
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn new_records_appear_without_reloading_and_hostile_names_stay_text() {
    let matrix = Arc::new(Matrix::new(MatrixConfig::default()));
    let server = Server::start(Arc::clone(&matrix));
    let mut browser = open(&server, "", 390, false);
    assert!(browser.text("#empty").contains("No data yet"));

    let hostile = (HOSTILE, "</script><b>z", "r");
    let now = now_ms();
    for (from, to) in [(NODES[0], hostile), (hostile, NODES[0])] {
        let pair = pair(from, to, ProbeKind::Icmp);
        matrix.ingest(&summary(&pair, 10_000, now / 10_000 * 10_000, &[50_000; 20], 0), now);
    }
    matrix.set_notes(vec!["<b>not bold</b>".into()]);
    browser.wait("document.querySelectorAll('#worst tr button').length === 2");
    browser.click("#worst tr:nth-child(1) button");
    assert!(
        browser
            .text("#worst")
            .contains("<img src=x onerror=alert(1)>\u{fffd}\"'&amp;")
    );
    assert!(browser.text("#notes").contains("<b>not bold</b>"));
    assert_eq!(
        browser.eval("document.querySelectorAll('main img, main b:not(.node), main script').length"),
        json!(0)
    );
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn readable_at_both_widths_and_in_both_themes() {
    let server = Server::start(mesh());
    for (width, dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
        let mut browser = open(&server, "#metric=p99&probe=tcp&src=node-2&dst=node-6", width, dark);
        // Nothing is wider than the window but what scrolls within its own frame.
        let wide = browser.eval("document.documentElement.scrollWidth");
        assert!(
            wide.as_u64().unwrap() <= u64::from(width),
            "{wide} pixels wide at {width}"
        );
        let map = browser
            .eval("document.getElementById('map').getBoundingClientRect().width")
            .as_f64()
            .unwrap();
        assert!(
            map > 200.0 && map <= f64::from(width),
            "the map is {map} pixels wide at {width}"
        );
        let shot = browser.screenshot(&format!("page-{width}-{}", if dark { "dark" } else { "light" }));
        println!("{}", shot.display());
        assert_eq!(browser.complaints, Vec::<String>::new());
    }
}

#[test]
fn a_thousand_nodes_fit_on_the_map() {
    let matrix = Arc::new(Matrix::new(MatrixConfig::default()));
    let names: Vec<String> = (0..1000).map(|i| format!("n{i:04}")).collect();
    let now = now_ms();
    // A ring with a few neighbours each: 1,000 x 1,000 cells, of which 5,000 carry numbers.
    for (s, source) in names.iter().enumerate() {
        for step in 1..=5 {
            let to = (s + step) % names.len();
            let zones = ["za", "zb", "zc"];
            let pair = pair(
                (source, zones[s % 3], ""),
                (&names[to], zones[to % 3], ""),
                ProbeKind::Icmp,
            );
            matrix.ingest(
                &summary(&pair, 10_000, now / 10_000 * 10_000, &[30_000 * step as u64], 0),
                now,
            );
        }
    }
    let server = Server::start(matrix);
    let mut browser = open(&server, "", 1280, false);
    browser.wait("document.getElementById('tile-nodes').innerText === '1000'");
    let size = browser.eval("[document.getElementById('map').width, document.getElementById('map').height]");
    assert!(
        size[0].as_u64().unwrap() >= 1000 && size[1].as_u64().unwrap() >= 1000,
        "{size}"
    );
    browser.eval("document.getElementById('map').focus()");
    browser.key(RIGHT.0, RIGHT.1);
    assert!(
        browser.text("#live").starts_with("n0000 to "),
        "{}",
        browser.text("#live")
    );
    browser.screenshot("page-1000-nodes");
    assert_eq!(browser.complaints, Vec::<String>::new());
}
