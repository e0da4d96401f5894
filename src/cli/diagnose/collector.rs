//! What a running collector has found.

use std::time::Duration;

use dt_collect::diagnosis::Findings;
use dt_collect::http::Token;
use hyper::StatusCode;

use crate::server::{self, Address};

/// Hundreds of findings with all their evidence.
const LONGEST_ANSWER: usize = 4 << 20;

const PATH: &str = "/api/v1/findings";

/// Asks it.
pub(super) async fn ask(address: &Address, token: Option<&Token>, patience: Duration) -> Result<Findings, String> {
    let answer = server::get(address, token, PATH, LONGEST_ANSWER, patience).await;
    let found = answer.and_then(|(status, body)| match status {
        StatusCode::OK => serde_json::from_slice(&body).map_err(|error| format!("no findings: {error}")),
        StatusCode::UNAUTHORIZED => Err("it asks for a token; accepted: --token TOKEN".to_owned()),
        _ => Err(format!("{status}: {}", String::from_utf8_lossy(&body).trim())),
    });
    found.map_err(|why| format!("{address}{PATH}: {why}"))
}
