//! What the terminal can show, from what is known of it.

use std::io::{self, IsTerminal};
use std::str::FromStr;

use super::draw::{Colours, Theme};

/// `--color`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Auto,
    Dark,
    Light,
    Never,
}

impl FromStr for Colour {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Colour, &'static str> {
        match text {
            "auto" => Ok(Colour::Auto),
            "dark" => Ok(Colour::Dark),
            "light" => Ok(Colour::Light),
            "never" => Ok(Colour::Never),
            _ => Err("accepted: auto, dark, light, never"),
        }
    }
}

/// What the process was started in.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    is_terminal: bool,
    term: String,
    no_color: String,
    colorfgbg: String,
    /// The first of `LC_ALL`, `LC_CTYPE` and `LANG` that says anything.
    locale: String,
}

impl Environment {
    pub(super) fn of_process() -> Environment {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        let locales = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().map(variable);
        Environment {
            is_terminal: io::stdout().is_terminal(),
            term: variable("TERM"),
            no_color: variable("NO_COLOR"),
            colorfgbg: variable("COLORFGBG"),
            locale: locales
                .into_iter()
                .find(|locale| !locale.is_empty())
                .unwrap_or_default(),
        }
    }

    /// Whether there is a terminal whose cursor can be moved.
    pub(super) fn can_be_drawn_on(&self) -> bool {
        self.is_terminal && self.term != "dumb"
    }

    pub(super) fn theme(&self, colour: Colour, is_ascii: bool) -> Theme {
        let locale = self.locale.to_ascii_lowercase();
        // In a container nothing is set, and the terminal outside has UTF-8.
        let has_utf8 = locale.is_empty() || locale.contains("utf-8") || locale.contains("utf8");
        Theme {
            colours: match colour {
                Colour::Auto => self.colours(),
                Colour::Dark => Colours::Dark,
                Colour::Light => Colours::Light,
                Colour::Never => Colours::None,
            },
            is_ascii: is_ascii || !has_utf8,
        }
    }

    fn colours(&self) -> Colours {
        // Terminals of old. All others know 256 colours, or replace them by the nearest they have.
        let has_none = self.term.is_empty()
            || ["vt1", "vt2", "vt52", "ansi-m"]
                .iter()
                .any(|old| self.term.starts_with(old));
        if !self.no_color.is_empty() || has_none {
            return Colours::None;
        }
        // The background is the last number, where a terminal says so at all.
        match self.colorfgbg.rsplit(';').next() {
            Some("7" | "15") => Colours::Light,
            _ => Colours::Dark,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(term: &str) -> Environment {
        Environment {
            is_terminal: true,
            term: term.to_owned(),
            ..Environment::default()
        }
    }

    #[test]
    fn colours_are_used_where_there_are_any_and_nobody_asked_for_none() {
        let xterm = environment("xterm-256color");
        let no_color = Environment {
            no_color: "1".to_owned(),
            ..xterm.clone()
        };
        let light = Environment {
            colorfgbg: "0;default;15".to_owned(),
            ..xterm.clone()
        };
        for (environment, colour, colours) in [
            (&xterm, Colour::Auto, Colours::Dark),
            (&xterm, Colour::Never, Colours::None),
            (&light, Colour::Auto, Colours::Light),
            (&no_color, Colour::Auto, Colours::None),
            // Asked for by name.
            (&no_color, Colour::Dark, Colours::Dark),
            (&environment("vt220"), Colour::Auto, Colours::None),
            (&environment(""), Colour::Auto, Colours::None),
            (&environment("linux"), Colour::Auto, Colours::Dark),
        ] {
            assert_eq!(environment.theme(colour, false).colours, colours, "{environment:?}");
        }
    }

    #[test]
    fn ascii_is_for_locales_that_have_nothing_else() {
        for (locale, is_ascii) in [
            ("", false),
            ("en_US.UTF-8", false),
            ("C.utf8", false),
            ("C", true),
            ("POSIX", true),
            ("de_DE.ISO-8859-1", true),
        ] {
            let environment = Environment {
                locale: locale.to_owned(),
                ..environment("xterm")
            };
            assert_eq!(environment.theme(Colour::Auto, false).is_ascii, is_ascii, "{locale}");
            assert!(environment.theme(Colour::Auto, true).is_ascii);
        }
    }

    #[test]
    fn a_terminal_without_a_cursor_is_none() {
        assert!(environment("xterm").can_be_drawn_on());
        assert!(!environment("dumb").can_be_drawn_on());
        assert!(!Environment::default().can_be_drawn_on());
    }
}
