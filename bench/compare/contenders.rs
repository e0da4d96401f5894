//! Who is compared, and how each one's cost is found.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use dt_bench::cpu::{Usage, thread_time};
use dt_bench::exchange::{Exchange, Probes, target};
use dt_bench::reference::{Listener, Mode, Reference};
use dt_bench::{Failure, Result, doing};

/// Probes of the loop before its clock starts, as the reference's.
const WARM_UP: usize = 4_096;

/// One way to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// The loop in C, without its start.
    Reference(Mode),
    /// The core and the sockets of `dt` in the same loop, without the start.
    Loop(Kind),
    /// `dt ping` as a whole process, from start to printed result.
    Ping(Kind),
    /// `fping` as a whole process.
    Fping,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Icmp,
    Syn,
    Connect,
}

impl Contender {
    /// The comparisons: a heading, and who takes part. The first one is what the others are measured by.
    pub(crate) fn all() -> [(&'static str, &'static [Contender]); 3] {
        use Contender::{Fping, Loop, Ping, Reference};
        [
            (
                "ICMP echo",
                &[Reference(Mode::Icmp), Loop(Kind::Icmp), Ping(Kind::Icmp), Fping],
            ),
            ("TCP SYN", &[Reference(Mode::Syn), Loop(Kind::Syn), Ping(Kind::Syn)]),
            (
                "TCP connect",
                &[
                    Reference(Mode::ConnectReused),
                    Reference(Mode::ConnectFresh),
                    Loop(Kind::Connect),
                    Ping(Kind::Connect),
                ],
            ),
        ]
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Contender::Reference(Mode::Icmp | Mode::Syn) => "C: sendmmsg, recvmmsg, both stamps",
            Contender::Reference(Mode::ConnectReused) => "C: connect, descriptors reused",
            Contender::Reference(Mode::ConnectFresh) => "C: connect, new descriptor, epoll",
            Contender::Loop(_) => "dt: core and sockets in a loop",
            Contender::Ping(_) => "dt ping, whole process",
            Contender::Fping => "fping, whole process",
        }
    }
}

/// CPU time per probe, microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cost {
    /// In user space; `None` where only the sum is known.
    pub(crate) user: Option<f64>,
    /// In all.
    pub(crate) total: f64,
}

/// Where it takes place.
pub(crate) struct Place {
    dt: PathBuf,
    targets: u32,
    probes: u32,
    batch: usize,
    names: String,
    // Before the reference, whose program it runs.
    listener: Listener,
    reference: Reference,
}

impl Place {
    pub(crate) fn prepare(dt: PathBuf, targets: u32, probes: u32, batch: usize) -> Result<Place> {
        let reference = Reference::compile()?;
        Ok(Place {
            dt,
            targets,
            probes,
            batch,
            names: (0..targets).map(|number| format!("{}\n", target(number))).collect(),
            listener: reference.listen()?,
            reference,
        })
    }

    /// One run of a contender. `None` where it isn't installed.
    pub(crate) fn cost(&self, contender: Contender) -> Result<Option<Cost>> {
        match contender {
            Contender::Reference(mode) => self.reference(mode).map(Some),
            Contender::Loop(kind) => self.in_a_loop(kind).map(Some),
            Contender::Ping(kind) => self.ping(kind).map(Some),
            Contender::Fping => self.fping(),
        }
    }

    fn all(&self) -> u64 {
        u64::from(self.targets) * u64::from(self.probes)
    }

    fn reference(&self, mode: Mode) -> Result<Cost> {
        let port = self.listener.port();
        let ran = self.reference.run(mode, self.batch, self.probes, self.targets, port)?;
        let used = Usage {
            user_ns: ran.user_ns,
            system_ns: ran.system_ns,
        };
        Ok(cost(used, ran.probes))
    }

    fn in_a_loop(&self, kind: Kind) -> Result<Cost> {
        let port = self.listener.port();
        let probes = match kind {
            Kind::Icmp => Probes::Icmp,
            Kind::Syn => Probes::Syn(port),
            Kind::Connect => Probes::Connect(port),
        };
        let mut exchange = Exchange::new(probes, self.targets)?;
        for _ in 0..WARM_UP / self.batch {
            exchange.turn(self.batch)?;
        }
        let began = thread_time();
        let turns = self.all().div_ceil(self.batch as u64);
        for _ in 0..turns {
            exchange.turn(self.batch)?;
        }
        let used = thread_time() - began;
        Ok(Cost {
            user: None,
            total: used.as_secs_f64() * 1e6 / (turns * self.batch as u64) as f64,
        })
    }

    fn ping(&self, kind: Kind) -> Result<Cost> {
        let (count, port) = (self.probes.to_string(), self.listener.port().to_string());
        let mut command = Command::new(&self.dt);
        command.args([
            "ping",
            "--json",
            "-i",
            "0",
            "--rate",
            "100000000",
            "-c",
            &count,
            "-f",
            "-",
        ]);
        match kind {
            Kind::Icmp => {}
            Kind::Syn => {
                command.args(["--proto", "tcp", "--method", "syn", "--port", &port]);
            }
            Kind::Connect => {
                command.args(["--proto", "tcp", "--method", "connect", "--port", &port]);
            }
        }
        let (output, used) = self.run(&mut command)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let last: serde_json::Value =
            serde_json::from_str(text.lines().last().unwrap_or_default()).map_err(doing("read dt's summary"))?;
        let counted = |name: &str| last["summary"][name].as_u64();
        let (sent, received) = (counted("sent"), counted("received"));
        if sent != Some(self.all()) || received != sent {
            let wanted = self.all();
            return Err(Failure(format!(
                "dt ping: of {wanted} probes {sent:?} were sent, {received:?} received"
            )));
        }
        Ok(cost(used, self.all()))
    }

    fn fping(&self) -> Result<Option<Cost>> {
        let mut command = Command::new("fping");
        let count = self.probes.to_string();
        command.args(["-q", "-i", "0", "-p", "1", "-t", "1000", "-c", &count, "-f", "-"]);
        if Command::new("fping").arg("-v").stdout(Stdio::null()).status().is_err() {
            return Ok(None);
        }
        let (output, used) = self.run(&mut command)?;
        // One line a target: `127.1.0.0 : xmt/rcv/%loss = 50/50/0%, min/avg/max = ...`.
        let text = String::from_utf8_lossy(&output.stderr);
        let received: u64 = text
            .lines()
            .filter_map(|line| line.split(" = ").nth(1)?.split('/').nth(1)?.parse::<u64>().ok())
            .sum();
        if received != self.all() {
            let wanted = self.all();
            return Err(Failure(format!("fping: of {wanted} probes {received} were answered")));
        }
        Ok(Some(cost(used, self.all())))
    }

    /// Runs a program that reads the targets from its standard input, alone, and tells what it used.
    fn run(&self, command: &mut Command) -> Result<(Output, Usage)> {
        let name = command.get_program().to_string_lossy().into_owned();
        let before = Usage::of_children();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(doing(&format!("run {name}")))?;
        if let Some(mut input) = child.stdin.take() {
            // Both read all targets before they print anything, so neither side can be waiting for the other.
            input
                .write_all(self.names.as_bytes())
                .map_err(doing(&format!("hand the targets to {name}")))?;
        }
        let output = child.wait_with_output().map_err(doing(&format!("wait for {name}")))?;
        let used = Usage::of_children().since(before);
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(Failure(format!("{name}: {}\n{errors}", output.status)));
        }
        Ok((output, used))
    }
}

fn cost(used: Usage, probes: u64) -> Cost {
    let micros = |nanos: u64| nanos as f64 / 1e3 / probes as f64;
    Cost {
        user: Some(micros(used.user_ns)),
        total: micros(used.total_ns()),
    }
}
