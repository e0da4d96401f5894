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

use crate::api::Shared;

/// Pages that may listen at a time; each holds a connection. A further one gets 503 and polls.
pub(crate) const MAX_LISTENERS: usize = 256;

/// Changes come record by record; pages fetch at most once per this long.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

struct Listener {
    changes: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    /// Held as long as the stream lives.
    _permit: OwnedSemaphorePermit,
}

pub(crate) async fn events(State(shared): State<Arc<Shared>>) -> Response {
    let Ok(permit) = Arc::clone(&shared.listeners).try_acquire_owned() else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, "10")],
            "too many pages listen already\n",
        )
            .into_response();
    };
    let mut changes = shared.matrix.subscribe();
    // So that a page learns at once that it is connected.
    changes.mark_changed();
    let listener = Listener {
        changes,
        stopping: shared.stopping.clone(),
        _permit: permit,
    };
    Sse::new(stream::unfold((listener, false), next))
        .keep_alive(KeepAlive::new())
        .into_response()
}

async fn next((mut listener, wait): (Listener, bool)) -> Option<(Result<Event, Infallible>, (Listener, bool))> {
    let Listener { changes, stopping, .. } = &mut listener;
    let change = async {
        if wait {
            tokio::time::sleep(AT_MOST_EVERY).await;
        }
        changes.changed().await.ok()?;
        Some(*changes.borrow_and_update())
    };
    let generation = tokio::select! {
        generation = change => generation?,
        _ = stopping.wait_for(|stop| *stop) => return None,
    };
    let event = Event::default().event("refresh").data(generation.to_string());
    Some((Ok(event), (listener, true)))
}
