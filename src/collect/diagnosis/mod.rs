//! The smallest explanation of a bad heat map.
//!
//! [`Diagnosis::update`] takes three snapshots and gives [`Findings`]. It reads no clock and does no I/O.
//!
//! Every series is a trial: of `n` probes `k` failed (or were slow, by [what is usual](delay)). A *cause* is a
//! [place](shape) (a pair, a node, a rack, two zones, ...) and the [kinds of probe](grid::Layer) that it makes fail. It
//! predicts which trials are bad, and [explains](search) them where they are bad beyond chance and [alike](strata).
//! Taken is, again and again, the cause that explains most, until nothing is left that chance could not have done: so
//! one rack is named in place of its nodes, and a node in place of its pairs. What a cause is called depends on what else
//! is [known](name) about the place: whether records come from there, what the other direction does.

mod beside;
mod config;
mod delay;
mod facts;
mod finding;
mod flows;
mod grid;
mod holes;
mod hosts;
mod loss;
mod name;
mod others;
mod presence;
mod report;
mod search;
mod shape;
mod stats;
mod strata;
mod topology;
mod words;

use std::collections::HashMap;
use std::sync::Arc;

pub use config::DiagnosisConfig;
pub use finding::{Finding, FindingKind, Findings, Pattern, ReadShare, Subject};

use crate::row::State;
use crate::snapshot::Snapshot;
use beside::Beside;
use delay::{Held, Usual};
use flows::Holes;
use hosts::Hosts;
use report::{Before, Report};
use topology::Topology;

const A_MINUTE_MS: u64 = 60_000;

/// What is the matter, from look to look: it remembers since when, and what was usual before.
#[derive(Debug, Default)]
pub struct Diagnosis {
    config: DiagnosisConfig,
    latest: Arc<Findings>,
    since: HashMap<(FindingKind, Subject), u64>,
    /// When the newest windows alone last proved a finding.
    proved: HashMap<(FindingKind, Subject), u64>,
    started_ms: Option<u64>,
    held: Held,
    holes: Holes,
    hosts: Hosts,
}

impl Diagnosis {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(config: DiagnosisConfig) -> Diagnosis {
        Diagnosis {
            config,
            ..Diagnosis::default()
        }
    }

    /// What the last look found.
    #[must_use]
    pub fn latest(&self) -> Arc<Findings> {
        Arc::clone(&self.latest)
    }

    /// Looks at the cluster as of `recent.now_ms`. The views are [`Recent`](crate::View::Recent),
    /// [`Minute`](crate::View::Minute) and [`Hour`](crate::View::Hour), made at (nearly) the same time.
    pub fn update(&mut self, recent: &Snapshot, minute: &Snapshot, hour: &Snapshot) -> Arc<Findings> {
        let started_ms = *self.started_ms.get_or_insert(recent.now_ms);
        let findings = match others::blind(recent, started_ms, &self.config) {
            Some(blind) => vec![blind],
            None => self.look(recent, minute, hour),
        };
        let any = recent.cells.iter().any(|cell| cell.state != State::Waiting);
        self.latest = Arc::new(self.conclude(recent.now_ms, any, findings));
        self.latest()
    }

    fn look(&mut self, recent: &Snapshot, minute: &Snapshot, hour: &Snapshot) -> Vec<Finding> {
        let (minute, hour) = (Beside::new(recent, minute), Beside::new(recent, hour));
        let topology = Topology::new(recent);
        let voices = presence::voices(recent);
        let hosts = self.hosts.update(recent, &voices, &self.config);
        let holes = self.holes.update(recent, &minute, &hour, &self.config);
        let usual = Usual::new(recent, &hour, &topology, &self.config, &self.held);
        let mut report = Report::new(&self.config, recent, &topology, &voices, &hosts);
        report.present_loss(&minute, &hour);
        self.proved
            .retain(|_, at_ms| recent.now_ms.saturating_sub(*at_ms) < A_MINUTE_MS);
        let keys = report.findings.iter().map(|found| (found.kind, found.subject.clone()));
        self.proved.extend(keys.map(|key| (key, recent.now_ms)));
        report.minute_loss(&minute, &hour, |kind, subject| {
            let key = (kind, subject.clone());
            Before {
                known: self.since.contains_key(&key),
                proved: self.proved.contains_key(&key),
            }
        });
        report.rare_holes(&holes);
        let slow = report.delay(&usual);
        let held = usual.hold(recent, slow.into_iter());
        let mut findings = report.findings;
        others::hosts(&mut findings, recent, &topology, &hosts);
        others::silent(&mut findings, recent, &topology, &voices);
        self.held = held;
        findings
    }

    /// Joins what is about the same thing, dates it, and puts the gravest first.
    fn conclude(&mut self, now_ms: u64, any: bool, found: Vec<Finding>) -> Findings {
        let mut findings: Vec<Finding> = Vec::new();
        for finding in found {
            let same = |known: &&mut Finding| known.kind == finding.kind && known.subject == finding.subject;
            match findings.iter_mut().find(same) {
                Some(known) => {
                    known.evidence.extend(finding.evidence);
                    known.confidence = known.confidence.max(finding.confidence);
                    known.since_ms = known.since_ms.min(finding.since_ms);
                    known.pairs = known.pairs.max(finding.pairs);
                }
                None => findings.push(finding),
            }
        }
        let before = std::mem::take(&mut self.since);
        for finding in &mut findings {
            let key = (finding.kind, finding.subject.clone());
            let seen = before.get(&key).copied().unwrap_or(u64::MAX);
            finding.since_ms = finding.since_ms.min(seen).min(now_ms);
            self.since.insert(key, finding.since_ms);
        }
        findings.sort_by(|a, b| {
            let subject = |f: &Finding| f.subject.clone();
            (a.kind.cmp(&b.kind))
                .then_with(|| b.pairs.cmp(&a.pairs))
                .then_with(|| subject(a).cmp(&subject(b)))
        });
        findings.truncate(self.config.max_findings);
        let pattern = findings.iter().find_map(|finding| finding.pattern);
        let pattern = pattern.unwrap_or(if findings.is_empty() && any {
            Pattern::Normal
        } else {
            Pattern::Unknown
        });
        Findings {
            now_ms,
            judged: any || !findings.is_empty(),
            share: None,
            pattern,
            findings,
        }
    }
}
