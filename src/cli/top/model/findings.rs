//! What is at fault, as diagnosis says it. Read loosely, so that kinds that a newer server knows are shown too.

use serde::Deserialize;

/// All that is the matter, the gravest first.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Findings {
    /// When it was looked at, UTC milliseconds.
    pub(crate) now_ms: u64,
    /// The look of the whole heat map: `normal` and others.
    #[serde(default)]
    pub(crate) pattern: String,
    pub(crate) findings: Vec<Finding>,
}

/// One cause and what speaks for it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Finding {
    pub(crate) kind: String,
    /// One sentence.
    pub(crate) summary: String,
    /// What was seen, one sentence each.
    #[serde(default)]
    pub(crate) evidence: Vec<String>,
    /// 0 to 1.
    #[serde(default)]
    pub(crate) confidence: f64,
    /// UTC milliseconds.
    #[serde(default)]
    pub(crate) since_ms: Option<u64>,
    /// Ordered pairs of nodes that it explains.
    #[serde(default)]
    pub(crate) pairs: u64,
    #[serde(default)]
    pub(crate) subject: Subject,
}

/// Where a fault is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Subject {
    pub(crate) nodes: Vec<String>,
    pub(crate) racks: Vec<String>,
    pub(crate) zones: Vec<String>,
    pub(crate) source: Option<String>,
    pub(crate) destination: Option<String>,
    /// The source port of a dead flow.
    pub(crate) port: Option<u16>,
}

impl Finding {
    /// Whether `text` (in lower case) stands in it.
    pub(crate) fn contains(&self, text: &str) -> bool {
        let subject = &self.subject;
        let names = subject.nodes.iter().chain(&subject.racks).chain(&subject.zones);
        let ends = subject.source.iter().chain(&subject.destination);
        [&self.kind, &self.summary]
            .into_iter()
            .chain(names)
            .chain(ends)
            .any(|part| part.to_lowercase().contains(text))
    }
}
