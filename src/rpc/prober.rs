//! [`Prober`]: pings all its targets evenly, each over one reused connection, and tells every fate exactly once.
//!
//! One task keeps the schedule; a ping in flight is one light task; an idle peer costs its connection and no timer.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dt_probe::time::nanos;
use dt_probe::{Event, MIN_PAIR_INTERVAL, Mono, Pattern, Schedule, TargetId, What};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gate::Gate;
use crate::peer::{GrpcTarget, Peer};
use crate::ping;
use crate::tls::Tls;

/// How long an answer after its time-out can still be told as late, at least.
const MIN_LATE_MEMORY: Duration = Duration::from_secs(3);

/// At most one line in this time tells of a handshake that failed.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Settings of a [`Prober`].
#[derive(Clone, Debug)]
pub struct ProberConfig {
    /// From a ping's due time to its loss, dialling included. Default 5 s (the original's).
    pub timeout: Duration,
    /// Between two pings of one target; at least 10 ms. Default 10 s (the original's).
    pub period: Duration,
    /// Spreads nodes over the period: give each its own.
    pub seed: u64,
    /// Connections kept open; the peers beyond are dialled for each ping, and the dial is in nobody's time.
    /// One takes a descriptor and some tens of kilobytes. Default 1,024.
    pub max_connections: usize,
    /// Dials under way at once. Default 1,024.
    pub max_dials: usize,
    /// Pings of one target in flight at once; one more is skipped. Default 4.
    pub max_overlap: u32,
    /// Whether targets are pinged that have answered. Where they aren't, the prober only asks those of
    /// [`Prober::add_stranger`], until they answer. Default true.
    pub pings: bool,
    /// For targets that are pinged by TLS. Default: none.
    pub tls: Option<Tls>,
    /// Counts the suspends of this host, whoever notices them. Default: a count of its own, always 0.
    pub suspends: Arc<AtomicU64>,
}

impl Default for ProberConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            period: Duration::from_secs(10),
            seed: 0,
            max_connections: 1024,
            max_dials: 1024,
            max_overlap: 4,
            pings: true,
            tls: None,
            suspends: Arc::default(),
        }
    }
}

impl ProberConfig {
    pub(crate) fn late_memory(&self) -> Duration {
        self.timeout.max(MIN_LATE_MEMORY)
    }
}

/// What the prober tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcEvent {
    /// As the other probe kinds tell it; the source port is 0.
    pub event: Event,
    /// With each fate: what the original reports of a ping.
    pub trace: Option<Trace>,
}

/// The part of a TraceReport that the prober knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Who was pinged.
    pub target: TargetId,
    /// Round-trip delay in nanoseconds, saturating (4.29 s); 0 where the ping failed.
    pub response_ns: u32,
    /// Whether the answer was good and in time.
    pub success: bool,
}

/// What became of the pings begun: each is in flight, or it was told with a fate, voided or abandoned.
#[derive(Debug, Default)]
pub struct PingCounters {
    /// Begun, dialling included.
    pub begun: AtomicU64,
    /// Told as skipped, for nothing can be said of them: this host was suspended, or was kept from dialling or reading in
    /// time.
    pub voided: AtomicU64,
    /// Given up at the end, without a fate.
    pub abandoned: AtomicU64,
}

/// Pings its targets until it is drained or dropped. Call from within a Tokio runtime.
#[derive(Debug)]
pub struct Prober {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: ProberConfig,
    state: Mutex<State>,
    /// The schedule has changed.
    changed: Notify,
    events: mpsc::Sender<GrpcEvent>,
    in_flight: AtomicUsize,
    all_decided: Notify,
    pub(crate) counters: Arc<PingCounters>,
    pub(crate) dials: Semaphore,
    pub(crate) places: Arc<Semaphore>,
    tracker: TaskTracker,
    /// Gives up whatever is under way.
    pub(crate) cancel: CancellationToken,
    started: Instant,
    /// When it was last said that TLS failed with a peer.
    complained: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct State {
    peers: HashMap<TargetId, Arc<Peer>>,
    schedule: Schedule,
    /// Those that have never answered.
    gate: Gate,
    /// Those that just have, and from when on they may be pinged again, the earliest first.
    proven: VecDeque<(Mono, TargetId)>,
    /// Nothing begins any more, whatever is enabled.
    draining: bool,
}

impl Prober {
    /// Starts without targets. `events` bounds what waits to be read: while it is full no further fate is decided and
    /// no ping begins, and what is missed by that is counted as skipped.
    #[must_use]
    pub fn start(config: ProberConfig, events: mpsc::Sender<GrpcEvent>) -> Self {
        let permits = |n: usize| n.min(Semaphore::MAX_PERMITS);
        let state = State {
            peers: HashMap::new(),
            schedule: Schedule::new(Pattern::Continuous, nanos(config.period), config.seed, Mono(0)),
            gate: Gate::new(config.seed),
            proven: VecDeque::new(),
            draining: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Notify::new(),
            events,
            in_flight: AtomicUsize::new(0),
            all_decided: Notify::new(),
            counters: Arc::default(),
            dials: Semaphore::new(permits(config.max_dials.max(1))),
            places: Arc::new(Semaphore::new(permits(config.max_connections))),
            tracker: TaskTracker::new(),
            cancel: CancellationToken::new(),
            started: Instant::now(),
            complained: Mutex::new(None),
            config,
        });
        shared.tracker.spawn(keep_schedule(Arc::clone(&shared)));
        Self { shared }
    }

    /// Pings `target` from now on, for the first time within one period. False, and nothing done, where `id` is taken:
    /// it is free again after its [`What::Gone`].
    pub fn add(&self, id: TargetId, target: GrpcTarget) -> bool {
        self.admit(id, target, true)
    }

    /// As [`Prober::add`], but asks `target` at most once in 10 s until it has answered, and not at all while another
    /// stranger at the same address has been asked in vain that lately.
    pub fn add_stranger(&self, id: TargetId, target: GrpcTarget) -> bool {
        self.admit(id, target, false)
    }

    fn admit(&self, id: TargetId, target: GrpcTarget, proven: bool) -> bool {
        let Ok(peer) = Peer::new(id, target, proven, self.shared.config.max_overlap) else {
            return false;
        };
        let now = self.shared.now();
        let mut state = self.shared.lock();
        if state.peers.contains_key(&id) {
            return false;
        }
        if proven {
            state.schedule.add(id, now);
        } else {
            state.gate.add(id, peer.address.ip(), now);
        }
        state.peers.insert(id, Arc::new(peer));
        drop(state);
        self.shared.changed.notify_one();
        true
    }

    /// No more pings for `id`. What is in flight still gets its fate, then [`What::Gone`] comes.
    pub fn remove(&self, id: TargetId) {
        let mut state = self.shared.lock();
        state.schedule.remove(id);
        let removed = state.peers.remove(&id);
        if let Some(peer) = &removed {
            state.gate.remove(id, peer.address.ip());
        }
        drop(state);
        if let Some(peer) = removed {
            peer.removed.cancel();
            let shared = Arc::clone(&self.shared);
            self.shared.tracker.spawn(async move { shared.release(&peer).await });
        }
    }

    /// What a peer's share of this node's budget of probes comes to: the time between two. Strangers are asked out of
    /// theirs, so that thousands of them are no burst.
    pub fn set_share(&self, time: Duration) {
        self.shared.lock().gate.set_share(nanos(time));
        self.shared.changed.notify_one();
    }

    /// How many strangers there are.
    #[must_use]
    pub fn strangers(&self) -> usize {
        self.shared.lock().gate.len()
    }

    /// A new period for all targets; each keeps its place in the round.
    pub fn set_period(&self, period: Duration) {
        let now = self.shared.now();
        self.shared.lock().schedule.set_period(nanos(period), now);
        self.shared.changed.notify_one();
    }

    /// The kill switch: while off nothing is sent and nothing counts as skipped; what is in flight is decided.
    pub fn set_enabled(&self, enabled: bool) {
        let now = self.shared.now();
        let mut state = self.shared.lock();
        if enabled {
            state.schedule.resume(now);
            state.gate.resume();
        } else {
            state.schedule.pause();
            state.gate.pause();
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Its counters, which can still be read when it has ended.
    #[must_use]
    pub fn counters(&self) -> &Arc<PingCounters> {
        &self.shared.counters
    }

    /// Pings begun whose fate has not been told yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Relaxed)
    }

    /// Sends no more, waits for what is in flight until `deadline`, gives up the rest and closes all connections.
    /// Returns how many were given up; they have no fate. Someone must go on reading the events meanwhile.
    pub async fn drain(&self, deadline: Instant) -> u64 {
        let shared = &self.shared;
        shared.lock().draining = true;
        shared.changed.notify_one();
        let _ = tokio::time::timeout_at(deadline, async {
            loop {
                let decided = shared.all_decided.notified();
                if self.in_flight() == 0 {
                    return;
                }
                decided.await;
            }
        })
        .await;
        shared.cancel.cancel();
        shared.tracker.close();
        shared.tracker.wait().await;
        shared.counters.abandoned.load(Relaxed)
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while holding it; if one did, the state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handshake of TLS failed: most likely so with all peers.
    pub(crate) fn complain(&self, peer: &Peer, error: &std::io::Error) {
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            *complained = Some(Instant::now());
            tracing::warn!(address = %peer.address, name = ?peer.tls, error = error.to_string(), "TLS with a peer fails");
        }
    }

    fn now(&self) -> Mono {
        Mono(nanos(self.started.elapsed()))
    }

    /// What came of a ping, told before its event: one who answers for the first time is a stranger no longer.
    pub(crate) fn asked(&self, peer: &Peer, well: bool) {
        if peer.is_proven() {
            return;
        }
        let now = self.now();
        let mut state = self.lock();
        if state.gate.answered(peer.id, peer.address.ip(), well, now) {
            peer.proven.store(true, Relaxed);
            if self.config.pings {
                state.proven.push_back((now.plus(MIN_PAIR_INTERVAL), peer.id));
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Queues an event; an owner who no longer reads has no use for it.
    pub(crate) async fn tell(&self, target: TargetId, what: What) {
        let trace = match what {
            What::Received(sample) => {
                let response_ns = u32::try_from(sample.rtt_ns).unwrap_or(u32::MAX);
                Some(Trace {
                    target,
                    response_ns,
                    success: true,
                })
            }
            What::Failed(_) => Some(Trace {
                target,
                response_ns: 0,
                success: false,
            }),
            _ => None,
        };
        let _ = self
            .events
            .send(GrpcEvent {
                event: Event {
                    target,
                    source_port: 0,
                    what,
                },
                trace,
            })
            .await;
    }

    /// Ends one hold on `peer`; the last one tells that it is gone.
    pub(crate) async fn release(&self, peer: &Peer) {
        if peer.release() {
            tokio::select! {
                () = self.tell(peer.id, What::Gone) => {}
                () = self.cancel.cancelled() => {}
            }
        }
    }

    pub(crate) fn one_decided(&self) {
        if self.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.all_decided.notify_waiters();
        }
    }

    /// Begins what is due; gives back what is to be told as skipped, each peer held.
    fn begin_due(self: &Arc<Self>) -> (Vec<(Arc<Peer>, u32)>, Option<Mono>) {
        let now = self.now();
        let mut skipped = Vec::new();
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.draining {
            return (skipped, None);
        }
        while let Some((due, id)) = state.proven.front().copied().filter(|(due, _)| *due <= now) {
            state.proven.pop_front();
            if state.peers.get(&id).is_some_and(|peer| peer.is_proven()) {
                state.schedule.add(id, due);
            }
        }
        while let Some(due) = state.schedule.pop_due(now) {
            let Some(peer) = state.peers.get(&due.target) else {
                continue;
            };
            let mut missed = due.skipped;
            if due.send && peer.in_flight.load(Relaxed) >= self.config.max_overlap {
                missed = missed.saturating_add(1);
            } else if due.send {
                self.begin(peer);
            }
            if missed > 0 {
                peer.hold();
                skipped.push((Arc::clone(peer), missed));
            }
        }
        while let Some(stranger) = state.gate.pop_due(now) {
            if let Some(peer) = state.peers.get(&stranger) {
                self.begin(peer);
            }
        }
        let proven = state.proven.front().map(|(due, _)| *due);
        let next = [state.schedule.next_due(), state.gate.next_due(), proven];
        (skipped, next.into_iter().flatten().min())
    }

    fn begin(self: &Arc<Self>, peer: &Arc<Peer>) {
        peer.hold();
        peer.in_flight.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        self.counters.begun.fetch_add(1, Relaxed);
        self.tracker.spawn(ping::run(Arc::clone(self), Arc::clone(peer)));
    }
}

async fn keep_schedule(shared: Arc<Shared>) {
    loop {
        let (skipped, next) = shared.begin_due();
        let told = async {
            for (peer, missed) in skipped {
                shared.tell(peer.id, What::Skipped(missed)).await;
                shared.release(&peer).await;
            }
        };
        tokio::select! {
            () = told => {}
            () = shared.cancel.cancelled() => return,
        }
        let due = async {
            match next {
                Some(due) => sleep_until(shared.started + Duration::from_nanos(due.0)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = shared.changed.notified() => {}
            () = shared.cancel.cancelled() => return,
        }
    }
}
