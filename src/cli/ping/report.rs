//! What `dt ping` prints: a table for people, one JSON object a line for programs.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use dt_collect::terminal::three_digits;
use dt_probe::{Accumulator, Clock};
use dt_record::{Counts, Distribution, Recorder};
use serde::Serialize;
use smol_str::SmolStr;

/// What is known of one target at the end.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// As written on the command line.
    pub(crate) target: SmolStr,
    /// The address probed; `None` where the name didn't resolve.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) proto: &'static str,
    pub(crate) counts: Counts,
    pub(crate) rtt: Distribution,
    pub(crate) host_delay: Distribution,
    pub(crate) tx: Clock,
    pub(crate) rx: Clock,
}

impl Outcome {
    /// Sums `accumulator` up. `best` are the clocks in use, for a target that nothing was received from.
    pub(crate) fn new(
        target: SmolStr,
        address: Option<SocketAddr>,
        proto: &'static str,
        accumulator: &Accumulator,
        best: (Clock, Clock),
        recorder: &mut Recorder,
    ) -> Outcome {
        let rtt = recorder.distribution(accumulator.rtt().iter());
        let host_delay = recorder.distribution(accumulator.host_delay().iter());
        let (tx, rx) = accumulator.clocks().unwrap_or(best);
        Outcome {
            target,
            address,
            proto,
            counts: accumulator.counts(),
            rtt,
            host_delay,
            tx,
            rx,
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    target: &'a str,
    address: Option<IpAddr>,
    proto: &'a str,
    sent: u64,
    received: u64,
    lost: u64,
    duplicate: u64,
    late: u64,
    refused: u64,
    unreachable: u64,
    send_error: u64,
    /// Probes that this host itself kept from being measured; absent where there are none, as nearly always.
    #[serde(skip_serializing_if = "is_zero")]
    skipped: u64,
    rtt_ns: Option<Quantiles>,
    host_delay_ns: Option<HostDelay>,
    timestamps: Timestamps,
    hdr: String,
}

#[derive(Serialize)]
struct Quantiles {
    min: u64,
    mean: u64,
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

#[derive(Serialize)]
struct HostDelay {
    p50: u64,
    p99: u64,
    max: u64,
}

#[derive(Serialize)]
struct Timestamps {
    tx: &'static str,
    rx: &'static str,
    fallbacks: u64,
}

/// The last line of `--json`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Totals {
    pub(crate) targets: usize,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) wall_s: f64,
    pub(crate) cpu_user_s: f64,
    pub(crate) cpu_sys_s: f64,
    pub(crate) max_rss_bytes: u64,
    pub(crate) receive_drops: u64,
    /// Targets that gave no reply at all.
    #[serde(skip)]
    pub(crate) unanswered: usize,
}

impl Totals {
    /// Adds a target's.
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        let counts = &outcome.counts;
        self.targets += 1;
        self.sent += counts.sent();
        self.received += counts.received;
        self.lost += counts.lost;
        self.unanswered += usize::from(counts.received == 0);
    }

    /// Takes over what this process has used until now.
    pub(crate) fn measure_process(&mut self, began: Instant) {
        let usage = dt_kernel::clock::usage();
        self.wall_s = began.elapsed().as_secs_f64();
        self.cpu_user_s = usage.user_ns as f64 / 1e9;
        self.cpu_sys_s = usage.system_ns as f64 / 1e9;
        self.max_rss_bytes = usage.max_rss_bytes;
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn quantiles(rtt: &Distribution) -> Option<Quantiles> {
    Some(Quantiles {
        min: rtt.min()?,
        mean: rtt.mean()?,
        p50: rtt.quantile(0.5)?,
        p90: rtt.quantile(0.9)?,
        p99: rtt.quantile(0.99)?,
        p999: rtt.quantile(0.999)?,
        max: rtt.max()?,
    })
}

/// Writes one JSON object for `outcome`.
///
/// # Errors
/// Those of `out`.
pub(crate) fn json_line(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    let Outcome {
        target,
        address,
        proto,
        counts,
        rtt,
        host_delay,
        tx,
        rx,
    } = outcome;
    let delay = || {
        Some(HostDelay {
            p50: host_delay.quantile(0.5)?,
            p99: host_delay.quantile(0.99)?,
            max: host_delay.max()?,
        })
    };
    let line = Line {
        target,
        address: address.map(|address| address.ip()),
        proto,
        sent: counts.sent(),
        received: counts.received,
        lost: counts.lost,
        duplicate: counts.duplicate,
        late: counts.late,
        refused: counts.refused,
        unreachable: counts.unreachable,
        send_error: counts.send_error,
        skipped: counts.skipped,
        rtt_ns: quantiles(rtt),
        host_delay_ns: delay(),
        timestamps: Timestamps {
            tx: tx.as_str(),
            rx: rx.as_str(),
            fallbacks: counts.timestamp_fallbacks,
        },
        hdr: dt_record::hdr::encode(rtt),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// Writes the summary line of `--json`.
///
/// # Errors
/// Those of `out`.
pub(crate) fn json_summary(out: &mut impl Write, totals: &Totals) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &serde_json::json!({ "summary": totals }))?;
    out.write_all(b"\n")
}

const COLUMNS: [&str; 13] = [
    "target", "address", "sent", "recv", "loss", "min", "mean", "p50", "p90", "p99", "max", "host p99", "notes",
];

/// The table: one line a target, delays with their unit.
pub(crate) fn table(outcomes: impl Iterator<Item = Outcome>) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(COLUMNS);
    for outcome in outcomes {
        table.add_row(row(&outcome));
    }
    for column in table.column_iter_mut().skip(2).take(10) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

fn row(outcome: &Outcome) -> Vec<String> {
    let counts = &outcome.counts;
    let show = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), delay);
    let rtt = &outcome.rtt;
    let sent = counts.sent();
    let loss = if sent == 0 {
        "-".to_owned()
    } else {
        format!("{:.1}%", 100.0 * counts.lost as f64 / sent as f64)
    };
    vec![
        outcome.target.to_string(),
        outcome.address.map_or_else(|| "-".to_owned(), written),
        sent.to_string(),
        counts.received.to_string(),
        loss,
        show(rtt.min()),
        show(rtt.mean()),
        show(rtt.quantile(0.5)),
        show(rtt.quantile(0.9)),
        show(rtt.quantile(0.99)),
        show(rtt.max()),
        show(outcome.host_delay.quantile(0.99)),
        notes(outcome),
    ]
}

/// With its port where it has one.
fn written(address: SocketAddr) -> String {
    if address.port() == 0 {
        address.ip().to_string()
    } else {
        address.to_string()
    }
}

/// What the columns don't say, in words, only where there is something to say.
fn notes(outcome: &Outcome) -> String {
    let counts = &outcome.counts;
    let mut notes: Vec<String> = [
        ("refused", counts.refused),
        ("unreachable", counts.unreachable),
        ("never left this host", counts.send_error),
        ("untold: this host dropped packets or slept", counts.skipped),
        ("late", counts.late),
        ("duplicate", counts.duplicate),
        ("without kernel stamp", counts.timestamp_fallbacks),
    ]
    .iter()
    .filter(|(_, n)| *n > 0)
    .map(|(what, n)| format!("{n} {what}"))
    .collect();
    if outcome.address.is_none() {
        notes.push("not resolved".to_owned());
    }
    if counts.received > 0 && (outcome.tx == Clock::User || outcome.rx == Clock::User) {
        notes.push("user-space clock".to_owned());
    }
    notes.join(", ")
}

fn delay(ns: u64) -> String {
    three_digits(ns, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_has_three_digits_and_a_unit() {
        assert_eq!(delay(0), "0ns");
        assert_eq!(delay(999), "999ns");
        assert_eq!(delay(25_340), "25.3us");
        assert_eq!(delay(1_500_000), "1.50ms");
        assert_eq!(delay(123_000_000), "123ms");
        assert_eq!(delay(59_000_000_000), "59.0s");
    }

    fn outcome(counts: Counts, rtts: &[u64]) -> Outcome {
        let rtt = dt_record::Recorder::new().distribution(rtts.iter().map(|v| (*v, 1)));
        Outcome {
            target: "a".into(),
            address: Some(([127, 0, 0, 1], 0).into()),
            proto: "icmp",
            counts,
            rtt,
            host_delay: Distribution::default(),
            tx: Clock::Kernel,
            rx: Clock::Kernel,
        }
    }

    #[test]
    fn json_has_null_where_nothing_was_received() {
        let mut out = Vec::new();
        json_line(
            &mut out,
            &outcome(
                Counts {
                    lost: 2,
                    ..Counts::default()
                },
                &[],
            ),
        )
        .expect("a vector");
        let json: serde_json::Value = serde_json::from_slice(&out).expect("json");
        assert_eq!(json["rtt_ns"], serde_json::Value::Null);
        assert_eq!(
            (&json["sent"], &json["lost"], &json["hdr"]),
            (&2.into(), &2.into(), &"".into())
        );
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
    }

    #[test]
    fn the_table_names_its_columns_and_what_went_wrong() {
        let one = outcome(
            Counts {
                received: 3,
                refused: 1,
                ..Counts::default()
            },
            &[1000, 2000, 3000],
        );
        let text = table(std::iter::once(one));
        for word in ["p50", "p99", "1 refused", "2.00us", "127.0.0.1", "0.0%"] {
            assert!(text.contains(word), "{word} is missing:\n{text}");
        }
    }
}
