//! Notifications about the members: one persistent recursive watch where the server has it (ZooKeeper 3.6), else
//! one-shot watches of the children, renewed with each list.

use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Mutex;
use std::time::Duration;
use zookeeper_client::{
    AddWatchMode, Client, Error, EventType, OneshotWatcher, PersistentWatcher, SessionState, WatchedEvent,
};

/// Something that calls for attention.
pub(super) enum Change {
    /// An entry came, went or has new data.
    Entry {
        /// Its name under the members' path.
        name: String,
        /// What happened to it.
        kind: EventType,
    },
    /// Some entry came or went.
    Any,
    /// The connection is back: notifications may have been lost.
    Reconnected,
}

pub(super) struct Watching<'a> {
    client: &'a Client,
    members: &'a str,
    how: How<'a>,
}

enum How<'a> {
    Recursive(PersistentWatcher),
    Children {
        /// The watch that the last list brought, handed over by the list's future.
        fresh: std::sync::Arc<Mutex<Option<OneshotWatcher>>>,
        current: Option<BoxFuture<'a, WatchedEvent>>,
        arrived: std::sync::Arc<tokio::sync::Notify>,
    },
}

impl<'a> Watching<'a> {
    pub(super) async fn new(client: &'a Client, members: &'a str) -> Self {
        let how = loop {
            match client.watch(members, AddWatchMode::PersistentRecursive).await {
                Ok(watcher) => break How::Recursive(watcher),
                Err(Error::Unimplemented) => {
                    tracing::info!("the ZooKeeper server has no persistent watches (3.6); watching lists instead");
                    break How::Children {
                        fresh: std::sync::Arc::default(),
                        current: None,
                        arrived: std::sync::Arc::default(),
                    };
                }
                Err(error) => {
                    if error != Error::ConnectionLoss {
                        tracing::warn!(%error, "members can't be watched; trying again");
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        };
        Watching { client, members, how }
    }

    /// The names of all entries. Where lists are watched, this renews the watch.
    pub(super) fn list(&self) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        let (client, members) = (self.client, self.members);
        match &self.how {
            How::Recursive(_) => client.list_children(members).boxed(),
            How::Children { fresh, arrived, .. } => {
                let (fresh, arrived) = (fresh.clone(), arrived.clone());
                async move {
                    let (names, watcher) = client.list_and_watch_children(members).await?;
                    *fresh.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(watcher);
                    arrived.notify_one();
                    Ok(names)
                }
                .boxed()
            }
        }
    }

    /// The next change. Never returns once the session has ended. May be dropped and called again.
    pub(super) async fn changed(&mut self) -> Change {
        loop {
            match &mut self.how {
                How::Recursive(watcher) => {
                    let event = watcher.changed().await;
                    if let Some(change) = change(&event, self.members) {
                        return change;
                    }
                    if event.session_state.is_terminated() {
                        return std::future::pending().await;
                    }
                }
                How::Children {
                    fresh,
                    current,
                    arrived,
                } => {
                    if let Some(watcher) = fresh.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
                        *current = Some(watcher.changed().boxed());
                    }
                    let Some(event) = current else {
                        arrived.notified().await;
                        continue;
                    };
                    let event = tokio::select! {
                        () = arrived.notified() => continue,
                        event = event => event,
                    };
                    *current = None;
                    if event.session_state.is_terminated() {
                        return std::future::pending().await;
                    }
                    return Change::Any;
                }
            }
        }
    }
}

fn change(event: &WatchedEvent, members: &str) -> Option<Change> {
    match event.event_type {
        EventType::Session => (event.session_state == SessionState::SyncConnected).then_some(Change::Reconnected),
        kind => {
            let name = event.path.strip_prefix(members)?.strip_prefix('/')?;
            // Nothing of ours lies deeper.
            (!name.contains('/')).then(|| Change::Entry {
                name: name.to_owned(),
                kind,
            })
        }
    }
}
