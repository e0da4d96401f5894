//! What the keys do and what the characters mean.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::theme::Shade;
use super::{Theme, bold, page};
use crate::top::model::Metric;
use crate::top::state::Top;

const KEYS: [(&str, &str); 15] = [
    ("arrows, h j k l", "move the selection"),
    ("PgUp PgDn Home End g G", "move further"),
    ("Tab, Shift-Tab", "heat map, worst pairs, findings"),
    ("Enter", "open the pair or finding; of groups, their nodes"),
    (
        "Esc, Backspace",
        "back; end the search; from nodes back to their groups",
    ),
    ("L", "level: nodes, racks, zones, regions"),
    ("p", "kind of probe: icmp, tcp, grpc"),
    ("m, M", "metric: p50, p99, p99.9, loss, host delay"),
    ("v, V", "view: recent (two newest windows), 1m, 10m, 1h"),
    ("/", "search: the map goes there, lists show only that"),
    ("n, N", "next, previous name found"),
    ("?", "this help"),
    ("Ctrl-L", "draw the screen again"),
    ("Ctrl-Z", "stop; fg goes on"),
    ("q, Ctrl-C", "quit"),
];

pub(super) fn draw(buffer: &mut Buffer, area: Rect, top: &mut Top, theme: &Theme) {
    let mut lines: Vec<Line<'_>> = KEYS
        .iter()
        .map(|(keys, what)| Line::from(vec![bold(format!(" {keys:<23} ")), Span::raw(*what)]))
        .collect();
    lines.push(Line::default());
    lines.push(Line::from(" Rows are sources, columns destinations. A cell is"));
    let sample = |shade: Shade, meaning: String| {
        let character = Span::styled(shade.character().to_string(), theme.shade(shade));
        Line::from(vec![Span::raw("  "), character, Span::raw(format!("  {meaning}"))])
    };
    for level in 0..Metric::LEVELS {
        let [delay, loss] = [Metric::P99, Metric::Loss].map(|metric| match (metric, level) {
            (_, level) if level + 1 == Metric::LEVELS => "more".to_owned(),
            (Metric::Loss, 0) => "none".to_owned(),
            (metric, level) => format!("up to {}", metric.meaning(level)),
        });
        lines.push(sample(Shade::Level(level), format!("delay {delay}; loss {loss}")));
    }
    for (shade, meaning) in [
        (Shade::Dead, "dead: no answer to any probe"),
        (
            Shade::Stale,
            "stale: no record for several windows, the numbers are the last known",
        ),
        (Shade::Waiting, "no record yet"),
        (Shade::Unsent, "nothing could be sent: the source's own failure"),
        (Shade::Idle, "no probe in this span, or no such number"),
        (Shade::Itself, "a node and itself"),
        (Shade::Absent, "nobody measures it"),
    ] {
        lines.push(sample(shade, meaning.to_owned()));
    }
    if let Some(picture) = &top.picture {
        let notes = picture
            .notes
            .iter()
            .map(|note| Line::from(format!(" note: {}", theme.text(&dt_collect::plain::plain(note)))));
        lines.push(Line::default());
        lines.extend(notes);
    }
    page(buffer, area, "help", lines, &mut top.scroll, theme);
}
