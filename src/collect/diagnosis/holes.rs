//! Findings of dead flows: losses that turn out to be those of few source ports, and dead flows too rare to be seen as
//! loss.

use dt_probe::ProbeKind;

use super::beside::Beside;
use super::facts::Facts;
use super::finding::{Finding, FindingKind};
use super::flows::{self, Hole, narrowness};
use super::grid::{Grid, Layer};
use super::loss;
use super::name::{Scene, Symptom};
use super::report::{Report, rounded};
use super::search::{Cause, explain};
use super::shape::Shape;
use super::words;
use crate::snapshot::{Cell, Snapshot};

/// Pairs that have a dead flow without a cause in common.
const BY_CHANCE: f64 = 0.01;
/// From this share on it is not one flow of several.
const MOST: f64 = 0.5;

/// The flows of the pairs that a cause explains.
#[derive(Debug, Default)]
pub(super) struct Narrow {
    /// How many nats speak for dead ports.
    nats: f64,
    /// Probes lost on the worst ports; lost; sent.
    lost_on: u64,
    lost: u64,
    sent: u64,
    /// Of the worst ports, one for each pair.
    ports: Vec<u16>,
    /// Ports in use at least, of all pairs.
    of: u64,
}

impl Narrow {
    fn add(&mut self, cell: &Cell) {
        let worst = cell
            .flows
            .iter()
            .max_by_key(|flow| flow.lost)
            .filter(|flow| flow.lost > 0);
        let Some(worst) = worst else { return };
        self.nats += narrowness(cell);
        self.lost_on += worst.lost;
        self.lost += cell.counts.lost;
        self.sent += cell.left();
        self.ports.push(worst.port);
        self.of += u64::from(flows::ports(cell));
    }

    /// Of the pairs that `cause` is about, in the view that shows it better.
    pub(super) fn of(cause: &Cause, grid: &Grid, recent: &Snapshot, views: [&Beside<'_>; 2]) -> Narrow {
        let of_view = |view: &Beside<'_>| {
            let mut narrow = Narrow::default();
            let mut last = None;
            for trial in cause.trials.iter().filter_map(|at| grid.trials.get(*at as usize)) {
                let pair = (trial.source, trial.destination);
                if last.replace(pair) == Some(pair) {
                    continue;
                }
                // The kinds of a pair stand beside each other.
                let near = (trial.cell as usize).saturating_sub(2)..=trial.cell as usize + 2;
                let tcp = near
                    .filter_map(|at| Some((at, recent.cells.get(at)?)))
                    .find(|(_, cell)| cell.probe == ProbeKind::Tcp && (cell.source, cell.destination) == pair);
                if let Some(cell) = tcp.and_then(|(at, cell)| view.cell(at, cell)) {
                    narrow.add(cell);
                }
            }
            narrow
        };
        let [a, b] = views.map(of_view);
        if a.nats >= b.nats { a } else { b }
    }

    /// Whether the cause is rather dead flows.
    pub(super) fn is_hole(&self, cause: &Cause, needed: f64) -> bool {
        let few = match cause.layer {
            Layer::Path | Layer::Port | Layer::Tcp => cause.rate < MOST,
            // The echoes' one flow may be a dead one, and other flows have to be so as well.
            Layer::Echo | Layer::Large => matches!(cause.shape, Shape::OneWay(..) | Shape::Pair(..)),
            Layer::Grpc => false,
        };
        few && self.nats >= needed && 2 * self.lost < self.sent
    }
}

impl Report<'_> {
    /// Dead flows in what no cause explains yet, one finding for all pairs that share a place.
    pub(super) fn rare_holes(&mut self, holes: &[(usize, Hole)]) {
        let unexplained = |place: usize| {
            let found = self
                .present
                .trials
                .binary_search_by_key(&place, |trial| trial.cell as usize);
            found.is_ok_and(|at| !self.present.explained[at])
        };
        let holes: Vec<_> = holes.iter().filter(|(place, _)| unexplained(*place)).collect();
        if holes.is_empty() {
            return;
        }
        let mut next = holes.iter().peekable();
        let trials = loss::trials(self.recent, self.voices, self.config, |at, cell| {
            while next.next_if(|(place, _)| *place < at).is_some() {}
            let dead = next.peek().is_some_and(|(place, _)| *place == at);
            (cell.probe == ProbeKind::Tcp && cell.left() > 0).then_some((1, u64::from(dead)))
        });
        let mut grid = Grid::new(trials, self.topology);
        let mut causes = explain(&mut grid, self.topology, &self.rules(BY_CHANCE, 0.5));
        let alone = grid.open().filter(|(trial, _)| trial.k > 0);
        let alone: Vec<Cause> = alone
            .map(|(trial, at)| one(trial.source, trial.destination, at))
            .collect();
        causes.extend(alone);
        let scene = self.scene(&grid, Symptom::Loss, BY_CHANCE);
        let mut found = Vec::new();
        for cause in &causes {
            let facts = Facts::new(cause, &grid, |at| self.recent.cells.get(at as usize));
            let mut narrow = Narrow::default();
            for cell in &facts.bad {
                let place = holes.binary_search_by_key(&(*cell as usize), |(place, _)| *place);
                if let Some((_, hole)) = place.ok().and_then(|at| holes.get(at)) {
                    narrow.lost_on += hole.lost_on;
                    narrow.lost += hole.lost;
                    narrow.sent += hole.sent;
                    narrow.of += u64::from(hole.of);
                    narrow.ports.extend(&hole.ports);
                }
            }
            found.push(finding(&scene, cause, &facts, &narrow));
        }
        self.findings.extend(found);
    }
}

fn one(source: u32, destination: u32, at: usize) -> Cause {
    Cause {
        shape: Shape::OneWay(source, destination),
        layer: Layer::Tcp,
        rate: 1.0,
        strength: 1.0,
        agreement: 1.0,
        trials: u32::try_from(at).into_iter().collect(),
    }
}

/// Dead flows where `cause` is.
pub(super) fn finding(scene: &Scene<'_>, cause: &Cause, facts: &Facts, narrow: &Narrow) -> Finding {
    let mut subject = scene.subject(cause.shape, FindingKind::FlowBlackHole);
    // Pairs lie on the paths by their addresses as well, so each has dead ports of its own.
    if let (1, [port, ..]) = (facts.pairs, narrow.ports.as_slice()) {
        subject.port = Some(*port);
    }
    let one_in = (narrow.of as f64 / narrow.ports.len().max(1) as f64).round();
    let example: Vec<String> = narrow.ports.iter().take(4).map(u16::to_string).collect();
    Finding {
        kind: FindingKind::FlowBlackHole,
        summary: format!(
            "One flow in {one_in:.0} is dead {}: one of several equal paths loses all",
            words::place(&subject, cause.shape)
        ),
        evidence: vec![
            format!(
                "of {} lost TCP probes ({} sent) {} left from the same source port of their pair",
                narrow.lost, narrow.sent, narrow.lost_on
            ),
            format!("dead source ports, for instance: {}", words::list(&example)),
        ],
        subject,
        confidence: rounded(cause.agreement * narrow.lost_on as f64 / narrow.lost.max(1) as f64),
        since_ms: facts.since_ms,
        pattern: None,
        pairs: facts.pairs,
    }
}
