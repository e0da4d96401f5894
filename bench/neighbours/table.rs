//! Costs by the number of raw sockets beside.

use std::fmt;

use dt_bench::Result;
use dt_bench::statistics::median;

/// How many sockets there are; the first number is none, which the others are measured by.
pub(crate) const SOCKETS: [u32; 4] = [0, 1, 10, 50];

/// For each kind of socket the costs of all rounds, by the number of sockets.
pub(crate) struct Table {
    heading: String,
    rows: Vec<(String, Vec<[f64; SOCKETS.len()]>)>,
}

impl Table {
    pub(crate) fn new(heading: &str) -> Table {
        Table {
            heading: heading.to_owned(),
            rows: Vec::new(),
        }
    }

    /// Measures a row: `cost` of an operation with so many sockets, CPU nanoseconds.
    pub(crate) fn measure(&mut self, name: &str, rounds: u32, mut cost: impl FnMut(u32) -> Result<f64>) -> Result {
        let mut costs = Vec::new();
        for _ in 0..rounds {
            let mut round = [0.0; SOCKETS.len()];
            for (place, sockets) in round.iter_mut().zip(SOCKETS) {
                *place = cost(sockets)?;
            }
            costs.push(round);
        }
        self.rows.push((name.to_owned(), costs));
        Ok(())
    }
}

/// What one socket adds, nanoseconds: the median of the rounds' differences to none, by the largest number of sockets.
fn each(rounds: &[[f64; SOCKETS.len()]]) -> f64 {
    let most = SOCKETS.len() - 1;
    let differences = rounds
        .iter()
        .map(|round| (round[most] - round[0]) / f64::from(SOCKETS[most]));
    median(differences.collect()).unwrap_or(f64::NAN)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {:44} |", self.heading)?;
        SOCKETS.iter().try_for_each(|sockets| write!(f, " {sockets:>6} |"))?;
        write!(f, " each   |\n| {:-<44} |", "")?;
        SOCKETS.iter().try_for_each(|_| write!(f, " -----: |"))?;
        writeln!(f, " -----: |")?;
        for (name, rounds) in &self.rows {
            write!(f, "| {name:44} |")?;
            for place in 0..SOCKETS.len() {
                let cost = median(rounds.iter().map(|round| round[place]).collect());
                write!(f, " {:>6.2} |", cost.unwrap_or(f64::NAN) / 1e3)?;
            }
            writeln!(f, " {:>6.3} |", each(rounds) / 1e3)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_socket_adds_what_many_add_divided_by_their_number() {
        let mut table = Table::new("x");
        let mut calls = 0.0;
        table
            .measure("y", 3, |sockets| {
                // Each call on a machine busier than the last one.
                calls += 20.0;
                Ok(7_000.0 + 200.0 * f64::from(sockets) + calls)
            })
            .unwrap();
        let text = table.to_string();
        assert!(
            text.contains("|   7.10 |   7.32 |   9.14 |  17.16 |  0.201 |"),
            "{text}"
        );
    }
}
