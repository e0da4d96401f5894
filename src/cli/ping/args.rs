//! The options of `dt ping` and what of them goes together.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use dt_agent::config::duration;
use dt_kernel::CardStamps;
use dt_kernel::thread::{CpuList, HIGHEST_PRIORITY};

/// The most probes a run may send to one target: as many as its packed samples may need memory for.
const MOST_PROBES: u32 = 100_000_000;

/// Which probes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Proto {
    Icmp,
    Tcp,
}

impl Proto {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Proto::Icmp => "icmp",
            Proto::Tcp => "tcp",
        }
    }
}

/// How TCP probes are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Method {
    /// A raw, half-open SYN.
    Syn,
    /// A full handshake by connect().
    Connect,
}

/// Probe targets and print the percentiles of their round-trip delay, by kernel timestamps
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 every target answered, 1 a target got no reply at all, 2 wrong usage.\n\
    After the last time-out a second is waited for late replies where something was lost."
)]
pub(crate) struct Args {
    /// What to probe: a name, an address, or host:port ([v6]:port)
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,

    /// What the probes are: ICMP echo, or TCP SYN to SYN-ACK
    #[arg(long, env = "DT_PING_PROTO", hide_env_values = true, value_enum, default_value_t = Proto::Icmp)]
    pub(crate) proto: Proto,

    /// How TCP is probed [default: syn where raw sockets are permitted, else connect]
    #[arg(long, env = "DT_PING_METHOD", hide_env_values = true, value_enum)]
    pub(crate) method: Option<Method>,

    /// Port of the TCP targets that name none, 1 to 65535
    #[arg(long, env = "DT_PING_PORT_NUMBER", hide_env_values = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,

    /// Probes per target
    #[arg(short = 'c', long, env = "DT_PING_COUNT", hide_env_values = true, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_PROBES)))]
    pub(crate) count: u32,

    /// Time between two probes of one target; 0 is as fast as --rate permits
    #[arg(short = 'i', long, env = "DT_PING_INTERVAL", hide_env_values = true, value_name = "DURATION", default_value = "1s", value_parser = period)]
    pub(crate) interval: Duration,

    /// How long an answer may take, 1ms to 60s
    #[arg(short = 't', long, env = "DT_PING_TIMEOUT", hide_env_values = true, value_name = "DURATION", default_value = "1s", value_parser = period)]
    pub(crate) timeout: Duration,

    /// Most probes per second, over all targets
    #[arg(long, env = "DT_PING_RATE", hide_env_values = true, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: u32,

    /// File of targets, one a line, # begins a comment; - is standard input
    #[arg(short = 'f', long, env = "DT_PING_FILE", hide_env_values = true, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Source ports that TCP SYN probes take in turn, 1 to 1024
    #[arg(long, env = "DT_PING_SOURCE_PORTS", hide_env_values = true, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) source_ports: u16,

    /// Payload of an ICMP echo request in bytes, 16 to 1452
    #[arg(short = 's', long, env = "DT_PING_SIZE", hide_env_values = true, value_name = "BYTES", default_value_t = 56, value_parser = clap::value_parser!(u16).range(16..=1452))]
    pub(crate) size: u16,

    /// Use IPv4 addresses of names only
    #[arg(
        short = '4',
        long,
        env = "DT_PING_IPV4",
        hide_env_values = true,
        conflicts_with = "ipv6"
    )]
    pub(crate) ipv4: bool,

    /// Use IPv6 addresses of names only
    #[arg(short = '6', long, env = "DT_PING_IPV6", hide_env_values = true)]
    pub(crate) ipv6: bool,

    /// Whether the network card's time stamps are used, off, use or configure: not at all, where it gives them already, or
    /// with the card being set to give them, which lasts
    #[arg(long, env = "DT_PING_HARDWARE_TIMESTAMPS", hide_env_values = true, value_name = "WHETHER", default_value_t = CardStamps::Use)]
    pub(crate) hardware_timestamps: CardStamps,

    /// Real-time priority (SCHED_FIFO) of the thread that probes, 0 (none) to 49; needs CAP_SYS_NICE
    #[arg(long, env = "DT_PING_REALTIME_PRIORITY", hide_env_values = true, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=i64::from(HIGHEST_PRIORITY)))]
    pub(crate) realtime_priority: u8,

    /// Processors that the thread that probes may run on, as in 0-3,8 [default: all]
    #[arg(
        long,
        env = "DT_PING_CPUS",
        hide_env_values = true,
        value_name = "LIST",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) cpus: CpuList,

    /// One JSON object a line for each target, then {"summary": ...}
    #[arg(long, env = "DT_PING_JSON", hide_env_values = true)]
    pub(crate) json: bool,

    /// Kernel features to do without (for tests)
    #[arg(long, value_name = "LIST", env = "DT_KERNEL_OFF", default_value = "", hide = true)]
    pub(crate) kernel_off: String,
}

/// A duration, with what is accepted where it is none.
fn period(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|why| format!("{why}; accepted: {}", duration::ACCEPTED))
}

impl Args {
    pub(crate) fn is_tcp(&self) -> bool {
        self.proto == Proto::Tcp
    }

    /// What is wrong with the options taken together, a message each.
    pub(crate) fn check(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if !(Duration::from_millis(1)..=Duration::from_secs(60)).contains(&self.timeout) {
            errors.push(format!(
                "-t {}: out of range; accepted: 1ms to 60s",
                duration::format(self.timeout)
            ));
        }
        if self.interval > Duration::from_secs(3600) {
            errors.push(format!(
                "-i {}: out of range; accepted: 0 to 1h",
                duration::format(self.interval)
            ));
        }
        if self.method.is_some() && !self.is_tcp() {
            errors.push("--method needs --proto tcp: ICMP has one method only".to_owned());
        }
        if self.port.is_some() && !self.is_tcp() {
            errors.push("--port needs --proto tcp: ICMP has no ports".to_owned());
        }
        errors
    }
}
