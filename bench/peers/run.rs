//! How each contender's cost is found.

use std::path::PathBuf;

use dt_bench::Result;
use dt_bench::cpu::{Usage, thread_time};
use dt_bench::exchange::{Exchange, Probes};
use dt_bench::ping::Ping;
use dt_bench::place::Place;
use dt_bench::reference::{Mode, Reference, Run};

use crate::contenders::{Contender, Cost, Kind};

/// Probes of the loop before its clock starts, as the reference's.
const WARM_UP: usize = 4_096;

/// What all of them are to do.
pub(crate) struct Bench {
    pub(crate) dt: PathBuf,
    pub(crate) reference: Reference,
    pub(crate) targets: u32,
    pub(crate) count: u32,
    pub(crate) batch: usize,
}

impl Bench {
    /// One run of a contender. `None` where it isn't installed.
    pub(crate) fn cost(&self, place: &Place, contender: Contender) -> Result<Option<Cost>> {
        match contender {
            Contender::Reference(mode) => self.reference(place, mode).map(Some),
            Contender::Loop(kind) => self.in_a_loop(place, kind).map(Some),
            Contender::Ping(kind) => self.ping(place, kind).map(Some),
            Contender::Other(other) => other.cost(place, self.targets, self.count),
        }
    }

    fn reference(&self, place: &Place, mode: Mode) -> Result<Cost> {
        let ran = self.reference.run(&Run {
            mode,
            batch: self.batch,
            rounds: self.count,
            targets: self.targets,
            port: place.listener.port,
            addresses: place.addresses,
        })?;
        let used = Usage {
            user_ns: ran.user_ns,
            system_ns: ran.system_ns,
        };
        Ok(cost(used, ran.probes))
    }

    fn in_a_loop(&self, place: &Place, kind: Kind) -> Result<Cost> {
        let mut exchange = Exchange::new(probes(place, kind), place.addresses, self.targets)?;
        for _ in 0..WARM_UP / self.batch {
            exchange.turn(self.batch)?;
        }
        let began = thread_time();
        let turns = (u64::from(self.targets) * u64::from(self.count)).div_ceil(self.batch as u64);
        for _ in 0..turns {
            exchange.turn(self.batch)?;
        }
        let used = thread_time() - began;
        Ok(Cost {
            user: None,
            total: used.as_secs_f64() * 1e6 / (turns * self.batch as u64) as f64,
        })
    }

    fn ping(&self, place: &Place, kind: Kind) -> Result<Cost> {
        let ping = Ping::new(&self.dt, probes(place, kind), self.count);
        let ran = ping.run(&place.addresses.names(self.targets))?;
        Ok(cost(ran.used, ran.sent))
    }
}

fn probes(place: &Place, kind: Kind) -> Probes {
    match kind {
        Kind::Icmp => Probes::Icmp,
        Kind::Syn => Probes::Syn(place.listener.port),
        Kind::Connect => Probes::Connect(place.listener.port),
    }
}

/// What `used` is for each of so many probes.
pub(crate) fn cost(used: Usage, probes: u64) -> Cost {
    let micros = |nanos: u64| nanos as f64 / 1e3 / probes as f64;
    Cost {
        user: Some(micros(used.user_ns)),
        total: micros(used.total_ns()),
    }
}
