//! The pair's own view: numbers and charts of both directions.

// Each test file uses a part of what they share; in tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

mod support;

use dt_collect::http::Site;
use serde_json::json;
use support::eyes::{DOWN, ENTER, ESCAPE, RIGHT, no_complaint, open, picture, point_at, rows};
use support::hour::{findings, hour};
use support::mesh::mesh;
use support::server::Server;

#[test]
fn a_click_or_enter_opens_the_pair_and_escape_leads_back() {
    let server = Server::start(hour());
    let mut browser = open(&server, "", 1280, false);
    let at = point_at(&mut browser, "node-02", "node-10");
    for kind in ["mousePressed", "mouseReleased"] {
        browser.mouse(kind, at.0, at.1);
    }
    browser.wait("document.querySelectorAll('.direction').length === 2");
    assert_eq!(browser.text("#pair-view-title"), "node-02 ⇄ node-10");
    assert_eq!(browser.eval("document.activeElement.id"), json!("pair-view-title"));
    assert_eq!(browser.eval("document.getElementById('map-view').hidden"), json!(true));
    assert!(
        browser
            .eval("location.hash")
            .as_str()
            .unwrap()
            .ends_with("&src=node-02&dst=node-10&open=1")
    );

    browser.key(ESCAPE.0, ESCAPE.1);
    browser.wait("!document.getElementById('map-view').hidden");
    assert_eq!(browser.eval("document.activeElement.id"), json!("map"));
    // The cursor is where it was.
    browser.key(DOWN.0, DOWN.1);
    browser.key(RIGHT.0, RIGHT.1);
    assert!(browser.text("#live").starts_with("node-03 to node-11, ICMP"));
    browser.key(ENTER.0, ENTER.1);
    browser.wait("document.getElementById('pair-view-title').innerText === 'node-03 ⇄ node-11'");
    browser.wait("document.querySelectorAll('.direction').length === 2");
    browser.eval("history.back()");
    browser.wait("!document.getElementById('map-view').hidden");
    no_complaint(&browser);
}

#[test]
fn both_directions_stand_side_by_side_with_numbers_charts_and_ports() {
    let server = Server::of(Site::new(hour()).findings(findings()));
    let mut browser = open(
        &server,
        "#probe=tcp&view=1h&src=node-02&dst=node-10&open=1",
        1280,
        false,
    );
    browser.wait("document.querySelectorAll('.direction .uplot').length === 6");
    let [there, back] = [1, 2].map(|at| format!(".direction:nth-child({at})"));
    assert!(
        browser
            .text(&format!("{there} .state"))
            .contains("TCP: answers, with loss, failing since")
    );
    assert_eq!(browser.text(&format!("{back} .state")), "TCP: answers");
    for direction in [&there, &back] {
        let kinds = rows(&mut browser, &format!("{direction} .scroll tbody"));
        let names: Vec<&str> = kinds.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(names, ["ICMP", "TCP", "gRPC"]);
        assert!(
            kinds
                .iter()
                .all(|row| row.len() == 9 && row.iter().all(|cell| cell != "–")),
            "{kinds:?}"
        );
    }
    let ports = rows(&mut browser, &format!("{there} .flows tbody"));
    assert_eq!((ports.len(), ports[0][0].as_str()), (3, "TCP 41001"), "{ports:?}");
    assert!(
        browser
            .text(&format!("{back} .flows"))
            .contains("No loss on any: 60 TCP source ports")
    );

    // The pointer in a chart reads its values off, in the same chart of the other direction too.
    let over = browser.eval(&format!(
        "(() => {{ const b = document.querySelector('{there} .u-over').getBoundingClientRect(); return [b.x + b.width * 0.9, b.y + b.height / 2]; }})()"
    ));
    browser.mouse("mouseMoved", over[0].as_f64().unwrap(), over[1].as_f64().unwrap());
    let legend = |direction: &str| {
        format!(
            "Object.fromEntries([...document.querySelectorAll('{direction} figure:first-of-type .u-legend tr')]\
             .map(row => [row.querySelector('.u-label').innerText, row.querySelector('.u-value').innerText]))"
        )
    };
    for direction in [&there, &back] {
        browser.wait(&format!("{}['p99'] !== '–'", legend(direction)));
        let values = browser.eval(&legend(direction));
        for name in ["p50", "p90", "p99", "p99.9", "host p99"] {
            assert!(values[name].as_str().unwrap().ends_with('s'), "{direction}: {values}");
        }
    }
    browser.mouse("mouseMoved", 5.0, 5.0);
    picture(&mut browser, "page-pair-1280-light", 1280);
    no_complaint(&browser);

    for (width, dark) in [(1280, true), (390, false), (390, true)] {
        let mut browser = open(
            &server,
            "#probe=icmp&view=10m&src=node-02&dst=node-10&open=1",
            width,
            dark,
        );
        browser.wait("document.querySelectorAll('.direction .uplot').length === 6");
        // All nine numbers of each kind are seen without moving anything, on one line with what they are.
        let cells = browser.eval(
            "[...document.querySelectorAll('.direction .scroll')].map(box => [...box.querySelectorAll('tr')].map(row => [...row.cells].map(cell => { \
             const at = cell.getBoundingClientRect(), frame = box.getBoundingClientRect(); \
             return [at.left >= frame.left - 1 && at.right <= frame.right + 1 && cell.scrollWidth <= cell.clientWidth + 1, at.left, at.top]; })))",
        );
        assert_eq!(cells.as_array().unwrap().len(), 2);
        for rows in cells.as_array().unwrap() {
            let rows = rows.as_array().unwrap();
            assert_eq!(rows.len(), 4);
            for (row, number) in rows.iter().flat_map(|row| (0..9).map(move |number| (row, number))) {
                assert_eq!(
                    row[number][0],
                    json!(true),
                    "number {number} is cut off at {width}: {row}"
                );
                let [across, down] = [1, 2].map(|axis| row[number][axis] == rows[0][number][axis]);
                assert!(
                    across || down,
                    "number {number} stands beside its name at {width}: {rows:?}"
                );
            }
        }
        let theme = if dark { "dark" } else { "light" };
        picture(&mut browser, &format!("page-pair-{width}-{theme}"), width);
        no_complaint(&browser);
    }
}

#[test]
fn what_is_not_measured_is_said() {
    let server = Server::start(mesh());
    let mut browser = open(&server, "#probe=tcp&src=node-6&dst=node-2&open=1", 1280, false);
    browser.wait("document.querySelectorAll('.direction').length === 2");
    assert_eq!(browser.text(".direction .state"), "TCP: no data yet");
    for (hash, words) in [
        ("probe=tcp&src=node-1&dst=node-5", "TCP: no answer to any probe"),
        ("probe=icmp&src=node-1&dst=node-2", "ICMP: not probed"),
        (
            "probe=tcp&src=node-1&dst=nobody",
            "Neither direction is known: not probed",
        ),
        ("probe=tcp&src=node-6&dst=node-1", "TCP: stale"),
    ] {
        browser.eval(&format!("location.hash = '{hash}&open=1'"));
        browser.wait(&format!(
            "document.getElementById('directions').innerText.includes({})",
            json!(words)
        ));
    }
    // What isn't there answers 404, which browsers write into the log themselves.
    browser.complaints.retain(|complaint| !complaint.contains("404"));
    no_complaint(&browser);
}
