//! After the end: what the file says of the probes, and the topic against the file.

use super::subject::LARGE;
use distributed_trace_tests::agent::{by_pair, text, total};
use distributed_trace_tests::error::{LabError, Result};
use distributed_trace_tests::kafka::Kafka;
use distributed_trace_tests::loopback::SUMMARIES;
use distributed_trace_tests::ping::number;
use distributed_trace_tests::{fail, topic};
use serde_json::Value;
use std::collections::BTreeMap;

/// Records by their number. There is one life, so that is their `ce_id` as well.
pub(crate) type Numbered = BTreeMap<u64, Value>;

/// A fault, and which windows ended last before it began and before it ended.
pub(crate) type Fault = (&'static str, u64, u64);

/// What can't be in the topic.
pub(crate) struct Gone {
    /// When the newest of the windows had ended that the topic may have taken with it.
    pub(crate) deleted: u64,
    /// Records that were too large.
    pub(crate) dropped: u64,
    /// The probes that they told of.
    pub(crate) dropped_probes: u64,
}

/// The records in the topic; a consumer drops repeats, which must be the same.
pub(crate) fn in_topic(kafka: &Kafka) -> Result<Numbered> {
    let mut numbered = Numbered::new();
    for record in topic::read_as(&kafka.client_config(), SUMMARIES)? {
        let value = record.json()?;
        let seq = number(&value, "seq")?;
        let id = format!("{}-{seq}", text(&value, "boot_id")?);
        assert_eq!(record.headers.get("ce_id"), Some(&id));
        if let Some(earlier) = numbered.insert(seq, value.clone())
            && earlier != value
        {
            fail!("two records of one number: {earlier} and {value}");
        }
    }
    Ok(numbered)
}

/// No probe was lost in all that time, and each that was due was sent, during each of the faults as well.
pub(crate) fn probed_on(records: &[Value], faults: &[Fault]) -> Result {
    let pairs = by_pair(records)?;
    assert_eq!(pairs.len(), 6, "two peers by three kinds");
    for (pair, records) in pairs {
        for two in records.windows(2) {
            let (before, after) = (number(two[0], "window_end_ms")?, number(two[1], "window_start_ms")?);
            assert_eq!(before, after, "{pair:?}: probing stopped");
        }
        for fate in ["lost", "refused", "unreachable", "send_error"] {
            assert_eq!(total(records.iter().copied(), fate)?, 0, "{fate} of {pair:?}");
        }
        // The first window and the last one are not whole.
        let inner = records.get(1..records.len() - 1).unwrap_or_default();
        let (Some(first), Some(last)) = (inner.first(), inner.last()) else {
            fail!("{pair:?}: no whole window");
        };
        let due = (number(last, "window_end_ms")? - number(first, "window_start_ms")?) / 100;
        let received = total(inner.iter().copied(), "received")?;
        let skipped = total(inner.iter().copied(), "skipped")?;
        assert!(
            (received + skipped).abs_diff(due) <= due / 50,
            "{pair:?}: {received} received and {skipped} skipped of {due}"
        );
        // A busy machine skips some; a prober that waited for Kafka during any of the faults would have skipped more.
        assert!(skipped <= due / 20, "{pair:?}: {skipped} skipped of {due}");
        for (fault, from, until) in faults {
            let mut during = 0;
            for record in &records {
                if number(record, "window_start_ms")? >= *from && number(record, "window_end_ms")? <= *until {
                    assert!(number(record, "received")? > 0, "{fault}: {record}");
                    during += 1;
                }
            }
            assert!(during > 0, "{fault}: no window to {pair:?} from {from} to {until}");
        }
    }
    Ok(())
}

/// Whatever the number, which each sink gives anew.
fn content(record: &Value) -> Value {
    let mut content = record.clone();
    content["seq"] = Value::Null;
    content
}

/// Each window of the `file` was in the topic once, `before` its deletion or `after`, save what is [`Gone`].
pub(crate) fn audit(file: &[Value], before: &Numbered, after: &Numbered, gone: &Gone) -> Result {
    let window = |record: &Value| {
        let pair = (text(record, "dst_node")?.to_owned(), text(record, "probe")?.to_owned());
        Ok::<_, LabError>((number(record, "window_start_ms")?, pair))
    };
    let mut missing = BTreeMap::new();
    for record in file {
        if missing.insert(window(record)?, record).is_some() {
            fail!("twice in the file: {record}");
        }
    }
    let mut published = before.clone();
    published.extend(after.clone());
    for record in published.values() {
        match missing.remove(&window(record)?) {
            Some(written) if content(written) == content(record) => {}
            Some(written) => fail!("in the file {written}, in the topic {record}"),
            None => fail!("a second time in the topic, or not in the file: {record}"),
        }
    }

    // What was acknowledged between the look at the topic and its deletion.
    let mut went_with_it = 0;
    let mut too_large = Vec::new();
    for record in missing.into_values() {
        if number(record, "window_end_ms")? <= gone.deleted {
            went_with_it += 1;
        } else if text(record, "dst_node")? == LARGE {
            too_large.push(record);
        } else {
            fail!("not in the topic: {record}");
        }
    }
    assert_eq!(too_large.len() as u64, gone.dropped, "{too_large:?}");
    assert_eq!(total(too_large, "sent")?, gone.dropped_probes);

    // The numbers have no gap but for what was dropped: before the deletion, and again from the new topic on.
    let ends = |numbered: &Numbered| {
        let ends = numbered.keys().next().zip(numbered.keys().next_back());
        let ends = ends.map(|(first, last)| (*first, *last));
        ends.ok_or_else(|| LabError::new("nothing in the topic"))
    };
    let (first, known) = ends(before)?;
    assert_eq!((first, known), (1, before.len() as u64), "before the deletion");
    let (anew, last) = ends(after)?;
    let kept = after.len() as u64 + gone.dropped;
    assert_eq!(last + 1 - anew, kept, "since the deletion, from {anew} to {last}");
    assert_eq!(
        (anew - 1).saturating_sub(known),
        went_with_it,
        "{known} before, then {anew}"
    );
    assert_eq!(last, file.len() as u64, "each record of the file was numbered once");
    Ok(())
}
