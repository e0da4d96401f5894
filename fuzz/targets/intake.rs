//! A collector: whatever is in the topic, and whatever is asked of it then.

use std::sync::Arc;
use std::time::Duration;

use dt_collect::diagnosis::{Diagnosis, DiagnosisConfig, Findings};
use dt_collect::grouped::Part;
use dt_collect::intake::{Message, Outcome};
use dt_collect::rollup::{Applied, RollupTable, Whole};
use dt_collect::{Intake, Level, Matrix, MatrixConfig, TallyBounds, View, metrics, terminal};
use dt_metrics::Format;
use dt_probe::ProbeKind;
use tokio::sync::watch;

use crate::input::Input;
use crate::made::{NOW_MS, record};
use crate::memory::bounded;
use crate::record::CONTENT_TYPES;

const MOST_SERIES: usize = 12;
const MOST_MESSAGES: u64 = 64;

/// Messages of the summary topic, in the order in which they are read.
///
/// # Panics
/// Where a message is counted otherwise than once, bounds don't hold, or a picture can't be made of what was read.
pub fn fuzz_intake(data: &[u8]) {
    let mut input = Input::new(data);
    let matrix = Arc::new(Matrix::new(MatrixConfig {
        window: Duration::from_secs(10),
        max_series: MOST_SERIES,
        tally: TallyBounds {
            zone_pairs: 6,
            nodes: 6,
        },
        ..MatrixConfig::default()
    }));
    let mut intake = Intake::new(Arc::clone(&matrix));
    let mut diagnosis = Diagnosis::new(DiagnosisConfig::default());
    let mut now_ms = NOW_MS;
    let mut taken = 0;
    while !input.is_empty() && taken < MOST_MESSAGES {
        let kind = input.u8();
        now_ms = match kind >> 5 {
            0..=5 => now_ms,
            6 => now_ms.saturating_add(input.u32().into()),
            // Clocks are stepped.
            _ => now_ms.saturating_sub(input.u32().into()),
        };
        let (content_type, payload) = message(kind, &mut input);
        let id = format!("{}", input.u8());
        let message = Message {
            payload: (kind & 4 == 0).then_some(&payload),
            content_type,
            ce_id: (kind & 8 == 0).then_some(&id),
            partition: i32::from(kind & 1),
        };
        let outcome = bounded(payload.len(), 8 << 20, 128, || intake.take(&message, now_ms));
        assert!(outcome != Outcome::Tombstone || payload.is_empty() || message.payload.is_none());
        taken += 1;
        match kind >> 4 & 7 {
            0 => intake.turn(),
            1 => intake.forget_partition(1),
            2 => intake.begin_partition(0, now_ms),
            3 => _ = look(&matrix, &mut diagnosis, now_ms),
            _ => {}
        }
    }
    let stats = intake.stats().all();
    let counted: u64 = stats.iter().take(8).map(|(_, count)| count).sum();
    assert_eq!(counted, taken, "{stats:?}");
    assert!(matrix.stats().series <= MOST_SERIES && matrix.nodes() <= 2 * MOST_SERIES);
    let found = look(&matrix, &mut diagnosis, now_ms);
    show(&matrix, found, now_ms, taken as usize);
}

/// A message of random bytes, or of a record that was made.
fn message(kind: u8, input: &mut Input<'_>) -> (Option<&'static str>, Vec<u8>) {
    if kind & 2 == 0 {
        let record = record(input);
        let content_type = CONTENT_TYPES[1 + usize::from(kind & 1)];
        let payload = if kind & 1 == 0 {
            record.to_json()
        } else {
            record.to_protobuf()
        };
        return (content_type, payload);
    }
    let content_type = *input.one(&CONTENT_TYPES);
    let length = usize::from(input.u16());
    (content_type, input.bytes(length).to_vec())
}

fn look(matrix: &Matrix, diagnosis: &mut Diagnosis, now_ms: u64) -> Arc<Findings> {
    let [recent, minute, hour] = [View::Recent, View::Minute, View::Hour].map(|view| matrix.snapshot(view, now_ms));
    let found = diagnosis.update(&recent, &minute, &hour);
    for finding in &found.findings {
        assert!((0.0..=1.0).contains(&finding.confidence), "{finding:?}");
        assert!(
            !finding.summary.is_empty() && !finding.evidence.is_empty(),
            "{finding:?}"
        );
    }
    found
}

/// Everything that shows what was read: of views and formats one each time, for the sake of more inputs.
fn show(matrix: &Arc<Matrix>, found: Arc<Findings>, now_ms: u64, taken: usize) {
    pictures(matrix, View::ALL[taken % 4], now_ms);
    shares(matrix, [View::Minute, View::TenMinutes, View::Hour][taken % 3], now_ms);
    for text in [
        terminal::summary_table(matrix, now_ms, 10, 120),
        terminal::findings(&found, 10),
    ] {
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    }
    let (_, found) = watch::channel(found);
    let metrics = metrics::of_matrix(matrix, found);
    let format = [Format::OpenMetrics, Format::Text, Format::Protobuf][taken % 3];
    let page = metrics.render(format).unwrap();
    if format != Format::Protobuf {
        // No name breaks out of its line.
        let page = String::from_utf8(page).unwrap();
        let sound = |line: &str| line.starts_with("# ") || line.starts_with("dt_");
        assert!(page.lines().all(sound), "{page}");
    }
}

fn pictures(matrix: &Matrix, view: View, now_ms: u64) {
    for row in matrix.rows(view, now_ms) {
        serde_json::to_string(&row).unwrap();
        for detail in matrix.pair(&row.src_node, &row.dst_node, view, now_ms) {
            assert!(detail.distribution.buckets.is_sorted_by(|a, b| a.0 < b.0));
        }
    }
    for level in [Level::Node, Level::Rack, Level::Zone] {
        for probe in ProbeKind::ALL {
            let grouped = matrix.grouped_part(level, view, *probe, &Part::default(), 1_000, now_ms);
            assert!(grouped.unwrap().cells.len() <= MOST_SERIES);
        }
    }
}

/// What one collector says of its partitions, another believes, and both get the same sums.
fn shares(matrix: &Matrix, view: View, now_ms: u64) {
    let table = RollupTable::default();
    for partial in matrix.partials("me", now_ms) {
        let value = serde_json::to_vec(&partial).unwrap();
        assert_eq!(table.apply(&partial.key(), Some(&value)), Applied::Kept);
    }
    let (told, own) = (table.whole(view, now_ms), Whole::of(matrix, view, now_ms));
    assert_eq!(
        serde_json::to_string(&told).unwrap(),
        serde_json::to_string(&own).unwrap()
    );
}
