//! One comparison's rounds, and what they come to.

use std::fmt;

use dt_bench::statistics::median;

use crate::contenders::{Contender, Cost};

/// The costs of all contenders in all rounds.
pub(crate) struct Table {
    heading: &'static str,
    contenders: &'static [Contender],
    /// Whether the contenders are held to their bounds.
    bounded: bool,
    rounds: Vec<Vec<Option<Cost>>>,
}

impl Table {
    pub(crate) fn new(heading: &'static str, contenders: &'static [Contender], bounded: bool) -> Table {
        Table {
            heading,
            contenders,
            bounded,
            rounds: Vec::new(),
        }
    }

    /// One round's costs, in the contenders' order.
    pub(crate) fn add(&mut self, round: Vec<Option<Cost>>) {
        self.rounds.push(round);
    }

    fn of(&self, place: usize) -> impl Iterator<Item = Cost> {
        self.rounds
            .iter()
            .filter_map(move |round| round.get(place).copied().flatten())
    }

    /// The median of a contender's cost over the first one's, round by round.
    fn ratio(&self, place: usize) -> Option<f64> {
        let cost = |round: &Vec<Option<Cost>>, place: usize| round.get(place).copied().flatten();
        let ratios = self
            .rounds
            .iter()
            .filter_map(|round| Some(cost(round, place)?.total / cost(round, 0)?.total));
        median(ratios.collect())
    }

    fn bound(&self, contender: Contender) -> Option<f64> {
        contender.bound().filter(|_| self.bounded)
    }

    /// Whether nobody is beyond its bound.
    pub(crate) fn holds(&self) -> bool {
        let mut all = self.contenders.iter().enumerate();
        all.all(|(place, contender)| match (self.ratio(place), self.bound(*contender)) {
            (Some(ratio), Some(bound)) => ratio <= bound,
            _ => true,
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| {:34} |   user |  total |  least |   most | ratio | bound |          |\n\
             | {:-<34} | -----: | -----: | -----: | -----: | ----: | ----: | -------- |",
            self.heading, ""
        )?;
        for (place, contender) in self.contenders.iter().enumerate() {
            let totals: Vec<f64> = self.of(place).map(|cost| cost.total).collect();
            if totals.is_empty() {
                writeln!(f, "| {:34} | not installed", contender.name())?;
                continue;
            }
            let least = totals.iter().copied().reduce(f64::min);
            let most = totals.iter().copied().reduce(f64::max);
            let (ratio, bound) = (self.ratio(place), self.bound(*contender));
            let verdict = match (ratio, bound) {
                (Some(ratio), Some(bound)) if ratio > bound => "EXCEEDED",
                (Some(_), Some(_)) => "holds",
                _ => "",
            };
            writeln!(
                f,
                "| {:34} | {:>6} | {:>6} | {:>6} | {:>6} | {:>5} | {:>5} | {verdict:8} |",
                contender.name(),
                show(median(self.of(place).filter_map(|cost| cost.user).collect())),
                show(median(totals)),
                show(least),
                show(most),
                show(ratio),
                show(bound),
            )?;
        }
        Ok(())
    }
}

fn show(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

#[cfg(test)]
mod tests {
    use dt_bench::reference::Mode;

    use super::*;
    use crate::contenders::Kind;
    use crate::others::Other;

    fn cost(total: f64) -> Option<Cost> {
        Some(Cost { user: Some(1.0), total })
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        use Contender::{Loop, Other as By, Reference};
        let contenders = &[Reference(Mode::Icmp), Loop(Kind::Icmp), By(Other::Fping)];
        let mut table = Table::new("x", contenders, true);
        // A round on a machine twice as busy says the same; the last one was disturbed.
        for (first, second) in [(10.0, 12.0), (20.0, 24.0), (10.0, 90.0)] {
            table.add(vec![cost(first), cost(second), None]);
        }
        assert_eq!((table.ratio(1), table.ratio(2)), (Some(1.2), None));
        let text = table.to_string();
        assert!(text.contains("24.00") && text.contains("not installed"), "{text}");
        assert!(text.contains("EXCEEDED") && !table.holds(), "{text}");
        table.bounded = false;
        assert!(table.holds() && !table.to_string().contains("EXCEEDED"));
    }
}
