//! What a Kafka message of ours consists of: key, value and the headers of CloudEvents 1.0 in binary mode
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md>).

use std::fmt::Write;

use dt_record::SummaryRecord;
use rdkafka::message::{Header, OwnedHeaders};

use crate::config::Encoding;
use crate::spool::FileNumber;

/// The CloudEvents `type` of a summary record.
pub(super) const CE_TYPE: &str = "distributed_trace.v1.SummaryRecord";

/// A message between being numbered and being acknowledged.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) value: Vec<u8>,
}

/// Which topic a message goes to, and what only its kind has.
#[derive(Debug)]
pub(crate) enum Kind {
    /// One summary record.
    Summary {
        key: String,
        headers: OwnedHeaders,
        /// How many probes it tells of.
        probes: u64,
        run: Run,
    },
    /// One TraceReport: no key, no headers.
    Trace,
}

/// Which run of the agent made a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// This one, under this number.
    This(u64),
    /// An earlier one, from this file of the spool.
    Earlier(FileNumber),
}

impl Message {
    /// Bytes it takes while outstanding.
    pub(crate) fn bytes(&self) -> usize {
        // Ours and librdkafka's copy of the value, and the headers.
        const OVERHEAD: usize = 512;
        2 * self.value.len() + OVERHEAD
    }

    /// A record of this run.
    pub(crate) fn summary(record: &SummaryRecord, encoding: Encoding) -> Message {
        let value = match encoding {
            Encoding::Json => record.to_json(),
            Encoding::Protobuf => record.to_protobuf(),
        };
        Message::of(record, encoding, value, Run::This(record.seq))
    }

    /// A record of an earlier run, with the JSON that was kept of it.
    pub(crate) fn spooled(record: &SummaryRecord, encoding: Encoding, json: Vec<u8>, file: FileNumber) -> Message {
        let value = match encoding {
            Encoding::Json => json,
            Encoding::Protobuf => record.to_protobuf(),
        };
        Message::of(record, encoding, value, Run::Earlier(file))
    }

    /// The JSON of a record of this run, and its number.
    pub(crate) fn to_be_kept(&self) -> Option<(u64, Vec<u8>)> {
        match self.kind {
            Kind::Summary {
                run: Run::This(seq), ..
            } => {
                // Our own, so it can be read.
                let record = dt_record::decode(None, &self.value).ok()?;
                Some((seq, record.to_json()))
            }
            _ => None,
        }
    }

    fn of(record: &SummaryRecord, encoding: Encoding, value: Vec<u8>, run: Run) -> Message {
        let content_type = match encoding {
            Encoding::Json => "application/json",
            Encoding::Protobuf => "application/protobuf",
        };
        let mut headers = OwnedHeaders::new_with_capacity(6);
        for (key, value) in [
            ("content-type", content_type),
            ("ce_specversion", "1.0"),
            ("ce_type", CE_TYPE),
            ("ce_source", &source(&record.cluster, &record.src_node)),
            ("ce_id", &record.ce_id()),
            ("ce_time", &rfc3339(record.window_end_ms)),
        ] {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        Message {
            kind: Kind::Summary {
                key: record.key(),
                headers,
                probes: record.sent,
                run,
            },
            value,
        }
    }
}

/// The headers of a record's message, in order.
#[cfg(feature = "internals")]
pub(crate) fn headers_of(record: &SummaryRecord, encoding: Encoding) -> Vec<(String, Vec<u8>)> {
    use rdkafka::message::Headers;
    let Kind::Summary { headers, .. } = Message::summary(record, encoding).kind else {
        return Vec::new();
    };
    let all = headers.iter();
    all.map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
        .collect()
}

/// The CloudEvents `source`, a URI reference.
fn source(cluster: &str, node: &str) -> String {
    let mut source = String::from("/distributed-trace");
    for part in [cluster, node] {
        source.push('/');
        for byte in part.bytes() {
            // RFC 3986 section 2.3: everything unreserved stands for itself.
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                source.push(char::from(byte));
            } else {
                // Writing to a String can't fail.
                let _ = write!(source, "%{byte:02X}");
            }
        }
    }
    source
}

/// `millis` since 1970 as RFC 3339 in UTC.
fn rfc3339(millis: u64) -> String {
    const DAY_MS: u64 = 86_400_000;
    let (days, rest) = (millis / DAY_MS, millis % DAY_MS);
    // The proleptic Gregorian calendar in eras of 400 years that begin on 1 March, so that leap days come last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let day = day - (153 * shifted + 2) / 5 + 1;
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
        rest % 1_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        // Golden values by GNU date.
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_000, "2024-02-29T23:59:59.000Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (1_795_359_600_000, "2026-11-22T15:00:00.000Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(millis), text);
        }
    }

    #[test]
    fn sources_are_uri_references() {
        assert_eq!(source("c1", "node-1.example"), "/distributed-trace/c1/node-1.example");
        assert_eq!(source("", "a b/ü"), "/distributed-trace//a%20b%2F%C3%BC");
    }
}
