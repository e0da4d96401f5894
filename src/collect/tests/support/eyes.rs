//! The page as a person meets it: opened, pointed at, read.

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::server::Server;

pub const RIGHT: (&str, u32) = ("ArrowRight", 39);
pub const DOWN: (&str, u32) = ("ArrowDown", 40);
pub const ENTER: (&str, u32) = ("Enter", 13);
pub const ESCAPE: (&str, u32) = ("Escape", 27);
pub const TAB: (&str, u32) = ("Tab", 9);

pub fn open(server: &Server, hash: &str, width: u32, dark: bool) -> Browser {
    let mut browser = Browser::open(&format!("http://{}/{hash}", server.address), width, 900, dark);
    browser.wait("document.getElementById('link').dataset.link === 'live'");
    browser
}

/// Moves the pointer over the cell of two groups, by asking the page which cell a point belongs to, as a person with a pointer
/// does; where it is.
pub fn point_at(browser: &mut Browser, source: &str, destination: &str) -> (f64, f64) {
    let frame = browser.eval(
        "(() => { const c = document.getElementById('map'); c.scrollIntoView({block: 'center'}); \
         const b = c.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })()",
    );
    let [x, y, width, height] = [0, 1, 2, 3].map(|i| frame[i].as_f64().unwrap());
    let (row, wanted) = (format!("{source} to "), format!("{source} to {destination},"));
    for down in 1..32 {
        for right in 1..32 {
            let at = (x + width * f64::from(right) / 32.0, y + height * f64::from(down) / 32.0);
            browser.mouse("mouseMoved", at.0, at.1);
            let tip =
                browser.eval("document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent");
            let tip = tip.as_str().unwrap();
            if tip.starts_with(&wanted) {
                return at;
            }
            if !tip.is_empty() && !tip.starts_with(&row) {
                break;
            }
        }
    }
    panic!("no point of the map belongs to {source} -> {destination}");
}

/// The colour of the cell of two groups, as [red, green, blue].
pub fn colour_of(browser: &mut Browser, source: &str, destination: &str) -> [u64; 3] {
    let (x, y) = point_at(browser, source, destination);
    let colour = browser.eval(&format!(
        "(() => {{ const c = document.getElementById('map'), b = c.getBoundingClientRect(); \
         return [...c.getContext('2d').getImageData({x} - b.x, {y} - b.y, 1, 1).data]; }})()"
    ));
    [0, 1, 2].map(|at| colour[at].as_u64().unwrap())
}

/// A picture for people, and nothing wider than the window but what scrolls within its own frame.
pub fn picture(browser: &mut Browser, name: &str, width: u32) {
    let wide = browser.eval("document.documentElement.scrollWidth").as_u64().unwrap();
    assert!(wide <= u64::from(width), "{name} is {wide} pixels wide");
    println!("{}", browser.screenshot(name).display());
}

/// The rows of a table, as texts.
pub fn rows(browser: &mut Browser, body: &str) -> Vec<Vec<String>> {
    let rows = browser.eval(&format!(
        "[...document.querySelectorAll({})].map(row => [...row.cells].map(cell => cell.innerText.trim()))",
        json!(format!("{body} tr"))
    ));
    let texts = |row: &Value| {
        row.as_array()
            .unwrap()
            .iter()
            .map(|cell| cell.as_str().unwrap().to_owned())
            .collect()
    };
    rows.as_array().unwrap().iter().map(texts).collect()
}

pub fn no_complaint(browser: &Browser) {
    assert_eq!(browser.complaints, Vec::<String>::new());
}
