//! What shades look like: a character always, a colour where the terminal has 256 and nobody asked for none.

use ratatui::style::{Color, Modifier, Style};

use crate::top::model::{Cell, Metric, Status};

/// How colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colours {
    None,
    /// For a dark background: high values are light.
    Dark,
    /// For a light background: high values are dark.
    Light,
}

/// What the terminal can show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    pub(crate) colours: Colours,
    /// No characters but ASCII's.
    pub(crate) is_ascii: bool,
}

/// What a place of the heat map stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shade {
    /// Nobody measures it.
    Absent,
    /// A node and itself.
    Itself,
    Waiting,
    Idle,
    Unsent,
    Stale,
    Dead,
    /// 0 to [`Metric::LEVELS`] - 1.
    Level(usize),
}

/// From sparse to dense: what is bad stands out without colours.
const RAMP: [char; Metric::LEVELS] = ['.', ':', '-', '=', '+', '*', '#'];

/// Of the 256 colours those nearest to viridis (van der Walt, Smith) whose lightness grows evenly: told apart with every
/// common colour blindness.
const VIRIDIS: [u8; Metric::LEVELS] = [53, 24, 30, 35, 112, 220, 227];

impl Shade {
    pub(crate) fn of(cell: Option<&Cell>, metric: Metric, is_itself: bool) -> Shade {
        let Some(cell) = cell else {
            return if is_itself { Shade::Itself } else { Shade::Absent };
        };
        match (cell.status(), metric.of(cell)) {
            (Status::Waiting, _) => Shade::Waiting,
            (Status::Stale, _) => Shade::Stale,
            (Status::Unsent, _) => Shade::Unsent,
            (Status::Dead, _) => Shade::Dead,
            (Status::Live, Some(value)) => Shade::Level(metric.level(value)),
            (Status::Idle, _) | (Status::Live, None) => Shade::Idle,
        }
    }

    pub(crate) fn character(self) -> char {
        match self {
            Shade::Absent => ' ',
            Shade::Itself => '\\',
            Shade::Waiting => '?',
            Shade::Idle => '_',
            Shade::Unsent => '!',
            Shade::Stale => '~',
            Shade::Dead => 'X',
            Shade::Level(level) => RAMP[level.min(RAMP.len() - 1)],
        }
    }
}

impl Theme {
    pub(crate) fn shade(&self, shade: Shade) -> Style {
        let is_light = match self.colours {
            Colours::None => {
                let stands_out = matches!(shade, Shade::Dead | Shade::Unsent | Shade::Level(4..));
                return if stands_out {
                    Style::new().add_modifier(Modifier::BOLD)
                } else {
                    Style::new()
                };
            }
            Colours::Dark => false,
            Colours::Light => true,
        };
        let ground = match (shade, is_light) {
            (Shade::Absent, _) => return Style::new(),
            (Shade::Level(level), false) => VIRIDIS[level.min(VIRIDIS.len() - 1)],
            (Shade::Level(level), true) => VIRIDIS[VIRIDIS.len() - 1 - level.min(VIRIDIS.len() - 1)],
            // Outside the scale on purpose.
            (Shade::Dead, false) => 197,
            (Shade::Dead, true) => 161,
            (Shade::Unsent, false) => 172,
            (Shade::Unsent, true) => 130,
            (Shade::Stale, _) => 244,
            (Shade::Idle | Shade::Waiting, false) => 238,
            (Shade::Idle | Shade::Waiting, true) => 252,
            (Shade::Itself, false) => 235,
            (Shade::Itself, true) => 254,
        };
        let style = Style::new().bg(Color::Indexed(ground)).fg(ink(ground));
        if shade == Shade::Dead {
            style.add_modifier(Modifier::BOLD)
        } else {
            style
        }
    }

    /// What has to be read.
    pub(crate) fn alarm(&self) -> Style {
        self.shade(Shade::Dead)
    }

    pub(crate) fn rule(&self, is_focused: bool) -> char {
        match (self.is_ascii, is_focused) {
            (true, true) => '=',
            (true, false) => '-',
            (false, true) => '\u{2550}',
            (false, false) => '\u{2500}',
        }
    }

    pub(crate) fn arrow(&self) -> &'static str {
        if self.is_ascii { "->" } else { "\u{2192}" }
    }

    pub(crate) fn down(&self) -> char {
        if self.is_ascii { 'v' } else { '\u{25bc}' }
    }

    /// `text` with nothing the terminal can't show. As many columns as before.
    pub(crate) fn text(&self, text: &str) -> String {
        if !self.is_ascii {
            return text.to_owned();
        }
        let plain = text.chars().flat_map(|c| {
            let columns = if c.is_ascii() {
                1
            } else {
                dt_collect::plain::columns(c.encode_utf8(&mut [0; 4]))
            };
            std::iter::repeat_n(if c.is_ascii() { c } else { '?' }, columns)
        });
        plain.collect()
    }
}

/// Black or white, whichever reads better on one of the 256 colours.
fn ink(ground: u8) -> Color {
    Color::Indexed(if lightness(ground) > 50.0 { 16 } else { 231 })
}

/// CIE L* of one of the 256 colours, 0 to 100. The first 16 are the user's own and not used here.
fn lightness(colour: u8) -> f64 {
    let [r, g, b] = if colour >= 232 {
        [8 + 10 * (colour - 232); 3]
    } else {
        let steps = [0, 95, 135, 175, 215, 255];
        let at = usize::from(colour.saturating_sub(16));
        [steps[at / 36], steps[at / 6 % 6], steps[at % 6]]
    }
    .map(|part| {
        let part = f64::from(part) / 255.0;
        if part <= 0.04045 {
            part / 12.92
        } else {
            ((part + 0.055) / 1.055).powf(2.4)
        }
    });
    let luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    if luminance > 0.008_856 {
        116.0 * luminance.cbrt() - 16.0
    } else {
        903.3 * luminance
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ALL: [Shade; 14] = [
        Shade::Absent,
        Shade::Itself,
        Shade::Waiting,
        Shade::Idle,
        Shade::Unsent,
        Shade::Stale,
        Shade::Dead,
        Shade::Level(0),
        Shade::Level(1),
        Shade::Level(2),
        Shade::Level(3),
        Shade::Level(4),
        Shade::Level(5),
        Shade::Level(6),
    ];

    #[test]
    fn no_two_shades_share_a_character_so_that_colours_never_carry_the_meaning_alone() {
        let characters: BTreeSet<char> = ALL.into_iter().map(Shade::character).collect();
        assert_eq!(characters.len(), ALL.len());
        assert!(characters.iter().all(char::is_ascii));
    }

    #[test]
    fn lightness_alone_orders_the_levels_and_ink_is_read_on_each() {
        for colours in [Colours::Dark, Colours::Light] {
            let theme = Theme {
                colours,
                is_ascii: false,
            };
            let grounds: Vec<u8> = ALL
                .into_iter()
                .filter_map(|shade| match theme.shade(shade).bg {
                    Some(Color::Indexed(ground)) => Some(ground),
                    _ => None,
                })
                .collect();
            let levels: Vec<f64> = grounds[grounds.len() - Metric::LEVELS..]
                .iter()
                .map(|ground| lightness(*ground))
                .collect();
            let steps = levels.windows(2).map(|two| two[1] - two[0]);
            // Two shades of grey 8 apart are told apart by everybody.
            let up = if colours == Colours::Dark { 1.0 } else { -1.0 };
            assert!(steps.map(|step| step * up).all(|step| step > 8.0), "{levels:?}");
            for ground in grounds {
                let Color::Indexed(ink) = ink(ground) else {
                    panic!("no index")
                };
                assert!((lightness(ground) - lightness(ink)).abs() > 45.0, "{ink} on {ground}");
            }
        }
    }

    #[test]
    fn without_colours_there_are_none() {
        let theme = Theme {
            colours: Colours::None,
            is_ascii: true,
        };
        for shade in ALL {
            let style = theme.shade(shade);
            assert_eq!((style.fg, style.bg), (None, None), "{shade:?}");
        }
        assert_eq!(theme.text("na\u{ef}ve \u{7bc0}"), "na?ve ??");
    }
}
