//! The body of `GET /api/v1/pairs`, made once for many readers.

use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;

use crate::matrix::Matrix;
use crate::view::View;

/// A body is good for this long. Half the time in which pages are told to refresh.
const GOOD_FOR_MS: u64 = 500;

#[derive(Debug, Default)]
pub(crate) struct PairsBody(Mutex<Option<Made>>);

#[derive(Debug)]
struct Made {
    at_ms: u64,
    json: Bytes,
}

impl PairsBody {
    /// The rows of `matrix` as a JSON array, at most half a second old. Whoever asks while it is being made waits for
    /// that one.
    pub(crate) fn get(&self, matrix: &Matrix, now_ms: u64) -> serde_json::Result<Bytes> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref().filter(|made| now_ms.abs_diff(made.at_ms) < GOOD_FOR_MS) {
            return Ok(made.json.clone());
        }
        let json = Bytes::from(serde_json::to_vec(&matrix.rows(View::Minute, now_ms))?);
        *made = Some(Made {
            at_ms: now_ms,
            json: json.clone(),
        });
        Ok(json)
    }
}
