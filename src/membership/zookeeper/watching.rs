//! Notifications about the members: one persistent recursive watch where the server has it (ZooKeeper 3.6), else
//! one-shot watches of the children, renewed with each list.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;
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
    /// The session has ended. To wait for another change then is an error of the library's caller.
    ended: bool,
}

enum How<'a> {
    Recursive {
        watcher: PersistentWatcher,
        /// The same watch being set again after a reconnection. The client library (0.11.2) loses its persistent
        /// watches there: it sends them again in a request that has no room for them.
        renewal: Option<BoxFuture<'a, Option<PersistentWatcher>>>,
    },
    Children {
        /// The watch that the last list brought, handed over by the list's future.
        fresh: Arc<Mutex<Option<OneshotWatcher>>>,
        current: Option<BoxFuture<'a, WatchedEvent>>,
        arrived: Arc<Notify>,
    },
}

impl<'a> Watching<'a> {
    pub(super) async fn new(client: &'a Client, members: &'a str, server_is_old: bool) -> Self {
        let persistent = if server_is_old {
            None
        } else {
            watch(client, members).await
        };
        let how = match persistent {
            Some(watcher) => How::Recursive { watcher, renewal: None },
            None => {
                tracing::info!("the ZooKeeper server has no persistent watches (3.6); watching lists instead");
                How::Children {
                    fresh: Arc::default(),
                    current: None,
                    arrived: Arc::default(),
                }
            }
        };
        Watching {
            client,
            members,
            how,
            ended: false,
        }
    }

    /// The names of all entries. Where lists are watched, this renews the watch.
    pub(super) fn list(&self) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        let (client, members) = (self.client, self.members);
        match &self.how {
            How::Recursive { .. } => client.list_children(members).boxed(),
            How::Children { fresh, arrived, .. } => {
                let (fresh, arrived) = (Arc::clone(fresh), Arc::clone(arrived));
                async move {
                    let (names, watcher) = client.list_and_watch_children(members).await?;
                    *fresh.lock().unwrap_or_else(PoisonError::into_inner) = Some(watcher);
                    arrived.notify_one();
                    Ok(names)
                }
                .boxed()
            }
        }
    }

    /// The next change. Never returns once the session has ended. May be dropped and called again.
    pub(super) async fn changed(&mut self) -> Change {
        while !self.ended {
            match &mut self.how {
                How::Recursive { watcher, renewal } => {
                    let event = tokio::select! {
                        renewed = finished(renewal) => {
                            *renewal = None;
                            // A server of the ensemble may be older than the last; then the full lists must do.
                            if let Some(renewed) = renewed {
                                *watcher = renewed;
                            }
                            return Change::Reconnected;
                        }
                        event = watcher.changed() => event,
                    };
                    self.ended = event.session_state.is_terminated();
                    match event.event_type {
                        EventType::Session if event.session_state == SessionState::SyncConnected => {
                            *renewal = Some(watch(self.client, self.members).boxed());
                        }
                        EventType::Session => {}
                        kind => {
                            if let Some(name) = entry(&event.path, self.members) {
                                return Change::Entry { name, kind };
                            }
                        }
                    }
                }
                How::Children {
                    fresh,
                    current,
                    arrived,
                } => {
                    if let Some(watcher) = fresh.lock().unwrap_or_else(PoisonError::into_inner).take() {
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
                    self.ended = event.session_state.is_terminated();
                    if !self.ended {
                        return Change::Any;
                    }
                }
            }
        }
        std::future::pending().await
    }
}

/// Sets the persistent watch; `None` where the server has none.
async fn watch(client: &Client, members: &str) -> Option<PersistentWatcher> {
    let mut told = None;
    loop {
        match client.watch(members, AddWatchMode::PersistentRecursive).await {
            Ok(watcher) => return Some(watcher),
            Err(Error::Unimplemented) => return None,
            Err(error) => {
                let pause = match error {
                    Error::NoAuth => super::denied(),
                    _ => Duration::from_millis(500),
                };
                if error != Error::ConnectionLoss && told.as_ref() != Some(&error) {
                    tracing::warn!(error = super::words(&error), "members can't be watched; trying again");
                    told = Some(error);
                }
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// The end of the renewal under way.
async fn finished(renewal: &mut Option<BoxFuture<'_, Option<PersistentWatcher>>>) -> Option<PersistentWatcher> {
    match renewal {
        Some(renewal) => renewal.await,
        None => std::future::pending().await,
    }
}

/// The name of the entry at `path`. Nothing of ours lies deeper, and the members' parent itself is no entry.
fn entry(path: &str, members: &str) -> Option<String> {
    let name = path.strip_prefix(members)?.strip_prefix('/')?;
    (!name.contains('/')).then(|| name.to_owned())
}
