//! `dt records`: the summary records of a Kafka topic, one JSON object a line, whatever their encoding.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dt_sink::kafka::reader::{Reader, ReaderConfig, Received, Start};
use tokio::sync::oneshot;

use crate::args::{Reading, Settings};
use crate::ends::Ends;
use crate::{logging, out};

/// The options of `dt records`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Runs until SIGINT, SIGTERM or SIGHUP. Repeats are printed too: (boot_id, seq) tells them. What is no \
    summary record is skipped and counted."
)]
pub(crate) struct Records {
    #[command(flatten)]
    settings: Settings<Reading>,
    /// Print what the topic holds already, not only what is written from now on
    #[arg(long, env = "DT_RECORDS_FROM_BEGINNING", hide_env_values = true)]
    from_beginning: bool,
}

/// What became of the messages read.
#[derive(Debug, Default)]
struct Counts {
    printed: AtomicU64,
    tombstones: AtomicU64,
    foreign: AtomicU64,
}

/// Runs `dt records`.
pub(crate) fn run(records: &Records) -> ExitCode {
    let loaded = match out::configuration(&records.settings.inputs()) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    logging::start_quiet(&loaded);
    let (cluster, kafka) = (loaded.config.cluster, loaded.config.kafka);
    let options = kafka.all_options();
    let reader = Reader::start(ReaderConfig {
        bootstrap: kafka.bootstrap,
        topic: kafka.summary_topic,
        start: if records.from_beginning {
            Start::Beginning
        } else {
            Start::End
        },
        client_id: "dt-records".to_owned(),
        options,
    });
    let reader = match reader {
        Ok(reader) => reader,
        Err(error) => return out::usage(&error.to_string()),
    };
    let counts = Arc::new(Counts::default());
    let code = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(until_told(reader, cluster, &counts)),
        Err(error) => return out::failure(&format!("can't start a runtime: {error}")),
    };
    let [printed, tombstones, foreign] =
        [&counts.printed, &counts.tombstones, &counts.foreign].map(|count| count.load(Relaxed));
    out::say(&format!(
        "{printed} records printed, {} messages skipped ({tombstones} tombstones, {foreign} no summary records)",
        tombstones + foreign
    ));
    code
}

/// Prints on a thread of its own until a signal comes or printing fails. A reader of our output that has stopped
/// reading blocks that thread, but not our end.
async fn until_told(reader: Reader, cluster: String, counts: &Arc<Counts>) -> ExitCode {
    let Ok(mut ends) = Ends::catch() else {
        return out::failure("can't listen for signals");
    };
    let (ended, end) = oneshot::channel();
    let counts = Arc::clone(counts);
    let printer = std::thread::Builder::new().name("printer".to_owned()).spawn(move || {
        // Nobody waits any more where a signal came first.
        let _ = ended.send(print_all(reader, &cluster, &counts));
    });
    if let Err(error) = printer {
        return out::failure(&format!("can't start a thread: {error}"));
    }
    tokio::select! {
        () = ends.come() => ExitCode::SUCCESS,
        printed = end => match printed {
            Ok(written) => out::finish(written),
            Err(_) => out::failure("printing ended unexpectedly"),
        },
    }
}

fn print_all(mut reader: Reader, cluster: &str, counts: &Counts) -> io::Result<()> {
    while let Some(message) = reader.blocking_next() {
        match line(&message, cluster) {
            Line::Record(mut text) => {
                text.push('\n');
                // Counted first: whoever has read the line may end us at once, and the count is to hold it.
                counts.printed.fetch_add(1, Relaxed);
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes())?;
                out.flush()?;
            }
            Line::Tombstone => _ = counts.tombstones.fetch_add(1, Relaxed),
            Line::Foreign(why) => {
                counts.foreign.fetch_add(1, Relaxed);
                let (partition, offset) = (message.partition, message.offset);
                tracing::debug!(partition, offset, why, "skipped a message");
            }
        }
    }
    Err(io::Error::other("reading from Kafka ended"))
}

enum Line {
    Record(String),
    Tombstone,
    Foreign(String),
}

/// `cluster` is the only one whose records are wanted, unless it is empty.
fn line(message: &Received, cluster: &str) -> Line {
    let Some(payload) = message.payload.as_deref().filter(|payload| !payload.is_empty()) else {
        return Line::Tombstone;
    };
    match to_json(message.header("content-type"), payload, cluster) {
        Ok(text) => Line::Record(text),
        Err(why) => Line::Foreign(why),
    }
}

/// A record's JSON on one line. What came as JSON keeps every field as it was written, also those unknown here.
fn to_json(content_type: Option<&str>, payload: &[u8], cluster: &str) -> Result<String, String> {
    let record = dt_record::decode(content_type, payload).map_err(|error| error.to_string())?;
    if !record.is_of(cluster) {
        return Err(format!("of the cluster {:?}", record.cluster));
    }
    // A message of ours in Protobuf never begins like a JSON object: see `dt_record::decode`.
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(payload).is_ok();
    match std::str::from_utf8(payload) {
        Ok(text) if is_json => Ok(compact(text)),
        Err(_) if is_json => Err("not UTF-8".to_owned()),
        _ => serde_json::to_string(&record).map_err(|error| error.to_string()),
    }
}

/// Takes the white space between the tokens of valid JSON away.
fn compact(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    json.chars()
        .filter(|&c| {
            let keep = in_string || !matches!(c, ' ' | '\t' | '\n' | '\r');
            if escaped {
                escaped = false;
            } else if c == '"' {
                in_string = !in_string;
            } else {
                escaped = in_string && c == '\\';
            }
            keep
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{
        "schema_version": 1, "src_node": "a b", "dst_node": "c\\\" d", "probe": "tcp",
        "window_start_ms": 10000,	"window_end_ms": 20000, "zone_of_tomorrow": [1.50, {"x": null}], "sent": 0, "received": 0
    }"#;

    #[test]
    fn a_json_record_keeps_every_field_as_written_on_one_line() {
        let expected = concat!(
            r#"{"schema_version":1,"src_node":"a b","dst_node":"c\\\" d","probe":"tcp","window_start_ms":10000,"#,
            r#""window_end_ms":20000,"zone_of_tomorrow":[1.50,{"x":null}],"sent":0,"received":0}"#
        );
        assert_eq!(to_json(None, RECORD.as_bytes(), "").as_deref(), Ok(expected));
        assert_eq!(
            to_json(Some("application/json"), RECORD.as_bytes(), "").as_deref(),
            Ok(expected)
        );
    }

    #[test]
    fn what_is_no_record_is_no_line() {
        for bytes in [
            &b"garbage"[..],
            b"{}",
            b"[]",
            b"{\"schema_version\":1}",
            b"\xff\xfe",
            b"null",
        ] {
            assert!(to_json(None, bytes, "").is_err(), "{bytes:?}");
        }
        let broken = RECORD.replace("a b", "a\u{0}b").into_bytes();
        assert!(to_json(None, &broken, "").is_err());
        let mut not_utf8 = RECORD.as_bytes().to_vec();
        let at = RECORD.find("zone").unwrap();
        not_utf8[at] = 0xff;
        assert!(to_json(None, &not_utf8, "").is_err());
    }

    #[test]
    fn only_the_cluster_that_is_asked_for_is_printed() {
        let record = RECORD.replacen('{', r#"{"cluster": "c1","#, 1);
        for (wanted, is_printed) in [("", true), ("c1", true), ("c2", false)] {
            assert_eq!(to_json(None, record.as_bytes(), wanted).is_ok(), is_printed, "{wanted}");
        }
        assert!(to_json(None, RECORD.as_bytes(), "c1").is_err());
    }
}
