//! What probes on this host: the probe thread for ICMP and TCP, the gRPC prober; opened by what the configuration wants
//! and the host permits.

use std::sync::Arc;
use std::time::Duration;

use dt_kernel::setup::{self, Ready, SetupError, Tcp, Wanted};
use dt_kernel::thread::{self, Books, Command, Handle, Report, Stats};
use dt_kernel::{Features, UnknownFeature};
use dt_probe::time::{MILLISECOND, nanos};
use dt_probe::{Clock, Method, Mode, ProbeKind, TargetId, TargetSpec};
use dt_record::Endpoint;
use dt_rpc::{GrpcEvent, GrpcTarget, PingCounters, Prober, ProberConfig, Tls};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::{AgentConfig, TcpMethod, Timing};
use crate::place::Manner;

/// Events that may wait for the mesh task: some seconds' worth at the configured rate, within these bounds.
const RING: std::ops::RangeInclusive<usize> = 1 << 12..=1 << 16;
const RING_SECONDS: usize = 4;
/// Most probes of a kind in flight or remembered.
const SLOTS: u32 = 1 << 17;

/// How pings are made where they aren't measured: as by default.
const ASKED: Timing = Timing {
    interval: Duration::from_secs(10),
    timeout: Duration::from_secs(5),
};

/// How one kind is measured.
#[derive(Clone, Copy, Debug)]
struct Kind {
    method: Method,
    clocks: (Clock, Clock),
}

/// The probe thread with its sockets: what takes rights to open.
pub(crate) struct Packets {
    kinds: [Option<Kind>; ProbeKind::ALL.len()],
    thread: Handle,
    /// What cannot be measured here and why: for the log and for `dt demo`.
    problems: Vec<String>,
}

/// All probers of one agent.
pub(crate) struct Probers {
    packets: Packets,
    grpc: Option<Prober>,
}

/// Why there is nothing to probe with.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A word of the hidden switch.
    #[error(transparent)]
    Feature(#[from] UnknownFeature),
    /// No kind that was asked for can be had.
    #[error("none of the probe kinds asked for can be measured on this host: {}", .0.join("; "))]
    Nothing(Vec<String>),
    /// No thread.
    #[error("starting the probe thread: {0}")]
    Thread(std::io::Error),
}

impl Packets {
    /// Opens what the configuration asks for. A kind that the host doesn't permit is left out, with a log line. The thread
    /// gives up its rights then, unless the sandbox is off.
    pub(crate) fn open(config: &AgentConfig, seed: u64) -> Result<Packets, ProbeError> {
        let features = config.features_off.join(",").parse::<Features>()?;
        let now = dt_kernel::clock::mono();
        let card = card(config);
        let (mut kinds, mut setups, mut problems) = ([None; ProbeKind::ALL.len()], Vec::new(), Vec::new());
        for (kind, timing) in config.probes().filter(|(kind, _)| *kind != ProbeKind::Grpc) {
            let wanted = wanted(config, kind, timing, seed, features, card);
            let opened = match kind {
                ProbeKind::Tcp => setup::tcp(&wanted, &tcp(config), now),
                ProbeKind::Icmp | ProbeKind::Grpc => setup::icmp(&wanted, config.icmp_payload_bytes, now),
            };
            match opened {
                Ok(ready) => {
                    note(kind, &ready);
                    if config.tcp_method == TcpMethod::Auto && ready.method == Method::Connect {
                        problems.extend(ready.notes.iter().cloned());
                    }
                    kinds[kind as usize] = Some(Kind {
                        method: ready.method,
                        clocks: (ready.tx, ready.rx),
                    });
                    setups.push(ready.setup);
                }
                Err(problem) => problems.push(left_out(kind, &problem)),
            }
        }
        if config.grpc.is_some() {
            kinds[ProbeKind::Grpc as usize] = Some(Kind {
                method: Method::PingNode,
                clocks: (Clock::User, Clock::User),
            });
        }
        if kinds.iter().all(Option::is_none) {
            return Err(ProbeError::Nothing(problems));
        }
        let ring = (config.max_rate as usize)
            .saturating_mul(RING_SECONDS)
            .clamp(*RING.start(), *RING.end());
        let thread = thread::spawn("dt-probe", setups, ring, config.scheduling.clone(), config.sandbox);
        let thread = thread.map_err(ProbeError::Thread)?;
        for refused in &thread.granted().refused {
            tracing::warn!("{refused}");
        }
        if thread.granted().realtime_priority > 0 {
            let priority = thread.granted().realtime_priority;
            tracing::info!(priority, "the probe thread has real-time priority");
        }
        Ok(Packets {
            kinds,
            thread,
            problems,
        })
    }
}

impl Probers {
    /// Adds the gRPC prober, where there is to be one.
    pub(crate) fn start(
        packets: Packets,
        config: &AgentConfig,
        seed: u64,
        tls: Option<Tls>,
        pings: mpsc::Sender<GrpcEvent>,
    ) -> Probers {
        // Members may have to answer a ping although none are wanted.
        let asked = config.verifies().then_some(ASKED);
        let grpc = config.grpc.or(asked).map(|timing| {
            let prober = ProberConfig {
                timeout: timing.timeout,
                period: timing.interval,
                pings: config.grpc.is_some(),
                tls,
                seed,
                // As many pings of a peer may be under way as fall due within the time-out.
                max_overlap: overlap(timing),
                max_connections: config.max_peers.max(ProberConfig::default().max_connections),
                suspends: Arc::clone(&packets.thread.stats().suspends),
                ..ProberConfig::default()
            };
            Prober::start(prober, pings)
        });
        Probers { packets, grpc }
    }

    /// Why kinds that were asked for aren't measured.
    pub(crate) fn problems(&self) -> &[String] {
        &self.packets.problems
    }

    /// How the kind is measured; `None` where it isn't.
    pub(crate) fn method(&self, kind: ProbeKind) -> Option<Method> {
        Some(self.packets.kinds[kind as usize]?.method)
    }

    /// What the records of each kind say of how it is measured.
    pub(crate) fn manners(&self, config: &AgentConfig, source: &Arc<Endpoint>) -> [Manner; ProbeKind::ALL.len()] {
        [ProbeKind::Icmp, ProbeKind::Tcp, ProbeKind::Grpc].map(|probe| {
            let kind = self.packets.kinds[probe as usize];
            Manner {
                source: Arc::clone(source),
                probe,
                recorded: kind.is_some(),
                // There are no records of a kind that isn't measured.
                method: kind.map_or(Method::Echo, |kind| kind.method),
                payload_bytes: (probe == ProbeKind::Icmp).then(|| config.icmp_payload_bytes.into()),
                clocks: kind.map_or((Clock::User, Clock::User), |kind| kind.clocks),
            }
        })
    }

    /// The probe thread's counters.
    pub(crate) fn stats(&self) -> &Arc<Stats> {
        self.packets.thread.stats()
    }

    pub(crate) fn add(&self, kind: ProbeKind, spec: TargetSpec) {
        self.command(Command::Add(kind, spec));
    }

    /// `known` is whether it has answered before.
    pub(crate) fn add_grpc(&self, id: TargetId, target: GrpcTarget, known: bool) {
        let Some(grpc) = &self.grpc else { return };
        let added = if known {
            grpc.add(id, target)
        } else {
            grpc.add_stranger(id, target)
        };
        if !added {
            tracing::error!(id = id.0, "the gRPC prober refuses a target");
        }
    }

    /// What each peer's share of the cap comes to: the time between two probes.
    pub(crate) fn set_share(&self, time: Duration) {
        self.grpc.iter().for_each(|grpc| grpc.set_share(time));
    }

    pub(crate) fn remove(&self, kind: ProbeKind, id: TargetId) {
        match kind {
            ProbeKind::Grpc => self.grpc.iter().for_each(|grpc| grpc.remove(id)),
            ProbeKind::Icmp | ProbeKind::Tcp => self.command(Command::Remove(kind, id)),
        }
    }

    pub(crate) fn set_period(&self, kind: ProbeKind, period: Duration) {
        match kind {
            ProbeKind::Grpc => self.grpc.iter().for_each(|grpc| grpc.set_period(period)),
            ProbeKind::Icmp | ProbeKind::Tcp => self.command(Command::SetPeriod(kind, nanos(period))),
        }
    }

    /// A kind's part of the cap, probes per second. gRPC has no cap of its own: a ping is sent when it is due or not at
    /// all.
    pub(crate) fn set_rate(&self, kind: ProbeKind, rate: u32) {
        if kind != ProbeKind::Grpc {
            self.command(Command::SetRate(kind, rate));
        }
    }

    pub(crate) fn set_enabled(&self, on: bool) {
        self.command(Command::SetEnabled(on));
        if let Some(grpc) = &self.grpc {
            grpc.set_enabled(on);
        }
    }

    /// The next report of the probe thread.
    pub(crate) fn report(&mut self) -> Option<Report> {
        self.packets.thread.report()
    }

    /// Packets that this host's own buffers dropped since the start.
    pub(crate) fn receive_drops(&self) -> u64 {
        self.stats().receive_drops()
    }

    /// ICMP and TCP probes without a fate.
    pub(crate) fn in_flight(&self) -> u64 {
        self.stats().in_flight()
    }

    /// The gRPC prober, to be drained beside the thread.
    pub(crate) fn take_grpc(&mut self) -> Option<Prober> {
        self.grpc.take()
    }

    /// The gRPC prober's counters.
    pub(crate) fn pings(&self) -> Option<Arc<PingCounters>> {
        self.grpc.as_ref().map(|grpc| Arc::clone(grpc.counters()))
    }

    /// Ends the thread, giving up what is in flight; returns what became of each kind's probes. Its last reports can still
    /// be read.
    pub(crate) fn stop_thread(&mut self) -> Vec<(ProbeKind, Books)> {
        self.packets.thread.stop()
    }

    fn command(&self, command: Command) {
        if let Err(error) = self.packets.thread.command(command) {
            tracing::error!(%error, "the probers can't be told");
        }
    }
}

/// Kept until it is drained: waits for its pings until `deadline`, then gives them up.
pub(crate) async fn drain(grpc: Option<Prober>, deadline: Instant) {
    if let Some(grpc) = grpc {
        grpc.drain(deadline).await;
    }
}

/// How many pings of one peer fall due within a time-out, and one more; HTTP/2 carries them side by side.
fn overlap(timing: Timing) -> u32 {
    let due = timing.timeout.as_nanos().div_ceil(timing.interval.as_nanos().max(1));
    u32::try_from(due).unwrap_or(u32::MAX).saturating_add(1).clamp(4, 256)
}

/// The network card's clock to be used, for the kinds that packets are stamped of.
fn card(config: &AgentConfig) -> Option<u32> {
    if config.icmp.is_none() && (config.tcp.is_none() || config.tcp_method == TcpMethod::Connect) {
        return None;
    }
    let found = dt_kernel::card::find(config.card_stamps);
    if let Some(note) = found.note {
        tracing::info!("{note}");
    }
    found.phc
}

fn wanted(
    config: &AgentConfig,
    kind: ProbeKind,
    timing: Timing,
    seed: u64,
    features: Features,
    card: Option<u32>,
) -> Wanted {
    Wanted {
        mode: Mode::Continuous {
            period_ns: nanos(timing.interval),
        },
        timeout_ns: nanos(timing.timeout),
        rate: config.max_rate,
        slots: SLOTS,
        seed: seed.wrapping_add(kind as u64),
        // The kinds take turns, so that a peer isn't sent both at the same moment.
        phase_start: kind as u64 * 5 * MILLISECOND,
        features,
        card,
    }
}

fn tcp(config: &AgentConfig) -> Tcp {
    let method = match config.tcp_method {
        TcpMethod::Auto => None,
        TcpMethod::Syn => Some(Method::Syn),
        TcpMethod::Connect => Some(Method::Connect),
    };
    let range = config.source_port_range.map(|(first, last)| first..=last);
    Tcp {
        method,
        source_ports: config.source_ports,
        range,
    }
}

fn note(kind: ProbeKind, ready: &Ready) {
    for note in &ready.notes {
        tracing::info!(probe = kind.as_str(), "{note}");
    }
    tracing::info!(probe = kind.as_str(), method = %ready.method, tx = %ready.tx, rx = %ready.rx, "probing");
}

fn left_out(kind: ProbeKind, problem: &SetupError) -> String {
    tracing::warn!(probe = kind.as_str(), %problem, "this kind is not measured on this host");
    format!("{kind}: {problem}")
}
