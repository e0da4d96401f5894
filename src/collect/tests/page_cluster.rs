//! The page with what real clusters have: names as long as a cloud gives them, and groups of which a part is silent.

// Each test file uses a part of what they share; in tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

mod support;

use std::sync::Arc;

use dt_collect::Matrix;
use dt_probe::ProbeKind;
use serde_json::{Value, json};
use support::browser::Browser;
use support::eyes::{no_complaint, open, picture, rows};
use support::mesh::{PATIENT, mesh, now_ms, pair, summary};
use support::server::Server;

/// Twelve nodes with these names in three zones, all in order by ICMP.
fn cluster(name: impl Fn(usize) -> String) -> Arc<Matrix> {
    let matrix = Arc::new(Matrix::new(PATIENT));
    let now = now_ms();
    let node = |number: usize| {
        let zone = format!("europe-west1-{}", ["b", "c", "d"][number / 4]);
        (name(number), zone, format!("rack-{}", number / 2 + 1))
    };
    for (s, source) in (0..12).map(node).enumerate() {
        for (d, destination) in (0..12).map(node).enumerate().filter(|(d, _)| *d != s) {
            let told = pair(
                (&source.0, &source.1, &source.2),
                (&destination.0, &destination.1, &destination.2),
                ProbeKind::Icmp,
            );
            let rtts: Vec<u64> = (0..10)
                .map(|i| 50_000 + i * 1000 + (s * 12 + d) as u64 * 4_000)
                .collect();
            matrix.ingest(&summary(&told, 10_000, now / 10_000 * 10_000, &rtts, 0), now);
        }
    }
    matrix
}

/// All that the map has written on it after one drawing.
fn written(browser: &mut Browser) -> Vec<String> {
    let texts = browser.eval(
        "(() => { const pen = CanvasRenderingContext2D.prototype, write = pen.fillText, texts = []; \
         pen.fillText = function (text, ...rest) { texts.push(text); return write.call(this, text, ...rest); }; \
         dispatchEvent(new Event('resize')); pen.fillText = write; return texts; })()",
    );
    let texts = texts.as_array().unwrap().iter();
    texts.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Elements of which something is cut off.
fn cut(browser: &mut Browser, selector: &str) -> Value {
    browser.eval(&format!(
        "[...document.querySelectorAll({})].filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.innerText)",
        json!(selector)
    ))
}

#[test]
fn long_names_that_begin_alike_are_told_apart_everywhere() {
    let full = |number: usize| format!("gke-prod-cluster-default-pool-1a2b3c4d-x{number:02}");
    let server = Server::start(cluster(full));
    for (width, dark) in [(1280, false), (390, true)] {
        let mut browser = open(&server, "", width, dark);
        let texts = written(&mut browser);
        for number in 0..12 {
            let name = format!("…x{number:02}");
            let there = texts.iter().filter(|text| **text == name).count();
            assert_eq!(there, 2, "{name} as a row and as a column at {width}: {texts:?}");
        }
        let stands = "In names … stands for \"gke-prod-cluster-default-pool-1a2b3c4d-\" before.";
        for place in ["#map-names", "#worst-names"] {
            assert_eq!(browser.text(place), stands, "{place} at {width}");
        }
        assert_eq!(rows(&mut browser, "#worst")[0][0], "…x11 → …x10");
        assert_eq!(browser.text("#tile-worst-sub"), "…x11 → …x10");
        let ends = format!("{} → {}", full(11), full(10));
        assert_eq!(
            browser.eval(
                "[document.querySelector('#worst button').title, document.getElementById('tile-worst-sub').title]"
            ),
            json!([format!("Show {ends} in the map"), ends])
        );
        assert_eq!(
            cut(&mut browser, ".worst :is(th, td, button), .tiles dd"),
            json!([]),
            "at {width}"
        );
        picture(&mut browser, &format!("page-long-{width}"), width);

        browser.click("#level-zone");
        browser.wait("document.getElementById('map-title').innerText.includes('zone × zone')");
        let texts = written(&mut browser);
        for zone in ["b", "c", "d"] {
            let name = if width == 390 {
                format!("…{zone}")
            } else {
                format!("europe-west1-{zone}")
            };
            assert!(texts.contains(&name), "{name} at {width}: {texts:?}");
        }
        assert_eq!(rows(&mut browser, "#worst")[0][0], "europe-west1-d → europe-west1-d");
        assert_eq!(
            cut(&mut browser, ".worst :is(th, td, button), .tiles dd"),
            json!([]),
            "at {width}"
        );
        no_complaint(&browser);
    }
}

#[test]
fn names_with_nothing_in_common_lose_their_middle_and_the_whole_map_fits() {
    // Neither end is enough to tell one from another, and there is nothing to split at.
    let server = Server::start(cluster(|number| {
        format!(
            "{}machineinthebasementofthehouse{}",
            (b'a' + number as u8 % 4) as char,
            number
        )
    }));
    for width in [1280, 390] {
        let mut browser = open(&server, "", width, false);
        assert_eq!(browser.text("#map-names"), "");
        let texts = written(&mut browser);
        for number in 0..12 {
            let (head, tail) = ((b'a' + number % 4) as char, format!("e{number}"));
            let there = texts
                .iter()
                .filter(|text| text.starts_with(head) && text.contains('…') && text.ends_with(&tail));
            assert_eq!(there.count(), 2, "{head}…{tail} at {width}: {texts:?}");
        }
        assert_eq!(
            cut(&mut browser, ".worst :is(th, td, button), .tiles dd"),
            json!([]),
            "at {width}"
        );
        assert_eq!(browser.text("#zoom"), "fit");
        let size = browser.eval("(() => { const f = document.getElementById('frame'); return [f.scrollHeight, f.clientHeight, f.scrollWidth, f.clientWidth]; })()");
        let [high, seen, wide, width] = [0, 1, 2, 3].map(|at| size[at].as_u64().unwrap());
        assert!(
            high <= seen && wide <= width,
            "the map of {wide} x {high} in {width} x {seen}"
        );
        no_complaint(&browser);
    }
}

#[test]
fn a_group_of_which_a_part_is_stale_shows_it() {
    let server = Server::start(mesh());
    // By TCP node-6 -> node-1 fell silent, by gRPC nothing did. So many pixels have the colour of the mark.
    let marks = "(() => { const c = document.getElementById('map'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; \
         let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i] === 0x56 && d[i + 1] === 0x62 && d[i + 2] === 0x74 && d[i + 3] === 255; return n; })()";
    let mut browser = open(&server, "#probe=tcp&level=zone", 1280, false);
    assert_eq!(browser.text("#tile-stale"), "1");
    assert_eq!(
        browser.text("#tile-stale-sub"),
        "▲ node pairs without fresh records, in 1 of 4 zone pairs"
    );
    assert!(browser.text("#legend").contains("partly stale"));
    assert!(browser.eval(marks).as_u64().unwrap() > 100);
    let worst = rows(&mut browser, "#worst");
    let row = worst.iter().find(|row| row[0] == "zone-b → zone-a").unwrap();
    assert_eq!(row[3], "◣ partly stale");
    picture(&mut browser, "page-partly-stale", 1280);

    browser.click("#probe-grpc");
    browser.wait("document.getElementById('map-title').innerText.includes('gRPC')");
    assert_eq!(browser.text("#tile-stale"), "0");
    assert_eq!(browser.text("#tile-stale-sub"), "every source reports");
    assert!(browser.eval(marks).as_u64().unwrap() < 20);

    // A single pair is stale or isn't.
    browser.click("#probe-tcp");
    browser.click("#level-node");
    browser.wait("document.getElementById('map-title').innerText.includes('TCP p99 delay, node')");
    assert_eq!(browser.text("#tile-stale-sub"), "▲ pairs without fresh records");
    assert!(!browser.text("#legend").contains("partly stale"));
    no_complaint(&browser);
}
