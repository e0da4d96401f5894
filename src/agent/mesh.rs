//! The mesh task: it alone knows peers and windows. It takes what the membership says to the probers, and what the
//! probers report to the windows, and closes the windows in time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use dt_kernel::thread::Report;
use dt_membership::{Selected, View, pinglist};
use dt_probe::time::nanos;
use dt_probe::{Event, ProbeKind, TargetId, TargetSpec, Wall};
use dt_record::{Endpoint, Pair, Summary, TraceReport};
use dt_rpc::{GrpcEvent, GrpcTarget};
use dt_sink::Publisher;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use crate::aggregate::Aggregate;
use crate::config::{AgentConfig, Membership, stretch};
use crate::peers::{Peer, Peers};
use crate::probers::{self, Probers};
use crate::resolve::{Resolved, Resolver, is_one_host};
use crate::status::{PeerStatus, Shared};

/// How often the report ring is emptied: far more often than it fills, and seldom enough to cost nothing.
const DRAIN_EVERY: Duration = Duration::from_millis(25);
/// Names are looked up again after this long: addresses of pods and of renumbered nodes change.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// Summaries are handed over in portions, so that closing a window of 10,000 peers needs memory for a portion only.
const PORTION: usize = 1024;

/// What the mesh task works with.
pub(crate) struct Mesh {
    pub(crate) config: AgentConfig,
    pub(crate) source: Arc<Endpoint>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) probers: Probers,
    pub(crate) publisher: Arc<Publisher>,
    /// Gets a copy of every portion of summaries: the in-process sink of `dt demo`.
    pub(crate) tap: Option<mpsc::UnboundedSender<Vec<Summary>>>,
    pub(crate) peers: Peers,
    pub(crate) aggregate: Aggregate,
    pub(crate) resolver: Resolver,
    pub(crate) stretched: bool,
    /// The membership's kill switch, and the local one of SIGUSR1: probing needs both.
    pub(crate) switches: (bool, bool),
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
    /// Stop sending, wait for what is in flight until the instant, publish the last window, end.
    Drain(Instant),
}

impl Mesh {
    /// Runs until it is told to drain; gives back how many probes had to be given up.
    pub(crate) async fn run(mut self, mut inbox: Inbox) -> u64 {
        let mut drain = interval(DRAIN_EVERY);
        drain.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut resolve = interval_at(Instant::now() + RESOLVE_EVERY, RESOLVE_EVERY);
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
                    pings.drain(..).for_each(|ping| self.take_ping(ping));
                }
                _ = drain.tick() => self.take_reports(),
                _ = resolve.tick() => {
                    self.peers.host_names().into_iter().for_each(|name| self.resolver.ask(name));
                    self.reroute();
                }
                control = inbox.control.recv() => match control {
                    Some(Control::Toggle) => {
                        self.switches.1 = !self.switches.1;
                        self.switch();
                    }
                    Some(Control::Peers(answer)) => drop(answer.send(self.peer_list())),
                    Some(Control::Drain(until)) => return self.drain(inbox, until).await,
                    None => return self.drain(inbox, Instant::now()).await,
                },
            }
        }
    }

    /// Obeys the two kill switches.
    fn switch(&mut self) {
        let on = self.switches.0 && self.switches.1;
        if self.shared.totals.probing.swap(u64::from(on), Relaxed) != u64::from(on) {
            tracing::warn!(
                enabled = on,
                membership = self.switches.0,
                local = self.switches.1,
                "probing switched"
            );
        }
        self.probers.set_enabled(on);
    }

    /// Takes over a view of the membership.
    fn take_view(&mut self, view: &View) {
        // The list before the first complete one says nothing.
        if view.generation == 0 {
            return;
        }
        let most = match self.config.membership {
            Membership::ZooKeeper(_) => Some(self.config.max_peers),
            Membership::File(_) => None,
        };
        let selected: Vec<Selected> = pinglist(&self.config.node, view, most);
        let change = self.peers.update(&selected);
        let (added, removed) = (change.added.len(), change.removed.len());
        for peer in change.removed {
            self.stop(peer.targets);
        }
        self.pace();
        for node in change.added {
            self.start(&node);
        }
        let totals = &self.shared.totals;
        totals.members.store(view.members.len() as u64, Relaxed);
        totals.peers.store(self.peers.len() as u64, Relaxed);
        totals.unresolved.store(self.peers.unresolved() as u64, Relaxed);
        if added + removed > 0 {
            tracing::info!(
                members = view.members.len(),
                peers = self.peers.len(),
                added,
                removed,
                "pinglist changed"
            );
        }
        self.aggregate.view_taken();
        self.look_for_first_round();
    }

    /// Stretches the intervals where peers x kinds / interval is more than the cap, all by the same factor.
    fn pace(&mut self) {
        let peers = self.peers.len();
        let kinds: Vec<_> = self
            .config
            .probes()
            .filter(|(kind, _)| self.probers.method(*kind).is_some())
            .collect();
        let stretch = stretch(
            peers,
            kinds.iter().map(|(_, timing)| timing.interval),
            self.config.max_rate,
        );
        let factor = stretch.factor;
        if factor > 1.0 && !self.stretched {
            let (wanted, max_rate) = (stretch.wanted, self.config.max_rate);
            tracing::warn!(
                peers,
                wanted,
                max_rate,
                factor,
                "more probes per second than the cap: intervals stretch"
            );
        }
        self.stretched = factor > 1.0;
        self.shared
            .totals
            .stretch_milli
            .store((factor * 1000.0) as u64, Relaxed);
        for (kind, timing) in kinds {
            let period = stretch.apply(timing.interval);
            let known = &self.shared.totals.kind(kind).period_ns;
            if known.swap(nanos(period), Relaxed) != nanos(period) {
                self.probers.set_period(kind, period);
            }
            // The cap is shared out as the schedule needs it, so that all kinds together keep to it, also when one
            // catches up.
            let share = period_share(peers, period, stretch.rate());
            self.probers
                .set_rate(kind, (f64::from(self.config.max_rate) * share).ceil().max(1.0) as u32);
        }
    }

    /// Begins to probe a peer whose address is known, or asks for the address.
    fn start(&mut self, node: &str) {
        let Some(peer) = self.peers.get_mut(node) else { return };
        let Some(ip) = peer.ip else {
            self.resolver.ask(peer.member.address.clone());
            return;
        };
        if !is_one_host(ip) {
            let problem = format!("{ip}: no single host's address");
            tracing::warn!(node, %problem, "a peer can't be probed");
            peer.problem = Some(problem);
            return;
        }
        let source = dt_kernel::route::source_for(ip).ok();
        peer.source = source;
        let destination = Arc::new(Endpoint {
            node: peer.member.node.clone(),
            zone: peer.member.zone.clone(),
            rack: peer.member.rack.clone(),
        });
        for kind in ProbeKind::ALL.iter().copied() {
            let Some(method) = self.probers.method(kind) else {
                continue;
            };
            let port = match kind {
                ProbeKind::Icmp => 0,
                ProbeKind::Tcp => peer.member.tcp_port,
                ProbeKind::Grpc => peer.member.port,
            };
            let pair = Pair {
                source: Arc::clone(&self.source),
                source_ip: source,
                destination: Arc::clone(&destination),
                destination_ip: ip,
                destination_port: port,
                probe: kind,
                method,
                payload_bytes: (kind == ProbeKind::Icmp).then(|| self.config.icmp_payload_bytes.into()),
            };
            let id = self.aggregate.add(kind, Arc::new(pair));
            peer.targets[kind as usize] = Some(id);
            let address = SocketAddr::new(ip, port);
            match kind {
                ProbeKind::Grpc => {
                    let authority = peer.member.authority();
                    self.probers.add_grpc(
                        id,
                        GrpcTarget {
                            host_addr: authority.clone(),
                            authority,
                            address,
                            source: None,
                        },
                    );
                }
                ProbeKind::Icmp | ProbeKind::Tcp => {
                    // Where there is no way to the peer, its probes tell: the kernel refuses to send them.
                    let source = source.or_else(|| Some(unspecified(ip)));
                    self.probers.add(kind, TargetSpec { id, address, source });
                }
            }
            self.shared.totals.kind(kind).targets.fetch_add(1, Relaxed);
        }
    }

    /// Where probes failed on this host, the way to the peer may have changed: a SYN's checksum is made for the address
    /// it leaves from. Starts anew with those peers whose source is another one now.
    fn reroute(&mut self) {
        let failing = |peer: &&Peer| {
            let last = |kind: &ProbeKind| self.aggregate.last(*kind, peer.targets[*kind as usize]?);
            ProbeKind::ALL
                .iter()
                .filter_map(last)
                .any(|last| last.unreachable + last.send_error > 0)
        };
        let moved: Vec<String> = self
            .peers
            .iter()
            .filter(failing)
            .filter(|peer| {
                peer.ip
                    .is_some_and(|ip| dt_kernel::route::source_for(ip).ok() != peer.source)
            })
            .map(|peer| peer.member.key().to_owned())
            .collect();
        for node in moved {
            tracing::info!(node, "the way to a peer has changed");
            self.restart(&node);
        }
    }

    /// Ends the peer's targets and begins anew with its present address.
    fn restart(&mut self, node: &str) {
        if let Some(peer) = self.peers.get_mut(node) {
            let targets = std::mem::take(&mut peer.targets);
            self.stop(targets);
            self.start(node);
        }
    }

    /// Sends no more to the peer; what is in flight is still decided and recorded.
    fn stop(&mut self, targets: [Option<TargetId>; ProbeKind::ALL.len()]) {
        for kind in ProbeKind::ALL.iter().copied() {
            if let Some(id) = targets[kind as usize] {
                self.aggregate.leave(kind, id);
                self.probers.remove(kind, id);
                self.shared.totals.kind(kind).targets.fetch_sub(1, Relaxed);
            }
        }
    }

    /// A name was looked up: start with it, or move to where it points now.
    fn take_answer(&mut self, answer: Resolved) {
        self.resolver.answered(&answer.host);
        for node in self.peers.nodes_at(&answer.host) {
            let Some(peer) = self.peers.get_mut(&node) else {
                continue;
            };
            match &answer.answer {
                Ok(ip) if peer.ip == Some(*ip) => peer.problem = None,
                Ok(ip) => {
                    if let Some(old) = peer.ip.replace(*ip) {
                        tracing::info!(node, %old, new = %ip, "a peer's name points elsewhere");
                    }
                    peer.problem = None;
                    self.restart(&node);
                }
                // A name server's bad minute is no reason to stop probing an address that answers.
                Err(why) => {
                    if peer.problem.is_none() {
                        tracing::warn!(node, problem = %why, "a peer's name doesn't resolve");
                    }
                    peer.problem = Some(why.clone());
                }
            }
        }
        self.shared
            .totals
            .unresolved
            .store(self.peers.unresolved() as u64, Relaxed);
        self.look_for_first_round();
    }

    fn take_ping(&mut self, ping: GrpcEvent) {
        if let Some(trace) = ping.trace
            && self.config.kafka.trace_reports
            && let Some(pair) = self.aggregate.pair(ProbeKind::Grpc, trace.target)
        {
            // As registered; a peer that has just left is named by the address that was dialled.
            let to = match self.peers.get(&pair.destination.node) {
                Some(peer) => peer.member.authority(),
                None => SocketAddr::new(pair.destination_ip, pair.destination_port).to_string(),
            };
            let rtt_ns = trace.success.then_some(trace.response_ns.into());
            self.publisher
                .trace(&TraceReport::new(self.config.advertise.to_string(), to, rtt_ns));
        }
        self.apply(ProbeKind::Grpc, ping.event);
    }

    fn apply(&mut self, kind: ProbeKind, event: Event) {
        self.shared.totals.kind(kind).apply(&event);
        self.aggregate.apply(kind, &event);
        self.look_for_first_round();
    }

    /// A round in which nothing may be sent is done, too: the kill switch is no reason to hold up a roll-out.
    fn look_for_first_round(&self) {
        if self.shared.readiness.is_first_round_done() {
            return;
        }
        let off = self.shared.totals.probing.load(Relaxed) == 0;
        if self.aggregate.is_first_round_done(off) && self.peers.are_looked_up() {
            self.shared.readiness.first_round_done();
        }
    }

    /// Empties the report ring; closes a window when the thread's clock has passed its end.
    fn take_reports(&mut self) {
        while let Some(report) = self.probers.report() {
            match report {
                Report::Event(kind, event) => self.apply(kind, event),
                Report::Time(wall) => {
                    if self.aggregate.is_over(wall) {
                        self.close_window(wall);
                    }
                }
            }
        }
    }

    /// Hands the window's summaries to the sinks, in portions.
    fn close_window(&mut self, now: Wall) {
        let (publisher, tap, totals) = (&self.publisher, &self.tap, &self.shared.totals);
        let mut portion = Vec::with_capacity(PORTION);
        let hand_over = |portion: &mut Vec<Summary>| {
            totals.summaries.fetch_add(portion.len() as u64, Relaxed);
            if let Some(tap) = tap {
                let _ = tap.send(portion.clone());
            }
            publisher.window(std::mem::take(portion));
        };
        self.aggregate.close(now, self.probers.receive_drops(), &mut |summary| {
            portion.push(summary);
            if portion.len() == PORTION {
                hand_over(&mut portion);
            }
        });
        if !portion.is_empty() {
            hand_over(&mut portion);
        }
        totals.windows.fetch_add(1, Relaxed);
    }

    /// Made when it is asked for: kept, it would weigh as much as all the rest of what is known of a peer.
    fn peer_list(&self) -> Vec<PeerStatus> {
        let status = |peer: &Peer| PeerStatus {
            node: peer.member.node.clone(),
            address: peer.member.authority(),
            ip: peer.ip.map(|ip: IpAddr| ip.to_string()),
            problem: peer.problem.clone(),
            zone: peer.member.zone.clone(),
            rack: peer.member.rack.clone(),
            state: peer.member.state.as_str(),
            original: peer.member.original,
            probes: ProbeKind::ALL
                .iter()
                .filter_map(|kind| self.aggregate.last(*kind, peer.targets[*kind as usize]?))
                .collect(),
        };
        let mut peers: Vec<_> = self.peers.iter().map(status).collect();
        peers.sort_unstable_by(|a, b| a.node.cmp(&b.node));
        peers
    }

    /// The orderly end: stop sending, wait for fates, give up the rest, publish the last window.
    async fn drain(mut self, mut inbox: Inbox, until: Instant) -> u64 {
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
        let abandoned_grpc = grpc.await.unwrap_or(0);
        while let Ok(ping) = inbox.grpc.try_recv() {
            self.take_ping(ping);
        }
        let abandoned = self.probers.stop_thread();
        self.take_reports();
        self.shared.totals.abandoned.store(abandoned + abandoned_grpc, Relaxed);
        self.close_window(dt_kernel::clock::wall());
        abandoned + abandoned_grpc
    }
}

/// The unspecified address of the family of `ip`.
fn unspecified(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// The part of all probes (`rate` per second) that a kind with this period has.
fn period_share(peers: usize, period: Duration, rate: f64) -> f64 {
    if rate > 0.0 {
        (peers as f64 / period.as_secs_f64() / rate).clamp(0.0, 1.0)
    } else {
        1.0
    }
}
