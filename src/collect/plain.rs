//! Text from the network made fit for a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `raw` with nothing in it that moves the cursor, changes a colour, or hides, joins or reorders what stands beside it.
/// Whatever has no width of its own could: control characters, bidirectional controls, marks that combine.
#[must_use]
pub fn plain(raw: &str) -> String {
    raw.chars()
        .map(|c| match c.width() {
            None | Some(0) => char::REPLACEMENT_CHARACTER,
            Some(_) => c,
        })
        .collect()
}

/// How many columns `text` takes on a terminal.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.width()
}

/// `text` where it fits `most` columns, else its beginning and its end: names of a cluster differ in either.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let Some(left) = most.checked_sub(1) else {
        return String::new();
    };
    let head: String = within(text.chars(), left - left / 2).collect();
    let mut tail: Vec<char> = within(text.chars().rev(), left / 2).collect();
    tail.reverse();
    head.chars().chain(['\u{2026}']).chain(tail).collect()
}

/// The first characters that take at most `most` columns.
fn within(text: impl Iterator<Item = char>, most: usize) -> impl Iterator<Item = char> {
    text.scan(0, move |taken, c| {
        *taken += c.width().unwrap_or(0);
        (*taken <= most).then_some(c)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_seen_instead_of_obeyed() {
        for (raw, seen) in [
            ("node-1", "node-1"),
            ("naïve 節点", "naïve 節点"),
            (
                "\x1b[2Ja\r\n\t\u{7f}\u{9b}2J",
                "\u{fffd}[2Ja\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}2J",
            ),
            // Reorders what follows; hides; joins with what stands before.
            ("a\u{202e}b\u{200b}c\u{301}", "a\u{fffd}b\u{fffd}c\u{fffd}"),
        ] {
            assert_eq!(plain(raw), seen);
        }
    }

    #[test]
    fn long_text_keeps_its_beginning_and_its_end() {
        assert_eq!(cut("node-1234", 9), "node-1234");
        assert_eq!(cut("node-1234", 6), "nod\u{2026}34");
        assert_eq!(cut("節点節点", 5), "節\u{2026}点");
        assert_eq!([cut("ab", 1), cut("ab", 0)], ["\u{2026}", ""]);
    }

    proptest! {
        #[test]
        fn any_text_fits_and_holds_no_controls(raw in "\\PC*|.*", most in 0_usize..40) {
            let text = cut(&plain(&raw), most);
            prop_assert!(columns(&text) <= most, "{text:?}");
            prop_assert!(!text.chars().any(char::is_control));
        }
    }
}
