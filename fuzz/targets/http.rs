//! Whatever is asked of a collector's port.

use std::cell::RefCell;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use dt_collect::http::{Site, Token, router};
use dt_collect::{Intake, Matrix, MatrixConfig, metrics};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tower::ServiceExt;

use crate::input::Input;
use crate::made::record;

const PATHS: [&str; 11] = [
    "/api/v1/status",
    "/api/v1/pairs",
    "/api/v1/matrix",
    "/api/v1/pair",
    "/api/v1/zones",
    "/api/v1/findings",
    "/api/v1/events",
    "/api/v1/openapi.json",
    "/metrics",
    "/api/",
    "/",
];
const HEADERS: [header::HeaderName; 5] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::AUTHORIZATION,
    header::IF_NONE_MATCH,
    header::HOST,
];
const TOKEN: &str = "s3cret";

struct Server {
    runtime: Runtime,
    open: Router,
    closed: Router,
    _stop: watch::Sender<bool>,
}

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

/// A request: token or none, method, path, query and headers.
///
/// # Panics
/// Where the server fails, or shows anything to whom it must not.
pub fn fuzz_http(data: &[u8]) {
    let mut input = Input::new(data);
    let with_token = input.flag();
    let method = input
        .one(&[Method::GET, Method::GET, Method::HEAD, Method::POST])
        .clone();
    let path = *input.one(&PATHS);
    let length = usize::from(input.u8());
    let query = String::from_utf8_lossy(input.bytes(length));
    let raw = input.flag();
    let uri = if raw {
        query.into_owned()
    } else {
        format!("{path}?{query}")
    };
    let mut request = Request::builder().method(&method).uri(&uri);
    let mut authorized = false;
    while !input.is_empty() {
        let name = input.one(&HEADERS);
        let length = usize::from(input.u8());
        let value = input.bytes(length);
        authorized |= name == header::AUTHORIZATION && value.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes());
        request = request.header(name, value);
    }
    // What is no request never comes so far.
    let Ok(request) = request.body(Body::empty()) else {
        return;
    };
    let path = request.uri().path().to_owned();
    SERVER.with_borrow_mut(|server| {
        let server = server.get_or_insert_with(serve);
        let router = if with_token { &server.closed } else { &server.open };
        let response = server.runtime.block_on(router.clone().oneshot(request)).unwrap();
        let (head, body) = response.into_parts();
        let status = head.status;
        assert!(!status.is_server_error(), "{method} {uri}: {status}");
        assert!(head.headers.contains_key(header::CONTENT_SECURITY_POLICY));
        let is_data = path.starts_with("/api/") || path == "/metrics";
        if with_token && is_data && !authorized {
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {uri}");
        }
        if path == "/api/v1/events" && status.is_success() {
            return;
        }
        let body = server.runtime.block_on(body.collect()).unwrap().to_bytes();
        let kind = head
            .headers
            .get(header::CONTENT_TYPE)
            .map(|kind| kind.to_str().unwrap());
        let is_plain = !head.headers.contains_key(header::CONTENT_ENCODING) && method != Method::HEAD;
        if kind == Some("application/json") && is_plain && !body.is_empty() {
            serde_json::from_slice::<serde_json::Value>(&body).unwrap();
        }
    });
}

/// A collector that has read some records.
fn serve() -> Server {
    let matrix = Arc::new(Matrix::new(MatrixConfig::default()));
    let mut intake = Intake::new(Arc::clone(&matrix));
    for seed in 0..40_u8 {
        let bytes: Vec<u8> = (0..200_u8)
            .map(|at| at.wrapping_mul(31) ^ seed.wrapping_mul(97))
            .collect();
        let made = record(&mut Input::new(&bytes)).to_json();
        let message = dt_collect::intake::Message {
            payload: Some(&made),
            content_type: None,
            ce_id: None,
            partition: 0,
        };
        intake.take(&message, crate::made::NOW_MS);
    }
    let (_, found) = watch::channel(Arc::default());
    let (stop, stopping) = watch::channel(false);
    let site = || {
        Site::new(Arc::clone(&matrix))
            .findings(found.clone())
            .metrics(metrics::of_matrix(&matrix, found.clone()))
    };
    let token: Token = TOKEN.parse().unwrap();
    Server {
        runtime: tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap(),
        open: router(site(), stopping.clone()),
        closed: router(site().token(Some(token)), stopping),
        _stop: stop,
    }
}
