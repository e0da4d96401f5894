//! The matrix in words and numbers for a terminal, a log or a pipe: no colours, no cursor movements.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use dt_probe::ProbeKind;

use crate::diagnosis::Findings;
use crate::grouped::Level;
use crate::matrix::Matrix;
use crate::plain::{cut, plain};
use crate::row::{State, failed_share};
use crate::view::View;

/// Names longer than this are cut in the middle, so that a table of them still fits a terminal.
const NAME: usize = 28;

/// What one kind of probe came to between two nodes, or two zones.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Names as they came.
    pub source: String,
    /// See `source`.
    pub destination: String,
    /// What was measured.
    pub probe: ProbeKind,
    /// How many pairs of nodes that is.
    pub pairs: u32,
    /// The numbers are the last known.
    pub is_stale: bool,
    /// Delays in nanoseconds.
    pub p50: Option<u64>,
    /// See `p50`.
    pub p99: Option<u64>,
    /// The share of probes without an answer.
    pub loss: Option<f64>,
    /// 99th percentile of the host delay, nanoseconds.
    pub host_p99: Option<u64>,
}

/// The pairs that look worst, as a table for `width` columns (at least 40; 80 suits a pipe), one line a pair and
/// probe kind, then a line for each pair of zones and kind. `now_ms` is UTC milliseconds.
#[must_use]
pub fn summary_table(matrix: &Matrix, now_ms: u64, worst: usize, width: u16) -> String {
    let rows = matrix.rows(View::Minute, now_ms);
    let kinds = rows.iter().filter(|row| row.state != State::Waiting).filter_map(|row| {
        let probe = ProbeKind::ALL.iter().find(|probe| probe.as_str() == row.probe)?;
        Some((row, *probe))
    });
    let pairs = kinds.map(|(row, probe)| Line {
        source: row.src_node.clone(),
        destination: row.dst_node.clone(),
        probe,
        pairs: 1,
        is_stale: row.stale,
        p50: row.rtt_p50_ns,
        p99: row.rtt_p99_ns,
        loss: row.failed_share(),
        host_p99: row.host_delay_p99_ns,
    });
    let pairs: Vec<Line> = pairs.collect();
    if pairs.is_empty() {
        return summary(Vec::new(), pairs, worst, width);
    }
    let mut zones = Vec::new();
    for probe in ProbeKind::ALL {
        let grouped = matrix.grouped(Level::Zone, View::Minute, *probe, now_ms);
        let name = |place: u32| grouped.groups[place as usize].name.to_string();
        let cells = grouped.cells.iter().filter(|cell| cell.state != State::Waiting);
        zones.extend(cells.map(|cell| Line {
            source: name(cell.source),
            destination: name(cell.destination),
            probe: *probe,
            pairs: cell.series,
            is_stale: cell.state == State::Stale,
            p50: cell.rtt.p50,
            p99: cell.rtt.p99,
            loss: failed_share(cell.counts.sent(), cell.counts.send_error, cell.counts.received),
            host_p99: cell.host_delay.p99,
        }));
    }
    summary(zones, pairs, worst, width)
}

/// The same of lines from elsewhere: zones as they stand, and of `pairs` the `worst`.
#[must_use]
pub fn summary(zones: Vec<Line>, pairs: Vec<Line>, worst: usize, width: u16) -> String {
    if pairs.is_empty() {
        return "no record yet\n".to_owned();
    }
    let width = width.max(40);
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = writeln!(text, "{}", zone_table(&zones, width));
    let _ = writeln!(text, "\n{}", worst_table(pairs, worst, width));
    text
}

/// What the diagnosis found, the gravest first, a line each; at most `most` of them.
#[must_use]
pub fn findings(findings: &Findings, most: usize) -> String {
    let caveat = findings.caveat();
    if findings.findings.is_empty() {
        return match caveat {
            Some(caveat) if findings.judged => format!("no fault found; {caveat}\n"),
            Some(caveat) => format!("{caveat}\n"),
            None => "no fault found\n".to_owned(),
        };
    }
    let mut text = String::new();
    if let Some(caveat) = caveat {
        // Writing to a String can't fail.
        let _ = writeln!(text, "({caveat})");
    }
    for finding in findings.findings.iter().take(most) {
        let since = findings.now_ms.saturating_sub(finding.since_ms) / 1000;
        // Writing to a String can't fail.
        let _ = writeln!(text, "! {} (since {since} s)", plain(&finding.summary));
    }
    let more = findings.findings.len().saturating_sub(most);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
    text
}

fn worst_table(mut pairs: Vec<Line>, worst: usize, width: u16) -> Table {
    pairs.sort_by(|a, b| badness(b).total_cmp(&badness(a)));
    let mut table = table(width, &["worst pairs", "probe", "p50", "p99", "loss", "host p99"]);
    for line in pairs.into_iter().take(worst) {
        let stale = if line.is_stale { " (stale)" } else { "" };
        table.add_row([
            format!("{} -> {}{stale}", name(&line.source), name(&line.destination)),
            line.probe.to_string(),
            delay(line.p50),
            delay(line.p99),
            share(line.loss),
            delay(line.host_p99),
        ]);
    }
    right(table)
}

/// Stale above lossy above slow.
fn badness(line: &Line) -> f64 {
    let p99 = line.p99.map_or(0.0, |ns| ns as f64 / 60e9).min(1.0);
    let loss = line.loss.unwrap_or(0.0);
    f64::from(u8::from(line.is_stale)) * 4.0 + loss * 2.0 + p99
}

fn zone_table(zones: &[Line], width: u16) -> Table {
    let mut table = table(width, &["zones", "probe", "pairs", "p50", "p99", "loss"]);
    for line in zones {
        table.add_row([
            format!("{} -> {}", zone_name(&line.source), zone_name(&line.destination)),
            line.probe.to_string(),
            line.pairs.to_string(),
            delay(line.p50),
            delay(line.p99),
            share(line.loss),
        ]);
    }
    right(table)
}

fn table(width: u16, head: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width);
    table.set_header(head.iter().copied());
    table
}

fn right(mut table: Table) -> Table {
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.force_no_tty();
    table
}

fn name(raw: &str) -> String {
    cut(&plain(raw), NAME)
}

fn zone_name(zone: &str) -> String {
    if zone.is_empty() { "-".to_owned() } else { name(zone) }
}

fn delay(ns: Option<u64>) -> String {
    ns.map_or_else(|| "-".to_owned(), |ns| three_digits(ns, " "))
}

/// A delay of `ns` nanoseconds with three significant digits and its unit, and `between` between the two.
#[must_use]
pub fn three_digits(ns: u64, between: &str) -> String {
    // What would be rounded up to the next unit, or to one digit more, belongs there.
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns}{between}ns"),
        1_000..999_500 => (ns as f64 / 1e3, "us"),
        999_500..999_500_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$}{between}{unit}")
}

fn share(share: Option<f64>) -> String {
    match share {
        None => "-".to_owned(),
        Some(0.0) => "0 %".to_owned(),
        Some(s) if s < 0.001 => "<0.1 %".to_owned(),
        Some(s) => format!("{:.1} %", s * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_three_also_where_they_are_rounded_up() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 us"),
            (9_994, "9.99 us"),
            (9_995, "10.0 us"),
            (99_949, "99.9 us"),
            (99_951, "100 us"),
            (999_499, "999 us"),
            (999_500, "1.00 ms"),
            (999_500_000, "1.00 s"),
            (60_000_000_000, "60.0 s"),
        ] {
            assert_eq!(three_digits(ns, " "), text, "{ns}");
        }
    }
}
