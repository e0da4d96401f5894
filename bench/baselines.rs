//! Instruction counts beside those that were committed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::{Failure, Result, doing};

/// How often each benchmark of instructions does its one thing.
pub const CALLS: usize = 1_024;
/// How far a count may be from its baseline. The compiler is pinned and so are libc's choices (see the benchmarks); what
/// is left is libc's version, and code that moves without anybody having made it better or worse.
const TOLERANCE: f64 = 0.05;

/// Instructions of one call, by the benchmark's name.
pub type Counts = BTreeMap<String, f64>;

/// What the comparison came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// A line for each benchmark, to be read by people.
    pub table: String,
    /// Whether no count is too high, and each has its baseline.
    pub holds: bool,
}

/// Reads the lines that gungraun prints with `--output-format=json`, one benchmark each.
///
/// # Errors
/// Where a line isn't one, or there is none.
pub fn read_counts(text: &str) -> Result<Counts> {
    let mut counts = Counts::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let ran: Value = serde_json::from_str(line).map_err(doing(&format!("read {line:.80}")))?;
        let word = |name: &str| ran[name].as_str().unwrap_or_default().to_owned();
        let total = ran["profiles"][0]["data"]["total"]["metrics"]["Ir"]["values"]["new"].as_u64();
        let total = total.ok_or_else(|| Failure(format!("no instruction count in {line:.80}")))?;
        counts.insert(format!("{} {}", word("function_name"), word("id")), per_call(total));
    }
    if counts.is_empty() {
        return Err(Failure("no benchmark was run".to_owned()));
    }
    Ok(counts)
}

/// To a tenth of an instruction.
fn per_call(total: u64) -> f64 {
    (total as f64 / CALLS as f64 * 10.0).round() / 10.0
}

/// Sets the counts beside the baselines.
#[must_use]
pub fn compare(counts: &Counts, baselines: &Counts) -> Comparison {
    let mut comparison = Comparison {
        table: format!("{:36} {:>10} {:>10}\n", "instructions of one call", "baseline", "now"),
        holds: true,
    };
    for (name, count) in counts {
        let baseline = baselines.get(name);
        let verdict = match baseline {
            None => "has no baseline",
            Some(baseline) if *count > baseline * (1.0 + TOLERANCE) => "MORE than its baseline and the tolerance",
            Some(baseline) if *count < baseline * (1.0 - TOLERANCE) => "less: lower its baseline",
            Some(_) => "",
        };
        comparison.holds &= baseline.is_some_and(|baseline| *count <= baseline * (1.0 + TOLERANCE));
        let baseline = baseline.map_or_else(|| "-".to_owned(), |baseline| format!("{baseline:.1}"));
        let line = format!("{name:36} {baseline:>10} {count:>10.1} {verdict}");
        let _ = writeln!(comparison.table, "{}", line.trim_end());
    }
    for name in baselines.keys().filter(|name| !counts.contains_key(*name)) {
        comparison.holds = false;
        let _ = writeln!(comparison.table, "{name:36} has a baseline and no benchmark");
    }
    comparison
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(list: &[(&str, f64)]) -> Counts {
        list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn a_line_is_a_benchmark() {
        let line = r#"{"function_name":"emit","id":"syn","profiles":[{"data":{"total":{"metrics":{"Ir":{"values":{"new":102912,"old":7}}}}}}]}"#;
        assert_eq!(read_counts(line).unwrap(), counts(&[("emit syn", 100.5)]));
        assert!(read_counts("").is_err() && read_counts("{}").is_err() && read_counts("x").is_err());
    }

    #[test]
    fn more_than_the_tolerance_fails_and_less_is_told() {
        let baselines = counts(&[("emit", 100.0)]);
        let of = |count: f64| compare(&counts(&[("emit", count)]), &baselines);
        assert!(of(104.9).holds && of(95.1).holds && of(50.0).holds && !of(105.1).holds);
        assert!(of(50.0).table.contains("lower its baseline") && of(105.1).table.contains("MORE"));
    }

    #[test]
    fn each_benchmark_has_a_baseline_and_each_baseline_a_benchmark() {
        assert!(!compare(&counts(&[("a", 1.0), ("b", 1.0)]), &counts(&[("a", 1.0)])).holds);
        assert!(!compare(&counts(&[("a", 1.0)]), &counts(&[("a", 1.0), ("b", 1.0)])).holds);
    }
}
