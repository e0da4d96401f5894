//! One record as the matrix takes it in, wherever it comes from.

use std::borrow::Cow;
use std::net::IpAddr;

use dt_probe::{Clock, Counts, Method, ProbeKind};
use dt_record::{DecodeError, Distribution, Endpoint, Summary, SummaryRecord};
use smallvec::SmallVec;

use crate::snapshot::FlowLoss;
use crate::sound;

/// One end, as a record names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    pub(crate) node: &'a str,
    pub(crate) zone: &'a str,
    pub(crate) rack: &'a str,
    pub(crate) region: &'a str,
}

impl End<'_> {
    /// Whether `endpoint` says the same.
    pub(crate) fn is(&self, endpoint: &Endpoint) -> bool {
        [self.node, self.zone, self.rack, self.region]
            == [&endpoint.node, &endpoint.zone, &endpoint.rack, &endpoint.region].map(|text| text.as_str())
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint {
            node: self.node.into(),
            zone: self.zone.into(),
            rack: self.rack.into(),
            region: self.region.into(),
        }
    }
}

impl<'a> From<&'a Endpoint> for End<'a> {
    fn from(endpoint: &'a Endpoint) -> End<'a> {
        End {
            node: &endpoint.node,
            zone: &endpoint.zone,
            rack: &endpoint.rack,
            region: &endpoint.region,
        }
    }
}

/// How a series is measured; may change from record to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) method: Method,
    pub(crate) payload_bytes: Option<u32>,
    pub(crate) destination_ip: Option<IpAddr>,
    pub(crate) destination_port: u16,
}

/// What one record says.
#[derive(Debug)]
pub(crate) struct Observation<'a> {
    pub(crate) source: End<'a>,
    pub(crate) destination: End<'a>,
    pub(crate) probe: ProbeKind,
    pub(crate) manner: Manner,
    pub(crate) start_ms: u64,
    pub(crate) end_ms: u64,
    pub(crate) counts: Counts,
    pub(crate) rtt: Cow<'a, Distribution>,
    pub(crate) host_delay: Cow<'a, Distribution>,
    pub(crate) tx: Clock,
    pub(crate) rx: Clock,
    pub(crate) receive_drops: u64,
    /// Source ports that lost something.
    pub(crate) losing_flows: SmallVec<[FlowLoss; 1]>,
    pub(crate) flows_used: u16,
    /// The partition it was read from; 0 where it was not read from Kafka.
    pub(crate) partition: i32,
    /// Whether it comes as it is made. Else it may have lain there for an hour, and its own time is all there is.
    pub(crate) is_present: bool,
}

impl<'a> From<&'a Summary> for Observation<'a> {
    fn from(summary: &'a Summary) -> Observation<'a> {
        let pair = &*summary.pair;
        let losing = summary.flows.iter().filter(|flow| flow.lost > 0);
        Observation {
            source: (&*pair.source).into(),
            destination: (&*pair.destination).into(),
            probe: pair.probe,
            manner: Manner {
                method: pair.method,
                payload_bytes: pair.payload_bytes,
                destination_ip: Some(pair.destination_ip),
                destination_port: pair.destination_port,
            },
            start_ms: summary.window_start_ms,
            end_ms: summary.window_end_ms,
            counts: summary.counts,
            rtt: Cow::Borrowed(&summary.rtt),
            host_delay: Cow::Borrowed(&summary.host_delay),
            tx: summary.timestamp_tx,
            rx: summary.timestamp_rx,
            receive_drops: summary.receive_drops,
            losing_flows: losing
                .map(|flow| FlowLoss {
                    port: flow.port,
                    lost: flow.lost,
                    windows: 1,
                })
                .collect(),
            flows_used: u16::try_from(summary.flows.len()).unwrap_or(u16::MAX),
            partition: 0,
            is_present: true,
        }
    }
}

impl<'a> Observation<'a> {
    /// Of a record that was read, for one of the past.
    ///
    /// # Errors
    /// A kind of probe unknown here, or what can't be true: see [`sound::check`].
    pub(crate) fn of_record(record: &'a SummaryRecord, partition: i32) -> Result<Observation<'a>, DecodeError> {
        let probe = record
            .probe
            .parse()
            .map_err(|unknown: dt_probe::UnknownWord| DecodeError::Invalid(unknown.to_string()))?;
        let rtt = record.distribution()?;
        sound::check(record, rtt.as_ref())?;
        let method = record.method.parse().unwrap_or(match probe {
            ProbeKind::Icmp => Method::Echo,
            ProbeKind::Tcp => Method::Connect,
            ProbeKind::Grpc => Method::PingNode,
        });
        let clock = |word: &str| word.parse().unwrap_or(Clock::User);
        let port = |number: u32| u16::try_from(number).unwrap_or(0);
        let losing = record.worst_flow_port.zip(record.worst_flow_lost);
        Ok(Observation {
            source: End {
                node: &record.src_node,
                zone: &record.src_zone,
                rack: &record.src_rack,
                region: &record.src_region,
            },
            destination: End {
                node: &record.dst_node,
                zone: &record.dst_zone,
                rack: &record.dst_rack,
                region: &record.dst_region,
            },
            probe,
            manner: Manner {
                method,
                payload_bytes: record.payload_bytes,
                destination_ip: record.dst_ip.parse().ok(),
                destination_port: port(record.dst_port),
            },
            start_ms: record.window_start_ms,
            end_ms: record.window_end_ms,
            counts: Counts {
                received: record.received,
                lost: record.lost,
                refused: record.refused,
                unreachable: record.unreachable,
                send_error: record.send_error,
                late: record.late,
                duplicate: record.duplicate,
                skipped: record.skipped,
                timestamp_fallbacks: record.timestamp_fallbacks,
            },
            rtt: Cow::Owned(rtt.unwrap_or_default()),
            host_delay: Cow::Owned(host_delay(record)),
            tx: clock(&record.timestamp_tx),
            rx: clock(&record.timestamp_rx),
            receive_drops: record.receive_drops,
            losing_flows: losing
                .filter(|(_, lost)| *lost > 0)
                .map(|(number, lost)| FlowLoss {
                    port: port(number),
                    lost,
                    windows: 1,
                })
                .into_iter()
                .collect(),
            flows_used: u16::try_from(record.flows).unwrap_or(u16::MAX),
            partition,
            is_present: false,
        })
    }
}

/// A record carries three percentiles of host delay. Each value is taken as the next one known above it, so that what is
/// merged from them adds exactly and is never less than the truth.
fn host_delay(record: &SummaryRecord) -> Distribution {
    let (Some(p50), Some(p99), Some(max)) = (
        record.host_delay_p50_ns,
        record.host_delay_p99_ns,
        record.host_delay_max_ns,
    ) else {
        return Distribution::default();
    };
    let all = record.received;
    // Ranks as of the nearest rank, which is how the percentiles were read.
    let half = all.div_ceil(2);
    let most = all - all / 100;
    let mut buckets: Vec<(u64, u64)> = Vec::with_capacity(3);
    for (value, count) in [
        (p50, half),
        (p99.max(p50), most - half),
        (max.max(p99).max(p50), all - most),
    ] {
        match buckets.last_mut() {
            _ if count == 0 => {}
            Some(last) if last.0 == value => last.1 += count,
            _ => buckets.push((value, count)),
        }
    }
    let sum_ns = buckets.iter().fold(0, |sum: u128, &(value, count)| {
        sum.saturating_add(u128::from(value) * u128::from(count))
    });
    Distribution { buckets, sum_ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_delay_of_a_record_is_never_less_than_the_truth() {
        let record = |received, p50, p99, max| SummaryRecord {
            received,
            host_delay_p50_ns: Some(p50),
            host_delay_p99_ns: Some(p99),
            host_delay_max_ns: Some(max),
            ..SummaryRecord::default()
        };
        assert_eq!(host_delay(&record(1, 7, 7, 7)).buckets, [(7, 1)]);
        assert_eq!(host_delay(&record(10, 5, 9, 9)).buckets, [(5, 5), (9, 5)]);
        assert_eq!(host_delay(&record(200, 5, 8, 9)).buckets, [(5, 100), (8, 98), (9, 2)]);
        // Percentiles read back are those that went in.
        let read = host_delay(&record(1_000, 5, 8, 9));
        assert_eq!([0.5, 0.99, 1.0].map(|q| read.quantile(q)), [Some(5), Some(8), Some(9)]);
        assert_eq!(host_delay(&SummaryRecord::default()), Distribution::default());
        // What contradicts itself is at least in order.
        assert!(host_delay(&record(100, 9, 5, 1)).buckets.is_sorted());
    }
}
