//! Precision and recall.

use std::collections::BTreeMap;
use std::fmt;

use dt_collect::diagnosis::{FindingKind, Findings, Subject};

/// Findings against faults. Right is a finding of the right kind at exactly the right place.
#[derive(Debug, Default)]
pub(crate) struct Score {
    right: usize,
    wrong: usize,
    missed: usize,
    /// (right, wrong, missed) by kind.
    kinds: BTreeMap<FindingKind, [usize; 3]>,
    mistakes: Vec<String>,
}

impl Score {
    pub(crate) fn count(&mut self, expected: &[(FindingKind, Subject)], findings: &Findings, what: &str) {
        let is = |(kind, subject): &(FindingKind, Subject), found: &dt_collect::diagnosis::Finding| {
            found.kind == *kind && found.subject == *subject
        };
        for wanted in expected {
            let found = findings.findings.iter().any(|found| is(wanted, found));
            let entry = self.kinds.entry(wanted.0).or_default();
            if found {
                self.right += 1;
                entry[0] += 1;
            } else {
                self.missed += 1;
                entry[2] += 1;
                self.mistakes.push(format!("missed {wanted:?}: {what}"));
            }
        }
        for found in &findings.findings {
            if !expected.iter().any(|wanted| is(wanted, found)) {
                self.wrong += 1;
                self.kinds.entry(found.kind).or_default()[1] += 1;
                self.mistakes.push(format!(
                    "wrong {} {:?} ({}): {what}",
                    found.kind, found.subject, found.summary
                ));
            }
        }
    }

    /// The share of the findings that are right.
    pub(crate) fn precision(&self) -> f64 {
        self.right as f64 / (self.right + self.wrong).max(1) as f64
    }

    /// The share of the faults that were found.
    pub(crate) fn recall(&self) -> f64 {
        self.right as f64 / (self.right + self.missed).max(1) as f64
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.right + self.missed;
        writeln!(
            f,
            "precision {:.3}, recall {:.3} of {all} faults",
            self.precision(),
            self.recall()
        )?;
        for (kind, [right, wrong, missed]) in &self.kinds {
            writeln!(f, "  {kind:16} {right} right, {wrong} wrong, {missed} missed")?;
        }
        for mistake in &self.mistakes {
            writeln!(f, "  {mistake}")?;
        }
        Ok(())
    }
}
