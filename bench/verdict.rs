//! One figure beside its bound.

use std::fmt;

/// The head of the table that verdicts are lines of.
pub const HEADING: &str = "\
| what                                                     |   figure |    bound |          |
| -------------------------------------------------------- | -------: | -------: | -------- |";

/// A figure, and the most that it may be.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What was measured.
    pub what: String,
    /// The figure.
    pub figure: f64,
    /// The most it may be.
    pub bound: f64,
    /// The unit of both.
    pub unit: &'static str,
}

impl Verdict {
    /// Whether the figure is within its bound.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.figure <= self.bound
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bytes have no fractions worth showing; shares and ratios do.
        let digits = if self.bound >= 100.0 { 0 } else { 2 };
        let number = |value: f64| format!("{value:.digits$} {}", self.unit);
        let word = if self.holds() { "holds" } else { "EXCEEDED" };
        write!(
            f,
            "| {:56} | {:>8} | {:>8} | {word:8} |",
            self.what,
            number(self.figure).trim_end(),
            number(self.bound).trim_end()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_beyond_its_bound_is_told() {
        let mut verdict = Verdict {
            what: "CPU".to_owned(),
            figure: 2.0,
            bound: 2.0,
            unit: "%",
        };
        assert!(verdict.holds() && verdict.to_string().ends_with("|   2.00 % |   2.00 % | holds    |"));
        verdict.figure = 2.004;
        assert!(!verdict.holds() && verdict.to_string().ends_with("|   2.00 % |   2.00 % | EXCEEDED |"));
    }
}
