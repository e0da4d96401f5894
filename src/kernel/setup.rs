//! From what is wanted to a lane with its sockets: opens what this host permits, warms it up, and says what was obtained.

use std::io;
use std::ops::RangeInclusive;

use dt_probe::{
    Clock, ConfigError, Lane, LaneConfig, Method, Mode, Mono, ProbeKind, Protocol, capacity_for, echo_mark,
};

use crate::address::Family;
use crate::channel::PacketChannel;
use crate::connect::Connector;
use crate::detected::Detected;
use crate::errors::{OpenError, PortsError};
use crate::features::Features;
use crate::ports::SourcePorts;
use crate::thread::{Setup, Shell};

/// What is wanted of a lane, whatever it probes by.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// For how long and how often.
    pub mode: Mode,
    /// How long a reply is waited for, nanoseconds.
    pub timeout_ns: u64,
    /// The most probes per second.
    pub rate: u32,
    /// The most slots for probes in flight and remembered; fewer are taken where rate and time-out need fewer.
    pub slots: u32,
    /// Orders the targets: different on every host.
    pub seed: u64,
    /// Nanoseconds from the start to the first probe.
    pub phase_start: u64,
    /// What the kernel may be asked for.
    pub features: Features,
    /// The network card's clock whose stamps are to be used: see [`find`](crate::card::find).
    pub card: Option<u32>,
}

/// How TCP is to be probed.
#[derive(Clone, Debug)]
pub struct Tcp {
    /// `None`: [`Method::Syn`] where raw sockets are permitted, else [`Method::Connect`].
    pub method: Option<Method>,
    /// Source ports of SYN probes.
    pub source_ports: u16,
    /// Where the source ports are searched; `None` lets this host's settings decide.
    pub range: Option<RangeInclusive<u16>>,
}

/// A lane with its sockets, ready to be probed with.
pub struct Ready {
    /// For [`spawn`](crate::thread::spawn).
    pub setup: Setup,
    /// How it probes.
    pub method: Method,
    /// The best clock that requests are stamped with.
    pub tx: Clock,
    /// The best clock that replies are stamped with.
    pub rx: Clock,
    /// What was obtained and what had to be done without, a line each, for the log.
    pub notes: Vec<String>,
}

/// Why a probe kind can't be measured on this host.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A socket was refused.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No source ports.
    #[error(transparent)]
    Ports(#[from] PortsError),
    /// The lane's settings are out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The connector could not be made.
    #[error("cannot set up TCP by connect(): {0}")]
    Connect(io::Error),
}

/// A lane of ICMP echoes with `payload_bytes` of payload.
///
/// # Errors
/// [`SetupError`] where neither IP version can be had; the error is that of IPv4.
pub fn icmp(wanted: &Wanted, payload_bytes: u16, now: Mono) -> Result<Ready, SetupError> {
    let mut notes = Vec::new();
    let (asked, key) = (rand::random(), key());
    let v4 = warmed(
        wanted,
        PacketChannel::echo(Family::V4, asked, &wanted.features),
        &mut notes,
    );
    let v6 = warmed(
        wanted,
        PacketChannel::echo(Family::V6, asked, &wanted.features),
        &mut notes,
    );
    for channel in [&v4, &v6].into_iter().flatten() {
        if let Err(error) = channel.only_marked(echo_mark(&key)) {
            let Detected { purpose, family, .. } = channel.detected();
            notes.push(format!(
                "{purpose} over {family}: foreign replies to our identifier aren't kept out: {error}"
            ));
        }
    }
    // A datagram socket has an identifier of its own.
    let identifier =
        |channel: &Result<PacketChannel, OpenError>| channel.as_ref().map_or(asked, PacketChannel::identifier);
    let (identifier, identifier_v6) = (identifier(&v4), identifier(&v6));
    packets(
        wanted,
        ProbeKind::Icmp,
        Method::Echo,
        Protocol::Echo {
            identifier,
            identifier_v6,
            payload_bytes,
        },
        (v4, v6),
        None,
        key,
        notes,
        now,
    )
}

/// A lane of TCP probes.
///
/// # Errors
/// [`SetupError`] where the method can't be had, or none can.
pub fn tcp(wanted: &Wanted, tcp: &Tcp, now: Mono) -> Result<Ready, SetupError> {
    match tcp.method {
        Some(Method::Connect) => connect(wanted, Vec::new(), now),
        Some(_) => syn(wanted, tcp, now),
        None => match syn(wanted, tcp, now) {
            Err(refused) => connect(wanted, vec![format!("TCP is probed by connect(): {refused}")], now),
            ready => ready,
        },
    }
}

fn syn(wanted: &Wanted, tcp: &Tcp, now: Mono) -> Result<Ready, SetupError> {
    if !wanted.features.syn() {
        return Err(OpenError::SwitchedOff {
            what: "TCP SYN",
            family: Family::V4,
        }
        .into());
    }
    let ports = SourcePorts::reserve(tcp.source_ports, tcp.range.clone())?;
    let mut notes = Vec::new();
    let v4 = warmed(
        wanted,
        PacketChannel::tcp(Family::V4, &ports, &wanted.features),
        &mut notes,
    );
    let v6 = warmed(
        wanted,
        PacketChannel::tcp(Family::V6, &ports, &wanted.features),
        &mut notes,
    );
    let protocol = Protocol::Syn {
        ports: ports.ports().collect(),
    };
    packets(
        wanted,
        ProbeKind::Tcp,
        Method::Syn,
        protocol,
        (v4, v6),
        Some(ports),
        key(),
        notes,
        now,
    )
}

fn connect(wanted: &Wanted, notes: Vec<String>, now: Mono) -> Result<Ready, SetupError> {
    // Each attempt holds a descriptor, so what counts is what may be in flight, not what is remembered.
    let limit = crate::rights::raise_file_limit().unwrap_or(1024);
    let slots = slots(wanted).min(u32::try_from(limit / 2).unwrap_or(u32::MAX)).max(1);
    let connector = Connector::new(slots as usize).map_err(SetupError::Connect)?;
    let lane = Lane::new(config(wanted, Protocol::Connect, slots, key(), (false, false)), now)?;
    let setup = Setup {
        kind: ProbeKind::Tcp,
        lane,
        shell: Shell::Connect(connector),
    };
    Ok(Ready {
        setup,
        method: Method::Connect,
        tx: Clock::Kernel,
        rx: Clock::Kernel,
        notes,
    })
}

type Families = (Result<PacketChannel, OpenError>, Result<PacketChannel, OpenError>);

#[expect(
    clippy::too_many_arguments,
    reason = "the one place where what both packet lanes have in common is joined"
)]
fn packets(
    wanted: &Wanted,
    kind: ProbeKind,
    method: Method,
    protocol: Protocol,
    (v4, v6): Families,
    ports: Option<SourcePorts>,
    key: [u8; 16],
    notes: Vec<String>,
    now: Mono,
) -> Result<Ready, SetupError> {
    let (v4, v6) = match (v4, v6) {
        (Err(refused), Err(_)) => return Err(refused.into()),
        (v4, v6) => (v4.ok(), v6.ok()),
    };
    let detected = || v4.iter().chain(v6.iter()).map(PacketChannel::detected);
    let tx = detected().all(|d| d.tx_stamps.is_some());
    let rx = detected().all(|d| d.rx_stamps);
    let card = detected().all(|d| d.card.is_some());
    let mut lane = Lane::new(config(wanted, protocol, slots(wanted), key, (tx, rx)), now)?;
    if card {
        lane.use_card_stamps();
    }
    let setup = Setup {
        kind,
        lane,
        shell: Shell::Packets {
            v4: v4.map(Box::new),
            v6: v6.map(Box::new),
            ports,
        },
    };
    let clock = |stamped| match (card, stamped) {
        (true, _) => Clock::Hardware,
        (false, true) => Clock::Kernel,
        (false, false) => Clock::User,
    };
    Ok(Ready {
        setup,
        method,
        tx: clock(tx),
        rx: clock(rx),
        notes,
    })
}

/// Warms a channel up and notes what it is, or why it isn't.
fn warmed(
    wanted: &Wanted,
    opened: Result<PacketChannel, OpenError>,
    notes: &mut Vec<String>,
) -> Result<PacketChannel, OpenError> {
    let mut channel = opened.inspect_err(|refused| notes.push(refused.to_string()))?;
    match channel.warm_up() {
        Ok(true) => {}
        Ok(false) => notes.push(format!(
            "{}: loopback gave no stamped answer",
            channel.detected().purpose
        )),
        Err(error) => notes.push(format!("{}: warming up failed: {error}", channel.detected().purpose)),
    }
    if let Some(phc) = wanted.card {
        // Refused, it isn't in the line below.
        channel.use_card(phc);
    }
    notes.push(channel.detected().to_string());
    Ok(channel)
}

fn slots(wanted: &Wanted) -> u32 {
    capacity_for(wanted.rate, wanted.timeout_ns).min(wanted.slots)
}

/// From the thread's generator, a CSPRNG seeded by the operating system.
fn key() -> [u8; 16] {
    rand::random()
}

fn config(
    wanted: &Wanted,
    protocol: Protocol,
    capacity: u32,
    key: [u8; 16],
    (tx_stamps, rx_stamps): (bool, bool),
) -> LaneConfig {
    LaneConfig {
        protocol,
        mode: wanted.mode,
        timeout_ns: wanted.timeout_ns,
        rate: wanted.rate,
        capacity,
        key,
        seed: wanted.seed,
        tx_stamps,
        rx_stamps,
        phase_start: wanted.phase_start,
        // An ICMP error over IPv4 may quote no more of an echo request than identifier and number: neither can be guessed.
        first_sequence: u64::from(rand::random::<u32>()),
    }
}
