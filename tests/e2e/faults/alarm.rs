//! What a collector would have said while records came, had it looked each second.

use distributed_trace_tests::error::Result;
use distributed_trace_tests::ping::number;
use dt_collect::diagnosis::{Diagnosis, DiagnosisConfig, Finding, FindingKind};
use dt_collect::intake::{Intake, Message};
use dt_collect::{Matrix, MatrixConfig, View};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const WINDOW_MS: u64 = 1_000;
/// After a window's end its records are on their way.
const DELAY_MS: u64 = 400;

/// The findings of all looks, each with the time of the first one that had it.
pub(crate) fn alarms<'a>(records: impl IntoIterator<Item = &'a Value>) -> Result<Vec<String>> {
    let mut by_end: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for record in records {
        by_end.entry(number(record, "window_end_ms")?).or_default().push(record);
    }
    let matrix = Arc::new(Matrix::new(MatrixConfig {
        window: Duration::from_millis(WINDOW_MS),
        ..MatrixConfig::default()
    }));
    let mut intake = Intake::new(Arc::clone(&matrix));
    let mut diagnosis = Diagnosis::new(DiagnosisConfig::default());
    let mut said = BTreeMap::new();
    let ends = by_end.keys().next().copied().zip(by_end.keys().last().copied());
    let (first, last) = ends.unwrap_or_default();
    let mut looks = 0;
    for end in (first..=last).step_by(WINDOW_MS as usize) {
        let now_ms = end + DELAY_MS;
        for record in by_end.get(&end).into_iter().flatten() {
            let line = record.to_string();
            let message = Message {
                payload: Some(line.as_bytes()),
                content_type: None,
                ce_id: None,
                partition: 0,
            };
            intake.take(&message, now_ms);
        }
        intake.turn();
        let view = |view| matrix.snapshot(view, now_ms);
        let views = [view(View::Recent), view(View::Minute), view(View::Hour)];
        let looked = diagnosis.update(&views[0], &views[1], &views[2]);
        // That a busy machine skips turns of its agents is true, and nothing that the test did.
        let of_others = |finding: &&Finding| finding.kind != FindingKind::ProberAtFault;
        for finding in looked.findings.iter().filter(of_others) {
            said.entry(finding.summary.clone())
                .or_insert_with(|| format!("{} s: {finding:?}", (end - first) / 1_000));
        }
        looks += 1;
    }
    assert!(looks > 10, "{looks} looks");
    Ok(said.into_values().collect())
}
