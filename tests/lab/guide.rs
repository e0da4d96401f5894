//! What docs/monitoring.md says of log lines.

use crate::error::{LabError, Result};

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The texts that follow one another in it.
    pub parts: Vec<String>,
    /// Whether it tells of a defect of the program itself.
    pub is_bug: bool,
}

impl Line {
    /// Whether this text has all parts, in their order.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut rest = text;
        self.parts.iter().all(|part| match rest.split_once(part.as_str()) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    }
}

/// The lines that the guide's table promises.
///
/// # Errors
/// Where it has no such table.
pub fn lines(guide: &str) -> Result<Vec<Line>> {
    let table = guide.split("## Log lines to act on").nth(1);
    let table = table.ok_or_else(|| LabError::new("no table of log lines"))?;
    let mut lines = Vec::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let (cell, rest) = row.split_once(" | ").unwrap_or((row, ""));
        for line in cell.split('`').skip(1).step_by(2) {
            let parts = line.split("...").map(|part| part.trim().to_owned());
            lines.push(Line {
                parts: parts.filter(|part| !part.is_empty()).collect(),
                is_bug: ["a bug", "a defect"].iter().any(|word| rest.contains(word)),
            });
        }
    }
    Ok(lines)
}
