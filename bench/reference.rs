//! The bare loop in C (`reference/reference.c`): compiled when it is needed, run as a child.

use std::process::{Command, Stdio};

use crate::addresses::Addresses;
use crate::compiled::Compiled;
use crate::{Failure, Result, doing};

const SOURCE: &str = include_str!("reference/reference.c");

/// What the reference can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// ICMP echo by a raw socket, both kernel stamps.
    Icmp,
    /// Half-open SYN by a raw socket, both kernel stamps.
    Syn,
    /// `connect()` on descriptors used again and again, `TCP_INFO`.
    ConnectReused,
    /// `connect()` on a new descriptor each, epoll, `TCP_INFO`.
    ConnectFresh,
}

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Mode::Icmp => "icmp",
            Mode::Syn => "syn",
            Mode::ConnectReused => "connect",
            Mode::ConnectFresh => "connect-fresh",
        }
    }
}

/// What a run of the reference came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Probes sent.
    pub probes: u64,
    /// Of those, answered with a round trip by the kernel's clock.
    pub measured: u64,
    /// CPU time in user space, nanoseconds, without start and warm-up.
    pub user_ns: u64,
    /// CPU time in the kernel, nanoseconds, without start and warm-up.
    pub system_ns: u64,
    /// Mean round trip, nanoseconds.
    pub mean_rtt_ns: u64,
}

/// The compiled reference.
#[derive(Debug)]
pub struct Reference {
    program: Compiled,
}

/// What one run of it is to do.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// What is sent.
    pub mode: Mode,
    /// So many at a time, 1 to 64.
    pub batch: usize,
    /// So many to each target.
    pub rounds: u32,
    /// How many of the addresses are probed.
    pub targets: u32,
    /// Not used by ICMP.
    pub port: u16,
    /// Whom to probe.
    pub addresses: Addresses,
}

impl Reference {
    /// Compiles it.
    ///
    /// # Errors
    /// Where that fails.
    pub fn compile() -> Result<Reference> {
        let program = Compiled::new("reference", SOURCE)?;
        Ok(Reference { program })
    }

    /// Does `run`.
    ///
    /// # Errors
    /// Where it fails, or any probe went without an answer and both kernel stamps: then its cost isn't that of a
    /// measured probe.
    pub fn run(&self, run: &Run) -> Result<Measured> {
        let word = run.mode.word();
        let output = Command::new(self.program.path())
            .arg(word)
            .args([
                run.batch.to_string(),
                run.rounds.to_string(),
                run.targets.to_string(),
                run.port.to_string(),
                run.addresses.first.to_string(),
                run.addresses.source.to_string(),
            ])
            .stderr(Stdio::inherit())
            .output()
            .map_err(doing("run the reference"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            return Err(Failure(format!("the reference ({word}) failed: {}", output.status)));
        }
        let measured = parse(&text).ok_or_else(|| Failure(format!("the reference ({word}) printed {text:?}")))?;
        if measured.measured < measured.probes {
            return Err(Failure(format!(
                "the reference ({word}) sent {} probes, of which only {} were measured",
                measured.probes, measured.measured
            )));
        }
        Ok(measured)
    }
}

fn parse(line: &str) -> Option<Measured> {
    let mut numbers = line.split_whitespace().map_while(|word| word.parse::<u64>().ok());
    let (probes, measured, user_ns, system_ns) = (numbers.next()?, numbers.next()?, numbers.next()?, numbers.next()?);
    let mean_rtt_ns = numbers.next()? / measured.max(1);
    Some(Measured {
        probes,
        measured,
        user_ns,
        system_ns,
        mean_rtt_ns,
    })
}
