//! What is at fault, as diagnosis says it. Read loosely, so that kinds that a newer server knows are shown too.

use dt_collect::diagnosis;
use dt_collect::diagnosis::{Pattern, ReadShare};
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
    /// Whether there is a verdict. Older servers don't say, and mean it.
    #[serde(default = "judged")]
    pub(crate) judged: bool,
    /// What part of the cluster it is about.
    #[serde(default)]
    pub(crate) share: Option<ReadShare>,
}

fn judged() -> bool {
    true
}

impl Findings {
    /// What has to be said beside the findings.
    pub(crate) fn caveat(&self) -> Option<String> {
        let made = diagnosis::Findings {
            judged: self.judged,
            share: self.share,
            ..diagnosis::Findings::default()
        };
        made.caveat()
    }

    /// What is to be said where there are none.
    pub(crate) fn none(&self) -> String {
        match self.caveat() {
            Some(caveat) if self.judged => format!("no fault found; {caveat}"),
            Some(caveat) => caveat,
            None => "no fault found".to_owned(),
        }
    }
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

impl From<&diagnosis::Findings> for Findings {
    fn from(findings: &diagnosis::Findings) -> Findings {
        let pattern = match findings.pattern {
            Pattern::Normal => "normal",
            Pattern::PodsetDown => "podset_down",
            Pattern::PodsetFailure => "podset_failure",
            Pattern::SpineFailure => "spine_failure",
            Pattern::Unknown => "unknown",
        };
        Findings {
            now_ms: findings.now_ms,
            pattern: pattern.to_owned(),
            findings: findings.findings.iter().map(Finding::from).collect(),
            judged: findings.judged,
            share: findings.share,
        }
    }
}

impl From<&diagnosis::Finding> for Finding {
    fn from(finding: &diagnosis::Finding) -> Finding {
        let subject = &finding.subject;
        Finding {
            kind: finding.kind.as_str().to_owned(),
            summary: finding.summary.clone(),
            evidence: finding.evidence.clone(),
            confidence: finding.confidence,
            since_ms: Some(finding.since_ms),
            pairs: finding.pairs,
            subject: Subject {
                nodes: subject.nodes.clone(),
                racks: subject.racks.clone(),
                zones: subject.zones.clone(),
                source: subject.source.clone(),
                destination: subject.destination.clone(),
                port: subject.port,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use dt_collect::diagnosis::{FindingKind, Subject};

    use super::*;

    #[test]
    fn what_is_made_here_is_what_a_server_says() {
        for pattern in [
            Pattern::Normal,
            Pattern::PodsetDown,
            Pattern::PodsetFailure,
            Pattern::SpineFailure,
            Pattern::Unknown,
        ] {
            let finding = diagnosis::Finding {
                kind: FindingKind::FlowBlackHole,
                subject: Subject {
                    nodes: vec!["a".into(), "b".into()],
                    racks: vec!["z/r".into()],
                    zones: vec!["z".into()],
                    source: Some("a".into()),
                    destination: Some("b".into()),
                    port: Some(41_000),
                },
                summary: "one flow is dead".into(),
                evidence: vec!["seen".into()],
                confidence: 0.9,
                since_ms: 5,
                pattern: Some(pattern),
                pairs: 2,
            };
            let made = diagnosis::Findings {
                now_ms: 7,
                judged: true,
                share: Some(ReadShare { read: 4, of: 12 }),
                pattern,
                findings: vec![finding],
            };
            let said: Findings = serde_json::from_str(&serde_json::to_string(&made).unwrap()).unwrap();
            assert_eq!(Findings::from(&made), said);
        }
    }
}
