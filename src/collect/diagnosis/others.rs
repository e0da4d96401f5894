//! What is not about paths: no records, silent nodes, hosts that get in their own way.

use super::config::DiagnosisConfig;
use super::finding::{Finding, FindingKind, Subject};
use super::hosts::Host;
use super::loss::DIED;
use super::presence::Voice;
use super::topology::Topology;
use super::words::{count, duration, percent};
use crate::row::State;
use crate::snapshot::Snapshot;

/// Silence of at least this share of the nodes is rather the collector's doing.
const ALL_BUT_FEW: f64 = 0.9;

/// Nothing can be said, for want of records.
pub(super) fn blind(recent: &Snapshot, started_ms: u64, config: &DiagnosisConfig) -> Option<Finding> {
    let now_ms = recent.now_ms;
    let after_ms = u64::try_from(config.blind_after.as_millis()).unwrap_or(u64::MAX);
    let records = recent.cells.iter().filter(|cell| cell.state != State::Waiting);
    let newest_ms = records.map(|cell| cell.last_seen_ms).max();
    let (since_ms, seen) = match newest_ms {
        None => {
            let first_ms = recent
                .cells
                .iter()
                .map(|cell| cell.last_seen_ms)
                .min()
                .unwrap_or(started_ms);
            let waited = now_ms.saturating_sub(first_ms.min(started_ms));
            if waited < after_ms {
                return None;
            }
            (first_ms, "no record has come yet".to_owned())
        }
        Some(newest_ms) => {
            let stale = silent_sources(recent)?;
            (newest_ms, stale)
        }
    };
    Some(Finding {
        kind: FindingKind::CollectorBlind,
        subject: Subject::default(),
        summary: "No records come: nothing can be said about the network".to_owned(),
        evidence: vec![seen],
        confidence: 0.99,
        since_ms,
        pattern: None,
        pairs: 0,
    })
}

/// Says how many nodes are silent, where that is nearly all, and those who are left don't say why.
fn silent_sources(recent: &Snapshot) -> Option<String> {
    let mut heard: Vec<Option<bool>> = vec![None; recent.nodes.len()];
    for cell in recent.cells.iter().filter(|cell| cell.state != State::Waiting) {
        if let Some(heard) = heard.get_mut(cell.source as usize) {
            *heard = Some(*heard == Some(true) || cell.state == State::Fresh);
        }
    }
    let known = heard.iter().flatten().count();
    let silent = heard.iter().flatten().filter(|heard| !**heard).count();
    if (silent as f64) < ALL_BUT_FEW * known as f64 {
        return None;
    }
    let (mut left, mut failed) = (0, 0);
    for cell in recent.cells.iter().filter(|cell| cell.state == State::Fresh) {
        if heard.get(cell.destination as usize) == Some(&Some(false)) {
            left += cell.left();
            failed += cell.failed();
        }
    }
    let unreached = left > 0 && failed as f64 >= DIED * left as f64;
    (!unreached).then(|| format!("{silent} of {} are silent", count(known as u64, "node")))
}

/// Busy hosts, and those that can't send.
pub(super) fn hosts(findings: &mut Vec<Finding>, recent: &Snapshot, topology: &Topology, hosts: &[Host]) {
    for (host, node) in hosts.iter().zip(0_u32..) {
        let name = topology.name(node);
        let mut evidence = Vec::new();
        if let Some((median, tail)) = host.busy {
            evidence.push(format!(
                "its programs wait {} in the median, {} in the slowest hundredth",
                duration(median),
                duration(tail)
            ));
        }
        if let Some((failed, tried, skipped)) = host.own {
            evidence.push(format!(
                "{failed} of {tried} probes never left it, {skipped} of them not even tried"
            ));
        }
        if evidence.is_empty() {
            continue;
        }
        if host.drops > 0 {
            evidence.push(format!("its socket buffers dropped {}", count(host.drops, "packet")));
        }
        let kinds = [FindingKind::NodeSlow, FindingKind::ProberAtFault];
        let known = findings
            .iter_mut()
            .find(|known| kinds.contains(&known.kind) && known.subject.nodes == [name.clone()]);
        if let Some(known) = known {
            known.evidence.extend(evidence);
            continue;
        }
        let cells = recent
            .cells
            .iter()
            .filter(|cell| cell.source == node && cell.state == State::Fresh);
        let (kind, summary, source) = match host.own {
            Some((failed, tried, _)) if host.busy.is_none() => {
                let share = percent(failed as f64 / tried as f64);
                let summary = format!("{name} itself is at fault: {share} of its probes never leave it");
                (FindingKind::ProberAtFault, summary, Some(name.clone()))
            }
            _ => {
                let summary = format!("{name} is slow: it makes its own programs wait");
                (FindingKind::NodeSlow, summary, None)
            }
        };
        findings.push(Finding {
            kind,
            subject: Subject {
                nodes: vec![name],
                source,
                ..Subject::default()
            },
            summary,
            evidence,
            confidence: 0.9,
            since_ms: cells.clone().map(|cell| cell.start_ms).min().unwrap_or(recent.now_ms),
            pattern: None,
            pairs: cells.count() as u64,
        });
    }
}

/// Nodes that answer while their records don't come. Who left is probed no more, and is no finding.
pub(super) fn silent(findings: &mut Vec<Finding>, recent: &Snapshot, topology: &Topology, voices: &[Voice]) {
    let mut answered = vec![(0_u64, 0_u64); voices.len()];
    let mut newest = vec![0_u64; voices.len()];
    let last_ms = recent.cells.iter().map(|cell| cell.last_seen_ms).max().unwrap_or(0);
    for cell in &recent.cells {
        // The last of a series that ended looks fresh for some windows.
        let goes_on = last_ms - cell.last_seen_ms <= cell.window_ms + cell.window_ms / 2;
        if let Some((left, failed)) = answered.get_mut(cell.destination as usize)
            && cell.state == State::Fresh
            && goes_on
        {
            *left += cell.left();
            *failed += cell.failed();
        }
        if let Some(newest) = newest.get_mut(cell.source as usize)
            && cell.state != State::Waiting
        {
            *newest = (*newest).max(cell.last_seen_ms);
        }
    }
    for (node, voice) in (0_u32..).zip(voices) {
        let (left, failed) = answered.get(node as usize).copied().unwrap_or_default();
        let name = topology.name(node);
        let answers = left > 0 && (failed as f64) < DIED * left as f64;
        let about = |known: &Finding| known.subject.nodes == [name.clone()];
        if *voice != Voice::Silent || !answers || findings.iter().any(about) {
            continue;
        }
        findings.push(Finding {
            kind: FindingKind::NodeSilent,
            summary: format!("No records come from {name}, though it answers: its agent, or its way to Kafka"),
            evidence: vec![format!(
                "{} of {} to it were answered",
                left - failed,
                count(left, "probe")
            )],
            subject: Subject {
                nodes: vec![name],
                ..Subject::default()
            },
            confidence: 0.9,
            since_ms: newest.get(node as usize).copied().unwrap_or(recent.now_ms),
            pattern: None,
            pairs: 0,
        });
    }
}
