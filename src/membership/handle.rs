//! What the agent holds of its membership, whatever kind it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::member::{Labels, State, View};
use crate::stats::{Counters, Stats};

/// How the membership stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether one's own entry is there for others to see. Stays true over a lost connection until the session ends.
    pub registered: bool,
    /// The state that one's own entry shows.
    pub state: Option<State>,
    /// One's own entry.
    pub path: Option<String>,
    /// Whether there is a connection to the service.
    pub connected: bool,
    /// The ZooKeeper session's id.
    pub session: Option<i64>,
    /// The last thing that went wrong, until all is well again.
    pub last_error: Option<String>,
}

/// What is wanted of one's own entry; the session's task makes it so whenever it can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Desired {
    pub(crate) registered: bool,
    pub(crate) state: State,
    pub(crate) labels: Labels,
    pub(crate) closing: bool,
}

/// A running membership. Dropping it ends it at once, [`Handle::close`] in good order.
#[derive(Debug)]
pub struct Handle {
    /// All other members. Never emptied by a lost connection.
    pub view: watch::Receiver<Arc<View>>,
    /// The kill switch: whether probes may be sent. True until the service says otherwise.
    pub probing_enabled: watch::Receiver<bool>,
    /// How the membership stands.
    pub status: watch::Receiver<Status>,
    pub(crate) desired: watch::Sender<Desired>,
    pub(crate) maybe_there: watch::Receiver<bool>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) task: Option<JoinHandle<()>>,
}

impl Handle {
    /// Takes one's own entry away and keeps it away; the view goes on. Returns true as soon as it is gone, false
    /// where `within` passed before.
    pub async fn deregister(&self, within: Duration) -> bool {
        self.desired.send_modify(|desired| desired.registered = false);
        // Not the status: a request to register may be under way.
        let mut maybe_there = self.maybe_there.clone();
        let gone = maybe_there.wait_for(|there| !there);
        matches!(tokio::time::timeout(within, gone).await, Ok(Ok(_)))
    }

    /// Makes one's own entry show `state`: at once where there is a connection, else as soon as there is one.
    /// Does not wait for it.
    #[expect(clippy::unused_async, reason = "kinds of membership to come may have to wait")]
    pub async fn set_state(&self, state: State) {
        self.desired.send_modify(|desired| desired.state = state);
    }

    /// Makes one's own entry show where the node stands, where that was not known when it was registered; as
    /// [`Handle::set_state`] does.
    pub fn set_labels(&self, labels: Labels) {
        self.desired.send_modify(|desired| desired.labels = labels);
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters.snapshot()
    }

    /// Deregisters, closes the session and ends the task; within about 2 s even where the service is down.
    pub async fn close(mut self) {
        self.desired.send_modify(|desired| {
            desired.registered = false;
            desired.closing = true;
        });
        if let Some(mut task) = self.task.take()
            && tokio::time::timeout(CLOSE_TIMEOUT, &mut task).await.is_err()
        {
            task.abort();
        }
    }
}

/// How long [`Handle::close`] waits for the service.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}
