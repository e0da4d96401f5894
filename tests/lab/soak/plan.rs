//! Which fault happens when: made of a seed alone, so that a run can be had again.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::fmt;
use std::time::Duration;

/// How many agents there are. The first is never ended, so that one life lasts as long as the run.
pub(super) const AGENTS: usize = 4;
/// Those with a link that can be slow, and those with a clock of their own.
pub(super) const LINES: [usize; 2] = [1, 2];
pub(super) const CLOCKS: [usize; 2] = [2, 3];
/// So many faults at once.
const MOST: usize = 3;
/// Before the first fault everybody measures everybody; after the last all is to be well again.
const CALM: Duration = Duration::from_secs(8);

/// What goes wrong. Agents and servers by their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fault {
    /// A server of ZooKeeper is killed, and started again at the end.
    ServerKilled(usize),
    /// A server of ZooKeeper gets no processor.
    ServerStopped(usize),
    /// None of them gets any.
    EnsembleStopped,
    /// An agent reaches no server of ZooKeeper.
    CutFromZooKeeper(usize),
    /// The broker is killed, and started again at the end.
    BrokerKilled,
    /// An agent doesn't reach the broker.
    CutFromKafka(usize),
    /// A fifth of what comes to a host is lost.
    Lossy(usize),
    /// Nothing comes from one host to another.
    Cut(usize, usize),
    /// No SYN reaches a host, where all else does.
    SynsLost(usize),
    /// A host takes five echo requests a second from all together.
    EchoesLimited(usize),
    /// What comes to a host from an eighth of all source ports is lost, as by one path of several that is dead.
    PathDead(usize),
    /// A host's interface is down.
    Down(usize),
    /// What passes a link takes 40 ms longer, or longer than the time-outs.
    Slow(usize, u64),
    /// What comes over a link comes twice.
    Repeated(usize),
    /// What comes over a link is overtaken by what comes after it.
    Reordered(usize),
    /// An agent gets no processor.
    Stopped(usize),
    /// An agent is killed, and started again at the end.
    Killed(usize),
    /// An agent is told to end, and started again at the end.
    Ended(usize),
    /// An agent's clock is stepped by so many seconds, and back at the end.
    Clock(usize, i64),
}

use Fault::{
    BrokerKilled, Clock, Cut, CutFromKafka, CutFromZooKeeper, Down, EchoesLimited, Ended, EnsembleStopped, Killed,
    Lossy, PathDead, Reordered, Repeated, ServerKilled, ServerStopped, Slow, Stopped, SynsLost,
};

impl Fault {
    /// What it is, without to whom.
    #[must_use]
    pub(super) fn kind(self) -> &'static str {
        match self {
            ServerKilled(_) => "ZooKeeper server killed",
            ServerStopped(_) => "ZooKeeper server stopped",
            EnsembleStopped => "all ZooKeeper servers stopped",
            CutFromZooKeeper(_) => "agent cut from ZooKeeper",
            BrokerKilled => "Kafka killed",
            CutFromKafka(_) => "agent cut from Kafka",
            Lossy(_) => "host loses a fifth",
            Cut(..) => "host deaf to another",
            SynsLost(_) => "host gets no SYN",
            EchoesLimited(_) => "host limits echoes",
            PathDead(_) => "path to host dead",
            Down(_) => "interface down",
            Slow(..) => "link slow",
            Repeated(_) => "link repeats",
            Reordered(_) => "link reorders",
            Stopped(_) => "agent stopped",
            Killed(_) => "agent killed",
            Ended(_) => "agent ended",
            Clock(..) => "clock stepped",
        }
    }

    /// What no other fault may touch meanwhile.
    fn resource(self) -> (&'static str, usize) {
        match self {
            // Of three servers one may be missing.
            ServerKilled(_) | ServerStopped(_) | EnsembleStopped => ("ensemble", 0),
            BrokerKilled => ("broker", 0),
            CutFromZooKeeper(i)
            | CutFromKafka(i)
            | Lossy(i)
            | Cut(i, _)
            | SynsLost(i)
            | EchoesLimited(i)
            | PathDead(i) => ("filter", i),
            Slow(i, _) | Repeated(i) | Reordered(i) | Down(i) => ("link", i),
            Stopped(i) | Killed(i) | Ended(i) => ("agent", i),
            Clock(i, _) => ("clock", i),
        }
    }

    /// Any.
    fn any(random: &mut StdRng) -> Fault {
        let i = random.random_range(0..AGENTS);
        let mortal = random.random_range(1..AGENTS);
        let server = random.random_range(0..crate::ensemble::SERVERS);
        // A link of the lab that was down would not come up again.
        let plain = [0, 3][random.random_range(0..2)];
        let line = LINES[random.random_range(0..LINES.len())];
        let seconds = *[2, 90, 3_700].choose(random).unwrap_or(&1);
        let clock = (
            CLOCKS[random.random_range(0..CLOCKS.len())],
            if random.random() { seconds } else { -seconds },
        );
        match random.random_range(0..19) {
            0 => ServerKilled(server),
            1 => ServerStopped(server),
            2 => EnsembleStopped,
            3 => CutFromZooKeeper(i),
            4 => BrokerKilled,
            5 => CutFromKafka(i),
            6 => Lossy(i),
            7 => Cut(i, (i + random.random_range(1..AGENTS)) % AGENTS),
            8 => Down(plain),
            9 => Slow(line, if random.random() { 40 } else { 700 }),
            10 => Repeated(line),
            11 => Reordered(line),
            12 => Stopped(i),
            13 => Killed(mortal),
            14 => Ended(mortal),
            15 => SynsLost(i),
            16 => EchoesLimited(i),
            17 => PathDead(i),
            _ => Clock(clock.0, clock.1),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ServerKilled(i) | ServerStopped(i) => write!(f, "{} ({i})", self.kind()),
            EnsembleStopped | BrokerKilled => f.write_str(self.kind()),
            Cut(i, from) => write!(f, "{} (n{i} to n{from})", self.kind()),
            Slow(i, by) => write!(f, "{} (n{i}, {by} ms)", self.kind()),
            Clock(i, by) => write!(f, "{} (n{i}, {by} s)", self.kind()),
            CutFromZooKeeper(i) | CutFromKafka(i) | Lossy(i) | SynsLost(i) | EchoesLimited(i) | PathDead(i)
            | Down(i) | Repeated(i) | Reordered(i) | Stopped(i) | Killed(i) | Ended(i) => {
                write!(f, "{} (n{i})", self.kind())
            }
        }
    }
}

/// A fault and its time, from the start of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned {
    /// When it begins.
    pub(super) at: Duration,
    /// When it ends.
    pub(super) until: Duration,
    /// What it is.
    pub(super) fault: Fault,
}

/// The faults of a run of this length, by their beginning.
#[must_use]
pub(super) fn plan(seed: u64, length: Duration) -> Vec<Planned> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut planned: Vec<Planned> = Vec::new();
    let last = length.saturating_sub(CALM);
    let mut at = CALM;
    while at < last {
        let fault = Fault::any(&mut random);
        let until = at + Duration::from_millis(random.random_range(2_000..12_000));
        let during: Vec<_> = planned.iter().filter(|other| other.until + GRACE > at).collect();
        let free = during.iter().all(|other| other.fault.resource() != fault.resource());
        if free && during.len() < MOST && until <= last {
            planned.push(Planned { at, until, fault });
        }
        at += Duration::from_millis(random.random_range(200..1_200));
    }
    planned
}

/// What was broken is left alone for so long afterwards.
const GRACE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_makes_one_plan_which_has_every_kind_in_ten_minutes() {
        let length = Duration::from_secs(600);
        let one = plan(1, length);
        assert_eq!(one, plan(1, length));
        assert_ne!(one, plan(2, length));
        let kinds: BTreeSet<_> = one.iter().map(|planned| planned.fault.kind()).collect();
        assert_eq!(kinds.len(), 19, "{kinds:?}");
        for planned in &one {
            assert!(
                planned.until > planned.at && planned.until <= length - CALM,
                "{planned:?}"
            );
            let at_once = one
                .iter()
                .filter(|other| other.at <= planned.at && other.until > planned.at);
            assert!(at_once.count() <= MOST, "{planned:?}");
        }
    }
}
