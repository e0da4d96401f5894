//! Families of metrics, written one after the other in any of the formats.
//!
//! Names follow Prometheus' rules: prefix `dt_`, base units, `_total` added to counters by the encoder.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_protobuf::{self, EncodeError};
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeMetric, MetricEncoder, NativeHistogram, NativeHistogramBuckets, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::format::Format;
use crate::histogram::Histogram;
use crate::layout::ZERO_THRESHOLD;

/// Some metrics, read from wherever they are counted at each scrape.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// Writes them.
    ///
    /// # Errors
    /// Only those of `page`.
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result;
}

/// All that one program shows.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

/// Writing failed, which it doesn't in memory.
#[derive(Debug)]
pub struct RenderError(EncodeError);

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for RenderError {}

impl From<fmt::Error> for RenderError {
    fn from(error: fmt::Error) -> RenderError {
        RenderError(error.into())
    }
}

impl Metrics {
    /// What `sources` write, in this order, each name with the prefix `dt_`.
    #[must_use]
    pub fn new(sources: Vec<Box<dyn Source>>) -> Metrics {
        let mut registry = Registry::with_prefix("dt");
        registry.register_collector(Box::new(Sources(sources)));
        Metrics { registry }
    }

    /// The page as of now.
    ///
    /// # Errors
    /// Only where a source fails.
    pub fn render(&self, format: Format) -> Result<Vec<u8>, RenderError> {
        if format == Format::Protobuf {
            return prometheus_protobuf::encode_to_vec(&self.registry).map_err(RenderError);
        }
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(match format {
            Format::Text => without_openmetrics(&page).into_bytes(),
            Format::OpenMetrics | Format::Protobuf => page.into_bytes(),
        })
    }
}

/// The older text format calls a counter's family by the name of its series, and has no mark for the end.
fn without_openmetrics(page: &str) -> String {
    let mut older = String::with_capacity(page.len());
    let mut help: Option<(&str, &str)> = None;
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
            continue;
        }
        let Some(rest) = line.strip_prefix("# TYPE ") else {
            if line != "# EOF" {
                older.extend([line, "\n"]);
            }
            continue;
        };
        let suffix = if rest.ends_with(" counter") { "_total" } else { "" };
        if let Some((name, text)) = help.take() {
            older.extend(["# HELP ", name, suffix, " ", text, "\n"]);
        }
        if let Some((name, kind)) = rest.split_once(' ') {
            older.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        }
    }
    older
}

#[derive(Debug)]
struct Sources(Vec<Box<dyn Source>>);

impl Collector for Sources {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page { encoder };
        self.0.iter().try_for_each(|source| source.encode(&mut page))
    }
}

/// Writes families one after the other.
#[derive(Debug)]
pub struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

/// One series: its labels and its value.
pub type Series<'a, V> = (&'a [(&'a str, &'a str)], V);

/// One histogram of times: its labels, the sum in nanoseconds, and how many values fell into each class.
type Times<'a> = (&'a [(&'a str, &'a str)], u64, &'a [u64]);

impl Page<'_> {
    /// Counters; `_total` is added to the name.
    ///
    /// # Errors
    /// Only where the formatter fails, which writing to memory doesn't; so of all that follow.
    pub fn counters<'s, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = Series<'s, V>>,
    ) -> fmt::Result {
        let counters = series.into_iter();
        self.family(
            name,
            help,
            MetricType::Counter,
            counters.map(|(labels, value)| (labels, ConstCounter::new(value))),
        )
    }

    /// Gauges.
    ///
    /// # Errors
    /// See [`Page::counters`].
    pub fn gauges<'s>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = Series<'s, f64>>,
    ) -> fmt::Result {
        let gauges = series.into_iter();
        self.family(
            name,
            help,
            MetricType::Gauge,
            gauges.map(|(labels, value)| (labels, ConstGauge::new(value))),
        )
    }

    /// A counter without labels.
    ///
    /// # Errors
    /// See [`Page::counters`].
    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, [(&[][..], value)])
    }

    /// A gauge without labels.
    ///
    /// # Errors
    /// See [`Page::counters`].
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.gauges(name, help, [(&[][..], value)])
    }

    /// Histograms of times with classes of their own. The classes aren't cumulative: one for each of `bounds` (nanoseconds),
    /// and one for what is beyond the last.
    ///
    /// # Errors
    /// See [`Page::counters`].
    pub fn histograms(&mut self, name: &str, help: &str, bounds: &[u64], series: &[Times<'_>]) -> fmt::Result {
        self.family(
            name,
            help,
            MetricType::Histogram,
            series.iter().map(|(labels, sum_ns, classes)| {
                // Without a last class that is open above, PromQL knows no quantile.
                let bounds = bounds.iter().map(|nanos| *nanos as f64 / 1e9).chain([f64::INFINITY]);
                let shown = Shown {
                    sum: *sum_ns as f64 / 1e9,
                    classes: bounds.zip(classes.iter().copied()).collect(),
                    native: None,
                };
                (*labels, shown)
            }),
        )
    }

    /// Histograms of delays, native and classic. One that is empty is left out.
    ///
    /// # Errors
    /// See [`Page::counters`].
    pub fn delays<'s>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = Series<'s, &'s Histogram>>,
    ) -> fmt::Result {
        let met = series.into_iter().filter(|(_, histogram)| !histogram.is_empty());
        self.family(
            name,
            help,
            MetricType::Histogram,
            met.map(|(labels, histogram)| (labels, Shown::from(histogram))),
        )
    }

    /// One family. Without a series it is named all the same: who reads the page learns what there may be.
    fn family<'s, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        series: impl IntoIterator<Item = Series<'s, M>>,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, metric) in series {
            if labels.is_empty() {
                // A series without labels is alone in its family.
                return metric.encode(family);
            }
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// A histogram on its way out.
struct Shown<'a> {
    sum: f64,
    classes: Vec<(f64, u64)>,
    native: Option<&'a Histogram>,
}

impl<'a> From<&'a Histogram> for Shown<'a> {
    fn from(histogram: &'a Histogram) -> Shown<'a> {
        Shown {
            sum: histogram.sum_seconds(),
            classes: histogram.classes(),
            native: Some(histogram),
        }
    }
}

impl EncodeMetric for Shown<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        type NoLabels = [(&'static str, &'static str); 0];
        let count = self
            .classes
            .iter()
            .fold(0, |sum: u64, (_, count)| sum.saturating_add(*count));
        let Some(histogram) = self.native else {
            return encoder.encode_histogram::<NoLabels>(self.sum, count, &self.classes, None);
        };
        let sparse = histogram.sparse();
        let native = NativeHistogram {
            schema: histogram.layout().schema(),
            zero_threshold: ZERO_THRESHOLD,
            zero_count: 0,
            negative: NativeHistogramBuckets {
                spans: &[],
                deltas: &[],
            },
            positive: NativeHistogramBuckets {
                spans: &sparse.spans,
                deltas: &sparse.deltas,
            },
            created: None,
        };
        encoder.encode_histogram_with_native::<NoLabels>(self.sum, count, &self.classes, None, native)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
