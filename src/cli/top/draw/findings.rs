//! What is at fault: a list, and one of them whole.

use dt_collect::plain::plain;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::{Theme, bold, is_focused, mark, title};
use crate::top::model::Finding;
use crate::top::state::{Panel, Top};
use crate::top::times;

pub(super) fn draw(buffer: &mut Buffer, area: Rect, top: &mut Top, theme: &Theme, now_ms: u64) {
    let focused = is_focused(top, Panel::Findings);
    let about = match top.findings() {
        Ok((findings, _)) if findings.findings.is_empty() => String::new(),
        // Of a part there is no pattern of the whole.
        Ok((findings, _)) if findings.caveat().is_some() => findings.caveat().unwrap_or_default(),
        Ok((findings, _)) => format!("pattern: {}", plain(&findings.pattern).replace('_', " ")),
        Err(_) => String::new(),
    };
    let inner = title(buffer, area, theme, "findings", &theme.text(&about), focused);
    let fit = usize::from(inner.height);
    if fit == 0 {
        return;
    }
    let (at, mut first) = (top.finding, top.first_finding);
    let mut say = |text: &str| {
        buffer.set_stringn(
            inner.x + 2,
            inner.y,
            theme.text(text),
            usize::from(inner.width.saturating_sub(2)),
            Style::new(),
        );
    };
    let shown = match top.findings() {
        Err(why) => return say(&plain(why)),
        Ok((findings, _)) if findings.findings.is_empty() => return say(&findings.none()),
        Ok((_, shown)) if shown.is_empty() => return say("none of that name"),
        Ok((_, shown)) => shown,
    };
    first = first
        .min(at)
        .max((at + 1).saturating_sub(fit))
        .min(shown.len().saturating_sub(fit));
    for (place, finding) in shown.iter().enumerate().skip(first).take(fit) {
        let line = Rect {
            y: inner.y + u16::try_from(place - first).unwrap_or(0),
            height: 1,
            ..inner
        };
        let since = finding
            .since_ms
            .map_or_else(String::new, |since| times::span(now_ms.saturating_sub(since)));
        let text = format!(
            "{:>3.0}% {since:>6}  {}",
            finding.confidence * 100.0,
            plain(&finding.summary)
        );
        let style = Style::new().add_modifier(Modifier::BOLD);
        buffer.set_stringn(
            line.x + 2,
            line.y,
            theme.text(&text),
            usize::from(line.width.saturating_sub(2)),
            style,
        );
        if focused {
            mark(buffer, line, place == at);
        }
    }
    top.first_finding = first;
}

/// All that is known of one.
pub(super) fn details<'a>(finding: &Finding, theme: &Theme, now_ms: u64) -> Vec<Line<'a>> {
    let text = |raw: &str| theme.text(&plain(raw));
    let subject = &finding.subject;
    let mut lines = vec![Line::from(bold(text(&finding.summary))), Line::default()];
    let mut field = |name: &'static str, value: String| {
        if !value.is_empty() {
            lines.push(Line::from(vec![Span::raw(format!("{name:<12}")), Span::raw(value)]));
        }
    };
    field("kind", text(&finding.kind).replace('_', " "));
    field("confidence", format!("{:.0}%", finding.confidence * 100.0));
    let since = finding.since_ms.map(|since| {
        let ago = times::span(now_ms.saturating_sub(since));
        format!("{} UTC, {ago} ago", times::clock(since))
    });
    field("since", since.unwrap_or_default());
    field("explains", format!("{} pairs of nodes", finding.pairs));
    for (name, names) in [
        ("nodes", &subject.nodes),
        ("racks", &subject.racks),
        ("zones", &subject.zones),
    ] {
        field(name, names.iter().map(|name| text(name)).collect::<Vec<_>>().join(", "));
    }
    field("from", subject.source.as_deref().map(text).unwrap_or_default());
    field("to", subject.destination.as_deref().map(text).unwrap_or_default());
    field("port", subject.port.map(|port| port.to_string()).unwrap_or_default());
    lines.push(Line::default());
    lines.extend(
        finding
            .evidence
            .iter()
            .map(|seen| Line::from(format!("- {}", text(seen)))),
    );
    lines
}
