//! Who is compared, and how each one's cost is found.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use dt_bench::cpu::{Usage, thread_time};
use dt_bench::exchange::{Exchange, Probes, target};
use dt_bench::ping::Ping;
use dt_bench::reference::{Listener, Mode, Reference};
use dt_bench::{Failure, Result, child};

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
    count: u32,
    batch: usize,
    names: String,
    // Before the reference, whose program it runs.
    listener: Listener,
    reference: Reference,
}

impl Place {
    pub(crate) fn prepare(dt: PathBuf, targets: u32, count: u32, batch: usize) -> Result<Place> {
        let reference = Reference::compile()?;
        Ok(Place {
            dt,
            targets,
            count,
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
        u64::from(self.targets) * u64::from(self.count)
    }

    fn probes(&self, kind: Kind) -> Probes {
        let port = self.listener.port();
        match kind {
            Kind::Icmp => Probes::Icmp,
            Kind::Syn => Probes::Syn(port),
            Kind::Connect => Probes::Connect(port),
        }
    }

    fn reference(&self, mode: Mode) -> Result<Cost> {
        let port = self.listener.port();
        let ran = self.reference.run(mode, self.batch, self.count, self.targets, port)?;
        let used = Usage {
            user_ns: ran.user_ns,
            system_ns: ran.system_ns,
        };
        Ok(cost(used, ran.probes))
    }

    fn in_a_loop(&self, kind: Kind) -> Result<Cost> {
        let mut exchange = Exchange::new(self.probes(kind), self.targets)?;
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
        let ran = Ping::new(&self.dt, self.probes(kind), self.count).run(&self.names)?;
        Ok(cost(ran.used, ran.sent))
    }

    fn fping(&self) -> Result<Option<Cost>> {
        let mut command = Command::new("fping");
        let count = self.count.to_string();
        command.args(["-q", "-i", "0", "-p", "1", "-t", "1000", "-c", &count, "-f", "-"]);
        if Command::new("fping").arg("-v").stdout(Stdio::null()).status().is_err() {
            return Ok(None);
        }
        let (output, used) = child::run(&mut command, &self.names)?;
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
}

fn cost(used: Usage, probes: u64) -> Cost {
    let micros = |nanos: u64| nanos as f64 / 1e3 / probes as f64;
    Cost {
        user: Some(micros(used.user_ns)),
        total: micros(used.total_ns()),
    }
}
