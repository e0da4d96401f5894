//! One's own entry: created, kept as wanted, taken away.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rand::Rng;
use tokio::sync::{Notify, watch};
use uuid::Uuid;
use zookeeper_client::{Acls, Client, CreateMode, Error};

use super::access::{self, Access, Finding, Role};
use super::config::{Paths, ZooKeeperConfig};
use super::login::{Credential, Login};
use super::{End, complain, denied, words};
use crate::data;
use crate::handle::{Desired, Status};
use crate::member::{Labels, Registration, State, unbracketed};
use crate::stats::Counters;

pub(super) struct Registrar<'a> {
    pub(super) client: &'a Client,
    pub(super) paths: &'a Paths,
    pub(super) config: &'a ZooKeeperConfig,
    /// What the session was authenticated by.
    pub(super) credential: Option<&'a Credential>,
    /// What was said of nodes that others created.
    pub(super) told: &'a mut HashSet<(String, Finding)>,
    pub(super) wanted: watch::Receiver<Desired>,
    pub(super) statuses: &'a watch::Sender<Status>,
    pub(super) counters: &'a Counters,
    /// Told when the entry may be gone without our doing.
    pub(super) lost: &'a Notify,
    /// Whether an entry may be there, for whoever waits until it is gone.
    pub(super) maybe_there: &'a watch::Sender<bool>,
    /// The entry's name, for the observer.
    pub(super) name: watch::Sender<Option<String>>,
}

/// The entry as far as it is known.
enum Entry {
    None,
    /// A request to create it got no answer: one whose name contains this may be there or not.
    Unsure(String),
    There {
        path: String,
        shown: Shown,
    },
}

/// How often the credential is looked at where it is denied, and the rights where an entry was taken away.
const LOOK: Duration = Duration::from_secs(2);

/// Mean time between two looks at the rights.
const SURVEY: Duration = Duration::from_secs(300);

/// What may change of an entry's data.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    state: State,
    labels: Labels,
}

impl Shown {
    fn of(wanted: &Desired) -> Shown {
        Shown {
            state: wanted.state,
            labels: wanted.labels.clone(),
        }
    }
}

impl Registrar<'_> {
    /// Keeps the entry as wanted until the membership closes.
    pub(super) async fn run(mut self) -> End {
        let mut entry = Entry::None;
        let mut survey_at = (self.config.access != Access::Open).then(Instant::now);
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            match self.step(&mut entry, &wanted).await {
                Ok(true) => {}
                Ok(false) if wanted.closing => return End::Closed,
                Ok(false) => tokio::select! {
                    own = due(survey_at, &entry) => {
                        survey_at = Some(self.survey(own).await);
                        if self.counters.nodes_foreign.get() > 0 && self.credential_changed() {
                            return End::NewCredential;
                        }
                    }
                    changed = self.wanted.changed() => if changed.is_err() {
                        // The handle was dropped: the session's end takes the entry away.
                        return End::Closed;
                    },
                    () = self.lost.notified() => if let Err(error) = self.verify(&mut entry).await {
                        self.pause(error).await;
                        self.lost.notify_one();
                    },
                },
                Err(Error::Unimplemented) => return End::OldServer,
                Err(Error::NoAuth) if !wanted.registered => {
                    self.counters.denied.add(1);
                    tracing::warn!(
                        "own entry may not be deleted, so its session is ended: {}",
                        words(&Error::NoAuth)
                    );
                    return End::Undeletable;
                }
                // Nothing more can be done about it in this session, and it ends soon.
                Err(_) if wanted.closing => return End::Closed,
                Err(error @ (Error::NoAuth | Error::InvalidAcl)) => {
                    self.counters.denied.add(1);
                    self.complain(&error);
                    if self.mended().await {
                        return End::NewCredential;
                    }
                }
                Err(error) => self.pause(error).await,
            }
        }
    }

    /// Whether another credential is there than the one that this session was opened with.
    fn credential_changed(&self) -> bool {
        let now = self.config.login.as_ref().map(Login::read);
        now.is_some_and(|now| now.is_ok_and(|now| Some(&now) != self.credential))
    }

    async fn pause(&self, error: Error) {
        if error != Error::ConnectionLoss {
            self.complain(&error);
        }
        tokio::time::sleep(super::Backoff::new().next()).await;
    }

    fn complain(&self, error: &Error) {
        self.counters.failures.add(1);
        let problem = format!("own entry under {} can't be kept: {}", self.paths.members, words(error));
        complain(self.statuses, problem);
    }

    /// Waits where rights are missing, which only an operator changes. True once there is another credential; else it may be
    /// tried again.
    async fn mended(&self) -> bool {
        let mut wanted = self.wanted.clone();
        let again = tokio::time::sleep(denied());
        tokio::pin!(again);
        loop {
            tokio::select! {
                () = &mut again => return false,
                _ = wanted.changed() => return false,
                () = tokio::time::sleep(LOOK) => if self.credential_changed() {
                    return true;
                },
            }
        }
    }

    /// Looks at the rights to the nodes that all agents share, and says what is wrong with them. Returns when to do so again.
    async fn survey(&mut self, own: &str) -> Instant {
        let (access, repair) = (self.config.access, self.config.repair);
        let findings = match access::survey(self.client, self.paths, own, access, repair).await {
            Ok(findings) => findings,
            // Somebody has taken our own entry, by whose list the others are judged. Soon there is another.
            Err(Error::NoNode) => return Instant::now() + LOOK,
            Err(error) => {
                if error != Error::ConnectionLoss {
                    tracing::warn!(%error, "the rights to ZooKeeper's nodes can't be looked at; trying again");
                }
                return Instant::now() + denied();
            }
        };
        let is_exposed = |finding: &&Finding| matches!(finding, Finding::Exposed(_));
        let exposed = findings.values().filter(is_exposed).count();
        self.counters.nodes_exposed.set(exposed);
        self.counters.nodes_foreign.set(findings.len() - exposed);
        for (path, finding) in findings {
            if self.told.contains(&(path.clone(), finding.clone())) {
                continue;
            }
            match &finding {
                Finding::Exposed(rights) => tracing::warn!(
                    path,
                    rights,
                    "anyone has these rights to a ZooKeeper node that was there before, whatever zookeeper.acl says: take \
                     them away by setAcl, or by zookeeper.acl_repair"
                ),
                Finding::Foreign(owner) => tracing::warn!(
                    path,
                    owner,
                    "this agent's credential has no rights to a ZooKeeper node that all agents share: is it another \
                     user or password than theirs (zookeeper.auth, zookeeper.auth_file)?"
                ),
            }
            self.told.insert((path, finding));
        }
        Instant::now() + SURVEY.mul_f64(rand::rng().random_range(0.5..=1.5))
    }

    /// Takes one step towards what is wanted. False: nothing is left to do.
    async fn step(&self, entry: &mut Entry, wanted: &Desired) -> Result<bool, Error> {
        match entry {
            Entry::Unsure(mark) => {
                let found = self.find(mark).await?;
                *entry = match found {
                    // Its data may be older than what is wanted now.
                    Some(path) => {
                        let shown = Shown::of(wanted);
                        self.client.set_data(&path, &self.data(&shown)?, None).await?;
                        self.there(path, shown)
                    }
                    None => self.gone(),
                };
                Ok(true)
            }
            Entry::None if wanted.registered => {
                let mark = Uuid::new_v4().simple().to_string();
                self.maybe_there.send_replace(true);
                let shown = Shown::of(wanted);
                match self.create(&mark, &shown).await {
                    Ok(path) => *entry = self.there(path, shown),
                    Err(error @ (Error::ConnectionLoss | Error::Timeout)) => {
                        *entry = Entry::Unsure(mark);
                        return Err(error);
                    }
                    Err(error) => {
                        self.maybe_there.send_replace(false);
                        return Err(error);
                    }
                }
                Ok(true)
            }
            Entry::There { path, .. } if !wanted.registered => {
                match self.client.delete(path, None).await {
                    Ok(()) | Err(Error::NoNode) => {}
                    Err(error) => return Err(error),
                }
                tracing::info!(path, "deregistered");
                *entry = self.gone();
                Ok(true)
            }
            Entry::There { path, shown } if *shown != Shown::of(wanted) => {
                let new = Shown::of(wanted);
                match self.client.set_data(path, &self.data(&new)?, None).await {
                    Ok(_) => {
                        *shown = new;
                        self.statuses.send_modify(|status| status.state = Some(wanted.state));
                    }
                    Err(Error::NoNode) => *entry = self.gone(),
                    Err(error) => return Err(error),
                }
                Ok(true)
            }
            Entry::None | Entry::There { .. } => Ok(false),
        }
    }

    /// Looks whether the entry is still there. The service or an operator may have taken it.
    async fn verify(&self, entry: &mut Entry) -> Result<(), Error> {
        if let Entry::There { path, .. } = entry
            && self.client.check_stat(path).await?.is_none()
        {
            tracing::warn!(path, "own entry was deleted by somebody else; registering again");
            *entry = self.gone();
            // Whoever deletes it again and again is not followed at full speed.
            tokio::time::sleep(super::Backoff::new().next()).await;
        }
        Ok(())
    }

    /// Creates the entry, and its parents where they are missing. The name imitates the original's, whose library
    /// protects sequential nodes by a random mark in the name.
    async fn create(&self, mark: &str, shown: &Shown) -> Result<String, Error> {
        let list = self.config.access.list(Role::Own);
        let own = CreateMode::EphemeralSequential.with_acls(Acls::new(&list));
        let Registration { address, port, .. } = &self.config.own;
        // Nothing of the address may divide the path.
        let address = unbracketed(address).replace('/', "_");
        let prefix = format!("{}/_c_{mark}-{address}:{port}", self.paths.members);
        let data = self.data(shown)?;
        let created = match self.client.create(&prefix, &data, &own).await {
            Err(Error::NoNode) => {
                self.make_parents().await?;
                self.client.create(&prefix, &data, &own).await?
            }
            created => created?,
        };
        let path = format!("{prefix}{}", created.1);
        self.counters.registrations.add(1);
        tracing::info!(path, "registered");
        Ok(path)
    }

    /// Makes the members' path, and before it the chroot that the servers may end in.
    async fn make_parents(&self) -> Result<(), Error> {
        let list = self.config.access.list(Role::Parent);
        let parents = CreateMode::Persistent.with_acls(Acls::new(&list));
        match self.client.mkdir(&self.paths.members, &parents).await {
            Err(Error::NoNode) => {}
            made => return made,
        }
        if let Ok(whole) = self.client.clone().chroot("/") {
            whole.mkdir(self.client.path(), &parents).await?;
        }
        self.client.mkdir(&self.paths.members, &parents).await
    }

    async fn find(&self, mark: &str) -> Result<Option<String>, Error> {
        let names = match self.client.list_children(&self.paths.members).await {
            Err(Error::NoNode) => Vec::new(),
            names => names?,
        };
        Ok(names
            .into_iter()
            .find(|name| name.contains(mark))
            .map(|name| format!("{}/{name}", self.paths.members)))
    }

    fn data(&self, shown: &Shown) -> Result<Vec<u8>, Error> {
        data::encode(&self.config.own.at(&shown.labels), shown.state)
            .map_err(|error| Error::UnexpectedError(error.to_string()))
    }

    fn there(&self, path: String, shown: Shown) -> Entry {
        self.name.send_replace(path.rsplit('/').next().map(str::to_owned));
        self.statuses.send_modify(|status| {
            status.registered = true;
            status.state = Some(shown.state);
            status.path = Some(path.clone());
            status.last_error = None;
        });
        Entry::There { path, shown }
    }

    fn gone(&self) -> Entry {
        self.name.send_replace(None);
        self.statuses.send_modify(|status| {
            status.registered = false;
            status.state = None;
            status.path = None;
        });
        // Last: whoever waits for it then finds the status right.
        self.maybe_there.send_replace(false);
        Entry::None
    }
}

/// The entry's path, once it is there and `at` has come.
async fn due(at: Option<Instant>, entry: &Entry) -> &str {
    let (Some(at), Entry::There { path, .. }) = (at, entry) else {
        return std::future::pending().await;
    };
    tokio::time::sleep_until(at.into()).await;
    path
}
