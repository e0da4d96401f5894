//! The record of the Go original: one per gRPC ping, in its JSON.

use serde::{Deserialize, Serialize};

/// One gRPC ping as the original reports it. Fields with zero values are left out of the JSON, as the original's
/// encoder does; their order is the original's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceReport {
    /// The pinging agent's registered `host:port`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from_host_addr: String,
    /// The pinged agent's registered `host:port`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to_host_addr: String,
    /// How long the call took, nanoseconds; 0 where it failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub response_timing: u32,
    /// Whether it was answered in time and with success.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_transmission_success: bool,
}

// serde hands over references.
fn is_zero(value: &u32) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !*value
}

impl TraceReport {
    /// A report of a ping from `from` to `to`. `rtt_ns` is `None` for a ping that failed or timed out; longer ones than
    /// 4,294,967,295 ns (4.3 s) are reported as that, the most the original's field holds.
    #[must_use]
    pub fn new(from: impl Into<String>, to: impl Into<String>, rtt_ns: Option<u64>) -> TraceReport {
        TraceReport {
            from_host_addr: from.into(),
            to_host_addr: to.into(),
            response_timing: rtt_ns.map_or(0, |rtt| u32::try_from(rtt).unwrap_or(u32::MAX)),
            is_transmission_success: rtt_ns.is_some(),
        }
    }

    /// The original's JSON, without a line end.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and numbers always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(report: &TraceReport) -> String {
        String::from_utf8(report.to_json()).unwrap()
    }

    #[test]
    fn success_is_the_originals_json() {
        assert_eq!(
            json(&TraceReport::new("a:4000", "b:4000", Some(5_453_533))),
            r#"{"fromHostAddr":"a:4000","toHostAddr":"b:4000","responseTiming":5453533,"isTransmissionSuccess":true}"#
        );
    }

    #[test]
    fn failure_lacks_the_two_last_keys() {
        assert_eq!(
            json(&TraceReport::new("a:4000", "b:4000", None)),
            r#"{"fromHostAddr":"a:4000","toHostAddr":"b:4000"}"#
        );
    }

    #[test]
    fn timing_saturates() {
        for (rtt, timing) in [
            (4_294_967_295, u32::MAX),
            (4_294_967_296, u32::MAX),
            (u64::MAX, u32::MAX),
            (1, 1),
        ] {
            assert_eq!(TraceReport::new("a", "b", Some(rtt)).response_timing, timing);
        }
    }

    #[test]
    fn reads_back_what_it_writes() {
        for report in [
            TraceReport::new("a", "b", Some(7)),
            TraceReport::new("a", "b", None),
            TraceReport::default(),
        ] {
            assert_eq!(
                serde_json::from_slice::<TraceReport>(&report.to_json()).unwrap(),
                report
            );
        }
    }
}
