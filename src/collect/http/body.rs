//! JSON bodies: made once for many readers, compressed where the reader takes that.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::Semaphore;

use super::error::ApiError;

/// A body is good for this long: half the time in which pages are told to refresh.
const GOOD_FOR: Duration = Duration::from_millis(500);
/// One that took long to make is good for as many times longer, so that readers can't keep the machine busy.
const TIMES: u32 = 5;
/// Bodies made at a time: each takes a core for as long as a large matrix needs.
const AT_A_TIME: usize = 2;
/// Shorter than this isn't compressed.
const WORTH_IT: usize = 1024;

/// Bodies by what they answer.
#[derive(Debug)]
pub(crate) struct Bodies {
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    making: Semaphore,
}

/// Path and parameters as they were understood, and whether it is compressed.
type Key = (String, bool);
type Slot = tokio::sync::Mutex<Option<Made>>;

#[derive(Debug)]
struct Made {
    body: Body,
    until: Instant,
}

/// A body as it goes out.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) is_gzip: bool,
}

impl Default for Bodies {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
            making: Semaphore::new(AT_A_TIME),
        }
    }
}

impl Bodies {
    /// What `make` gives for `what`, at most as old as a body is good for. Whoever asks while it is being made waits for that
    /// one. `make` runs where it may keep a thread busy.
    pub(crate) async fn get(
        &self,
        what: String,
        headers: &HeaderMap,
        make: impl FnOnce() -> Result<Vec<u8>, ApiError> + Send + 'static,
    ) -> Result<Body, ApiError> {
        let wants_gzip = takes_gzip(headers);
        let slot = self.slot((what, wants_gzip));
        let mut slot = slot.lock().await;
        if let Some(made) = slot.as_ref().filter(|made| Instant::now() < made.until) {
            return Ok(made.body.clone());
        }
        // The semaphore is never closed.
        let _permit = self.making.acquire().await.map_err(|error| ApiError::failed(&error))?;
        let begun = Instant::now();
        let body = tokio::task::spawn_blocking(move || make().map(|json| Body::new(json, wants_gzip)))
            .await
            .map_err(|error| ApiError::failed(&error))??;
        let until = Instant::now() + GOOD_FOR.max(begun.elapsed() * TIMES);
        *slot = Some(Made {
            body: body.clone(),
            until,
        });
        Ok(body)
    }

    /// The place of one body. Those that nobody waits for and that are good no more are given up here.
    fn slot(&self, key: Key) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        slots.retain(|_, slot| {
            let is_waited_for = Arc::strong_count(slot) > 1;
            is_waited_for
                || slot
                    .try_lock()
                    .is_ok_and(|made| made.as_ref().is_some_and(|made| now < made.until))
        });
        Arc::clone(slots.entry(key).or_default())
    }
}

impl Body {
    fn new(json: Vec<u8>, wants_gzip: bool) -> Self {
        match (wants_gzip && json.len() >= WORTH_IT).then(|| gzip(&json, Compression::fast())) {
            Some(Ok(packed)) => Self {
                bytes: packed.into(),
                is_gzip: true,
            },
            _ => Self {
                bytes: json.into(),
                is_gzip: false,
            },
        }
    }

    /// Of something small that needs no keeping.
    pub(crate) fn of(value: &impl serde::Serialize, headers: &HeaderMap) -> Result<Self, ApiError> {
        Ok(Self::new(json(value)?, takes_gzip(headers)))
    }

    pub(crate) fn respond(self, content_type: &'static str) -> Response {
        let mut response = ([(header::CONTENT_TYPE, content_type)], self.bytes).into_response();
        let headers = response.headers_mut();
        headers.insert(header::VARY, header::HeaderValue::from_static("accept-encoding"));
        if self.is_gzip {
            headers.insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
        }
        response
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        self.respond("application/json")
    }
}

pub(crate) fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(|error| ApiError::failed(&error))
}

pub(crate) fn gzip(data: &[u8], how: Compression) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(data.len() / 4), how);
    encoder.write_all(data)?;
    encoder.finish()
}

/// Whether `Accept-Encoding` names gzip and doesn't exclude it.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.trim().parse::<f32>().ok());
        is_gzip && weight.is_none_or(|weight| weight > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_only_to_those_who_take_it() {
        for (header, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0, br", false),
            ("gzip; q=0.0", false),
            ("x-gzip2", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::ACCEPT_ENCODING,
                header.parse().unwrap_or_else(|_| unreachable!()),
            );
            assert_eq!(takes_gzip(&headers), takes, "{header:?}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
