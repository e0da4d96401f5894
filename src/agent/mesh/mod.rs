//! The mesh task: it alone knows peers and windows. It takes what the membership says to the probers, and what the
//! probers report to the windows, and closes the windows in time.

mod admission;
mod targets;
mod windows;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use dt_membership::{Labels, LogLimit, View};
use dt_record::Summary;
use dt_rpc::GrpcEvent;
use dt_sink::Publisher;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use crate::aggregate::Aggregate;
use crate::allowed::Allowed;
use crate::between::Between;
use crate::books::{Books, Ledger};
use crate::config::AgentConfig;
use crate::peer_totals::PeerTotals;
use crate::peers::Peers;
use crate::probers::{self, Probers};
use crate::proofs::Proofs;
use crate::resolve::{Resolved, Resolver};
use crate::status::{PeerStatus, Shared};

/// How often the report ring is emptied: far more often than it fills, and seldom enough to cost nothing.
const DRAIN_EVERY: Duration = Duration::from_millis(200);
/// Names are looked up again after this long: addresses of pods and of renumbered nodes change.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// While probes of a peer fail, this host looks so often whether its own way there has changed: until it has seen that, TCP
/// fails for no fault of the network's.
const REROUTE_EVERY: Duration = Duration::from_secs(2);

/// How long the last window may take to reach the sinks at their own pace; what is left then is handed over at once.
const LAST_WINDOW_WITHIN: Duration = Duration::from_millis(500);

/// What the mesh task works with.
pub(crate) struct Mesh {
    pub(crate) config: AgentConfig,
    pub(crate) shared: Arc<Shared>,
    pub(crate) probers: Probers,
    pub(crate) publisher: Arc<Publisher>,
    /// Gets a copy of every portion of summaries: the in-process sink of `dt demo`.
    pub(crate) tap: Option<mpsc::UnboundedSender<Vec<Summary>>>,
    /// The network of `dt demo`; elsewhere there is only the real one.
    pub(crate) between: Option<Box<dyn Between>>,
    pub(crate) peers: Peers,
    /// Where the metrics are to show each peer.
    pub(crate) peer_totals: Option<PeerTotals>,
    pub(crate) aggregate: Aggregate,
    pub(crate) books: Books,
    /// When the open window was opened.
    pub(crate) opened: Instant,
    /// When all summaries of the window that was closed last are to be made.
    pub(crate) closed_by: Instant,
    pub(crate) resolver: Resolver,
    /// Where peers may be probed; `None` for anywhere.
    pub(crate) allowed: Option<Allowed>,
    /// Whether a peer has to answer once before it is probed.
    pub(crate) verifies: bool,
    pub(crate) proofs: Proofs,
    pub(crate) stretched: bool,
    /// The membership's kill switch, and the local one of SIGUSR1: probing needs both.
    pub(crate) switches: (bool, bool),
    pub(crate) lines: Lines,
}

/// Lines of the log that others can have written as often as they like, by what they write into ZooKeeper.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pinglist: LogLimit,
    refused: LogLimit,
    unresolved: LogLimit,
    moved: LogLimit,
    rerouted: LogLimit,
    switched: LogLimit,
}

/// What the mesh task listens to.
pub(crate) struct Inbox {
    pub(crate) view: watch::Receiver<Arc<View>>,
    pub(crate) probing: watch::Receiver<bool>,
    pub(crate) answers: mpsc::UnboundedReceiver<Resolved>,
    pub(crate) grpc: mpsc::Receiver<GrpcEvent>,
    pub(crate) control: mpsc::Receiver<Control>,
}

/// What the lifecycle tells the mesh task.
#[derive(Debug)]
pub(crate) enum Control {
    /// SIGUSR1: toggle probing on this node.
    Toggle,
    /// `/peers` was asked for.
    Peers(oneshot::Sender<Vec<PeerStatus>>),
    /// Where this node stands, which was not known at the start.
    Labels(Labels),
    /// Stop sending, wait for what is in flight until the instant, publish the last window, end.
    Drain(Instant),
}

impl Mesh {
    /// Runs until it is told to drain; gives back what became of all probes.
    pub(crate) async fn run(mut self, mut inbox: Inbox) -> Ledger {
        let mut drain = interval(DRAIN_EVERY);
        drain.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut resolve = interval_at(Instant::now() + RESOLVE_EVERY, RESOLVE_EVERY);
        let mut reroute = interval_at(Instant::now() + REROUTE_EVERY, REROUTE_EVERY);
        reroute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pings = Vec::with_capacity(256);
        self.switches.0 = *inbox.probing.borrow_and_update();
        self.switch();
        self.take_view(&inbox.view.borrow_and_update().clone());
        // Each source of news may end before the mesh does; one that has is not asked again.
        let (mut views, mut switches, mut pinging) = (true, true, true);
        loop {
            tokio::select! {
                changed = inbox.view.changed(), if views => match changed {
                    Ok(()) => self.take_view(&inbox.view.borrow_and_update().clone()),
                    Err(_) => views = false,
                },
                changed = inbox.probing.changed(), if switches => match changed {
                    Ok(()) => {
                        self.switches.0 = *inbox.probing.borrow_and_update();
                        self.switch();
                    }
                    Err(_) => switches = false,
                },
                Some(answer) = inbox.answers.recv() => self.take_answer(answer),
                read = inbox.grpc.recv_many(&mut pings, 256), if pinging => {
                    pinging = read > 0;
                    // The thread may have said that a window is over, and nobody heard it yet: after a stall of this host
                    // what was skipped meanwhile would be told as of the time before it.
                    self.read_reports();
                    pings.drain(..).for_each(|ping| self.take_ping(ping));
                }
                _ = drain.tick() => self.take_reports(),
                _ = reroute.tick() => self.reroute(),
                _ = resolve.tick() => {
                    self.peers.host_names().into_iter().for_each(|name| self.resolver.ask(name.into()));
                    if let Some(allowed) = &mut self.allowed {
                        allowed.look_again();
                    }
                    self.start_refused();
                }
                control = inbox.control.recv() => match control {
                    Some(Control::Toggle) => {
                        self.switches.1 = !self.switches.1;
                        self.switch();
                    }
                    Some(Control::Peers(answer)) => drop(answer.send(self.peer_list())),
                    Some(Control::Labels(labels)) => self.aggregate.stands(labels),
                    Some(Control::Drain(until)) => return self.drain(inbox, until).await,
                    None => return self.drain(inbox, Instant::now()).await,
                },
            }
        }
    }

    /// Obeys the two kill switches.
    fn switch(&mut self) {
        let on = self.switches.0 && self.switches.1;
        if self.shared.totals.probing.swap(u64::from(on), Relaxed) != u64::from(on)
            && let Some(held_back) = self.lines.switched.pass(Instant::now().into_std())
        {
            tracing::warn!(
                enabled = on,
                membership = self.switches.0,
                local = self.switches.1,
                held_back,
                "probing switched"
            );
        }
        self.probers.set_enabled(on);
    }

    /// The orderly end: stop sending, wait for fates, give up the rest, publish the last window.
    async fn drain(mut self, mut inbox: Inbox, until: Instant) -> Ledger {
        self.probers.set_enabled(false);
        let grpc = tokio::spawn(probers::drain(self.probers.take_grpc(), until));
        let mut tick = interval(Duration::from_millis(5));
        // The command to stop sending is obeyed within one turn of the probe thread; until then more may be sent.
        let obeyed = Instant::now() + Duration::from_millis(150);
        loop {
            tokio::select! {
                Some(ping) = inbox.grpc.recv() => self.take_ping(ping),
                _ = tick.tick() => self.take_reports(),
            }
            let now = Instant::now();
            let decided = grpc.is_finished() && self.probers.in_flight() == 0 && now >= obeyed;
            if decided || now >= until {
                break;
            }
        }
        let _ = grpc.await;
        while let Ok(ping) = inbox.grpc.try_recv() {
            self.take_ping(ping);
        }
        let ended = self.probers.stop_thread();
        self.take_reports();
        for (kind, lane) in ended {
            self.books.reported(kind, &lane, &self.shared.totals);
        }
        self.close_window(dt_kernel::clock::wall());
        self.finish_closing(until.max(Instant::now() + LAST_WINDOW_WITHIN))
            .await;
        self.books.show(&self.shared.books, &self.shared.totals);
        self.books.into_ledger()
    }
}
