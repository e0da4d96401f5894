//! The two lines on top: where the numbers come from and how new they are; what is shown.

use dt_collect::plain::{columns, cut};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{Theme, bold};
use crate::top::state::Top;
use crate::top::times;

const NAME: &str = " dt top";
/// A look older than this says so.
const OLD_MS: u64 = 5_000;

pub(super) fn draw(buffer: &mut Buffer, area: Rect, top: &Top, theme: &Theme, now_ms: u64) {
    let clock = format!("{} UTC", times::clock(now_ms));
    let news = match &top.picture {
        None => "waiting for the first numbers".to_owned(),
        Some(picture) if now_ms.saturating_sub(picture.map.now_ms) > OLD_MS => {
            format!("{}, as of {}", picture.news, times::clock(picture.map.now_ms))
        }
        Some(picture) => picture.news.clone(),
    };
    // What is there anyway, and the gaps.
    let taken = columns(NAME) + columns(&clock) + columns(&news) + 6;
    let room = usize::from(area.width).saturating_sub(taken).max(12);
    let line = Line::from(vec![
        bold(NAME),
        Span::raw(format!("  {}  ", theme.text(&cut(&top.origin, room)))),
        Span::raw(theme.text(&news)),
    ]);
    let right = area
        .right()
        .saturating_sub(u16::try_from(columns(&clock)).unwrap_or(0) + 1);
    buffer.set_line(area.x, area.y, &line, right.saturating_sub(area.x + 1));
    buffer.set_string(right, area.y, clock, Style::new());

    let probe = top.want.probe.or(top.table().map(|table| table.probe));
    let mut spans = Vec::new();
    for (key, value) in [
        ("L", top.want.level.as_str()),
        ("p", probe.map_or("-", |probe| probe.as_str())),
        ("m", top.metric.as_str()),
        ("v", top.want.view.as_str()),
    ] {
        spans.push(Span::raw(format!(" [{key}] ")));
        spans.push(bold(value));
    }
    if let Some(zoom) = &top.zoom {
        let name = |name: &str| {
            if name.is_empty() {
                "-".to_owned()
            } else {
                cut(&dt_collect::plain::plain(name), 16)
            }
        };
        let (from, to) = (name(&zoom.source.name), name(&zoom.destination.name));
        let (from, to) = (theme.text(&from), theme.text(&to));
        spans.push(Span::raw(format!("  in {from} {} {to}", theme.arrow())));
    }
    if top.picture.is_some() && !top.is_current() {
        spans.push(Span::raw(" ..."));
    }
    if !top.search.text.is_empty() && !top.search.is_typing {
        spans.push(Span::raw("  /"));
        spans.push(bold(theme.text(&cut(&dt_collect::plain::plain(&top.search.text), 24))));
    }
    buffer.set_line(area.x, area.y + 1, &Line::from(spans), area.width);
}
