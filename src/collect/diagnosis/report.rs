//! From trials to findings: loss now, loss of the last minute that the present doesn't contradict, delay.

use super::beside::Beside;
use super::config::DiagnosisConfig;
use super::delay::Usual;
use super::facts::Facts;
use super::finding::{Finding, FindingKind, Subject};
use super::grid::Grid;
use super::holes::{self, Narrow};
use super::hosts::Host;
use super::loss;
use super::name::{Name, Scene, Symptom};
use super::presence::Voice;
use super::search::{Cause, Rules, explain};
use super::stats::support;
use super::topology::Topology;
use super::words;
use crate::snapshot::{Cell, Snapshot};

/// As many nats must the present speak against a fault of the last minute for it to be over.
const OVER: f64 = 3.0;

/// As many nats must the newest windows speak for it where they proved it before: else it is what the minute remembers.
const GOES_ON: f64 = 2.0;

/// So many times each port in use must have been tried.
const ROUNDS: f64 = 2.5;

/// What is remembered of a finding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// The last look found it.
    pub(super) known: bool,
    /// The newest windows alone proved it within the last minute.
    pub(super) proved: bool,
}

/// Findings in the making.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) config: &'a DiagnosisConfig,
    pub(super) recent: &'a Snapshot,
    pub(super) topology: &'a Topology,
    pub(super) voices: &'a [Voice],
    hosts: &'a [Host],
    /// The trials of the present, and which of them a cause explains.
    pub(super) present: Grid,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        config: &'a DiagnosisConfig,
        recent: &'a Snapshot,
        topology: &'a Topology,
        voices: &'a [Voice],
        hosts: &'a [Host],
    ) -> Report<'a> {
        Report {
            config,
            recent,
            topology,
            voices,
            hosts,
            present: Grid::new(Vec::new(), topology),
            findings: Vec::new(),
        }
    }

    pub(super) fn rules(&self, background: f64, min_share: f64) -> Rules {
        Rules {
            background,
            min_share,
            beyond_chance: (1.0 / self.config.false_alarm).ln(),
            exceptions: self.config.exceptions,
            most: self.config.max_findings,
        }
    }

    pub(super) fn scene<'s>(&'s self, grid: &'s Grid, symptom: Symptom, background: f64) -> Scene<'s> {
        Scene {
            recent: self.recent,
            topology: self.topology,
            voices: self.voices,
            hosts: self.hosts,
            grid,
            symptom,
            background,
        }
    }

    /// Loss in the newest windows.
    pub(super) fn present_loss(&mut self, minute: &Beside<'_>, hour: &Beside<'_>) {
        let trials = loss::present(self.recent, minute, self.voices, self.config);
        let mut grid = Grid::new(trials, self.topology);
        let rules = self.rules(self.config.tolerated_loss, self.config.min_loss);
        let causes = explain(&mut grid, self.topology, &rules);
        let scene = self.scene(&grid, Symptom::Loss, rules.background);
        let found = causes.iter().map(|cause| {
            let facts = Facts::new(cause, &grid, |at| self.recent.cells.get(at as usize));
            self.loss(&scene, cause, &facts, [minute, hour], None)
        });
        let found: Vec<Finding> = found.collect();
        self.findings.extend(found);
        self.present = grid;
    }

    /// Loss too small for the newest windows to prove, in the last minute. It must go on, by what the newest windows show
    /// and what is known from `before`.
    pub(super) fn minute_loss(
        &mut self,
        minute: &Beside<'_>,
        hour: &Beside<'_>,
        before: impl Fn(FindingKind, &Subject) -> Before,
    ) {
        let trials = loss::of_minute(self.recent, minute, self.voices, self.config);
        let mut grid = Grid::new(trials, self.topology);
        self.set_aside_explained(&mut grid);
        let rules = self.rules(self.config.tolerated_loss, self.config.min_loss);
        let causes = explain(&mut grid, self.topology, &rules);
        let scene = self.scene(&grid, Symptom::Loss, rules.background);
        let mut found = Vec::new();
        for cause in &causes {
            let (n, k) = self.now(cause);
            let cell = |at: u32| minute.cell(at as usize, self.recent.cells.get(at as usize)?);
            let facts = Facts::new(cause, &grid, cell);
            let seen = Some("seen over the last minute".to_owned());
            let finding = self.loss(&scene, cause, &facts, [minute, hour], seen);
            let goes_on = support(k, n, cause.rate, rules.background);
            let Before { known, proved } = before(finding.kind, &finding.subject);
            // A port has its turn now and then; where each had several, the dead one would have shown.
            let all_had_turns = n >= ROUNDS * f64::from(facts.ports);
            let needed = match () {
                () if proved => GOES_ON,
                () if finding.kind == FindingKind::FlowBlackHole && all_had_turns => 0.0,
                () if known => -OVER,
                () => 0.0,
            };
            if n > 0.0 && goes_on > needed {
                found.push(finding);
            }
        }
        self.findings.extend(found);
    }

    fn loss(
        &self,
        scene: &Scene<'_>,
        cause: &Cause,
        facts: &Facts,
        views: [&Beside<'_>; 2],
        further: Option<String>,
    ) -> Finding {
        let narrow = Narrow::of(cause, scene.grid, self.recent, views);
        if narrow.is_hole(cause, self.rules(0.0, 0.0).beyond_chance) {
            return holes::finding(scene, cause, facts, &narrow);
        }
        finding(
            scene,
            cause,
            facts,
            &scene.name(cause, facts),
            further.into_iter().collect(),
        )
    }

    /// (n, k) of what a cause explains, in the newest windows, those aside that have a cause there.
    fn now(&self, cause: &Cause) -> (f64, f64) {
        let (mut n, mut k) = (0.0, 0.0);
        cause.shape.visit(&self.present, self.topology, |at| {
            let trial = &self.present.trials[at];
            if !self.present.explained[at] && cause.layer.contains(trial.probe) {
                n += f64::from(trial.n);
                k += f64::from(trial.k);
            }
        });
        (n, k)
    }

    /// What the present explains needs no second explanation.
    fn set_aside_explained(&self, grid: &mut Grid) {
        let explained = self.present.trials.iter().zip(&self.present.explained);
        let mut explained = explained
            .filter(|(_, explained)| **explained)
            .map(|(trial, _)| trial.cell)
            .peekable();
        for at in 0..grid.trials.len() {
            let cell = grid.trials[at].cell;
            while explained.next_if(|place| *place < cell).is_some() {}
            grid.explained[at] |= explained.peek() == Some(&cell);
        }
    }

    /// Delay. Returns the places of the slow cells.
    pub(super) fn delay(&mut self, usual: &Usual<'_>) -> Vec<u32> {
        let mut grid = Grid::new(usual.trials(self.recent, self.voices), self.topology);
        let rules = self.rules(self.config.tolerated_slow, self.config.min_slow);
        let causes = explain(&mut grid, self.topology, &rules);
        let scene = self.scene(&grid, Symptom::Delay, rules.background);
        let (mut found, mut slow) = (Vec::new(), Vec::new());
        for cause in &causes {
            let facts = Facts::new(cause, &grid, |at| self.recent.cells.get(at as usize));
            let name = scene.name(cause, &facts);
            let compared = compared(self.recent, usual, &facts.bad);
            found.push(finding(&scene, cause, &facts, &name, compared));
            slow.extend(facts.bad);
        }
        self.findings.extend(found);
        slow
    }
}

fn confidence(cause: &Cause, certainty: f64) -> f64 {
    rounded(cause.agreement * certainty * (1.0 - 0.5 * (1.0 - cause.strength).exp()))
}

pub(super) fn rounded(confidence: f64) -> f64 {
    (confidence.clamp(0.05, 0.99) * 100.0).round() / 100.0
}

fn finding(scene: &Scene<'_>, cause: &Cause, facts: &Facts, name: &Name, further: Vec<String>) -> Finding {
    let mut evidence = words::evidence(scene, name, cause, facts);
    evidence.extend(further);
    Finding {
        kind: name.kind,
        subject: name.subject.clone(),
        summary: words::summary(name, cause, facts, scene.symptom),
        evidence,
        confidence: confidence(cause, name.certainty),
        since_ms: facts.since_ms,
        pattern: name.pattern,
        pairs: facts.pairs,
    }
}

/// Now against usually, of the slowest of the cells.
fn compared(recent: &Snapshot, usual: &Usual<'_>, bad: &[u32]) -> Vec<String> {
    let cells = bad.iter().filter_map(|at| Some((*at, recent.cells.get(*at as usize)?)));
    let Some((at, cell)) = cells.max_by_key(|(_, cell): &(u32, &Cell)| cell.rtt.p50) else {
        return Vec::new();
    };
    let now = words::duration(cell.rtt.p50.unwrap_or_default());
    let name = |node: u32| recent.nodes.get(node as usize).map(|node| node.node.as_str());
    let (from, to) = (
        name(cell.source).unwrap_or_default(),
        name(cell.destination).unwrap_or_default(),
    );
    let before = match (usual.past(at as usize, cell), usual.peers(cell)) {
        (Some(past), _) => format!("usually {}", words::duration(past)),
        (None, Some(peers)) => format!("{} between the same zones", words::duration(peers)),
        (None, None) => "no past to compare with".to_owned(),
    };
    vec![format!("median of {} from {from} to {to} {now}, {before}", cell.probe)]
}
