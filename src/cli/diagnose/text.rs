//! Findings for people.

use std::fmt::Write;

use dt_collect::diagnosis::Findings;
use dt_collect::plain::plain;

/// One paragraph for each finding. What came from records is made fit for a terminal.
pub(super) fn report(findings: &Findings) -> String {
    let caveat = findings.caveat();
    if findings.findings.is_empty() {
        return match caveat {
            Some(caveat) if findings.judged => format!("Nothing is the matter; {caveat}.\n"),
            Some(_) => "Nothing can be said yet: no records were judged.\n".to_owned(),
            None => "Nothing is the matter.\n".to_owned(),
        };
    }
    let mut text = String::new();
    if let Some(caveat) = caveat {
        // Writing to a string can't fail.
        let _ = writeln!(text, "({caveat})");
    }
    for finding in &findings.findings {
        let seconds = findings.now_ms.saturating_sub(finding.since_ms) / 1000;
        let confidence = finding.confidence * 100.0;
        // Writing to a string can't fail.
        let _ = writeln!(text, "{}", plain(&finding.summary));
        let _ = writeln!(
            text,
            "    {}, for {}, confidence {confidence:.0} %, {}",
            finding.kind,
            lasted(seconds),
            pairs(finding.pairs)
        );
        for seen in &finding.evidence {
            let _ = writeln!(text, "    {}", plain(seen));
        }
    }
    text
}

fn lasted(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

fn pairs(count: u64) -> String {
    match count {
        1 => "1 pair".to_owned(),
        _ => format!("{count} pairs"),
    }
}

#[cfg(test)]
mod tests {
    use dt_collect::diagnosis::{Finding, FindingKind, ReadShare, Subject};

    use super::*;

    #[test]
    fn a_finding_is_a_paragraph_and_steers_no_terminal() {
        let mut none = Findings::none_yet(1);
        assert_eq!(report(&none), "Nothing can be said yet: no records were judged.\n");
        none.judged = true;
        assert_eq!(report(&none), "Nothing is the matter.\n");
        none.share = Some(ReadShare { read: 4, of: 12 });
        let part = "this is about the 4 of 12 partitions that this collector reads";
        assert_eq!(report(&none), format!("Nothing is the matter; {part}.\n"));
        let finding = Finding {
            kind: FindingKind::NodeDown,
            subject: Subject::default(),
            summary: "n5\u{1b}[2J is down".to_owned(),
            evidence: vec!["icmp 20 of 20\nfailed".to_owned()],
            confidence: 0.987,
            since_ms: 1_000,
            pattern: None,
            pairs: 9,
        };
        let findings = Findings {
            judged: true,
            share: None,
            now_ms: 181_000,
            findings: vec![finding],
            ..Findings::default()
        };
        assert_eq!(
            report(&findings),
            "n5\u{fffd}[2J is down\n    node_down, for 3 min, confidence 99 %, 9 pairs\n    icmp 20 of 20\u{fffd}failed\n"
        );
    }
}
