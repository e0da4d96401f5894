//! What is the matter, as gauges.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use dt_metrics::{Page, Source};
use tokio::sync::watch;

use crate::clock::now_ms;
use crate::diagnosis::{Finding, Findings, Pattern};

/// So many names stand in a label; how many more there are is said.
const NAMES: usize = 10;

/// Every pattern, as it is called everywhere.
const PATTERNS: [(Pattern, &str); 5] = [
    (Pattern::Normal, "normal"),
    (Pattern::PodsetDown, "podset_down"),
    (Pattern::PodsetFailure, "podset_failure"),
    (Pattern::SpineFailure, "spine_failure"),
    (Pattern::Unknown, "unknown"),
];

/// What the last look found.
#[derive(Debug)]
pub(super) struct Found(pub(super) watch::Receiver<Arc<Findings>>);

impl Source for Found {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        let found = self.0.borrow().clone();
        // Before the first look nothing is said.
        let looked = (found.now_ms > 0).then_some(());
        // Findings of different subjects may have the same labels, where those are cut.
        let mut confidences: BTreeMap<[(&str, String); 7], f64> = BTreeMap::new();
        for finding in &found.findings {
            let confidence = confidences.entry(labels(finding)).or_default();
            *confidence = confidence.max(finding.confidence);
        }
        let series: Vec<(Vec<_>, f64)> = confidences
            .iter()
            .map(|(labels, confidence)| {
                let labels = labels.iter().map(|(name, value)| (*name, value.as_str()));
                (super::labels(labels), *confidence)
            })
            .collect();
        page.gauges(
            "finding",
            "What is the matter, and how well it fits what is seen, 0 to 1",
            series.iter().map(|(labels, confidence)| (&labels[..], *confidence)),
        )?;
        page.gauges(
            "findings",
            "How many causes were found",
            looked.map(|()| (&[][..], found.findings.len() as f64)),
        )?;
        let patterns =
            PATTERNS.map(|(pattern, word)| ([("pattern", word)], f64::from(u8::from(pattern == found.pattern))));
        page.gauges(
            "pattern",
            "1 for what the heat map looks like as a whole",
            patterns
                .iter()
                .filter(|_| looked.is_some())
                .map(|(labels, value)| (&labels[..], *value)),
        )?;
        page.gauges(
            "diagnosis_age_seconds",
            "How long ago it was looked at",
            looked.map(|()| (&[][..], now_ms().saturating_sub(found.now_ms) as f64 / 1e3)),
        )
    }
}

fn labels(finding: &Finding) -> [(&'static str, String); 7] {
    let subject = &finding.subject;
    [
        ("kind", finding.kind.as_str().to_owned()),
        ("nodes", names(&subject.nodes)),
        ("racks", names(&subject.racks)),
        ("zones", names(&subject.zones)),
        ("source", subject.source.clone().unwrap_or_default()),
        ("destination", subject.destination.clone().unwrap_or_default()),
        ("port", subject.port.map(|port| port.to_string()).unwrap_or_default()),
    ]
}

fn names(all: &[String]) -> String {
    let shown = all[..all.len().min(NAMES)].join(",");
    match all.len().saturating_sub(NAMES) {
        0 => shown,
        more => format!("{shown},+{more}"),
    }
}

#[cfg(test)]
mod tests {
    use dt_metrics::{Format, Metrics};

    use super::*;
    use crate::diagnosis::{FindingKind, Subject};

    fn page(findings: Findings) -> String {
        let (_, found) = watch::channel(Arc::new(findings));
        let page = Metrics::new(vec![Box::new(Found(found))])
            .render(Format::OpenMetrics)
            .unwrap();
        String::from_utf8(page).unwrap()
    }

    fn finding(kind: FindingKind, subject: Subject, confidence: f64) -> Finding {
        Finding {
            kind,
            subject,
            summary: String::new(),
            evidence: Vec::new(),
            confidence,
            since_ms: 1,
            pattern: None,
            pairs: 1,
        }
    }

    #[test]
    fn findings_are_gauges() {
        let rack = Subject {
            racks: vec!["z1/r1".to_owned()],
            ..Subject::default()
        };
        let hole = Subject {
            nodes: vec!["a".to_owned(), "b".to_owned()],
            source: Some("a".to_owned()),
            destination: Some("b".to_owned()),
            port: Some(33_000),
            ..Subject::default()
        };
        let text = page(Findings {
            judged: true,
            share: None,
            now_ms: now_ms(),
            pattern: Pattern::PodsetFailure,
            findings: vec![
                finding(FindingKind::Rack, rack, 0.9),
                finding(FindingKind::FlowBlackHole, hole, 0.75),
            ],
        });
        for line in [
            r#"dt_finding{kind="rack",racks="z1/r1"} 0.9"#,
            r#"dt_finding{kind="flow_black_hole",nodes="a,b",source="a",destination="b",port="33000"} 0.75"#,
            "dt_findings 2.0",
            r#"dt_pattern{pattern="podset_failure"} 1.0"#,
            r#"dt_pattern{pattern="normal"} 0.0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn subjects_that_differ_beyond_what_is_shown_are_one_series() {
        let down = |last: &str, confidence| {
            let mut nodes: Vec<String> = (0..12).map(|number| format!("n{number}")).collect();
            nodes.push(last.to_owned());
            let subject = Subject {
                nodes,
                ..Subject::default()
            };
            finding(FindingKind::NodeDown, subject, confidence)
        };
        let text = page(Findings {
            judged: true,
            share: None,
            now_ms: 1,
            pattern: Pattern::Unknown,
            findings: vec![down("x", 0.5), down("y", 0.8)],
        });
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("dt_finding{")).collect();
        assert_eq!(
            lines,
            [r#"dt_finding{kind="node_down",nodes="n0,n1,n2,n3,n4,n5,n6,n7,n8,n9,+3"} 0.8"#]
        );
    }

    #[test]
    fn patterns_are_called_as_everywhere() {
        for (pattern, word) in PATTERNS {
            assert_eq!(serde_json::to_value(pattern).unwrap(), word);
        }
    }

    #[test]
    fn before_the_first_look_nothing_is_said() {
        let page = page(Findings::default());
        assert!(page.lines().all(|line| line.starts_with('#')), "{page}");
    }
}
