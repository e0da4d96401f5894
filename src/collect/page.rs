//! The files of the page, part of the binary.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// One file as it is served.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

impl IntoResponse for &'static File {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, self.content_type)], self.text).into_response()
    }
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// All of them. There is no build step: what stands in the folder is what the browser gets.
pub(crate) static FILES: &[File] = &[
    File {
        path: "/",
        content_type: "text/html; charset=utf-8",
        text: include_str!("page/index.html"),
    },
    File {
        path: "/app.css",
        content_type: "text/css; charset=utf-8",
        text: include_str!("page/app.css"),
    },
    File {
        path: "/app.js",
        content_type: SCRIPT,
        text: include_str!("page/app.js"),
    },
    File {
        path: "/details.js",
        content_type: SCRIPT,
        text: include_str!("page/details.js"),
    },
    File {
        path: "/heatmap.js",
        content_type: SCRIPT,
        text: include_str!("page/heatmap.js"),
    },
    File {
        path: "/model.js",
        content_type: SCRIPT,
        text: include_str!("page/model.js"),
    },
    File {
        path: "/scale.js",
        content_type: SCRIPT,
        text: include_str!("page/scale.js"),
    },
    File {
        path: "/icon.svg",
        content_type: "image/svg+xml",
        text: include_str!("page/icon.svg"),
    },
];
