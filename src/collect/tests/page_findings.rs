//! The verdict on top of the page: whether the network is at fault, where, since when.

// Each test file uses a part of what they share; in tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

mod support;

use std::sync::Arc;

use dt_collect::diagnosis::{Findings, ReadShare};
use dt_collect::http::Site;
use dt_collect::{Matrix, MatrixConfig};
use dt_probe::ProbeKind;
use serde_json::{Value, json};
use support::browser::Browser;
use support::eyes::{colour_of, no_complaint, open, picture, point_at, rows};
use support::hour::{FAULT, findings, found, hour, told};
use support::mesh::{NODES, mesh, now_ms, pair, summary};
use support::server::Server;
use tokio::sync::watch;

fn finding(kind: &str, nodes: &[&str]) -> Value {
    json!({"kind": kind, "subject": {"nodes": nodes}, "summary": format!("{kind} of {nodes:?}"), "evidence": ["one", "two"],
        "confidence": 0.905, "since_ms": now_ms() - 300_000, "pattern": null, "pairs": 1})
}

fn verdict(browser: &mut Browser) -> (String, String) {
    (
        browser
            .eval("document.getElementById('verdict').dataset.verdict")
            .as_str()
            .unwrap()
            .to_owned(),
        browser.text("#verdict-head"),
    )
}

#[test]
fn the_verdict_says_who_is_at_fault() {
    let (tell, findings) = watch::channel(found(&json!([]), "normal"));
    let server = Server::of(Site::new(mesh()).findings(findings));
    let mut browser = open(&server, "", 1280, false);
    assert_eq!(verdict(&mut browser), ("none".into(), "No fault found".into()));
    assert_eq!(browser.eval("document.getElementById('findings').hidden"), json!(true));
    assert!(
        browser
            .eval("document.title")
            .as_str()
            .unwrap()
            .starts_with("No fault found")
    );
    picture(&mut browser, "page-no-fault", 1280);

    for (kinds, how, words) in [
        (vec!["node_slow"], "host", "A host is at fault, not the network"),
        (vec!["node_slow", "rack"], "network", "The network is at fault"),
        (
            vec!["grpc_failing", "node_silent"],
            "host",
            "A host is at fault, not the network",
        ),
        (
            vec!["collector_blind"],
            "measurement",
            "The measurement is at fault: the network can't be judged",
        ),
    ] {
        // Without a new record: what was found is news by itself.
        let all: Vec<Value> = kinds.iter().map(|kind| finding(kind, &["node-1"])).collect();
        tell.send_replace(found(&json!(all), "normal"));
        browser.wait(&format!(
            "document.getElementById('verdict-head').innerText === {}",
            json!(words)
        ));
        browser.wait(&format!(
            "document.querySelectorAll('.finding').length === {}",
            kinds.len()
        ));
        assert_eq!(verdict(&mut browser).0, how);
        assert!(
            browser.text("#verdict-since").starts_with("since ") && browser.text("#verdict-since").contains("(5 min)")
        );
        assert!(
            browser.text(".finding .meta").contains("91 % sure"),
            "{}",
            browser.text(".finding .meta")
        );
    }
    no_complaint(&browser);
}

#[test]
fn times_are_utc_with_the_date_of_another_utc_day() {
    const MINUTE: u64 = 60_000;
    /// The midnight between New Year's Eve and the first of January 2024, in UTC.
    const MIDNIGHT: u64 = 1_704_067_200_000;
    let say = |since_ms, now_ms| {
        let finding = json!([{"kind": "rack", "subject": {"racks": ["zone-a/r1"]}, "summary": "", "evidence": [],
            "confidence": 0.9, "since_ms": since_ms, "pattern": null, "pairs": 1}]);
        Arc::new(Findings {
            now_ms,
            ..Findings::clone(&found(&finding, "unknown"))
        })
    };
    let at_midnight = say(MIDNIGHT - 30 * MINUTE, MIDNIGHT + 10 * MINUTE);
    let (tell, findings) = watch::channel(Arc::clone(&at_midnight));
    let server = Server::of(Site::new(mesh()).findings(findings));
    // In each of them other moments are of one day.
    for place in ["America/Los_Angeles", "Asia/Tokyo", "UTC"] {
        let mut browser = Browser::start(1280, 900, false);
        browser.call("Emulation.setTimezoneOverride", json!({"timezoneId": place}));
        browser.go(&format!("http://{}/", server.address));
        for (findings, since) in [
            (at_midnight.clone(), "since 2023-12-31 23:30:00 UTC (40 min)"),
            // Around midnight in Los Angeles, and around midnight in Tokyo.
            (
                say(MIDNIGHT + 470 * MINUTE, MIDNIGHT + 490 * MINUTE),
                "since 07:50:00 UTC (20 min)",
            ),
            (
                say(MIDNIGHT + 890 * MINUTE, MIDNIGHT + 910 * MINUTE),
                "since 14:50:00 UTC (20 min)",
            ),
        ] {
            tell.send_replace(findings);
            let length = &since[since.find('(').unwrap()..];
            let start = &since[since.find(" UTC").unwrap() - 8..][..8];
            browser.wait(&format!(
                "['{start}', '{length}'].every(part => document.getElementById('verdict-since').innerText.includes(part))"
            ));
            assert_eq!(browser.text("#verdict-since"), since, "{place}");
        }
        tell.send_replace(Arc::clone(&at_midnight));
        no_complaint(&browser);
    }
}

#[test]
fn without_records_or_without_an_answer_nothing_is_called_good() {
    let empty = Arc::new(Matrix::new(MatrixConfig::default()));
    let server = Server::of(Site::new(empty).findings(told(&json!([]), "normal")));
    let mut browser = open(&server, "", 1280, false);
    assert_eq!(verdict(&mut browser), ("unknown".into(), "No verdict yet".into()));
    // Nobody looks for faults here.
    let mut server = Server::start(mesh());
    let mut browser = open(&server, "", 1280, false);
    assert_eq!(verdict(&mut browser), ("unknown".into(), "No verdict".into()));
    assert!(browser.text("#verdict-since").contains("doesn't look for faults"));
    no_complaint(&browser);
    // What was last known stays, marked as such.
    server.stop();
    browser.wait("document.getElementById('link').dataset.link === 'lost'");
    assert!(browser.text("#link").contains("server unreachable: all this is"));
    assert_eq!(
        browser.eval("document.getElementById('verdict').dataset.link"),
        json!("lost")
    );
}

#[test]
fn what_is_not_judged_or_read_by_others_is_not_called_good() {
    // node-1 probes node-2 and node-2 probes node-3: of other pairs nothing is known.
    let matrix = Arc::new(Matrix::new(MatrixConfig::default()));
    let now = now_ms();
    for at in [0, 1] {
        let told = pair(NODES[at], NODES[at + 1], ProbeKind::Icmp);
        matrix.ingest(&summary(&told, 10_000, now / 10_000 * 10_000, &[50_000; 20], 0), now);
    }
    let say = |judged, share: Option<(usize, usize)>, findings: &Value| {
        let share = share.map(|(read, of)| ReadShare { read, of });
        Arc::new(Findings {
            judged,
            share,
            ..Findings::clone(&found(findings, "normal"))
        })
    };
    let (tell, findings) = watch::channel(say(true, Some((12, 12)), &json!([])));
    let server = Server::of(Site::new(matrix).findings(findings));
    let mut browser = open(&server, "#probe=icmp&src=node-1&dst=node-3", 1280, false);
    assert_eq!(verdict(&mut browser), ("none".into(), "No fault found".into()));
    assert!(browser.text("#legend").contains("not probed"));
    assert!(browser.text("#pair").contains("ICMP: not probed"));

    let none = json!([]);
    let fault = json!([finding("rack", &["node-1"])]);
    let part = "No fault in the 4 of 12 partitions read here";
    for (judged, share, found, how, head) in [
        (false, None, &none, "unknown", "No verdict yet"),
        (true, None, &none, "none", "No fault found"),
        (false, Some((4, 12)), &none, "unknown", "No verdict yet"),
        (true, Some((4, 12)), &fault, "network", "The network is at fault"),
        (true, Some((4, 12)), &none, "part", part),
    ] {
        tell.send_replace(say(judged, share, found));
        browser.wait(&format!(
            "document.getElementById('verdict-head').innerText === {}",
            json!(head)
        ));
        assert_eq!(verdict(&mut browser).0, how);
        // Green says that all is well, and nothing else does.
        let [good, ground] = ["--good-ground", "background-color"].map(|name| {
            let style = "getComputedStyle(document.querySelector('#verdict .head'))";
            browser.eval(&format!("{style}.getPropertyValue('{name}')"))
        });
        assert_eq!(
            (good, ground == "rgb(226, 244, 238)"),
            (json!("#e2f4ee"), how == "none"),
            "{head}"
        );
    }
    assert!(
        browser
            .text("#verdict-since")
            .starts_with("Other collectors see the rest.")
    );
    assert!(browser.eval("document.title").as_str().unwrap().starts_with(part));
    picture(&mut browser, "page-part", 1280);

    // Pairs that aren't there are read by others.
    for place in ["#legend", "#pair"] {
        let shown = browser.text(place);
        assert!(
            shown.contains("not read here") && !shown.contains("not probed"),
            "{place}: {shown}"
        );
    }
    point_at(&mut browser, "node-2", "node-1");
    assert_eq!(browser.text("#tip"), "node-2 to node-1, ICMP: not read here.");
    browser.click("#probe-tcp");
    browser.wait("document.getElementById('empty').innerText === 'No TCP data: none is read here.'");
    browser.eval("location.hash = 'probe=icmp&src=node-1&dst=node-2&open=1'");
    browser.wait("document.querySelectorAll('.direction').length === 2");
    assert!(
        browser
            .text(".direction:nth-child(2)")
            .contains("This direction is not read here.")
    );
    no_complaint(&browser);
}

#[test]
fn a_finding_shows_its_evidence_and_points_out_its_nodes() {
    let matrix = hour();
    let server = Server::of(Site::new(Arc::clone(&matrix)).findings(findings()));
    let mut browser = open(&server, "", 1280, false);
    assert_eq!(browser.text("#verdict-head"), "The network is at fault");
    let since = browser.text("#verdict-since");
    assert!(
        since.contains(&format!("({} min)", FAULT / 60_000)) && since.contains("spine failure"),
        "{since}"
    );

    let inside = colour_of(&mut browser, "node-03", "node-11");
    let outside = colour_of(&mut browser, "node-11", "node-03");
    browser.click("#findings li:nth-child(1) .sentence");
    assert_eq!(browser.text("#tile-nodes-sub"), "16 ICMP pairs shown");
    assert_eq!(colour_of(&mut browser, "node-03", "node-11"), inside);
    assert_ne!(colour_of(&mut browser, "node-11", "node-03"), outside);
    assert!(rows(&mut browser, "#worst").iter().all(|row| row[3] == "◥ loss"));
    picture(&mut browser, "page-finding", 1280);

    // What was opened stays open while records come and the numbers in it move on.
    browser.click("#findings li:nth-child(2) summary");
    browser.click("#findings li:nth-child(2) .sentence");
    assert_eq!(browser.text("#tile-nodes-sub"), "22 ICMP pairs shown");
    let clock = browser.text("#link-text");
    let told = pair(NODES[0], NODES[1], ProbeKind::Icmp);
    matrix.ingest(
        &summary(&told, 10_000, now_ms() / 10_000 * 10_000, &[90_000], 0),
        now_ms(),
    );
    browser.wait(&format!(
        "document.getElementById('link-text').innerText !== {}",
        json!(clock)
    ));
    assert!(
        browser
            .text("#findings li:nth-child(2) details ul")
            .contains("host delay p99 of all 11 pairs")
    );
    // Again: no more.
    browser.click("#findings li:nth-child(2) .sentence");
    assert_eq!(
        browser.eval("document.querySelectorAll('[aria-pressed=true]').length"),
        json!(0)
    );
    no_complaint(&browser);
}
