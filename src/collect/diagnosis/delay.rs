//! Which probes were slow: compared with the pair's own past, and with its neighbours.

use std::collections::HashMap;

use dt_probe::ProbeKind;

use super::beside::Beside;
use super::config::DiagnosisConfig;
use super::grid::{Probe, Trial};
use super::loss;
use super::presence::Voice;
use super::topology::{Level, Topology};
use crate::row::State;
use crate::snapshot::{Cell, Delays, Snapshot};

/// A series by names, which hold from one look to the next.
pub(super) type SeriesKey = (String, String, ProbeKind);

/// Medians that were usual before a fault, kept while it lasts: after half an hour the hour's median is the fault's.
pub(super) type Held = HashMap<SeriesKey, u64>;

/// Calls are timed by programs' clocks: so many times the margin is theirs.
const CALLS: f64 = 10.0;

/// No more than this many are kept.
const MOST_HELD: usize = 100_000;

/// What is usual between two zones: (from, to, kind).
type ZonePairs = HashMap<(u32, u32, ProbeKind), u64>;

/// What is usual for every pair.
#[derive(Debug)]
pub(super) struct Usual<'a> {
    hour: &'a Beside<'a>,
    topology: &'a Topology,
    config: &'a DiagnosisConfig,
    peers: ZonePairs,
    /// [`Held`] by the numbers of today.
    held: HashMap<(u32, u32, ProbeKind), u64>,
}

impl<'a> Usual<'a> {
    pub(super) fn new(
        recent: &Snapshot,
        hour: &'a Beside<'a>,
        topology: &'a Topology,
        config: &'a DiagnosisConfig,
        held: &Held,
    ) -> Usual<'a> {
        let zone = |node| topology.group_of(Level::Zone, node);
        let mut medians: HashMap<_, Vec<u64>> = HashMap::new();
        for (at, cell) in recent.cells.iter().enumerate() {
            if let Some(median) = hour.cell(at, cell).and_then(|cell| cell.rtt.p50) {
                let key = (zone(cell.source), zone(cell.destination), cell.probe);
                medians.entry(key).or_default().push(median);
            }
        }
        let enough = medians
            .into_iter()
            .filter(|(_, all)| all.len() >= config.min_peers.max(1));
        let peers = enough.map(|(key, mut all)| {
            let middle = all.len() / 2;
            (key, *all.select_nth_unstable(middle).1)
        });
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        if !held.is_empty() {
            numbers.extend(topology.names.iter().map(String::as_str).zip(0..));
        }
        let number = |name: &String| numbers.get(name.as_str()).copied();
        let here = held.iter().filter_map(|((source, destination, probe), usual)| {
            Some(((number(source)?, number(destination)?, *probe), *usual))
        });
        Usual {
            hour,
            topology,
            config,
            peers: peers.collect(),
            held: here.collect(),
        }
    }

    /// The pair's own median before the fault: what was kept of it, else the hour's, if that can be told from what is
    /// going on now.
    pub(super) fn past(&self, at: usize, cell: &Cell) -> Option<u64> {
        let kept = self.held.get(&(cell.source, cell.destination, cell.probe)).copied();
        let hour = self.hour.cell(at, cell).and_then(|hour| {
            let received = hour.counts.received;
            let enough = received >= self.config.min_past && received >= 2 * cell.counts.received;
            hour.rtt.p50.filter(|_| enough)
        });
        kept.into_iter().chain(hour).min()
    }

    /// The median of the same kind between the same zones.
    pub(super) fn peers(&self, cell: &Cell) -> Option<u64> {
        let zone = |node| self.topology.group_of(Level::Zone, node);
        let key = (zone(cell.source), zone(cell.destination), cell.probe);
        self.peers.get(&key).copied()
    }

    /// What takes longer than this is slow.
    fn limit(&self, at: usize, cell: &Cell) -> u64 {
        let mut margin = u64::try_from(self.config.slow_margin.as_nanos()).unwrap_or(u64::MAX) as f64;
        if cell.probe == ProbeKind::Grpc {
            margin *= CALLS;
        }
        let own = self
            .past(at, cell)
            .map(|past| (past as f64 * self.config.slow_factor).max(past as f64 + margin));
        let factor = self.config.peer_factor;
        let peers = self.peers(cell);
        let peers = peers.map(|peers| (peers as f64 * factor).max(peers as f64 + margin * factor));
        let absolute = self.config.slow_absolute.as_nanos() as f64;
        // A float this size is cut to the largest integer.
        [own, peers].into_iter().flatten().fold(absolute, f64::min) as u64
    }

    /// One trial for each cell: how many of the answers were slow. Calls count only where there is nothing else: they are
    /// timed by programs' clocks, which tell how busy hosts are.
    pub(super) fn trials(&self, recent: &Snapshot, voices: &[Voice]) -> Vec<Trial> {
        let mut trials = loss::trials(recent, voices, self.config, |at, cell| {
            let received = cell.counts.received;
            let counts = cell.state == State::Fresh && received > 0;
            counts.then(|| (received, longer(&cell.rtt, received, self.limit(at, cell))))
        });
        trials.retain(|trial| trial.probe != Probe::Grpc);
        trials
    }

    /// What was usual for the series of these places, to be kept while they are slow.
    pub(super) fn hold(&self, recent: &Snapshot, places: impl Iterator<Item = u32>) -> Held {
        let keep = |at: u32| {
            let cell = recent.cells.get(at as usize)?;
            let key = (
                self.topology.name(cell.source),
                self.topology.name(cell.destination),
                cell.probe,
            );
            Some((key, self.past(at as usize, cell)?))
        };
        places.take(MOST_HELD).filter_map(keep).collect()
    }
}

/// At least so many of `n` values are above `limit`, by what the percentiles say.
fn longer(delays: &Delays, n: u64, limit: u64) -> u64 {
    let above = |value: Option<u64>| value.is_some_and(|value| value > limit);
    let percentiles = [
        (delays.p50, 0.5),
        (delays.p90, 0.9),
        (delays.p99, 0.99),
        (delays.p999, 0.999),
    ];
    if above(delays.min) {
        return n;
    }
    for (value, q) in percentiles {
        if above(value) {
            // The value of that rank and all that follow.
            return n + 1 - (q * n as f64).ceil() as u64;
        }
    }
    u64::from(above(delays.max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_bound_how_many_are_slow_from_below() {
        let delays = Delays {
            min: Some(1),
            mean: Some(5),
            p50: Some(5),
            p90: Some(9),
            p99: Some(10),
            p999: Some(10),
            max: Some(10),
        };
        // The values 1 to 10.
        for (limit, at_least) in [(0, 10), (3, 6), (5, 2), (8, 2), (9, 1), (10, 0)] {
            assert_eq!(longer(&delays, 10, limit), at_least, "above {limit}");
        }
        assert_eq!(longer(&Delays::default(), 0, 5), 0);
    }
}
