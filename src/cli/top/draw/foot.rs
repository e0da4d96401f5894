//! The last line: what is typed, what went wrong, or which keys there are.

use dt_collect::plain::plain;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::Theme;
use crate::top::state::{Overlay, Top};

/// A line of the log stands so long.
const LOGGED_MS: u64 = 60_000;

pub(super) fn draw(buffer: &mut Buffer, area: Rect, top: &Top, theme: &Theme, now_ms: u64) {
    let logged = top.logged.as_ref().filter(|(_, at)| now_ms.abs_diff(*at) < LOGGED_MS);
    let note = top.picture.as_ref().and_then(|picture| picture.notes.first());
    let (text, style) = if top.search.is_typing {
        (
            format!("/{}_  Enter keeps it, Esc drops it", plain(&top.search.text)),
            Style::new(),
        )
    } else if let Some(answer) = &top.answer {
        (answer.clone(), Style::new())
    } else if let Some(trouble) = &top.trouble {
        (format!("! {trouble}"), theme.alarm())
    } else if let Some((line, _)) = logged {
        (format!("! {line}"), theme.alarm())
    } else if let Some(note) = note {
        (format!("note: {}", plain(note)), Style::new())
    } else {
        let keys = match top.overlay {
            Overlay::None => "arrows move  Enter opens  Tab next panel  / search  ? help  q quits",
            Overlay::Pair => "m metric  v view  up/down scroll  Esc back  ? help  q quits",
            Overlay::Help | Overlay::Finding(_) => "up/down scroll  Esc back  q quits",
        };
        (keys.to_owned(), Style::new().add_modifier(Modifier::DIM))
    };
    buffer.set_stringn(
        area.x + 1,
        area.y,
        theme.text(&text),
        usize::from(area.width - 1),
        style,
    );
}
