use std::path::Path;
use std::process::Command;

use dt_record::Recorder;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::{Histogram as Wire, MetricFamily};
use prost::Message;

use super::*;
use crate::layout::COARSE;
use crate::placed::Placed;

/// One of each kind.
#[derive(Debug)]
struct Example(Histogram);

impl Source for Example {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        page.counters(
            "things",
            "Things that were counted",
            [(&[("kind", "a \"b\"\nc\\d")][..], 7_u64), (&[("kind", "")][..], 8)],
        )?;
        page.gauge("level_ratio", "How high it is", 0.5)?;
        page.gauges("nothing", "A family without series", [])?;
        page.histograms(
            "wait_seconds",
            "Waiting",
            &[1_000, 1_000_000],
            &[(&[], 2_001_000, &[1, 0, 2])],
        )?;
        let empty = Histogram::new(&COARSE);
        page.delays(
            "delay_seconds",
            "Delays",
            [(&[("to", "x")][..], &self.0), (&[("to", "y")], &empty)],
        )
    }
}

fn example() -> Metrics {
    let mut histogram = Histogram::new(&COARSE);
    histogram.add(&Placed::fine(&Recorder::new().distribution([(80_000, 3), (400_000, 1)])).coarse());
    Metrics::new(vec![Box::new(Example(histogram))])
}

fn text(format: Format) -> String {
    String::from_utf8(example().render(format).unwrap()).unwrap()
}

const OPEN_METRICS: &str = r#"# HELP dt_things Things that were counted
# TYPE dt_things counter
dt_things_total{kind="a \"b\"\nc\\d"} 7
dt_things_total{kind=""} 8
# HELP dt_level_ratio How high it is
# TYPE dt_level_ratio gauge
dt_level_ratio 0.5
# HELP dt_nothing A family without series
# TYPE dt_nothing gauge
# HELP dt_wait_seconds Waiting
# TYPE dt_wait_seconds histogram
dt_wait_seconds_sum 0.002001
dt_wait_seconds_count 3
dt_wait_seconds_bucket{le="0.000001"} 1
dt_wait_seconds_bucket{le="0.001"} 1
dt_wait_seconds_bucket{le="+Inf"} 3
# HELP dt_delay_seconds Delays
# TYPE dt_delay_seconds histogram
dt_delay_seconds_sum{to="x"} 0.00064
dt_delay_seconds_count{to="x"} 4
dt_delay_seconds_bucket{le="0.00005",to="x"} 0
dt_delay_seconds_bucket{le="0.0001",to="x"} 3
dt_delay_seconds_bucket{le="0.00025",to="x"} 3
dt_delay_seconds_bucket{le="0.0005",to="x"} 4
dt_delay_seconds_bucket{le="0.001",to="x"} 4
dt_delay_seconds_bucket{le="0.0025",to="x"} 4
dt_delay_seconds_bucket{le="0.005",to="x"} 4
dt_delay_seconds_bucket{le="0.01",to="x"} 4
dt_delay_seconds_bucket{le="0.1",to="x"} 4
dt_delay_seconds_bucket{le="1.0",to="x"} 4
dt_delay_seconds_bucket{le="+Inf",to="x"} 4
# EOF
"#;

#[test]
fn openmetrics_is_as_the_standard_says() {
    assert_eq!(text(Format::OpenMetrics), OPEN_METRICS);
}

#[test]
fn the_older_text_differs_in_counters_and_the_end() {
    let expected = OPEN_METRICS
        .replace("# HELP dt_things ", "# HELP dt_things_total ")
        .replace("# TYPE dt_things ", "# TYPE dt_things_total ")
        .replace("# EOF\n", "");
    assert_eq!(text(Format::Text), expected);
}

#[test]
fn promtool_has_nothing_to_say_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("page");
    std::fs::write(&page, text(Format::Text)).unwrap();
    assert_eq!(complaints(&page), "");
}

/// What `promtool check metrics` says of a page.
fn complaints(page: &Path) -> String {
    let output = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(page).unwrap())
        .output()
        .expect("promtool is needed (Debian: prometheus)");
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert_eq!(output.status.success(), text.concat().is_empty());
    text.concat()
}

fn families() -> Vec<MetricFamily> {
    let page = example().render(Format::Protobuf).unwrap();
    let (mut rest, mut families) = (&page[..], Vec::new());
    while !rest.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut rest).unwrap());
    }
    families
}

#[test]
fn protobuf_holds_native_histograms_beside_classic_ones() {
    let families = families();
    let names: Vec<_> = families.iter().map(|family| family.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "dt_things_total",
            "dt_level_ratio",
            "dt_nothing",
            "dt_wait_seconds",
            "dt_delay_seconds"
        ]
    );
    let histograms = |at: usize| -> Vec<&Wire> {
        let metrics = families[at].metric.iter();
        metrics.map(|metric| metric.histogram.as_ref().unwrap()).collect()
    };
    let [delays] = histograms(4)[..] else {
        panic!("the empty one is left out");
    };
    assert_eq!((delays.schema, delays.zero_count, delays.sample_count), (3, 0, 4));
    assert_eq!(delays.zero_threshold, ZERO_THRESHOLD);
    let spans: Vec<_> = delays
        .positive_span
        .iter()
        .map(|span| (span.offset, span.length))
        .collect();
    // 80 us: 8 log2(80e-6) = -108.9; 400 us: -90.3.
    assert_eq!(spans, [(-108, 1), (17, 1)]);
    assert_eq!(delays.positive_delta, [3, -2]);
    assert_eq!(delays.bucket.len(), COARSE.bounds().len() + 1);
    let [waits] = histograms(3)[..] else {
        panic!("one histogram");
    };
    assert!(
        waits.positive_span.is_empty() && waits.zero_threshold == 0.0,
        "classic only"
    );
}
