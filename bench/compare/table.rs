//! One comparison's rounds, and what they come to.

use std::fmt;

use dt_bench::statistics::median;

use crate::contenders::{Contender, Cost};

/// The costs of all contenders in all rounds.
pub(crate) struct Table {
    heading: &'static str,
    contenders: &'static [Contender],
    rounds: Vec<Vec<Option<Cost>>>,
}

impl Table {
    pub(crate) fn new(heading: &'static str, contenders: &'static [Contender]) -> Table {
        Table {
            heading,
            contenders,
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

    /// The median of a contender's cost over another's, round by round.
    fn ratio(&self, place: usize, to: usize) -> Option<f64> {
        let cost = |round: &Vec<Option<Cost>>, place: usize| round.get(place).copied().flatten();
        let ratios = self
            .rounds
            .iter()
            .filter_map(|round| Some(cost(round, place)?.total / cost(round, to)?.total));
        median(ratios.collect())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fping = self
            .contenders
            .iter()
            .position(|contender| *contender == Contender::Fping);
        writeln!(
            f,
            "| {:34} | user | total | least | most | / first | / fping |\n| {:-<34} | ---: | ----: | ----: | ---: | ------: | ------: |",
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
            writeln!(
                f,
                "| {:34} | {:>4} | {:>5} | {:>5} | {:>4} | {:>7} | {:>7} |",
                contender.name(),
                show(median(self.of(place).filter_map(|cost| cost.user).collect())),
                show(median(totals)),
                show(least),
                show(most),
                show(self.ratio(place, 0)),
                show(fping.and_then(|fping| self.ratio(place, fping))),
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
    use super::*;

    fn cost(total: f64) -> Option<Cost> {
        Some(Cost { user: Some(1.0), total })
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let mut table = Table::new("x", &[Contender::Fping, Contender::Fping, Contender::Fping]);
        // A round on a machine twice as busy says the same; the last one was disturbed.
        for (first, second) in [(10.0, 12.0), (20.0, 24.0), (10.0, 90.0)] {
            table.add(vec![cost(first), cost(second), None]);
        }
        assert_eq!((table.ratio(1, 0), table.ratio(2, 0)), (Some(1.2), None));
        let text = table.to_string();
        assert!(text.contains("24.00") && text.contains("not installed"), "{text}");
    }
}
