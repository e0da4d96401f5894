//! The others: lists, notifications and data become a view.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use rand::Rng;
use rand::seq::SliceRandom;
use smol_str::SmolStr;
use tokio::sync::{Notify, watch};
use zookeeper_client::{Client, Error, Stat};

use super::config::Paths;
use super::news::News;
use super::watching::{Change, Watching};
use super::{End, complain, denied, sooner, spread, words};
use crate::handle::Status;
use crate::log_limit::LogLimit;
use crate::member::{Registration, View};
use crate::roster::Roster;
use crate::stats::Counters;
use crate::tracker::Tracker;

/// Data requests under way at once: enough to fill the line, and few enough that as many largest nodes (1 MB each) fit
/// in memory.
const MAX_READS: usize = 32;

/// Mean time between two full lists.
const RELIST: Duration = Duration::from_secs(300);

/// Between two reads of entries that may have changed while notifications were lost. Seldom, since all nodes lose them at
/// the same time.
const DOUBT: Duration = Duration::from_secs(1);

/// What is shown waits for data under way, but not longer than this.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of the others; outlives sessions.
pub(super) struct Others {
    tracker: Tracker,
    roster: Roster,
    views: watch::Sender<Arc<View>>,
    counters: Arc<Counters>,
    namesakes: HashSet<(String, SmolStr)>,
    /// Lines about malformed entries: whoever can write one can write it again and again.
    malformed_lines: LogLimit,
}

impl Others {
    pub(super) fn new(
        own: Registration,
        session_timeout: Duration,
        views: watch::Sender<Arc<View>>,
        counters: Arc<Counters>,
    ) -> Self {
        Others {
            tracker: Tracker::new(own),
            roster: Roster::new(session_timeout),
            views,
            counters,
            namesakes: HashSet::new(),
            malformed_lines: LogLimit::default(),
        }
    }

    /// The last session was lost, and a new one begins.
    pub(super) fn doubt(&mut self) {
        self.roster.doubt(Instant::now());
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Shows the members that the entries make, as far as the roster agrees.
    fn publish(&mut self, now: Instant) {
        let registered = self.tracker.registered();
        self.counters.members_malformed.set(registered.malformed);
        self.counters.members_twins.set(registered.twins);
        for member in registered.namesakes {
            let what = (member.authority(), member.boot_id.clone());
            // Bounded: a log is no place for the imagination of others.
            if self.namesakes.len() < 1_000 && self.namesakes.insert(what) {
                tracing::warn!(
                    node = member.node.as_str(),
                    address = member.authority(),
                    "an entry bears this node's own name and is not probed: a former life of this agent, or another \
                     host of the same name, which then needs a name of its own (--node)"
                );
            }
        }
        self.roster.update(now, registered.members);
        self.show();
    }

    /// Lets the roster decide what is due.
    fn poll(&mut self, now: Instant) {
        self.roster.poll(now);
        self.show();
    }

    fn show(&mut self) {
        let vanishes = self.roster.mass_vanishes();
        let before = self.counters.mass_vanishes.get();
        let kept = self.roster.kept();
        self.counters.members_kept.set(kept);
        if vanishes > before {
            self.counters.mass_vanishes.add(vanishes - before);
            tracing::warn!(
                kept,
                "half or more of the members vanished at once; they are probed for a while still"
            );
        }
        let members = self.roster.shown();
        self.views.send_if_modified(|view| {
            // The first list counts even where it is empty.
            if view.generation > 0 && view.members == members {
                return false;
            }
            *view = Arc::new(View {
                members,
                generation: view.generation + 1,
            });
            true
        });
    }
}

/// The part of one session.
pub(super) struct Observer<'a> {
    pub(super) client: &'a Client,
    pub(super) paths: &'a Paths,
    pub(super) statuses: &'a watch::Sender<Status>,
    pub(super) counters: &'a Counters,
    /// The name of one's own entry, while there is one.
    pub(super) own_name: watch::Receiver<Option<String>>,
    /// To be told when that one is missed.
    pub(super) own_lost: &'a Notify,
    /// The server knows no ZooKeeper 3.5 operations.
    pub(super) server_is_old: bool,
}

/// The name of an entry, and its data or why there is none.
type Answer = (String, Result<(Vec<u8>, Stat), Error>);

/// A list asked for, and the tracker's mark from before.
type List<'a> = (u64, BoxFuture<'a, Result<Vec<String>, Error>>);

/// What is under way.
struct Work<'a> {
    watching: Watching<'a>,
    /// The list asked for.
    list: Option<List<'a>>,
    reads: FuturesUnordered<BoxFuture<'a, Answer>>,
    /// Names waiting to be read.
    queue: VecDeque<String>,
    /// Names in the queue.
    queued: HashSet<String>,
    /// Names in `reads`, and whether something has happened to the entry since: the answer may be from before.
    reading: HashMap<String, bool>,
    /// Entries whose data may be another since notifications were lost, and when to read the next.
    doubtful: Vec<String>,
    doubt_at: Instant,
    /// Whether the next list follows a loss of notifications.
    doubts: bool,
    /// Notifications gathered: what they come to, for each entry.
    changes: HashMap<String, News>,
    /// When to look at the changes.
    changes_at: Option<Instant>,
    /// When to ask for a list.
    list_at: Instant,
    /// Since when the tracker knows more than is shown; `None` where it doesn't.
    stale_since: Option<Instant>,
    /// Whether this session has had a whole list with all its data.
    complete: bool,
}

impl Observer<'_> {
    /// Keeps the others' view current until the session is of no more use.
    pub(super) async fn run(self, others: &mut Others) -> End {
        others.roster.set_session_timeout(self.client.session_timeout());
        let mut work = Work {
            watching: Watching::new(self.client, &self.paths.members, self.server_is_old).await,
            list: None,
            reads: FuturesUnordered::new(),
            queue: VecDeque::new(),
            queued: HashSet::new(),
            reading: HashMap::new(),
            doubtful: Vec::new(),
            doubt_at: Instant::now(),
            doubts: true,
            changes: HashMap::new(),
            changes_at: None,
            list_at: Instant::now(),
            stale_since: None,
            complete: false,
        };
        loop {
            let now = Instant::now();
            self.begin(&mut work, others, now);
            let idle = work.list.is_none() && work.reads.is_empty() && work.queue.is_empty();
            if let Some(since) = work.stale_since
                && (idle || (work.complete && since + PATIENCE <= now))
            {
                work.complete |= idle;
                work.stale_since = None;
                others.publish(now);
            } else if work.complete {
                others.poll(now);
            }
            let deadline = self.deadline(&work, others);
            tokio::select! {
                change = work.watching.changed() => self.changed(&mut work, others, change),
                Some((name, answer)) = work.reads.next() => self.read(&mut work, others, name, answer),
                (mark, names) = listed(&mut work.list) => {
                    if let Err(end) = self.listed(&mut work, others, mark, names) {
                        return end;
                    }
                }
                () = tokio::time::sleep_until(deadline.into()) => {}
            }
        }
    }

    fn deadline(&self, work: &Work<'_>, others: &Others) -> Instant {
        let mut deadline = work.changes_at;
        if work.list.is_none() {
            deadline = sooner(deadline, Some(work.list_at));
        }
        if !work.doubtful.is_empty() {
            deadline = sooner(deadline, Some(work.doubt_at));
        }
        if work.complete {
            deadline = sooner(deadline, others.roster.next_deadline());
            deadline = sooner(deadline, work.stale_since.map(|since| since + PATIENCE));
        }
        // Always something: a list under way ends, one way or the other.
        deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(1))
    }

    /// Begins what is due.
    fn begin<'a>(&'a self, work: &mut Work<'a>, others: &mut Others, now: Instant) {
        // A list may not overtake another, and none is worth anything while there is no connection.
        if work.list.is_none() && work.list_at <= now {
            let mark = others.tracker.mark();
            work.list = Some((mark, work.watching.list()));
            work.list_at = now + RELIST.mul_f64(rand::rng().random_range(0.5..=1.5));
        }
        if work.changes_at.is_some_and(|at| at <= now) {
            work.changes_at = None;
            for (name, news) in std::mem::take(&mut work.changes) {
                if news == News::Went {
                    others.tracker.deleted(&name);
                    work.stale_since.get_or_insert(now);
                    if self.own_name.borrow().as_deref() == Some(name.as_str()) {
                        self.own_lost.notify_one();
                    }
                } else {
                    others.tracker.created(&name);
                    if news == News::Changed || others.tracker.wants_reading(&name) {
                        work.enqueue(name);
                    }
                }
            }
        }
        if work.doubt_at <= now
            && let Some(name) = work.doubtful.pop()
        {
            work.doubt_at = now + DOUBT;
            work.enqueue(name);
        }
        while work.reads.len() < MAX_READS
            && let Some(name) = work.queue.pop_front()
        {
            work.queued.remove(&name);
            work.reading.insert(name.clone(), false);
            let path = format!("{}/{name}", self.paths.members);
            let client = self.client;
            work.reads
                .push(async move { (name, client.get_data(&path).await) }.boxed());
        }
    }

    fn changed(&self, work: &mut Work<'_>, others: &Others, change: Change) {
        let now = Instant::now();
        match change {
            Change::Entry { name, kind } => {
                self.counters.events.add(1);
                let news = News::then(work.changes.get(&name).copied(), kind);
                work.changes.insert(name, news);
                let size = others.len();
                work.changes_at.get_or_insert_with(|| now + spread(size));
            }
            Change::Any => {
                self.counters.events.add(1);
                work.list_at = work.list_at.min(now + spread(others.len()));
            }
            // Notifications may have been lost.
            Change::Reconnected => {
                work.doubts = true;
                work.list_at = work.list_at.min(now + spread(others.len()));
            }
        }
    }

    fn listed(
        &self,
        work: &mut Work<'_>,
        others: &mut Others,
        mark: u64,
        names: Result<Vec<String>, Error>,
    ) -> Result<(), End> {
        let now = Instant::now();
        work.list = None;
        match names {
            Ok(names) => {
                self.counters.relists.add(1);
                for name in others.tracker.listed(mark, names) {
                    work.enqueue(name);
                }
                let ignored = others.tracker.ignored();
                let before = self.counters.ignored.get();
                if ignored > before {
                    self.counters.ignored.add(ignored - before);
                    tracing::error!(ignored, "more entries than can be kept; the rest is ignored");
                }
                if std::mem::take(&mut work.doubts) {
                    work.doubtful = others.tracker.read_names();
                    work.doubtful.shuffle(&mut rand::rng());
                }
                work.stale_since.get_or_insert(now);
                if let Some(own) = self.own_name.borrow().as_deref()
                    && !others.tracker.contains(own)
                {
                    self.own_lost.notify_one();
                }
            }
            // The registrar makes the parents.
            Err(Error::NoNode) => work.list_at = now + Duration::from_millis(100),
            Err(Error::ConnectionLoss) => work.list_at = work.list_at.min(now + Duration::from_millis(200)),
            Err(error) => {
                self.counters.failures.add(1);
                self.counters.denied.add(u64::from(error == Error::NoAuth));
                complain(
                    self.statuses,
                    format!(
                        "members under {} can't be listed: {}",
                        self.paths.members,
                        words(&error)
                    ),
                );
                if !matches!(error, Error::NoAuth | Error::Throttled | Error::Timeout) {
                    // The client itself has ended, whether it says so or not.
                    return Err(End::Lost(self.client.state()));
                }
                let pause = if error == Error::NoAuth {
                    denied()
                } else {
                    Duration::from_secs(5)
                };
                work.list_at = work.list_at.min(now + pause);
            }
        }
        Ok(())
    }

    fn read(&self, work: &mut Work<'_>, others: &mut Others, name: String, answer: Result<(Vec<u8>, Stat), Error>) {
        let now = Instant::now();
        if work.reading.remove(&name).unwrap_or(false) {
            work.enqueue(name.clone());
        }
        let outcome = match answer {
            Ok((data, stat)) => {
                self.counters.reads.add(1);
                others.tracker.read(&name, stat.czxid, &data)
            }
            Err(Error::NoNode) => {
                others.tracker.deleted(&name);
                Ok(true)
            }
            // It stays unread, and the list after the reconnection asks for it again.
            Err(Error::ConnectionLoss) => {
                work.list_at = work.list_at.min(now + Duration::from_millis(200));
                return;
            }
            Err(error) => {
                self.counters.failures.add(1);
                self.counters.denied.add(u64::from(error == Error::NoAuth));
                others.tracker.unreadable(&name, words(&error)).map(|()| true)
            }
        };
        let is_news = outcome.unwrap_or_else(|why| {
            self.counters.malformed.add(1);
            if let Some(held_back) = others.malformed_lines.pass(now) {
                tracing::warn!(entry = name, why, held_back, "malformed member skipped");
            }
            true
        });
        if is_news {
            work.stale_since.get_or_insert(now);
        }
    }
}

impl Work<'_> {
    /// Has an entry read: again, where it is being read already, once that is over.
    fn enqueue(&mut self, name: String) {
        if let Some(again) = self.reading.get_mut(&name) {
            *again = true;
        } else if self.queued.insert(name.clone()) {
            self.queue.push_back(name);
        }
    }
}

/// The end of the list under way.
async fn listed(list: &mut Option<List<'_>>) -> (u64, Result<Vec<String>, Error>) {
    match list {
        Some((mark, names)) => (*mark, names.await),
        None => std::future::pending().await,
    }
}
