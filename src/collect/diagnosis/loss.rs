//! Which probes were lost.

use dt_probe::ProbeKind;

use super::beside::Beside;
use super::config::DiagnosisConfig;
use super::grid::{Probe, Trial};
use super::presence::Voice;
use super::stats::excess;
use crate::row::State;
use crate::snapshot::{Cell, Snapshot};

/// What an agent that was shut down leaves behind is a probe or two without an answer; one that died, a time-out's
/// worth. From this share on it died.
pub(super) const DIED: f64 = 0.4;

/// As many nats that packets were lost make a failed call no news.
const ILL: f64 = 3.0;

/// The trials of the present: of every series whose source is heard, and whose numbers describe the present.
///
/// A series falls silent as well when its destination left the membership. Its last numbers count where the destination
/// is silent itself and died, rather than said goodbye.
pub(super) fn present(
    recent: &Snapshot,
    minute: &Beside<'_>,
    voices: &[Voice],
    config: &DiagnosisConfig,
) -> Vec<Trial> {
    let died = died(recent, voices);
    let of_present = |_, cell: &Cell| {
        let is = |list: &[bool], node: u32| list.get(node as usize) == Some(&true);
        (cell.state == State::Fresh || is(&died, cell.destination)).then(|| (cell.left(), cell.failed()))
    };
    without_late_calls(trials(recent, voices, config, of_present), recent, minute, config)
}

/// The trials of the last minute.
pub(super) fn of_minute(
    recent: &Snapshot,
    minute: &Beside<'_>,
    voices: &[Voice],
    config: &DiagnosisConfig,
) -> Vec<Trial> {
    let of_minute = |at, cell: &Cell| {
        let there = minute.cell(at, cell).filter(|_| cell.state == State::Fresh)?;
        Some((there.left(), there.failed()))
    };
    without_late_calls(trials(recent, voices, config, of_minute), recent, minute, config)
}

/// Calls time out later than packets: for a while they still tell of a path that is well again.
fn without_late_calls(
    mut trials: Vec<Trial>,
    recent: &Snapshot,
    minute: &Beside<'_>,
    config: &DiagnosisConfig,
) -> Vec<Trial> {
    trials.retain(|trial| trial.probe != Probe::Grpc || trial.k == 0 || !was_ill(recent, minute, trial, config));
    trials
}

/// One trial for each cell to which `counts` gives (n, k) and whose source is heard.
pub(super) fn trials(
    recent: &Snapshot,
    voices: &[Voice],
    config: &DiagnosisConfig,
    mut counts: impl FnMut(usize, &Cell) -> Option<(u64, u64)>,
) -> Vec<Trial> {
    let mut trials: Vec<Trial> = Vec::with_capacity(recent.cells.len());
    for (at, cell) in recent.cells.iter().enumerate() {
        let heard = voices.get(cell.source as usize).is_some_and(|voice| voice.is_heard());
        if !heard || cell.source == cell.destination {
            continue;
        }
        let Some((n, k)) = counts(at, cell).filter(|(n, _)| *n > 0) else {
            continue;
        };
        let probe = match cell.probe {
            ProbeKind::Icmp if cell.payload_bytes >= Some(config.large_payload) => Probe::LargeEcho,
            ProbeKind::Icmp => Probe::Echo,
            ProbeKind::Tcp => Probe::Tcp,
            // Kinds ascend within a pair, so packet probes came before.
            ProbeKind::Grpc => match trials.last() {
                Some(last) if (last.source, last.destination) == (cell.source, cell.destination) => Probe::Grpc,
                _ => Probe::GrpcAlone,
            },
        };
        let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        trials.push(Trial {
            source: cell.source,
            destination: cell.destination,
            probe,
            n: count(n),
            k: count(k),
            cell: count(at as u64),
        });
    }
    trials
}

/// The nodes that are silent and whose last probes, by those who are heard, failed for more than a moment.
fn died(recent: &Snapshot, voices: &[Voice]) -> Vec<bool> {
    let mut sums = vec![(0_u64, 0_u64); voices.len()];
    for cell in recent.cells.iter().filter(|cell| cell.state == State::Stale) {
        let voice = |node: u32| voices.get(node as usize).copied();
        let silent = voice(cell.destination) != Some(Voice::Heard);
        if let Some((left, failed)) = sums.get_mut(cell.destination as usize)
            && silent
            && voice(cell.source) == Some(Voice::Heard)
        {
            *left += cell.left();
            *failed += cell.failed();
        }
    }
    let died = |(left, failed): &(u64, u64)| *left > 0 && *failed as f64 >= DIED * *left as f64;
    sums.iter().map(died).collect()
}

/// Whether packets between the nodes of `trial` were lost within the last minute.
fn was_ill(recent: &Snapshot, minute: &Beside<'_>, trial: &Trial, config: &DiagnosisConfig) -> bool {
    let here = trial.cell as usize;
    let packets = (1..=2).filter_map(|back| {
        let at = here.checked_sub(back)?;
        let cell = recent.cells.get(at)?;
        let same = (cell.source, cell.destination) == (trial.source, trial.destination);
        same.then(|| minute.cell(at, cell)).flatten()
    });
    let (n, k) = packets.fold((0, 0), |(n, k), cell| (n + cell.left(), k + cell.failed()));
    excess(k as f64, n as f64, config.tolerated_loss) > ILL
}
