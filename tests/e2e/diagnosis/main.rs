//! Diagnosis of a real network: ten agents in three zones, whose records are read as a collector reads them, while one
//! thing after another is broken and mended.

mod faults;
mod lab;

use distributed_trace_tests::error::{LabError, Result};
use distributed_trace_tests::fail;
use distributed_trace_tests::lock::take_turn;
use dt_collect::diagnosis::{Finding, Findings};
use faults::Fault;
use lab::{Lab, fabric};

/// Looks until a fault must be named, and until it must be forgotten.
const PATIENCE: usize = 20;
/// Looks until nothing must be said of the lab that was just started.
const SETTLING: usize = 3 * PATIENCE;
/// Looks in a row without anything to say, by which the lab is taken for settled.
const QUIET: usize = 5;
/// Further looks at a sound network, one after the other, each a window (a second) later.
const CLEAN: usize = 10;

#[derive(Default)]
struct Score {
    right: usize,
    missed: usize,
    wrong: usize,
    report: String,
}

impl Score {
    fn note(&mut self, line: &str) {
        println!("{line}");
        self.report += line;
        self.report += "\n";
    }

    fn wrong(&mut self, finding: &Finding, when: &str) {
        self.wrong += 1;
        self.note(&format!(
            "    wrong {when}: {} {:?}: {} {:?}",
            finding.kind, finding.subject, finding.summary, finding.evidence
        ));
    }
}

fn is_expected(fault: &Fault, finding: &Finding) -> bool {
    fault
        .expected
        .as_ref()
        .is_some_and(|(kind, subject)| finding.kind == *kind && finding.subject == *subject)
}

/// Breaks it, looks until it is named, looks once more, mends it, and looks until nothing is said. Only the last look of the
/// two times is judged: evidence of a fault comes window by window, and what is said before it suffices is printed.
fn try_one(lab: &mut Lab<'_>, fault: &Fault, score: &mut Score) -> Result {
    score.note(&format!("  {}", fault.what));
    let broken = (fault.inject)(lab)?;
    let mut named_after = None;
    let mut last = None;
    for look in 1..=PATIENCE {
        let findings = lab.look()?;
        let named = findings.findings.iter().any(|finding| is_expected(fault, finding));
        let others = findings.findings.iter().filter(|finding| !is_expected(fault, finding));
        for other in others {
            score.note(&format!("    look {look}: {} {:?}", other.kind, other.summary));
        }
        let enough = named_after.is_some() || (fault.expected.is_none() && look == 6);
        if named && named_after.is_none() {
            named_after = Some(look);
        }
        last = Some(findings);
        if enough {
            break;
        }
    }
    judge(lab, fault, named_after, last.as_deref(), score);
    drop(broken);
    (fault.mend)(lab)?;
    for look in 1..=PATIENCE {
        let findings = lab.look()?;
        if findings.findings.iter().all(|finding| lab.is_of_this_machine(finding)) {
            score.note(&format!("    mended: nothing is said after {look} looks"));
            return Ok(());
        }
        if look == PATIENCE {
            for finding in findings
                .findings
                .iter()
                .filter(|finding| !lab.is_of_this_machine(finding))
            {
                score.wrong(finding, "long after it was mended");
            }
        }
    }
    Ok(())
}

fn judge(lab: &Lab<'_>, fault: &Fault, named_after: Option<usize>, last: Option<&Findings>, score: &mut Score) {
    let last: &[Finding] = last.map(|last| last.findings.as_slice()).unwrap_or_default();
    match (&fault.expected, named_after) {
        (Some((kind, _)), Some(looks)) => {
            score.right += 1;
            let finding = last.iter().find(|finding| is_expected(fault, finding));
            let said =
                finding.map(|finding| format!("{} ({}) {:?}", finding.summary, finding.confidence, finding.evidence));
            score.note(&format!("    {kind} after {looks} looks: {}", said.unwrap_or_default()));
        }
        (Some(expected), None) => {
            score.missed += 1;
            score.note(&format!("    missed {expected:?}"));
        }
        (None, _) => {}
    }
    let wrong = |finding: &&Finding| !is_expected(fault, finding) && !lab.is_of_this_machine(finding);
    for finding in last.iter().filter(wrong) {
        score.wrong(finding, "while it lasted");
    }
}

/// Looks until the agents have found one another; what is said meanwhile is true.
fn settle(lab: &mut Lab<'_>) -> Result {
    let (mut quiet, mut last) = (0, String::from("nothing"));
    for _ in 0..SETTLING {
        let findings = lab.look()?;
        let said = findings
            .findings
            .iter()
            .find(|finding| !lab.is_of_this_machine(finding));
        quiet = if said.is_none() { quiet + 1 } else { 0 };
        if let Some(said) = said {
            last = format!("{said:?}");
        }
        if quiet >= QUIET && lab.records() > 0 {
            return Ok(());
        }
    }
    fail!(
        "the lab did not become quiet in {SETTLING} looks, {} records read; said last: {last}",
        lab.records()
    )
}

#[test]
fn faults_of_a_real_network_are_named() -> Result {
    let _turn = take_turn()?;
    let fabric = fabric()?;
    let mut lab = Lab::start(&fabric)?;
    let mut score = Score::default();
    settle(&mut lab)?;
    for look in 1..=CLEAN {
        let findings = lab.look()?;
        if let Some(finding) = findings
            .findings
            .iter()
            .find(|finding| !lab.is_of_this_machine(finding))
        {
            fail!("clean look {look} of {CLEAN}: {finding:?}");
        }
    }
    score.note(&format!(
        "{CLEAN} clean looks without a finding, {} records read",
        lab.records()
    ));
    let faults = faults::all();
    assert!(faults.len() >= 12);
    for fault in &faults {
        try_one(&mut lab, fault, &mut score)?;
    }
    let Score {
        right,
        missed,
        wrong,
        report,
    } = score;
    let precision = right as f64 / (right + wrong).max(1) as f64;
    let recall = right as f64 / (right + missed).max(1) as f64;
    let summary = format!(
        "{} faults: precision {precision:.3}, recall {recall:.3}",
        right + missed
    );
    println!("{summary}");
    if precision < 0.9 || recall < 0.9 {
        return Err(LabError::new(format!("{summary}\n{report}")));
    }
    Ok(())
}
