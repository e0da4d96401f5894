//! The page in a real browser: what is seen, pointed at, clicked and typed.

// Each test file uses a part of what they share; in tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

mod support;

use std::sync::Arc;

use dt_collect::http::Site;
use dt_collect::{Matrix, MatrixConfig};
use dt_probe::ProbeKind;
use serde_json::json;
use support::eyes::{DOWN, RIGHT, no_complaint, open, picture, point_at, rows};
use support::hour::{findings, hour, told};
use support::mesh::{HOSTILE, NODES, mesh, now_ms, pair, summary};
use support::server::Server;

#[test]
fn pointer_keys_and_selectors_show_a_pairs_numbers() {
    let server = Server::start(mesh());
    let mut browser = open(&server, "", 1280, false);

    // ICMP has no data, so the first kind that has is shown, and the note says why.
    assert!(browser.text("#notes").contains("No ICMP: this user may not"));
    assert!(browser.text("#map-title").contains("TCP p99 delay, node × node"));
    assert_eq!(
        browser.eval("document.querySelector('[name=probe]:checked').value"),
        json!("tcp")
    );

    point_at(&mut browser, "node-3", "node-4");
    assert!(browser.text("#tip").contains("p99 14.5 ms"), "{}", browser.text("#tip"));
    assert!(browser.text("#pair").contains("14.5 ms"), "{}", browser.text("#pair"));
    // As long as the pointer rests there, whatever is loaded meanwhile.
    let loaded = browser.text("#link-text");
    browser.wait(&format!(
        "document.getElementById('link-text').innerText !== {}",
        json!(loaded)
    ));
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
    assert!(browser.text("#pair").contains("45 of 50"));
    assert_eq!(
        browser.eval("location.hash"),
        json!("#level=node&probe=tcp&metric=p99&view=1m&src=node-2&dst=node-6")
    );

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
    browser.wait("document.getElementById('map-title').innerText.includes('gRPC loss')");
    assert_ne!(loss, browser.eval("document.getElementById('map').toDataURL()"));
    browser.click("#probe-icmp");
    browser.wait("document.getElementById('empty').innerText.includes('No ICMP data')");
    no_complaint(&browser);
}

#[test]
fn every_state_has_words_and_the_worst_come_first() {
    let server = Server::start(mesh());
    let mut browser = open(&server, "#metric=p99&probe=tcp&src=node-6&dst=node-1", 1280, false);
    assert!(browser.text("#pair").contains("stale"), "{}", browser.text("#pair"));
    let worst = rows(&mut browser, "#worst");
    assert_eq!(worst[0], ["node-1 → node-5", "–", "100 %", "✕ no answer"]);
    assert_eq!(worst[1], ["node-6 → node-1", "438 µs", "0 %", "╱╱ stale"]);
    assert_eq!(worst[2], ["node-3 → node-4", "14.5 ms", "0 %", "ok"]);
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
    no_complaint(&browser);
}

#[test]
fn new_records_appear_without_reloading_and_hostile_names_stay_text() {
    let matrix = Arc::new(Matrix::new(MatrixConfig::default()));
    let findings = json!([{"kind": "node_down", "subject": {"nodes": [HOSTILE]}, "summary": format!("{HOSTILE} is down"), "evidence": [HOSTILE],
        "confidence": 0.5, "since_ms": now_ms(), "pattern": null, "pairs": 1}]);
    let server = Server::of(Site::new(Arc::clone(&matrix)).findings(told(&findings, "unknown")));
    let mut browser = open(&server, "", 390, false);
    assert!(browser.text("#empty").contains("No data yet"));

    let hostile = (HOSTILE, "</script><b>z", "r");
    let now = now_ms();
    for (from, to) in [(NODES[0], hostile), (hostile, NODES[0])] {
        let pair = pair(from, to, ProbeKind::Icmp);
        matrix.ingest(&summary(&pair, 10_000, now / 10_000 * 10_000, &[50_000; 20], 0), now);
    }
    browser.wait("document.querySelectorAll('#worst tr button').length === 2");
    // What is loaded while somebody presses a button doesn't take it away.
    browser.eval("window.pressed = document.querySelector('#worst tr button'); true");
    matrix.set_notes(vec!["<b>not bold</b>".into()]);
    matrix.ingest(
        &summary(
            &pair(NODES[0], hostile, ProbeKind::Icmp),
            10_000,
            now / 10_000 * 10_000 + 10_000,
            &[90_000; 20],
            2,
        ),
        now,
    );
    browser.wait("document.getElementById('worst').innerText.includes('90.')");
    assert_eq!(browser.eval("window.pressed.isConnected"), json!(true));
    browser.click("#worst tr:nth-child(1) button");
    browser.click(".finding .sentence");
    browser.click(".finding summary");
    for place in ["#worst", "#pair", "#findings", "#live", "#from"] {
        let shown = browser.eval(&format!("document.querySelector('{place}').textContent"));
        let shown = shown.as_str().unwrap();
        assert!(
            shown.contains("<img src=x onerror=alert(1)>\u{fffd}\"'&amp;") || shown.contains("</script><b>z"),
            "{place}: {shown}"
        );
    }
    browser.click("#open");
    browser.wait("document.querySelectorAll('.direction').length === 2");
    assert!(browser.text("#pair-view-title").contains("<img src=x"));
    assert!(browser.text("#notes").contains("<b>not bold</b>"));
    assert_eq!(
        browser.eval("document.querySelectorAll('main img, main b:not(.ends b), main script').length"),
        json!(0)
    );
    no_complaint(&browser);
}

#[test]
fn levels_filters_and_search_show_a_part() {
    let server = Server::start(hour());
    let mut browser = open(&server, "", 1280, false);
    assert_eq!(browser.text("#tile-nodes-sub"), "132 ICMP pairs shown");

    browser.click("#level-zone");
    browser.wait("document.getElementById('map-title').innerText.includes('zone × zone')");
    assert_eq!(browser.text("#tile-nodes-sub"), "9 ICMP zone pairs shown");
    // A click goes one step closer: from two zones to their racks, from two racks to their nodes.
    for (from, to, level, shown) in [
        ("zone-a", "zone-c", "rack × rack", "4 ICMP rack pairs shown"),
        ("zone-a/rack-1", "zone-c/rack-5", "node × node", "4 ICMP pairs shown"),
    ] {
        let at = point_at(&mut browser, from, to);
        for kind in ["mousePressed", "mouseReleased"] {
            browser.mouse(kind, at.0, at.1);
        }
        browser.wait(&format!(
            "document.getElementById('map-title').innerText.includes('{level}')"
        ));
        assert_eq!(browser.text("#tile-nodes-sub"), shown);
    }
    assert_eq!(
        browser.eval("[...document.querySelectorAll('#from, #to')].map(select => select.selectedOptions[0].innerText)"),
        json!(["zone-a / rack-1", "zone-c / rack-5"])
    );
    // Back is back.
    browser.eval("history.back()");
    browser.wait("document.getElementById('tile-nodes-sub').innerText === '4 ICMP rack pairs shown'");
    browser.eval("history.forward()");
    browser.wait("document.getElementById('tile-nodes-sub').innerText === '4 ICMP pairs shown'");

    for select in ["from", "to"] {
        browser.eval(&format!(
            "(() => {{ const s = document.getElementById('{select}'); s.value = ''; s.dispatchEvent(new Event('change')); }})()"
        ));
    }
    browser.click("#find");
    browser.write("node-07");
    browser.wait("document.getElementById('tile-nodes-sub').innerText === '22 ICMP pairs shown'");
    assert!(
        rows(&mut browser, "#worst")
            .iter()
            .all(|row| row[0].contains("node-07"))
    );
    assert!(browser.eval("location.hash").as_str().unwrap().contains("find=node-07"));
    no_complaint(&browser);
}

#[test]
fn the_address_holds_all_that_is_shown() {
    let server = Server::of(Site::new(hour()).findings(findings()));
    let mut first = open(&server, "", 1280, false);
    first.click("#metric-loss");
    first.click("#view-10m");
    first.click("#probe-tcp");
    first.click("#level-rack");
    first.wait("document.getElementById('map-title').innerText.startsWith('TCP loss, rack')");
    first.click("#zoom-in");
    first.click(".finding .sentence");
    first.click("#worst tr:nth-child(1) button");
    let hash = first.eval("location.hash");
    let mut second = open(&server, hash.as_str().unwrap(), 1280, false);
    let told = "[document.getElementById('map-title').innerText, document.getElementById('zoom').innerText, \
         document.getElementById('pair').innerText, document.getElementById('worst').innerText, document.querySelector('[aria-pressed=true]').innerText, \
         [...document.querySelectorAll('#controls input:checked')].map(input => input.value).join()]";
    let (shown, again) = (first.eval(told), second.eval(told));
    assert_eq!(shown, again);
    assert_eq!(shown[0], "TCP loss, rack × rack, the last ten minutes");
    assert_eq!(shown[5], "loss,10m,tcp,rack");
    assert_eq!(second.eval("location.hash"), hash);
    no_complaint(&second);
}

#[test]
fn what_a_link_cannot_mean_is_left_out() {
    let server = Server::start(hour());
    for hash in [
        "#from=%25zz",
        "#to=%25zz",
        "#from=%25&to=a%2Fb%2Fc%2Fd",
        "#level=x&probe=x&metric=x&view=x&zoom=x&open=1",
    ] {
        let mut browser = open(&server, hash, 1280, false);
        assert_eq!(browser.text("#tile-nodes-sub"), "132 ICMP pairs shown", "{hash}");
        assert_eq!(browser.eval("document.getElementById('frame').hidden"), json!(false));
        assert!(!browser.text("#link").contains("unreachable"), "{hash}");
        no_complaint(&browser);
    }
    // A place as people write it.
    let mut browser = open(&server, "#from=/zone%2Da&to=%2F%257aone-c", 1280, false);
    assert_eq!(browser.text("#tile-nodes-sub"), "16 ICMP pairs shown");
    no_complaint(&browser);
}

#[test]
fn a_fault_of_the_page_is_not_called_one_of_the_server() {
    let matrix = mesh();
    let server = Server::start(Arc::clone(&matrix));
    let mut browser = open(&server, "", 1280, false);
    let before = browser.text("#link-text");
    browser.eval("document.getElementById('legend').remove()");
    matrix.set_notes(vec!["Said after it broke.".into()]);
    browser.wait("document.getElementById('notes').innerText === 'Said after it broke.'");
    browser.wait(&format!(
        "document.getElementById('link-text').innerText !== {}",
        json!(before)
    ));
    assert_eq!(
        browser.eval("document.getElementById('link').dataset.link"),
        json!("live")
    );
}

#[test]
fn readable_at_both_widths_and_in_both_themes() {
    let server = Server::of(Site::new(hour()).findings(findings()));
    for (width, dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
        let mut browser = open(&server, "#src=node-02&dst=node-10", width, dark);
        let map = browser
            .eval("document.getElementById('map').getBoundingClientRect().width")
            .as_f64()
            .unwrap();
        assert!(
            map > 200.0 && map <= f64::from(width),
            "the map is {map} pixels wide at {width}"
        );
        let theme = if dark { "dark" } else { "light" };
        picture(&mut browser, &format!("page-{width}-{theme}"), width);
        no_complaint(&browser);
    }
}
