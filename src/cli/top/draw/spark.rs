//! Numbers over time in one line of characters.

use ratatui::symbols::bar::{NINE_LEVELS, Set};

use super::Theme;

/// The same in ASCII: the higher the denser.
const ASCII: Set<'static> = Set {
    empty: ".",
    one_eighth: ".",
    one_quarter: ":",
    three_eighths: "-",
    half: "=",
    five_eighths: "+",
    three_quarters: "*",
    seven_eighths: "%",
    full: "#",
};

/// One stretch of time and its number; `None` where nothing was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) start_ms: u64,
    pub(super) end_ms: u64,
    pub(super) value: Option<f64>,
}

/// The greatest of each column's stretches, for `width` columns between two times; `None` for columns without any.
pub(super) fn columns(stretches: &[Stretch], (from_ms, to_ms): (u64, u64), width: u16) -> Vec<Option<f64>> {
    let span = to_ms.saturating_sub(from_ms).max(1);
    let at = |column: u16| from_ms + span * u64::from(column) / u64::from(width.max(1));
    let column = |column: u16| {
        let (start, end) = (at(column), at(column + 1).max(at(column) + 1));
        let within = stretches
            .iter()
            .filter(|stretch| stretch.start_ms < end && stretch.end_ms > start);
        within.filter_map(|stretch| stretch.value).reduce(f64::max)
    };
    (0..width).map(column).collect()
}

/// One character a column, the highest for `most`; nothing measured is a blank.
pub(super) fn line(values: &[Option<f64>], most: f64, theme: &Theme) -> String {
    let set = if theme.is_ascii { ASCII } else { NINE_LEVELS };
    let character = |value: &Option<f64>| match value {
        None => " ",
        // Nothing lost, of all that were sent, is a number too.
        Some(value) if most <= 0.0 || *value <= 0.0 => {
            if theme.is_ascii {
                "."
            } else {
                "_"
            }
        }
        Some(value) => match (value / most * 8.0).ceil() as u32 {
            0 | 1 => set.one_eighth,
            2 => set.one_quarter,
            3 => set.three_eighths,
            4 => set.half,
            5 => set.five_eighths,
            6 => set.three_quarters,
            7 => set.seven_eighths,
            _ => set.full,
        },
    };
    values.iter().map(character).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Colours;
    use super::*;

    #[test]
    fn time_runs_from_left_to_right_whatever_the_width_of_panes() {
        // Ten-minute panes, then minutes; one without an answer; a gap.
        let minute = 60_000;
        let pane = |from: u64, to: u64, value| Stretch {
            start_ms: from * minute,
            end_ms: to * minute,
            value,
        };
        let panes = [
            pane(0, 10, Some(1.0)),
            pane(10, 20, Some(4.0)),
            pane(20, 30, None),
            pane(40, 41, Some(8.0)),
        ];
        let values = columns(&panes, (0, 50 * minute), 5);
        assert_eq!(values, [Some(1.0), Some(4.0), None, None, Some(8.0)]);
        // The greatest of what falls into one column.
        assert_eq!(columns(&panes, (0, 50 * minute), 1), [Some(8.0)]);
        // More columns than time has milliseconds.
        assert_eq!(columns(&panes, (0, 3), 6).len(), 6);
        let theme = |is_ascii| Theme {
            colours: Colours::None,
            is_ascii,
        };
        assert_eq!(line(&values, 8.0, &theme(true)), ".=  #");
        assert_eq!(line(&values, 8.0, &theme(false)), "\u{2581}\u{2584}  \u{2588}");
        assert_eq!(line(&[Some(0.0), None], 0.0, &theme(false)), "_ ");
    }
}
