//! The formats that Prometheus and its like read, and which of them a scrape gets.

/// A format of exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics' text.
    OpenMetrics,
    /// Prometheus' older text format, which most other tools read, `promtool check metrics` among them.
    Text,
    /// Prometheus' protobuf messages, each after its length. The only one with native histograms.
    Protobuf,
}

impl Format {
    /// The one that a request with this header `Accept` gets: the first of those most wanted. `usual` is for whoever doesn't
    /// say what is wanted.
    #[must_use]
    pub fn accepted(accept: &str, usual: Format) -> Format {
        let mut best = (0.0, usual);
        for (range, quality) in accept.split(',').filter_map(range) {
            if let Some(format) = Format::of(&range, usual)
                && quality > best.0
            {
                best = (quality, format);
            }
        }
        best.1
    }

    /// What answers in it say of themselves.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    fn of(range: &Range<'_>, usual: Format) -> Option<Format> {
        let is = |name, value| range.parameter(name).is_none_or(|given| given == value);
        match range.media_type {
            "application/vnd.google.protobuf"
                if is("proto", "io.prometheus.client.MetricFamily") && is("encoding", "delimited") =>
            {
                Some(Format::Protobuf)
            }
            "application/openmetrics-text" if is("version", "1.0.0") || is("version", "0.0.1") => {
                Some(Format::OpenMetrics)
            }
            "text/plain" if is("version", "0.0.4") => Some(Format::Text),
            "text/*" => Some(Format::Text),
            "application/*" => Some(Format::OpenMetrics),
            "*/*" => Some(usual),
            _ => None,
        }
    }
}

/// One element of `Accept` without its quality.
struct Range<'a> {
    media_type: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl Range<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        let found = self
            .parameters
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }
}

/// An element with its quality, 1 where it has none; `None` where it can't be read.
fn range(element: &str) -> Option<(Range<'_>, f64)> {
    let mut parts = element.split(';').map(str::trim);
    let media_type = parts.next()?;
    let mut quality = 1.0;
    let mut parameters = Vec::new();
    for part in parts {
        let (name, value) = part.split_once('=')?;
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        if name.eq_ignore_ascii_case("q") {
            quality = value.parse().ok()?;
        } else {
            parameters.push((name, value));
        }
    }
    Some((Range { media_type, parameters }, quality))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &str) -> Format {
        Format::accepted(accept, Format::OpenMetrics)
    }

    #[test]
    fn what_prometheus_asks_for_it_gets() {
        let native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
            application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(accepted(native), Format::Protobuf);
        let classic = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(accepted(classic), Format::OpenMetrics);
        assert_eq!(accepted("text/plain;version=0.0.4"), Format::Text);
        assert_eq!(accepted("text/plain; charset=utf-8"), Format::Text);
    }

    #[test]
    fn the_most_wanted_wins_in_any_order() {
        let asked = "text/plain;q=0.3, application/openmetrics-text; version=\"1.0.0\"; q=0.2, \
            application/vnd.google.protobuf; q=0.9; encoding=delimited; proto=io.prometheus.client.MetricFamily";
        assert_eq!(accepted(asked), Format::Protobuf);
        assert_eq!(
            accepted("*/*;q=0.5,text/plain;q=0.6,application/vnd.google.protobuf;q=0"),
            Format::Text
        );
    }

    #[test]
    fn whoever_asks_for_nothing_we_have_gets_the_usual() {
        for asked in [
            "",
            "*/*",
            "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
            "text/plain;version=9",
            ";;;q=,,=",
            "text/plain;q=much",
        ] {
            for usual in [Format::OpenMetrics, Format::Text] {
                assert_eq!(Format::accepted(asked, usual), usual, "{asked:?}");
            }
        }
    }
}
