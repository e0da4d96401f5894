//! Sends the probes and sums up what became of them.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use dt_kernel::sandbox::Sandbox;
use dt_kernel::setup::{self, Ready, SetupError, Tcp, Wanted};
use dt_kernel::thread::{self, Report, Scheduling};
use dt_kernel::{CardStamps, Features, UnknownFeature};
use dt_probe::time::nanos;
use dt_probe::{Accumulator, AddError, Clock, Mode, TargetId, TargetSpec, What};

use super::args::{Args, Method};
use super::{progress, watched};

/// Room for events between the probe thread and this one: a tenth of a second at the highest rates one core reaches. Where
/// this thread doesn't get to run for longer, probing waits for it. A run of fewer probes needs less.
const RING: usize = 1 << 14;
/// Most probes in flight or remembered: 128 Ki slots carry 100,000 probes per second with a time-out of a second.
const SLOTS: u64 = 1 << 17;
/// How often the ring is emptied and the end looked for.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long late replies are waited for once all fates are decided, where something was lost.
const LINGER: Duration = Duration::from_secs(1);

/// What was measured.
pub(super) struct Measured {
    /// One for each address, in order.
    pub(super) accumulators: Vec<Accumulator>,
    /// The clocks in use.
    pub(super) tx: Clock,
    pub(super) rx: Clock,
    /// Packets that this host's own buffers dropped.
    pub(super) receive_drops: u64,
    /// Whether a signal ended it early.
    pub(super) interrupted: bool,
    /// Probes in flight at that moment.
    pub(super) abandoned: u64,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Feature(#[from] UnknownFeature),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("target {address}: {error}")]
    Target { address: SocketAddr, error: AddError },
    #[error("no thread for the probes: {0}")]
    Thread(std::io::Error),
}

impl Error {
    /// Asking for what there is not is wrong usage; what this host refuses is a failure.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Error::Feature(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Probes `addresses` as `args` says, until every probe has its fate or a signal comes.
pub(super) fn measure(args: &Args, addresses: Vec<SocketAddr>, stop: &AtomicBool) -> Result<Measured, Error> {
    let targets = addresses.len();
    let now = dt_kernel::clock::mono();
    let Ready { mut setup, tx, rx, .. } = open(args, targets, now)?;
    for (id, address) in (0..).zip(addresses) {
        let spec = TargetSpec {
            id: TargetId(id),
            address,
            source: source(args, address),
        };
        setup
            .lane
            .add(spec, now)
            .map_err(|error| Error::Target { address, error })?;
    }
    let mut run = Run::new(args, targets);
    // Each probe may be answered twice, and the clock is in the ring as well.
    let ring = RING.min(4 * probes(args, targets).min(RING as u64) as usize);
    let scheduling = Scheduling {
        realtime_priority: args.realtime_priority,
        cpus: args.cpus.clone(),
    };
    let mut handle = thread::spawn("dt-probe", vec![setup], ring, scheduling, Sandbox::Off).map_err(Error::Thread)?;
    for refused in &handle.granted().refused {
        eprintln!("dt ping: {refused}");
    }
    while !run.is_over() && !stop.load(Relaxed) && !handle.is_finished() {
        std::thread::sleep(LOOK_EVERY);
        run.take(&mut handle);
    }
    handle.stop();
    run.take(&mut handle);
    run.bar.finish_and_clear();
    let receive_drops = handle.stats().receive_drops();
    let abandoned = handle.stats().abandoned.load(Relaxed);
    Ok(Measured {
        accumulators: run.accumulators,
        tx,
        rx,
        receive_drops,
        interrupted: stop.load(Relaxed),
        abandoned,
    })
}

/// How many there will be.
fn probes(args: &Args, targets: usize) -> u64 {
    u64::from(args.count).saturating_mul(targets as u64)
}

fn open(args: &Args, targets: usize, now: dt_probe::Mono) -> Result<Ready, Error> {
    let wanted = Wanted {
        mode: Mode::Counted {
            count: args.count,
            period_ns: nanos(args.interval),
        },
        timeout_ns: nanos(args.timeout),
        rate: args.rate,
        slots: probes(args, targets).clamp(1, SLOTS) as u32,
        seed: now.0,
        phase_start: 0,
        features: args.kernel_off.parse::<Features>()?,
        card: card(args),
    };
    if !args.is_tcp() {
        return Ok(setup::icmp(&wanted, args.size, now)?);
    }
    let method = args.method.map(|method| match method {
        Method::Syn => dt_probe::Method::Syn,
        Method::Connect => dt_probe::Method::Connect,
    });
    let ready = setup::tcp(
        &wanted,
        &Tcp {
            method,
            source_ports: args.source_ports,
            range: None,
        },
        now,
    )?;
    Ok(ready)
}

/// The network card's clock to be used. That there is none is no news where it wasn't asked for by name.
fn card(args: &Args) -> Option<u32> {
    let found = dt_kernel::card::find(args.hardware_timestamps);
    let asked = args.hardware_timestamps == CardStamps::Configure;
    if let Some(note) = found.note.filter(|_| found.phc.is_none() && asked) {
        eprintln!("dt ping: {note}");
    }
    found.phc
}

/// SYNs over IPv4 need their source for the checksum. Without a route the unspecified one makes the send fail, which
/// is the probe's fate then.
fn source(args: &Args, address: SocketAddr) -> Option<std::net::IpAddr> {
    let none = std::net::Ipv4Addr::UNSPECIFIED.into();
    (args.is_tcp() && address.is_ipv4()).then(|| dt_kernel::route::source_for(address.ip()).unwrap_or(none))
}

/// The sums while it runs.
struct Run {
    accumulators: Vec<Accumulator>,
    /// Probes without a fate.
    open: u64,
    lost: u64,
    late: u64,
    bar: indicatif::ProgressBar,
    /// When the last fate was decided, once it is.
    decided: Option<Instant>,
}

impl Run {
    fn new(args: &Args, targets: usize) -> Run {
        let open = probes(args, targets);
        let accumulators = vec![Accumulator::new(); targets];
        Run {
            accumulators,
            open,
            lost: 0,
            late: 0,
            bar: progress::bar(open, watched()),
            decided: None,
        }
    }

    fn take(&mut self, handle: &mut thread::Handle) {
        let before = self.open;
        while let Some(report) = handle.report() {
            let Report::Event(_, event) = report else { continue };
            match event.what {
                What::Received(_) => self.open -= 1,
                What::Failed(fate) => {
                    self.open -= 1;
                    self.lost += u64::from(fate == dt_probe::Fate::Lost);
                }
                What::Late => self.late += 1,
                // Sent, and nothing can be told of it: this host's own doing.
                What::Skipped(probes) => self.open -= u64::from(probes),
                What::Duplicate | What::Gone => {}
            }
            if let Some(accumulator) = self.accumulators.get_mut(event.target.0 as usize) {
                accumulator.apply(&event);
            }
        }
        if before != self.open {
            self.bar.inc(before - self.open);
            self.bar.set_message(format!("{} lost", self.lost));
        }
    }

    /// All decided, and no late reply to wait for.
    fn is_over(&mut self) -> bool {
        if self.open > 0 {
            return false;
        }
        let since = *self.decided.get_or_insert_with(Instant::now);
        self.late >= self.lost || since.elapsed() >= LINGER
    }
}
