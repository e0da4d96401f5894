//! `GET /api/v1/status`: what there is to ask for.

use serde::Serialize;

use crate::census::Census;
use crate::matrix::{Matrix, MatrixStats};

#[derive(Serialize)]
pub(super) struct StatusBody {
    /// The server's clock, UTC milliseconds: what ages are reckoned from.
    now_ms: u64,
    version: &'static str,
    /// What could not be measured and how to allow it, and what of it others know, in sentences.
    notes: Vec<String>,
    /// Whether this server looks for faults.
    diagnosis: bool,
    #[serde(flatten)]
    census: Census,
    records: MatrixStats,
}

impl StatusBody {
    pub(super) fn new(matrix: &Matrix, share: Option<String>, diagnosis: bool, now_ms: u64) -> Self {
        Self {
            now_ms,
            version: env!("CARGO_PKG_VERSION"),
            notes: matrix.notes().into_iter().chain(share).collect(),
            diagnosis,
            census: matrix.census(),
            records: matrix.stats(),
        }
    }
}
