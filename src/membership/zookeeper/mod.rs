//! Membership in ZooKeeper, in one cluster with agents of the Go original.
//!
//! One task lives through any number of sessions. In each session four things run side by side: the connection's state
//! is watched, one's own entry is kept as wanted ([`own`]), the others are observed ([`observe`]), and the kill switch
//! is read ([`control`]). All of them are level-triggered: each compares what is with what should be and can be begun
//! again at any time. What is known of the others outlives the session.

mod access;
mod config;
mod control;
mod login;
mod news;
mod observe;
mod own;
mod watching;

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use rand::Rng;
use tokio::sync::{Notify, watch};
use zookeeper_client::{Client, Error, SessionState, StateWatcher};

pub use access::Access;
pub use config::ZooKeeperConfig;
pub use login::{Credential, Login, LoginError, Scheme, Source};

use crate::handle::{Desired, Handle, Status};
use crate::member::View;
use crate::stats::Counters;
use access::Finding;
use config::Paths;
#[cfg(feature = "internals")]
pub(crate) use control::decode as switch;
use observe::Others;

/// Starts the membership inside a Tokio runtime. Returns at once: while the ensemble can't be reached it is tried
/// again for ever, and so is everything after.
#[must_use]
pub fn start(config: ZooKeeperConfig) -> Handle {
    start_assuming(config, false)
}

/// [`start`], restricted from the beginning to what a server before ZooKeeper 3.5 has. For tests of that way on a
/// newer server; an old one is recognized by itself.
#[doc(hidden)]
#[must_use]
pub fn start_as_with_old_server(config: ZooKeeperConfig) -> Handle {
    start_assuming(config, true)
}

fn start_assuming(config: ZooKeeperConfig, server_is_old: bool) -> Handle {
    let counters = Arc::new(Counters::default());
    let (views, view) = watch::channel(Arc::new(View::default()));
    let (switch, probing_enabled) = watch::channel(true);
    let (statuses, status) = watch::channel(Status::default());
    let (maybe_there_sender, maybe_there) = watch::channel(false);
    let (desired, wanted) = watch::channel(Desired {
        registered: true,
        state: config.own.state,
        labels: config.own.labels(),
        closing: false,
    });
    if let Some(warning) = config.loopback_warning() {
        tracing::warn!("{warning}");
    }
    let others = Others::new(config.own.clone(), config.session_timeout, views, Arc::clone(&counters));
    let life = Life {
        paths: config.paths(),
        config,
        wanted,
        statuses,
        switch,
        maybe_there: maybe_there_sender,
        counters: Arc::clone(&counters),
        server_is_old,
        credential: None,
        told: HashSet::new(),
    };
    let task = Some(tokio::spawn(life.run(others)));
    Handle {
        view,
        probing_enabled,
        status,
        desired,
        maybe_there,
        counters,
        task,
    }
}

/// What lasts longer than a session.
struct Life {
    config: ZooKeeperConfig,
    paths: Paths,
    wanted: watch::Receiver<Desired>,
    statuses: watch::Sender<Status>,
    switch: watch::Sender<bool>,
    maybe_there: watch::Sender<bool>,
    counters: Arc<Counters>,
    /// The server knows no ZooKeeper 3.5 operations.
    server_is_old: bool,
    /// The last good one.
    credential: Option<Credential>,
    /// What was said of nodes that others created: each is said once.
    told: HashSet<(String, Finding)>,
}

/// Why a session ended.
enum End {
    /// It was asked to.
    Closed,
    /// One's own entry may not be deleted: only its session's end takes it away.
    Undeletable,
    /// The credential was denied, and there is another by now.
    NewCredential,
    /// The service ended it, or gave no sign of life for too long.
    Lost(SessionState),
    /// The server lacks an operation: a session of older ways is needed.
    OldServer,
}

impl Life {
    async fn run(mut self, mut others: Others) {
        let mut backoff = Backoff::new();
        let mut lost = false;
        loop {
            let client = match self.connect().await {
                Some(Ok(client)) => client,
                Some(Err(error)) => {
                    self.counters.connect_failures.add(1);
                    let servers = &self.config.servers;
                    let problem = match error {
                        Error::AuthFailed => {
                            self.counters.denied.add(1);
                            format!(
                                "ZooKeeper at {servers} refuses the login: is the credential of zookeeper.auth or \
                                 zookeeper.auth_file one that the servers know?"
                            )
                        }
                        error => format!("ZooKeeper at {servers} can't be reached: {error}"),
                    };
                    complain(&self.statuses, problem);
                    if self.unless_closing(tokio::time::sleep(backoff.next())).await.is_none() {
                        break;
                    }
                    continue;
                }
                None => break,
            };
            backoff = Backoff::new();
            self.counters.sessions.add(1);
            let session = client.session_id().0;
            tracing::info!(session = format_args!("{session:#x}"), timeout = ?client.session_timeout(), "ZooKeeper session");
            self.statuses.send_modify(|status| {
                status.session = Some(session);
                status.connected = true;
                status.last_error = None;
            });
            if std::mem::take(&mut lost) {
                others.doubt();
            }
            let states = client.state_watcher();
            // The client library panics where it finds itself in a state that it thinks impossible. What is known of the
            // others is whole after each step, so the membership goes on with a new session.
            let end = AssertUnwindSafe(self.session(client, &mut others)).catch_unwind().await;
            let end = end.unwrap_or_else(|_| End::Lost(states.peek_state()));
            self.statuses.send_modify(|status| {
                *status = Status {
                    last_error: status.last_error.take(),
                    ..Status::default()
                };
            });
            if let End::Undeletable | End::NewCredential = end {
                closed(states.clone()).await;
            }
            self.maybe_there.send_replace(false);
            match end {
                End::Closed => {
                    closed(states).await;
                    break;
                }
                // The next session has no entry and only observes; or another credential.
                End::Undeletable | End::NewCredential => {}
                End::OldServer => self.server_is_old = true,
                End::Lost(state) => {
                    lost = true;
                    self.counters.expirations.add(1);
                    complain(
                        &self.statuses,
                        format!("the ZooKeeper session ended: {state}; a new one is opened"),
                    );
                    // All agents lose theirs together when the ensemble was away for long.
                    let pause = spread(others.len()).max(Duration::from_millis(100));
                    if self.unless_closing(tokio::time::sleep(pause)).await.is_none() {
                        break;
                    }
                }
            }
        }
        self.statuses.send_modify(|status| *status = Status::default());
    }

    /// A new session's client; `None` when closing.
    async fn connect(&mut self) -> Option<Result<Client, Error>> {
        let mut connector = Client::connector().with_session_timeout(self.config.session_timeout);
        if self.server_is_old {
            connector = connector.with_server_version(3, 4, 0);
        }
        if let Some(login) = &self.config.login {
            match login.read() {
                Ok(credential) => self.credential = Some(credential),
                Err(error) if self.credential.is_some() => {
                    complain(&self.statuses, format!("{error}; the last good one is used"));
                }
                Err(error) => return Some(Err(Error::UnexpectedError(error.to_string()))),
            }
            if let Some(credential) = &self.credential {
                connector = login.with(connector, credential);
            }
        }
        let servers = self.config.servers.clone();
        self.unless_closing(connector.connect(&servers)).await
    }

    /// Waits for `work`, or until the handle closes or is dropped.
    async fn unless_closing<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            _ = self.wanted.wait_for(|wanted| wanted.closing) => None,
        }
    }

    async fn session(&mut self, client: Client, others: &mut Others) -> End {
        let own_lost = Notify::new();
        let told = &mut self.told;
        let (own_name, own_name_seen) = watch::channel(None);
        let registrar = own::Registrar {
            client: &client,
            paths: &self.paths,
            config: &self.config,
            credential: self.credential.as_ref(),
            told,
            wanted: self.wanted.clone(),
            statuses: &self.statuses,
            counters: &self.counters,
            lost: &own_lost,
            maybe_there: &self.maybe_there,
            name: own_name,
        };
        let observer = observe::Observer {
            client: &client,
            paths: &self.paths,
            statuses: &self.statuses,
            counters: &self.counters,
            own_name: own_name_seen,
            own_lost: &own_lost,
            server_is_old: self.server_is_old,
        };
        let end = tokio::select! {
            state = watch_state(client.state_watcher(), &self.statuses) => End::Lost(state),
            end = registrar.run() => end,
            end = observer.run(others) => end,
            never = control::follow(&client, &self.paths.control, &self.switch, &self.counters) => match never {},
        };
        // The last client's end closes the session.
        drop(client);
        end
    }
}

/// Follows the connection until the session has ended.
async fn watch_state(mut states: StateWatcher, statuses: &watch::Sender<Status>) -> SessionState {
    let mut state = states.peek_state();
    loop {
        let connected = matches!(state, SessionState::SyncConnected | SessionState::ConnectedReadOnly);
        statuses.send_if_modified(|status| {
            let changed = status.connected != connected;
            status.connected = connected;
            if changed && !connected {
                tracing::warn!("connection to ZooKeeper lost; the known members stay");
                status.last_error = Some("connection to ZooKeeper lost".to_owned());
            } else if changed {
                tracing::info!("connection to ZooKeeper is back");
                status.last_error = None;
            }
            changed
        });
        if state.is_terminated() {
            return state;
        }
        state = states.changed().await;
    }
}

/// Waits until the session's end was sent and answered, but not for long.
async fn closed(mut states: StateWatcher) {
    if !states.peek_state().is_terminated() {
        let end = async { while !states.changed().await.is_terminated() {} };
        // Without an answer the service ends the session by itself when it times out.
        let _ = tokio::time::timeout(Duration::from_millis(500), end).await;
    }
}

/// Logs and shows a problem, unless it is the one that is shown already.
fn complain(statuses: &watch::Sender<Status>, problem: String) {
    statuses.send_if_modified(|status| {
        if status.last_error.as_ref() == Some(&problem) {
            return false;
        }
        tracing::warn!("{problem}");
        status.last_error = Some(problem);
        true
    });
}

/// What an error means, for whoever has to do something about it.
fn words(error: &Error) -> String {
    match error {
        Error::NoAuth => {
            "ZooKeeper denies it: its nodes belong to another credential than this agent's (zookeeper.auth, \
                          zookeeper.auth_file; where that is not set the agent has none)"
                .to_owned()
        }
        Error::InvalidAcl => {
            "the servers don't take this session for authenticated, so it can't own a node: do they know \
                              the scheme (zookeeper.auth_scheme)?"
                .to_owned()
        }
        error => error.to_string(),
    }
}

/// How long to wait before what was denied is tried again. Only an operator changes that, and ten thousand agents may be
/// denied at once.
fn denied() -> Duration {
    Duration::from_secs(60).mul_f64(rand::rng().random_range(0.5..=1.5))
}

/// A random moment within a time that grows with the mesh, so that its agents don't all speak at once.
fn spread(members: usize) -> Duration {
    let longest = u64::try_from(members).unwrap_or(u64::MAX).min(5_000);
    Duration::from_millis(rand::rng().random_range(0..=longest))
}

/// Growing pauses with full jitter.
struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(5);

    fn new() -> Self {
        Backoff(Self::FIRST)
    }

    fn next(&mut self) -> Duration {
        let longest = self.0;
        self.0 = (longest * 2).min(Self::LONGEST);
        rand::rng().random_range(longest / 4..=longest)
    }
}

/// The sooner of two moments.
fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
