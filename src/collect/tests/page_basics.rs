//! What an audit of a page's basics looks for: names, headings, contrast, focus.

// Each test file uses a part of what they share; in tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

mod support;

use dt_collect::http::Site;
use serde_json::json;
use support::browser::Browser;
use support::eyes::{TAB, no_complaint, open, point_at};
use support::hour::{findings, hour, told};
use support::mesh::mesh;
use support::server::Server;

const AUDIT: &str = include_str!("support/audit.js");

fn audit(browser: &mut Browser, what: &str) {
    let wrong = browser.eval(AUDIT);
    assert_eq!(wrong, json!([]), "{what}");
}

#[test]
fn names_headings_and_contrast_hold_in_every_state_and_theme() {
    let busy = Server::of(Site::new(hour()).findings(findings()));
    let calm = Server::of(Site::new(mesh()).findings(told(&json!([]), "normal")));
    let shut = Server::of(Site::new(mesh()).token(Some("s3cret".parse().unwrap())));
    for dark in [false, true] {
        for (width, hash) in [(1280, "#src=node-02&dst=node-10"), (390, "#level=zone")] {
            let mut browser = open(&busy, hash, width, dark);
            browser.click(".finding summary");
            browser.click(".finding .sentence");
            audit(&mut browser, &format!("{width} dark {dark}"));
            no_complaint(&browser);
        }
        let mut browser = open(&busy, "#probe=tcp&src=node-02&dst=node-10&open=1", 1280, dark);
        browser.wait("document.querySelectorAll('.direction .uplot').length === 6");
        audit(&mut browser, "pair");
        let mut browser = open(&calm, "#probe=tcp&src=node-6&dst=node-1", 1280, dark);
        audit(&mut browser, "no fault");
        point_at(&mut browser, "node-1", "node-5");
        audit(&mut browser, "pointed at");
        let mut browser = Browser::open(&format!("http://{}/", shut.address), 390, 800, dark);
        browser.wait("!document.getElementById('login').hidden");
        audit(&mut browser, "token");
    }
}

#[test]
fn the_audit_finds_what_it_looks_for() {
    let server = Server::start(mesh());
    let mut browser = open(&server, "", 1280, false);
    audit(&mut browser, "as it is");
    for (spoil, word) in [
        ("document.documentElement.lang = ''", "no lang"),
        ("document.querySelector('#find').labels[0].remove()", "no name"),
        (
            "document.querySelector('#zoom-in').removeAttribute('aria-label'), document.querySelector('#zoom-in').textContent = ''",
            "no name",
        ),
        ("document.querySelector('#about').style.color = '#999'", "contrast"),
        ("document.querySelector('#map').tabIndex = 3", "tabindex above 0"),
        ("document.querySelector('#tip').id = 'map'", "is there twice"),
        (
            "document.querySelector('#map-title').outerHTML = '<h5>x</h5>'",
            "heading skips",
        ),
    ] {
        browser.eval(&format!("{spoil}, 0"));
        let wrong = browser.eval(AUDIT).to_string();
        assert!(wrong.contains(word), "{spoil}: {wrong}");
    }
}

#[test]
fn the_keyboard_reaches_everything_in_order_and_is_seen() {
    let server = Server::of(Site::new(hour()).findings(findings()));
    let mut browser = open(&server, "#src=node-02&dst=node-10", 1280, false);
    let mut reached = Vec::new();
    for _ in 0..40 {
        browser.key(TAB.0, TAB.1);
        let at = browser.eval(
            "(() => { const e = document.activeElement; if (e === document.body) return null; \
             const shown = e.type === 'radio' ? e.labels[0] : e; const style = getComputedStyle(shown); \
             return {id: e.id || e.className || e.localName, name: e.name ?? '', outline: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2}; })()",
        );
        if at.is_null() {
            break;
        }
        assert_eq!(at["outline"], json!(true), "the focus of {at} isn't seen");
        let name = at["name"].as_str().filter(|name| !name.is_empty());
        reached.push(name.unwrap_or(at["id"].as_str().unwrap()).to_owned());
    }
    let places: Vec<usize> = [
        "sentence", "summary", "metric", "view", "probe", "level", "from", "to", "find", "zoom-out", "zoom-in", "map",
        "open",
    ]
    .iter()
    .map(|wanted| {
        reached
            .iter()
            .position(|at| at == wanted)
            .unwrap_or_else(|| panic!("{wanted} isn't reached: {reached:?}"))
    })
    .collect();
    assert!(places.is_sorted(), "{reached:?}");
    no_complaint(&browser);
}
