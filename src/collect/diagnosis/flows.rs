//! One of several equal paths is dead: all probes of some source ports are lost, and none of the others. Each TCP probe
//! leaves from the next of the agent's ports, so that loss at random falls on all ports alike.

use std::collections::HashMap;

use dt_probe::ProbeKind;

use super::beside::Beside;
use super::config::DiagnosisConfig;
use super::stats::excess;
use crate::row::State;
use crate::snapshot::{Cell, FlowLoss, Snapshot};

/// The dead ports account for this share of what was lost.
const SHARE: f64 = 0.5;

/// Where a flow is dead, this share of the losses is on it; the rest is chance.
const ON_IT: f64 = 0.9;

/// A hole is remembered for so many of the times in which its ports come round.
const ROUNDS: u64 = 3;
/// Where that time isn't known, it is taken from what was lost, and is this at least.
const AT_LEAST_MS: u64 = 60_000;

/// The flows between two nodes that don't get through.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hole {
    /// Dead ports, the worst first.
    pub(super) ports: Vec<u16>,
    /// Ports in use, at least.
    pub(super) of: u32,
    /// Probes lost on the dead ones, and on all.
    pub(super) lost_on: u64,
    pub(super) lost: u64,
    pub(super) sent: u64,
    /// When a probe was last seen lost on them, UTC milliseconds.
    last_ms: u64,
}

/// Holes by names: a port comes round so seldom that one look doesn't show whether it is still dead.
#[derive(Debug, Default)]
pub(super) struct Holes(HashMap<(String, String), Hole>);

impl Holes {
    /// The holes of now: (place of the cell, hole), by place.
    pub(super) fn update(
        &mut self,
        recent: &Snapshot,
        minute: &Beside<'_>,
        hour: &Beside<'_>,
        config: &DiagnosisConfig,
    ) -> Vec<(usize, Hole)> {
        let is_tcp = |cell: &&Cell| cell.probe == ProbeKind::Tcp;
        let tried = recent.cells.iter().filter(is_tcp).count().max(1);
        let needed = (1.0 / config.false_alarm).ln() + (tried as f64).ln();
        let mut known = std::mem::take(&mut self.0);
        let mut found = Vec::new();
        for (at, cell) in recent.cells.iter().enumerate() {
            if cell.probe != ProbeKind::Tcp || cell.state != State::Fresh {
                continue;
            }
            let (minute, hour) = (minute.cell(at, cell), hour.cell(at, cell));
            let lost_any = hour.is_some_and(|hour| hour.counts.lost > 0);
            if !lost_any && known.is_empty() {
                continue;
            }
            let look = |cell: Option<&Cell>| cell.and_then(|cell| hole(cell, needed, config));
            let Some(mut hole) = look(minute).or_else(|| look(hour)) else {
                continue;
            };
            let name = |node: u32| recent.nodes.get(node as usize).map(|node| node.node.to_string());
            let key = (
                name(cell.source).unwrap_or_default(),
                name(cell.destination).unwrap_or_default(),
            );
            let before = known.remove(&key).map_or(0, |before| before.last_ms);
            let seen = |cell: &Cell| {
                let mut ports = cell.flows.iter().filter(|flow| flow.lost > 0);
                ports.any(|flow| hole.ports.contains(&flow.port))
            };
            // A look for the first time: the minute says as much as can be known.
            let now = seen(cell) || (before == 0 && minute.is_some_and(seen));
            hole.last_ms = if now { recent.now_ms } else { before };
            // One that is over is remembered as well, as long as it can be seen in the past.
            self.0.insert(key, hole.clone());
            if recent.now_ms.saturating_sub(hole.last_ms) <= memory_ms(cell, hour, &hole) {
                found.push((at, hole));
            }
        }
        found
    }
}

/// How many nats the losses of one series speak for one dead port against chance. May be added up over series: where all
/// is chance, the sum is above `x` with a chance of `exp(-x)` at most, since it bounds a likelihood ratio from below.
pub(super) fn narrowness(cell: &Cell) -> f64 {
    let (lost, of) = (cell.counts.lost, ports(cell));
    let worst = cell.flows.iter().map(|flow| flow.lost).max().unwrap_or(0).min(lost);
    if worst == 0 || of < 2 {
        return 0.0;
    }
    let of = f64::from(of);
    worst as f64 * (ON_IT * of).ln() + (lost - worst) as f64 * (1.0 - ON_IT).ln() - of.ln()
}

/// At least so many ports are in use.
pub(super) fn ports(cell: &Cell) -> u32 {
    let named = cell.flows.iter().filter(|flow| flow.lost > 0).count();
    cell.flows_used.max(u32::try_from(named).unwrap_or(u32::MAX))
}

/// How long to believe in a hole after its last loss: until its ports must have had several turns.
fn memory_ms(cell: &Cell, hour: Option<&Cell>, hole: &Hole) -> u64 {
    let span_ms = |cell: &Cell| cell.end_ms.saturating_sub(cell.start_ms);
    let (sent, recent_ms) = (cell.left().max(1), span_ms(cell));
    let windows = (recent_ms / cell.window_ms.max(1)).max(1);
    if sent > u64::from(cell.flows_used) * windows {
        // Ports come again within a window, so these are all.
        return ROUNDS * u64::from(hole.of) * recent_ms / sent + 2 * cell.window_ms;
    }
    let turn_ms = hour.map_or(0, span_ms) * hole.ports.len() as u64 / hole.lost_on.max(1);
    AT_LEAST_MS.max(ROUNDS * turn_ms)
}

/// The dead ports of a series, where its losses fall on so few ports that it is no chance.
fn hole(cell: &Cell, needed: f64, config: &DiagnosisConfig) -> Option<Hole> {
    let (lost, sent) = (cell.counts.lost, cell.left());
    if lost < 3 || lost * 2 > sent || cell.flows_used < 4 {
        return None;
    }
    let mut flows: Vec<FlowLoss> = cell.flows.iter().copied().filter(|flow| flow.lost > 0).collect();
    flows.sort_by(|a, b| b.lost.cmp(&a.lost).then(a.port.cmp(&b.port)));
    let of = ports(cell);
    // Losing so much at all is one chance, losing it on so few of the ports another; there are `choices` ways to pick them.
    let rare = excess(lost as f64, sent as f64, config.tolerated_loss);
    let (mut lost_on, mut choices) = (0, 0.0);
    let mut best: Option<(f64, usize, u64)> = None;
    for (dead, flow) in (1..=of / 4).zip(&flows) {
        lost_on += flow.lost;
        choices += (f64::from(of - dead + 1) / f64::from(dead)).ln();
        let share = f64::from(dead) / f64::from(of);
        let narrow = excess(lost_on as f64, lost as f64, share) - choices;
        if best.is_none_or(|(before, ..)| narrow > before) {
            best = Some((narrow, dead as usize, lost_on));
        }
    }
    let (narrow, dead, lost_on) = best?;
    (lost_on as f64 >= SHARE * lost as f64 && rare + narrow >= needed).then(|| Hole {
        ports: flows.iter().take(dead).map(|flow| flow.port).collect(),
        of,
        lost_on,
        lost,
        sent,
        last_ms: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(lost: &[(u16, u64)], sent: u64, flows_used: u32) -> Cell {
        let mut counts = dt_probe::Counts::default();
        counts.lost = lost.iter().map(|(_, lost)| lost).sum();
        counts.received = sent - counts.lost;
        let flow = |(port, lost): &(u16, u64)| FlowLoss {
            port: *port,
            lost: *lost,
            windows: 1,
        };
        Cell {
            source: 0,
            destination: 1,
            probe: ProbeKind::Tcp,
            method: dt_probe::Method::Syn,
            payload_bytes: None,
            state: State::Fresh,
            window_ms: 10_000,
            last_seen_ms: 0,
            start_ms: 0,
            end_ms: 0,
            counts,
            rtt: Default::default(),
            host_delay: Default::default(),
            flows: lost.iter().map(flow).collect(),
            flows_used,
            receive_drops: 0,
            failing_since_ms: None,
        }
    }

    fn dead(lost: &[(u16, u64)], sent: u64, flows_used: u32) -> Option<Vec<u16>> {
        let found = hole(&cell(lost, sent, flows_used), 18.0, &DiagnosisConfig::default());
        found.map(|hole| hole.ports)
    }

    #[test]
    fn loss_on_few_ports_is_a_hole_and_loss_on_many_is_none() {
        assert_eq!(dead(&[(5, 6)], 96, 16), Some(vec![5]));
        assert_eq!(dead(&[(5, 30), (7, 28), (9, 1)], 800, 32), Some(vec![5, 7]));
        let spread: Vec<(u16, u64)> = (0..16).map(|port| (port, 2)).collect();
        assert_eq!(dead(&spread, 96, 16), None);
        assert_eq!(dead(&[(5, 2)], 96, 16), None, "too few to tell");
        assert_eq!(dead(&[(5, 90)], 96, 16), None, "the whole path is dead");
        assert_eq!(dead(&[(5, 60)], 960, 1), None, "there is but one port");
    }

    #[test]
    fn many_series_with_few_losses_each_add_up() {
        let narrow = |lost: &[(u16, u64)]| narrowness(&cell(lost, 60, 16));
        assert!(narrow(&[(5, 1)]) < 0.0, "one loss is on one port");
        assert!(narrow(&[(5, 1), (6, 1)]) < -2.0);
        assert!(narrow(&[(5, 2)]) > 2.0);
        assert!(narrow(&[(5, 4)]) > 7.0);
        // Drawn at random from all pairs of ports, the ratio itself is 1 in the mean at most.
        let pairs = (0..16).flat_map(|a| (0..16).map(move |b| (a, b)));
        let sum: f64 = pairs
            .map(|(a, b)| narrow(&if a == b { vec![(a, 2)] } else { vec![(a, 1), (b, 1)] }).exp())
            .sum();
        assert!(sum <= 256.0, "{sum}");
    }
}
