//! JSON bodies: made once for many readers, compressed where the reader takes that.

use std::collections::HashMap;
use std::io::{Cursor, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{self, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use futures::stream;
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
/// What is unpacked on its way out goes in pieces of this size.
const PIECE: usize = 64 * 1024;

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
    /// Its length unpacked, for a reader who doesn't take it as it is.
    pub(crate) unpacks_to: Option<u64>,
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
        self.kept((what, wants_gzip), move || {
            make().map(|json| Body::new(json, wants_gzip))
        })
        .await
    }

    /// What `write` writes for `what`, kept as it is compressed alone: its text may be larger than all that it is made of. A
    /// reader who doesn't take gzip has it unpacked while it goes out.
    pub(crate) async fn get_packed(
        &self,
        what: String,
        headers: &HeaderMap,
        write: impl FnOnce(&mut Packer) -> serde_json::Result<()> + Send + 'static,
    ) -> Result<Body, ApiError> {
        let make = || {
            let mut packer = Packer {
                encoder: GzEncoder::new(Vec::new(), Compression::fast()),
                length: 0,
            };
            write(&mut packer).map_err(|error| ApiError::failed(&error))?;
            Ok(Body {
                bytes: packer
                    .encoder
                    .finish()
                    .map_err(|error| ApiError::failed(&error))?
                    .into(),
                is_gzip: true,
                unpacks_to: Some(packer.length),
            })
        };
        let mut body = self.kept((what, true), make).await?;
        if takes_gzip(headers) {
            body.unpacks_to = None;
        }
        Ok(body)
    }

    async fn kept(
        &self,
        key: Key,
        make: impl FnOnce() -> Result<Body, ApiError> + Send + 'static,
    ) -> Result<Body, ApiError> {
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        if let Some(made) = slot.as_ref().filter(|made| Instant::now() < made.until) {
            return Ok(made.body.clone());
        }
        // The semaphore is never closed.
        let _permit = self.making.acquire().await.map_err(|error| ApiError::failed(&error))?;
        let begun = Instant::now();
        let body = tokio::task::spawn_blocking(make)
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
                unpacks_to: None,
            },
            _ => Self {
                bytes: json.into(),
                is_gzip: false,
                unpacks_to: None,
            },
        }
    }

    /// Of something small that needs no keeping.
    pub(crate) fn of(value: &impl serde::Serialize, headers: &HeaderMap) -> Result<Self, ApiError> {
        Ok(Self::new(json(value)?, takes_gzip(headers)))
    }

    pub(crate) fn respond(self, content_type: &'static str) -> Response {
        let mut response = ([(header::CONTENT_TYPE, content_type)], ()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        match self.unpacks_to {
            Some(length) => {
                headers.insert(header::CONTENT_LENGTH, length.into());
                *response.body_mut() = unpacked(self.bytes);
            }
            None => {
                if self.is_gzip {
                    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                }
                *response.body_mut() = self.bytes.into();
            }
        }
        response
    }
}

/// Takes text, keeps it compressed.
#[derive(Debug)]
pub(crate) struct Packer {
    encoder: GzEncoder<Vec<u8>>,
    /// Of the text.
    length: u64,
}

impl Write for Packer {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        let written = self.encoder.write(text)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.encoder.flush()
    }
}

/// The text, piece by piece.
fn unpacked(packed: Bytes) -> body::Body {
    let next = async |mut decoder: GzDecoder<Cursor<Bytes>>| {
        let mut piece = Vec::with_capacity(PIECE);
        match decoder.by_ref().take(PIECE as u64).read_to_end(&mut piece) {
            Ok(0) => None,
            Ok(_) => Some((Ok(Bytes::from(piece)), decoder)),
            Err(error) => Some((Err(error), decoder)),
        }
    };
    body::Body::from_stream(stream::unfold(GzDecoder::new(Cursor::new(packed)), next))
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
