//! What the heat map shows: five numbers of a cell, and the absolute thresholds that make a level of each.

use std::fmt;
use std::str::FromStr;

use dt_collect::terminal::three_digits;

use super::cell::Cell;

/// One number of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Metric {
    P50,
    #[default]
    P99,
    P999,
    Loss,
    Host,
}

/// Upper bounds of all levels but the highest, nanoseconds: every second one of the page's, which has more colours. The same
/// for every cluster and every moment, so that a character always means the same delay.
const DELAYS: [f64; Metric::LEVELS - 1] = [50e3, 250e3, 1e6, 5e6, 25e6, 100e6];
/// The same of shares lost; the first is exactly none.
const SHARES: [f64; Metric::LEVELS - 1] = [0.0, 0.001, 0.01, 0.05, 0.1, 0.25];

impl Metric {
    pub(crate) const ALL: [Metric; 5] = [Metric::P50, Metric::P99, Metric::P999, Metric::Loss, Metric::Host];
    pub(crate) const LEVELS: usize = 7;

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Metric::P50 => "p50",
            Metric::P99 => "p99",
            Metric::P999 => "p99.9",
            Metric::Loss => "loss",
            Metric::Host => "host",
        }
    }

    /// What it is called where there is room for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Metric::P50 => "p50 delay",
            Metric::P99 => "p99 delay",
            Metric::P999 => "p99.9 delay",
            Metric::Loss => "loss",
            Metric::Host => "p99 host delay",
        }
    }

    /// Nanoseconds or a share; `None` where the cell has no such number.
    pub(crate) fn of(self, cell: &Cell) -> Option<f64> {
        // Delays stay far below 2^53 ns.
        match self {
            Metric::P50 => cell.p50.map(|ns| ns as f64),
            Metric::P99 => cell.p99.map(|ns| ns as f64),
            Metric::P999 => cell.p999.map(|ns| ns as f64),
            Metric::Host => cell.host_p99.map(|ns| ns as f64),
            Metric::Loss => cell.loss(),
        }
    }

    fn bounds(self) -> &'static [f64; Metric::LEVELS - 1] {
        if self == Metric::Loss { &SHARES } else { &DELAYS }
    }

    /// 0 to [`Metric::LEVELS`] - 1.
    pub(crate) fn level(self, value: f64) -> usize {
        self.bounds().partition_point(|bound| value > *bound)
    }

    /// What a level means, as short as can be.
    pub(crate) fn meaning(self, level: usize) -> String {
        match (self, self.bounds().get(level)) {
            (_, None) => "more".to_owned(),
            (Metric::Loss, Some(0.0)) => "0".to_owned(),
            (Metric::Loss, Some(bound)) => format!("{}%", bound * 100.0),
            (_, Some(bound)) if *bound < 1e6 => format!("{}us", bound / 1e3),
            (_, Some(bound)) => format!("{}ms", bound / 1e6),
        }
    }

    /// The number in at most seven columns.
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            Metric::Loss => share(Some(value)),
            // A float that came from a u64.
            _ => three_digits(value as u64, ""),
        }
    }
}

/// A delay in at most six columns.
pub(crate) fn delay(ns: Option<u64>) -> String {
    ns.map_or_else(|| "-".to_owned(), |ns| three_digits(ns, ""))
}

/// A share in at most six columns. What isn't all of it, or none of it, doesn't read so.
pub(crate) fn share(share: Option<f64>) -> String {
    match share {
        None => "-".to_owned(),
        Some(0.0) => "0%".to_owned(),
        Some(1.0) => "100%".to_owned(),
        Some(share) if share < 0.001 => "<0.1%".to_owned(),
        Some(share) if share > 0.999 => ">99.9%".to_owned(),
        Some(share) => format!("{:.1}%", share * 100.0),
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Metric, String> {
        let found = Metric::ALL.into_iter().find(|metric| metric.as_str() == text);
        found.ok_or_else(|| "no such metric; accepted: p50, p99, p99.9, loss, host".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_level_below_it() {
        for (value, level) in [
            (0.0, 0),
            (50e3, 0),
            (50e3 + 1.0, 1),
            (1e6, 2),
            (100e6, 5),
            (100e6 + 1.0, 6),
            (60e9, 6),
        ] {
            assert_eq!(Metric::P99.level(value), level, "{value}");
        }
        for (value, level) in [(0.0, 0), (1e-9, 1), (0.001, 1), (0.02, 3), (0.25, 5), (1.0, 6)] {
            assert_eq!(Metric::Loss.level(value), level, "{value}");
        }
        let scale = |metric: Metric| {
            (0..Metric::LEVELS)
                .map(|level| metric.meaning(level))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(scale(Metric::Host), "50us 250us 1ms 5ms 25ms 100ms more");
        assert_eq!(scale(Metric::Loss), "0 0.1% 1% 5% 10% 25% more");
    }

    #[test]
    fn numbers_are_short_and_shares_never_read_as_all_or_none_of_it() {
        for ns in [
            0,
            1,
            999,
            1_000,
            9_999,
            99_999,
            999_999,
            1_000_000,
            999_999_999,
            60_000_000_000_u64,
        ] {
            let text = Metric::P50.text(ns as f64);
            assert!(text.len() <= 6, "{text}");
        }
        for (part, text) in [
            (0.0, "0%"),
            (1e-6, "<0.1%"),
            (0.9999, ">99.9%"),
            (1.0, "100%"),
            (0.5, "50.0%"),
        ] {
            assert_eq!(Metric::Loss.text(part), text);
        }
    }

    #[test]
    fn names_are_read_back() {
        for metric in Metric::ALL {
            assert_eq!(metric.to_string().parse(), Ok(metric));
        }
        assert!("p95".parse::<Metric>().is_err_and(|why| why.contains("p99.9")));
    }
}
