//! News reach the page by the stream of events. Everywhere else a page that asks every five seconds would do as well.

// Each test file uses a part of what they share; in tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

mod support;

use std::sync::Arc;

use dt_collect::http::Site;
use serde_json::json;
use support::browser::Browser;
use support::eyes::no_complaint;
use support::hour::found;
use support::mesh::{mesh, now_ms};
use support::server::Server;
use tokio::sync::watch;

/// Nothing is asked for by the clock.
const NO_POLLING: &str = "window.setInterval = () => 0";

#[test]
fn what_is_new_comes_by_events_alone() {
    let matrix = mesh();
    let (tell, findings) = watch::channel(found(&json!([]), "normal"));
    let server = Server::of(Site::new(Arc::clone(&matrix)).findings(findings));
    let mut browser = Browser::start(1280, 900, false);
    browser.call("Page.addScriptToEvaluateOnNewDocument", json!({"source": NO_POLLING}));
    browser.go(&format!("http://{}/", server.address));
    browser.wait("document.getElementById('link').dataset.link === 'live'");
    assert_eq!(browser.eval("window.setInterval(() => {}, 1)"), json!(0));

    // The stream begins with an event, which may bring the first of these; only further ones bring the others.
    for said in ["one", "two", "three"] {
        matrix.set_notes(vec![said.to_owned()]);
        browser.wait(&format!(
            "document.getElementById('notes').innerText === {}",
            json!(said)
        ));
    }
    // What was found is news without a record.
    let finding = json!([{"kind": "rack", "subject": {"racks": ["zone-a/r1"]}, "summary": "It is the rack", "evidence": [],
        "confidence": 0.9, "since_ms": now_ms(), "pattern": null, "pairs": 1}]);
    tell.send_replace(found(&finding, "unknown"));
    browser.wait("document.getElementById('findings').innerText.includes('It is the rack')");
    no_complaint(&browser);
}
