//! The page of a server that asks for a token.

// Each test file uses a part of what they share; in tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

mod support;

use dt_collect::http::Site;
use dt_probe::ProbeKind;
use serde_json::json;
use support::browser::Browser;
use support::eyes::{ENTER, no_complaint};
use support::mesh::{NODES, mesh, now_ms, pair, summary};
use support::server::Server;

const LIVE: &str = "document.getElementById('link').dataset.link === 'live'";

#[test]
fn the_page_asks_for_the_token_and_keeps_it_in_its_tab() {
    let matrix = mesh();
    let site = Site::new(matrix.clone()).token(Some("s3cret-token".parse().unwrap()));
    let server = Server::of(site);
    let address = format!("http://{}/", server.address);
    let mut browser = Browser::open(&address, 1280, 900, false);
    browser.wait("!document.getElementById('login').hidden");
    assert_eq!(browser.eval("document.activeElement.id"), json!("token"));
    assert_eq!(browser.eval("document.getElementById('page').hidden"), json!(true));

    browser.write("wrong");
    browser.key(ENTER.0, ENTER.1);
    browser.wait("document.getElementById('login-wrong').innerText === 'The server refuses this token.'");
    browser.eval("document.getElementById('token').value = ''");
    browser.write("s3cret-token");
    browser.key(ENTER.0, ENTER.1);
    browser.wait(LIVE);
    assert_eq!(browser.eval("document.getElementById('login').hidden"), json!(true));
    assert!(!browser.eval("location.href").as_str().unwrap().contains("s3cret"));

    // Events come too, and the tab remembers while it is open.
    let pair = pair(NODES[0], NODES[4], ProbeKind::Tcp);
    matrix.ingest(
        &summary(&pair, 10_000, now_ms() / 10_000 * 10_000, &[90_000], 0),
        now_ms(),
    );
    browser.wait("!document.getElementById('worst').innerText.includes('no answer')");
    browser.call("Page.reload", json!({}));
    browser.wait(&format!("document.readyState === 'complete' && {LIVE}"));
    // Browsers note each 401 in the log themselves.
    browser.complaints.retain(|complaint| !complaint.contains("401"));
    no_complaint(&browser);

    // Another tab doesn't know it; a link may carry it, and it leaves the address at once.
    let mut other = Browser::open(&format!("{address}#metric=loss&token=s3cret-token"), 1280, 900, false);
    other.wait(LIVE);
    assert_eq!(other.eval("location.hash"), json!("#metric=loss"));
    assert_eq!(
        other.eval("document.querySelector('[name=metric]:checked').value"),
        json!("loss")
    );
    no_complaint(&other);
}
