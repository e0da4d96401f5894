//! The pairs of nodes that look worst, one a line.

use dt_collect::plain::cut;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::theme::Shade;
use super::{Theme, is_focused, mark, title};
use crate::top::model::{Cell, Metric, Table, metric};
use crate::top::state::{Panel, Ranked, Top};

/// Names take at least so much before further numbers are shown.
const NAMES: u16 = 27;
/// Where the names begin: after the mark and the character.
const INDENT: u16 = 4;

/// One column of numbers.
struct Column {
    head: &'static str,
    width: u16,
    metric: Option<Metric>,
    text: fn(&Cell) -> String,
}

/// In the order they stand in.
const COLUMNS: [Column; 6] = [
    Column {
        head: "p50",
        width: 7,
        metric: Some(Metric::P50),
        text: |cell| metric::delay(cell.p50),
    },
    Column {
        head: "p99",
        width: 7,
        metric: Some(Metric::P99),
        text: |cell| metric::delay(cell.p99),
    },
    Column {
        head: "p99.9",
        width: 7,
        metric: Some(Metric::P999),
        text: |cell| metric::delay(cell.p999),
    },
    Column {
        head: "loss",
        width: 7,
        metric: Some(Metric::Loss),
        text: |cell| metric::share(cell.loss()),
    },
    Column {
        head: "host",
        width: 7,
        metric: Some(Metric::Host),
        text: |cell| metric::delay(cell.host_p99),
    },
    Column {
        head: "answers",
        width: 12,
        metric: None,
        text: |cell| format!("{}/{}", cell.received, cell.sent),
    },
];
/// Which of them go first where there is little room.
const FIRST: [usize; 6] = [1, 3, 0, 4, 2, 5];

pub(super) fn draw(buffer: &mut Buffer, area: Rect, top: &mut Top, theme: &Theme) {
    let focused = is_focused(top, Panel::Worst);
    let worst = &mut top.worst;
    let stale = if worst.stale > 0 {
        format!(", {} stale", worst.stale)
    } else {
        String::new()
    };
    let about = format!("{} pairs{stale}", worst.all);
    let inner = title(buffer, area, theme, "worst pairs", &about, focused);
    let Some(picture) = top.picture.as_ref().filter(|_| inner.height > 0) else {
        return;
    };
    let nodes = &*picture.nodes;
    let chosen = columns(inner.width, top.metric);
    let mut x = inner.right();
    let mut places = Vec::new();
    for column in chosen.iter().rev() {
        x = x.saturating_sub(column.width);
        places.push((x, *column));
    }
    let names = usize::from(x.saturating_sub(inner.x + INDENT));
    for (x, column) in &places {
        let style = if column.metric == Some(top.metric) {
            Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
        } else {
            Style::new().add_modifier(Modifier::DIM)
        };
        let indent = column.width - u16::try_from(column.head.len()).unwrap_or(0);
        buffer.set_string(x + indent, inner.y, column.head, style);
    }
    buffer.set_stringn(
        inner.x + INDENT,
        inner.y,
        "from, to",
        names,
        Style::new().add_modifier(Modifier::DIM),
    );
    worst.scroll(usize::from(inner.height - 1));
    for (at, pair) in worst.pairs.iter().enumerate().skip(worst.first).take(worst.page) {
        let line = Rect {
            y: inner.y + 1 + u16::try_from(at - worst.first).unwrap_or(0),
            height: 1,
            ..inner
        };
        let style = if pair.is_bad() {
            Style::new().add_modifier(Modifier::BOLD)
        } else {
            Style::new()
        };
        buffer.set_stringn(line.x + INDENT, line.y, name(pair, nodes, names, theme), names, style);
        for (x, column) in &places {
            let text = (column.text)(&pair.cell);
            buffer.set_string(*x, line.y, format!("{text:>0$}", usize::from(column.width)), style);
        }
        if focused {
            mark(buffer, line, at == worst.at);
        }
        let shade = Shade::of(Some(&pair.cell), top.metric, false);
        buffer.set_string(line.x + 2, line.y, shade.character().to_string(), theme.shade(shade));
    }
    if worst.pairs.is_empty() && inner.height > 1 {
        let text = if top.search.text.is_empty() {
            "no record yet"
        } else {
            "no pair of that name"
        };
        buffer.set_stringn(inner.x + INDENT, inner.y + 1, text, names, Style::new());
    }
}

/// As many as there is room for, the chosen metric's among them.
fn columns(width: u16, metric: Metric) -> Vec<&'static Column> {
    let mut room = width.saturating_sub(INDENT + NAMES);
    let chosen = COLUMNS.iter().position(|column| column.metric == Some(metric));
    let mut taken = [false; COLUMNS.len()];
    for at in chosen.into_iter().chain(FIRST) {
        if !taken[at] && COLUMNS[at].width <= room {
            room -= COLUMNS[at].width;
            taken[at] = true;
        }
    }
    COLUMNS
        .iter()
        .zip(taken)
        .filter(|(_, taken)| *taken)
        .map(|(column, _)| column)
        .collect()
}

fn name(pair: &Ranked, nodes: &Table, room: usize, theme: &Theme) -> String {
    let half = room.saturating_sub(4) / 2;
    let [from, to] = [pair.cell.source, pair.cell.destination].map(|node| theme.text(&cut(nodes.label(node), half)));
    format!("{from} {} {to}", theme.arrow())
}
