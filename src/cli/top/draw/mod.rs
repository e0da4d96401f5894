//! The screen, from the state alone.

mod findings;
mod foot;
mod head;
mod help;
mod layout;
mod map;
mod pair;
mod spark;
mod theme;
mod worst;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::state::{Overlay, Panel, Top};
pub(super) use theme::{Colours, Theme};

/// Less than this shows nothing worth seeing.
const LEAST: (u16, u16) = (40, 12);

/// Draws everything as of `now_ms` (UTC milliseconds).
pub(super) fn draw(frame: &mut Frame<'_>, top: &mut Top, theme: &Theme, now_ms: u64) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!(
            "{} x {} is too small; {} x {} at least. q quits",
            area.width, area.height, LEAST.0, LEAST.1
        );
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }
    let [head, body, foot] = layout::frame(area);
    let buffer = frame.buffer_mut();
    head::draw(buffer, head, top, theme, now_ms);
    match &top.overlay {
        Overlay::None => {
            let panels = layout::panels(body, top);
            map::draw(buffer, panels.map, top, theme);
            worst::draw(buffer, panels.worst, top, theme);
            findings::draw(buffer, panels.findings, top, theme, now_ms);
        }
        Overlay::Help => help::draw(buffer, body, top, theme),
        Overlay::Pair => pair::draw(buffer, body, top, theme),
        Overlay::Finding(finding) => {
            let lines = findings::details(finding, theme, now_ms);
            page(buffer, body, "finding", lines, &mut top.scroll, theme);
        }
    }
    foot::draw(buffer, foot, top, theme, now_ms);
}

/// One line with the name of a part on its left and something about it on its right. Returns what is below.
fn title(buffer: &mut Buffer, area: Rect, theme: &Theme, name: &str, right: &str, is_focused: bool) -> Rect {
    if area.height == 0 {
        return area;
    }
    let rule = theme.rule(is_focused).to_string();
    let style = if is_focused {
        Style::new().add_modifier(Modifier::BOLD)
    } else {
        Style::new()
    };
    buffer.set_string(area.x, area.y, rule.repeat(usize::from(area.width)), style);
    let name = dt_collect::plain::cut(name, usize::from(area.width.saturating_sub(4)));
    let (end, _) = buffer.set_stringn(area.x + 1, area.y, format!(" {name} "), usize::from(area.width), style);
    let right = format!(" {right} ");
    let columns = u16::try_from(dt_collect::plain::columns(&right)).unwrap_or(u16::MAX);
    if right.len() > 2 && end + columns + 2 <= area.right() {
        buffer.set_string(area.right() - columns - 1, area.y, &right, style);
    }
    Rect {
        y: area.y + 1,
        height: area.height - 1,
        ..area
    }
}

/// A page of text that may be longer than the place for it.
fn page(buffer: &mut Buffer, area: Rect, name: &str, lines: Vec<Line<'_>>, scroll: &mut u16, theme: &Theme) {
    use ratatui::widgets::Widget;
    let inner = title(buffer, area, theme, name, "Esc goes back", true);
    // Lines are as wide as the page at most, once wrapped; how many that makes is only known here.
    let wrapped = |line: &Line<'_>| line.width().div_ceil(usize::from(inner.width.max(1))).max(1);
    let all: usize = lines.iter().map(wrapped).sum();
    let most = all.saturating_sub(usize::from(inner.height));
    *scroll = (*scroll).min(u16::try_from(most).unwrap_or(u16::MAX));
    Paragraph::new(lines)
        .wrap(Wrap { trim: false })
        .scroll((*scroll, 0))
        .render(inner, buffer);
}

/// A row of a list, with the selected one marked by more than a colour.
fn mark(buffer: &mut Buffer, area: Rect, is_selected: bool) {
    if is_selected {
        buffer.set_string(area.x, area.y, ">", Style::new());
        buffer.set_style(
            Rect { height: 1, ..area },
            Style::new().add_modifier(Modifier::REVERSED),
        );
    }
}

fn bold<'a>(text: impl Into<std::borrow::Cow<'a, str>>) -> Span<'a> {
    Span::styled(text, Style::new().add_modifier(Modifier::BOLD))
}

/// Whether keys go to `panel`.
fn is_focused(top: &Top, panel: Panel) -> bool {
    top.panel == panel
}

#[cfg(test)]
mod tests;
