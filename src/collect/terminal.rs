//! The matrix in words and numbers for a terminal, a log or a pipe: no colours, no cursor movements.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use dt_probe::ProbeKind;

use crate::diagnosis::Findings;
use crate::grouped::Level;
use crate::matrix::Matrix;
use crate::plain::{cut, plain};
use crate::row::{PairRow, State, failed_share};
use crate::view::View;

/// Names longer than this are cut in the middle, so that a table of them still fits a terminal.
const NAME: usize = 28;

/// The pairs that look worst, as a table for `width` columns (at least 40; 80 suits a pipe), one line a pair and
/// probe kind, then a line for each pair of zones and kind. `now_ms` is UTC milliseconds.
#[must_use]
pub fn summary_table(matrix: &Matrix, now_ms: u64, worst: usize, width: u16) -> String {
    let rows = matrix.rows(View::Minute, now_ms);
    if rows.iter().all(|row| row.state == State::Waiting) {
        return "no record yet\n".to_owned();
    }
    let width = width.max(40);
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = writeln!(text, "{}", zone_table(matrix, now_ms, width));
    let _ = writeln!(text, "\n{}", worst_table(&rows, worst, width));
    text
}

/// What the diagnosis found, the gravest first, a line each; at most `most` of them.
#[must_use]
pub fn findings(findings: &Findings, most: usize) -> String {
    if findings.findings.is_empty() {
        return "no fault found\n".to_owned();
    }
    let mut text = String::new();
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

fn worst_table(rows: &[PairRow], worst: usize, width: u16) -> Table {
    let mut ranked: Vec<&PairRow> = rows.iter().filter(|row| row.state != State::Waiting).collect();
    ranked.sort_by(|a, b| badness(b).total_cmp(&badness(a)));
    let mut table = table(width, &["worst pairs", "probe", "p50", "p99", "loss", "host p99"]);
    for row in ranked.into_iter().take(worst) {
        let stale = if row.stale { " (stale)" } else { "" };
        table.add_row([
            format!("{} -> {}{stale}", name(&row.src_node), name(&row.dst_node)),
            row.probe.to_owned(),
            delay(row.rtt_p50_ns),
            delay(row.rtt_p99_ns),
            share(row.failed_share()),
            delay(row.host_delay_p99_ns),
        ]);
    }
    right(table)
}

/// Stale above lossy above slow.
fn badness(row: &PairRow) -> f64 {
    let p99 = row.rtt_p99_ns.map_or(0.0, |ns| ns as f64 / 60e9).min(1.0);
    let loss = row.failed_share().unwrap_or(0.0);
    f64::from(u8::from(row.stale)) * 4.0 + loss * 2.0 + p99
}

fn zone_table(matrix: &Matrix, now_ms: u64, width: u16) -> Table {
    let mut table = table(width, &["zones", "probe", "pairs", "p50", "p99", "loss"]);
    for probe in ProbeKind::ALL {
        let zones = matrix.grouped(Level::Zone, View::Minute, *probe, now_ms);
        for cell in zones.cells.iter().filter(|cell| cell.state != State::Waiting) {
            let [from, to] = [cell.source, cell.destination].map(|at| zone_name(&zones.groups[at as usize].name));
            let counts = &cell.counts;
            table.add_row([
                format!("{from} -> {to}"),
                probe.to_string(),
                cell.series.to_string(),
                delay(cell.rtt.p50),
                delay(cell.rtt.p99),
                share(failed_share(counts.sent(), counts.send_error, counts.received)),
            ]);
        }
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
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns}{between}ns"),
        1_000..1_000_000 => (ns as f64 / 1e3, "us"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
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
