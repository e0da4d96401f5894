//! The files of the page, part of the binary. There is no build step: what stands in the folder is what the browser gets.

use std::sync::OnceLock;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use flate2::Compression;

use super::body::{Body, gzip, takes_gzip};

/// One file as it is served.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: &'static str,
    content_type: &'static str,
    pub(super) text: &'static str,
    /// Made when it is first asked for.
    packed: OnceLock<Option<Bytes>>,
}

impl File {
    const fn new(path: &'static str, content_type: &'static str, text: &'static str) -> Self {
        Self {
            path,
            content_type,
            text,
            packed: OnceLock::new(),
        }
    }

    pub(super) fn respond(&'static self, headers: &HeaderMap) -> Response {
        let pack = || gzip(self.text.as_bytes(), Compression::best()).ok().map(Bytes::from);
        let packed = takes_gzip(headers)
            .then(|| self.packed.get_or_init(pack).clone())
            .flatten();
        let body = Body {
            is_gzip: packed.is_some(),
            unpacks_to: None,
            bytes: packed.unwrap_or_else(|| Bytes::from_static(self.text.as_bytes())),
        };
        body.respond(self.content_type)
    }
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// The description of the interface: of the API, not of the page.
pub(super) static OPENAPI: File = File::new("/api/v1/openapi.json", "application/json", include_str!("openapi.json"));

macro_rules! page {
    ($($path:literal is $kind:expr),+ $(,)?) => {
        [$(File::new(concat!("/", $path), $kind, include_str!(concat!("../page/", $path)))),+]
    };
}

/// All files of the page but its document.
static BESIDE: [File; 18] = page![
    "app.css" is STYLE,
    "app.js" is SCRIPT,
    "charts.js" is SCRIPT,
    "details.js" is SCRIPT,
    "dom.js" is SCRIPT,
    "findings.js" is SCRIPT,
    "heatmap.js" is SCRIPT,
    "marks.js" is SCRIPT,
    "model.js" is SCRIPT,
    "names.js" is SCRIPT,
    "pairview.js" is SCRIPT,
    "pointer.js" is SCRIPT,
    "scale.js" is SCRIPT,
    "server.js" is SCRIPT,
    "state.js" is SCRIPT,
    "icon.svg" is "image/svg+xml",
    "vendor/uPlot.esm.js" is SCRIPT,
    "vendor/uPlot.min.css" is STYLE,
];

static DOCUMENT: File = File::new("/", "text/html; charset=utf-8", include_str!("../page/index.html"));

pub(super) fn all() -> impl Iterator<Item = &'static File> {
    std::iter::once(&DOCUMENT).chain(&BESIDE)
}
