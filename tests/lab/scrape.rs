//! One look at an agent's `/metrics`, and the sums that must come out right whenever one looks.

use crate::error::{LabError, Result};
use std::collections::BTreeMap;

/// The fates, as the label says them.
const FATES: [&str; 5] = ["received", "lost", "refused", "unreachable", "send_error"];

/// The series of one page.
#[derive(Debug, Clone)]
pub struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    /// Reads a page.
    #[must_use]
    pub fn of(page: &str) -> Scrape {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Scrape(series.collect())
    }

    /// The value of a series, named with its labels as it stands on the page.
    ///
    /// # Errors
    /// Where it isn't there.
    pub fn get(&self, series: &str) -> Result<f64> {
        let value = self.0.get(series);
        value
            .copied()
            .ok_or_else(|| LabError::new(format!("no {series} on the page")))
    }

    /// As [`Scrape::get`], for what is counted in whole numbers.
    ///
    /// # Errors
    /// Where it isn't there.
    pub fn count(&self, series: &str) -> Result<u64> {
        Ok(self.get(series)? as u64)
    }

    /// Probes of a kind with a fate.
    ///
    /// # Errors
    /// Where the page lacks it.
    pub fn decided(&self, kind: &str) -> Result<u64> {
        let fate = |fate| self.count(&format!("dt_probes_total{{probe=\"{kind}\",fate=\"{fate}\"}}"));
        FATES.iter().map(fate).sum()
    }

    /// Probes without a fate yet, of all kinds.
    ///
    /// # Errors
    /// Where the page lacks it.
    pub fn in_flight(&self) -> Result<u64> {
        let of = |kind| self.count(&format!("dt_in_flight{{probe=\"{kind}\"}}"));
        ["icmp", "tcp", "grpc"].into_iter().map(of).sum()
    }

    /// The names of the sinks.
    fn sinks(&self) -> impl Iterator<Item = &str> {
        self.0
            .keys()
            .filter_map(|series| series.strip_prefix("dt_sink_connected{sink=\"")?.strip_suffix("\"}"))
    }

    /// Each probe that was ever sent is in one place, from the prober to each sink.
    ///
    /// # Errors
    /// The sum that doesn't come out, with its parts.
    pub fn balance(&self) -> Result {
        let mut decided = 0;
        for kind in ["icmp", "tcp", "grpc"] {
            let of = |name: &str| self.count(&format!("{name}{{probe=\"{kind}\"}}"));
            let sent = of("dt_packets_sent_total")?;
            let parts = [
                self.decided(kind)?,
                of("dt_probes_voided_total")?,
                of("dt_in_flight")?,
                of("dt_probes_abandoned_total")?,
            ];
            if sent != parts.iter().sum::<u64>() {
                return Err(LabError::new(format!(
                    "{kind}: {sent} sent, but decided, voided, in flight and abandoned are {parts:?}"
                )));
            }
            decided += parts[0];
        }
        for sink in self.sinks() {
            let of = |name: &str| self.count(&format!("{name}{{sink=\"{sink}\"}}"));
            let parts = [
                self.count("dt_probes_without_record_total")?,
                self.count("dt_probes_unrecorded")?,
                of("dt_sink_probes_total")?,
                of("dt_sink_backlog_probes")?,
                of("dt_sink_probes_dropped_total")?,
            ];
            if decided != parts.iter().sum::<u64>() {
                return Err(LabError::new(format!(
                    "{sink}: {decided} decided, but without record, unrecorded, published, waiting and dropped are {parts:?}"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(changed: (&str, &str)) -> String {
        let mut page = String::from("# TYPE dt_x counter\n");
        for kind in ["icmp", "tcp", "grpc"] {
            page += &format!("dt_packets_sent_total{{probe=\"{kind}\"}} 18\n");
            for fate in FATES {
                page += &format!("dt_probes_total{{probe=\"{kind}\",fate=\"{fate}\"}} 2\n");
            }
            page += &format!("dt_probes_voided_total{{probe=\"{kind}\"}} 1\ndt_in_flight{{probe=\"{kind}\"}} 3\n");
            page += &format!("dt_probes_abandoned_total{{probe=\"{kind}\"}} 4\n");
        }
        page += "dt_probes_unrecorded 7\ndt_probes_without_record_total 3\ndt_sink_connected{sink=\"kafka\"} 1\ndt_sink_probes_total{sink=\"kafka\"} 5\n";
        page += "dt_sink_backlog_probes{sink=\"kafka\"} 13\ndt_sink_probes_dropped_total{sink=\"kafka\"} 2\n";
        page.replace(changed.0, changed.1)
    }

    #[test]
    fn a_page_balances_or_not() {
        assert!(Scrape::of(&page(("", ""))).balance().is_ok());
        for changed in [
            ("_sent_total{probe=\"tcp\"} 18", "_sent_total{probe=\"tcp\"} 19"),
            ("unrecorded 7", "unrecorded 6"),
            ("dt_in_flight{probe=\"grpc\"} 3\n", ""),
        ] {
            assert!(Scrape::of(&page(changed)).balance().is_err(), "{changed:?}");
        }
        assert_eq!(Scrape::of(&page(("", ""))).in_flight().ok(), Some(9));
    }
}
