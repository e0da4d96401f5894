//! The heat map: source x destination, a character and (where there are colours) a ground for each cell.

use dt_collect::Level;
use dt_collect::plain::{columns, cut};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::theme::Shade;
use super::{Theme, bold, is_focused, title};
use crate::top::model::{Cell, Metric, Status, Table, metric};
use crate::top::state::{Panel, Top};

/// Columns of a cell: a mark and a character; with the number, where all groups fit so.
const NARROW: u16 = 2;
const WIDE: u16 = 9;
/// Lines beside the rows: title, heads of the columns, the selected cell, the scale.
const BESIDE: u16 = 4;
/// Names of rows take at most so much.
const LABEL: usize = 20;

/// Lines and columns for all of it, where there are `most` columns.
pub(super) fn wanted(top: &Top, most: u16) -> (u16, u16) {
    let count = |places: &[u32]| u16::try_from(places.len()).unwrap_or(u16::MAX);
    let Some(table) = top.table() else {
        return (BESIDE + 1, 0);
    };
    let across = count(&top.map.columns);
    let label = label_width(table, &top.map.rows);
    let width = |cell: u16| across.saturating_mul(cell).saturating_add(label + 1);
    let wide = width(WIDE);
    let width = if wide <= most { wide } else { width(NARROW) };
    (count(&top.map.rows).saturating_add(BESIDE), width)
}

pub(super) fn draw(buffer: &mut Buffer, area: Rect, top: &mut Top, theme: &Theme) {
    let focused = is_focused(top, Panel::Map);
    let metric = top.metric;
    let Some(picture) = &top.picture else {
        let inner = title(buffer, area, theme, "heat map", "", focused);
        buffer.set_stringn(
            inner.x + 1,
            inner.y,
            "no numbers yet",
            usize::from(inner.width),
            Style::new(),
        );
        return;
    };
    let table = &*picture.map;
    let label = label_width(table, &top.map.rows);
    let room = area.width.saturating_sub(label + 1);
    let across = u16::try_from(top.map.columns.len()).unwrap_or(u16::MAX);
    let width = if across.saturating_mul(WIDE) <= room {
        WIDE
    } else {
        NARROW
    };
    top.map.scroll(
        usize::from(area.height.saturating_sub(BESIDE)),
        usize::from(room / width),
    );
    let name = format!("{}s, {} {}, {}", table.level, table.probe, metric.name(), table.view);
    let inner = title(buffer, area, theme, &name, &position(top), focused);
    if table.groups.is_empty() || inner.height < 4 {
        buffer.set_stringn(
            inner.x + 1,
            inner.y,
            "no record yet",
            usize::from(inner.width),
            Style::new(),
        );
        return;
    }
    let grid = Rect {
        x: inner.x + label + 1,
        width: room,
        height: inner.height - 2,
        ..inner
    };
    let matches = table.matching(&top.search.text);
    heads(buffer, grid, top, table, theme, width);
    let (seen_rows, seen_columns) = top.map.seen.clone();
    for (y, row) in (grid.y + 1..).zip(seen_rows) {
        let Some(&source) = top.map.rows.get(row) else { continue };
        let is_row = row == top.map.row;
        let mut style = Style::new();
        if is_row {
            style = style.add_modifier(Modifier::REVERSED);
        }
        if matches.get(source as usize).copied().unwrap_or(false) {
            style = style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED);
        }
        let text = theme.text(&cut(table.label(source), usize::from(label)));
        let indent = label - u16::try_from(columns(&text)).unwrap_or(label);
        buffer.set_string(inner.x + indent, y, text, style);
        for (x, column) in (grid.x..).step_by(usize::from(width)).zip(seen_columns.clone()) {
            let Some(&destination) = top.map.columns.get(column) else {
                continue;
            };
            let cell = table.cell(source, destination);
            let is_itself = table.level == Level::Node && source == destination;
            let shade = Shade::of(cell, metric, is_itself);
            let mut style = theme.shade(shade);
            let is_selected = is_row && column == top.map.column;
            if is_selected {
                style = style.add_modifier(Modifier::REVERSED);
            }
            let mark = if is_selected { '>' } else { ' ' };
            let text = if width == WIDE {
                format!("{mark}{}{:>6}", shade.character(), number(cell, metric))
            } else {
                format!("{mark}{}", shade.character())
            };
            buffer.set_string(x, y, text, style);
        }
    }
    below(
        buffer,
        Rect {
            y: inner.bottom() - 2,
            height: 2,
            ..inner
        },
        top,
        table,
        theme,
    );
}

/// Which rows and columns are seen, where not all are.
fn position(top: &Top) -> String {
    let part = |what: &str, seen: &std::ops::Range<usize>, all: usize| {
        (seen.len() < all).then(|| format!("{what} {}-{} of {all}", seen.start + 1, seen.end))
    };
    let rows = part("rows", &top.map.seen.0, top.map.rows.len());
    let columns = part("columns", &top.map.seen.1, top.map.columns.len());
    rows.into_iter().chain(columns).collect::<Vec<_>>().join(", ")
}

/// Names above the columns where they fit, else that of the selected column alone.
fn heads(buffer: &mut Buffer, grid: Rect, top: &Top, table: &Table, theme: &Theme, width: u16) {
    let place = |column: usize| {
        let at = u16::try_from(column - top.map.seen.1.start).unwrap_or(0);
        grid.x + at * width
    };
    if width == WIDE {
        for column in top.map.seen.1.clone() {
            let Some(&group) = top.map.columns.get(column) else {
                continue;
            };
            let style = if column == top.map.column {
                Style::new().add_modifier(Modifier::REVERSED)
            } else {
                Style::new()
            };
            let text = theme.text(&cut(table.label(group), usize::from(WIDE) - 1));
            buffer.set_string(place(column), grid.y, text, style);
        }
        return;
    }
    let Some(&group) = top.map.columns.get(top.map.column) else {
        return;
    };
    let name = theme.text(&cut(
        table.label(group),
        usize::from(grid.width).saturating_sub(4).min(32),
    ));
    let taken = u16::try_from(columns(&name)).unwrap_or(0) + 1;
    let x = place(top.map.column) + 1;
    buffer.set_string(x, grid.y, theme.down().to_string(), Style::new());
    // On whichever side there is room.
    let at = if x + 1 + taken < grid.right() {
        x + 2
    } else {
        x.saturating_sub(taken)
    };
    buffer.set_string(at, grid.y, name, Style::new().add_modifier(Modifier::REVERSED));
}

/// At most six columns.
fn number(cell: Option<&Cell>, metric: Metric) -> String {
    let Some(cell) = cell else { return String::new() };
    match (cell.status(), metric.of(cell)) {
        (Status::Dead, _) => "dead".to_owned(),
        (Status::Waiting, _) => "wait".to_owned(),
        (Status::Unsent, _) => "unsent".to_owned(),
        (_, Some(value)) => metric.text(value),
        (_, None) => "-".to_owned(),
    }
}

/// The selected cell in numbers, and the scale.
fn below(buffer: &mut Buffer, area: Rect, top: &Top, table: &Table, theme: &Theme) {
    if let Some((source, destination)) = top.map.selected() {
        let name = |group| theme.text(&cut(table.label(group), LABEL));
        let mut spans = vec![bold(format!(
            " {} {} {}",
            name(source),
            theme.arrow(),
            name(destination)
        ))];
        spans.extend(sentence(table, (source, destination)).map(Span::raw));
        buffer.set_line(area.x, area.y, &Line::from(spans), area.width);
    }
    let mut scale = vec![Span::raw(" ")];
    for level in 0..Metric::LEVELS {
        let shade = Shade::Level(level);
        scale.push(Span::styled(shade.character().to_string(), theme.shade(shade)));
        scale.push(Span::raw(format!("{} ", top.metric.meaning(level))));
    }
    for (shade, word) in [
        (Shade::Dead, "dead"),
        (Shade::Stale, "stale"),
        (Shade::Waiting, "wait"),
        (Shade::Unsent, "unsent"),
    ] {
        scale.push(Span::styled(shade.character().to_string(), theme.shade(shade)));
        scale.push(Span::raw(format!("{word} ")));
    }
    buffer.set_line(area.x, area.y + 1, &Line::from(scale), area.width);
}

/// A cell in words and numbers. The end may be cut, so what matters comes first.
fn sentence(table: &Table, (source, destination): (u32, u32)) -> impl Iterator<Item = String> {
    let mut parts = Vec::new();
    match table.cell(source, destination) {
        None if table.level == Level::Node && source == destination => parts.push("the node itself".to_owned()),
        None => parts.push("not probed".to_owned()),
        Some(cell) => {
            let status = cell.status();
            if status != Status::Live {
                parts.push(status.words().to_owned());
            }
            if cell.series > 1 {
                parts.push(format!("{} pairs", cell.series));
                if cell.stale > 0 && status != Status::Stale {
                    parts.push(format!("{} stale", cell.stale));
                }
            }
            if cell.sent > 0 {
                let delays = [("p50", cell.p50), ("p99", cell.p99), ("p99.9", cell.p999)];
                parts.extend(delays.map(|(name, ns)| format!("{name} {}", metric::delay(ns))));
                parts.push(format!("loss {}", metric::share(cell.loss())));
                parts.push(format!("host {}", metric::delay(cell.host_p99)));
                parts.push(format!("{}/{}", cell.received, cell.sent));
            }
        }
    }
    let gap = |at| if at == 0 { "  " } else { " " };
    parts
        .into_iter()
        .enumerate()
        .map(move |(at, part)| format!("{}{part}", gap(at)))
}

fn label_width(table: &Table, rows: &[u32]) -> u16 {
    let longest = rows.iter().map(|row| columns(table.label(*row))).max().unwrap_or(0);
    u16::try_from(longest.clamp(3, LABEL)).unwrap_or(0)
}
