//! Server-sent events: tells the page that there is something new to fetch.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::Shared;
use super::error::ApiError;
use crate::diagnosis::Findings;

/// Pages that may listen at a time; each holds a connection. A further one gets 503 and polls.
pub(crate) const MAX_LISTENERS: usize = 256;

/// An event stream ends after so long, and a page that is still there begins another: those of pages that are gone without a
/// word are not kept for ever. Before the connection is ended, which a browser would show as an error.
const LASTS: Duration = Duration::from_secs(300);

/// Changes come record by record; pages fetch at most once per this long.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

struct Listener {
    changes: watch::Receiver<u64>,
    findings: Option<watch::Receiver<Arc<Findings>>>,
    stopping: watch::Receiver<bool>,
    until: Instant,
    /// Held as long as the stream lives.
    _permit: OwnedSemaphorePermit,
}

pub(crate) async fn events(State(shared): State<Arc<Shared>>) -> Response {
    let Ok(permit) = Arc::clone(&shared.listeners).try_acquire_owned() else {
        let full = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many listen already");
        return ([(header::RETRY_AFTER, "10")], full).into_response();
    };
    let mut changes = shared.matrix.subscribe();
    // So that a page learns at once that it is connected.
    changes.mark_changed();
    let listener = Listener {
        changes,
        findings: shared.findings.clone(),
        stopping: shared.stopping.clone(),
        until: Instant::now() + LASTS,
        _permit: permit,
    };
    Sse::new(stream::unfold((listener, false), next))
        .keep_alive(KeepAlive::new())
        .into_response()
}

async fn next((mut listener, wait): (Listener, bool)) -> Option<(Result<Event, Infallible>, (Listener, bool))> {
    let Listener {
        changes,
        findings,
        stopping,
        until,
        ..
    } = &mut listener;
    let found = async {
        let told = match findings {
            Some(findings) => findings.changed().await.is_ok(),
            None => false,
        };
        if !told {
            // Nobody looks, or no longer: records are news enough.
            std::future::pending::<()>().await;
        }
    };
    let change = async {
        if wait {
            tokio::time::sleep(AT_MOST_EVERY).await;
        }
        tokio::select! {
            changed = changes.changed() => changed.ok()?,
            () = found => {}
        }
        Some(*changes.borrow_and_update())
    };
    let generation = tokio::select! {
        generation = change => generation?,
        _ = stopping.wait_for(|stop| *stop) => return None,
        () = tokio::time::sleep_until(*until) => return None,
    };
    let event = Event::default().event("refresh").data(generation.to_string());
    Some((Ok(event), (listener, true)))
}
