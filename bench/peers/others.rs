//! Other programs, where they are installed, as whole processes.

use std::process::{Command, Stdio};

use dt_bench::place::Place;
use dt_bench::{Failure, Result, child};

use crate::blackbox::{self, Module};
use crate::contenders::Cost;
use crate::run::cost;

/// More than so many probes in ten seconds end fping: it has one space of 16 bits for their numbers.
const MOST_OF_FPING: u32 = 65_000;
/// Probes of ping, which knows one target, and waits for each answer.
const OF_PING: u64 = 50_000;

/// Another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Other {
    Fping,
    /// That of iputils, with `-f`.
    Ping,
    BlackboxIcmp,
    BlackboxTcp,
}

impl Other {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Other::Fping => "fping",
            Other::Ping => "ping -f (iputils), one target",
            Other::BlackboxIcmp => "blackbox_exporter, icmp",
            Other::BlackboxTcp => "blackbox_exporter, tcp",
        }
    }

    /// `None` where it isn't installed.
    pub(crate) fn cost(self, place: &Place, targets: u32, count: u32) -> Result<Option<Cost>> {
        match self {
            Other::Fping => fping(place, targets, count),
            Other::Ping => ping(place),
            Other::BlackboxIcmp => blackbox::cost(place, Module::Icmp),
            Other::BlackboxTcp => blackbox::cost(place, Module::Tcp),
        }
    }
}

/// Whether there is such a program.
pub(crate) fn is_installed(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

fn fping(place: &Place, targets: u32, count: u32) -> Result<Option<Cost>> {
    if !is_installed("fping", "-v") {
        return Ok(None);
    }
    let count = count.min(MOST_OF_FPING / targets).max(1);
    let mut command = Command::new("fping");
    command.args(["-q", "-i", "0", "-p", "1", "-t", "1000", "-f", "-", "-c"]);
    let (output, used) = child::run(command.arg(count.to_string()), &place.addresses.names(targets))?;
    // One line a target: `127.1.0.0 : xmt/rcv/%loss = 50/50/0%, min/avg/max = ...`.
    let text = String::from_utf8_lossy(&output.stderr);
    let received: u64 = text
        .lines()
        .filter_map(|line| line.split(" = ").nth(1)?.split('/').nth(1)?.parse::<u64>().ok())
        .sum();
    expect("fping", u64::from(targets) * u64::from(count), received)?;
    Ok(Some(cost(used, received)))
}

fn ping(place: &Place) -> Result<Option<Cost>> {
    if !is_installed("ping", "-V") {
        return Ok(None);
    }
    let mut command = Command::new("ping");
    command.args(["-f", "-q", "-n", "-c", &OF_PING.to_string()]);
    let (output, used) = child::run(command.arg(place.addresses.target(0).to_string()), "")?;
    // `50000 packets transmitted, 50000 received, 0% packet loss, time 386ms`
    let text = String::from_utf8_lossy(&output.stdout);
    let received = text.split_once(" transmitted, ").and_then(|(_, rest)| {
        let word = rest.split_whitespace().next()?;
        word.parse().ok()
    });
    expect("ping", OF_PING, received.unwrap_or(0))?;
    Ok(Some(cost(used, OF_PING)))
}

pub(crate) fn expect(who: &str, sent: u64, received: u64) -> Result {
    if sent == received {
        Ok(())
    } else {
        Err(Failure(format!("{who}: of {sent} probes {received} were answered")))
    }
}
