//! How the values of keys are read. Each function says what is wrong; the key's row says what is accepted.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use dt_membership::is_layout;
use dt_probe::ProbeKind;

use super::duration;
use super::host_port::{HostPort, is_one_host, parse_port};
use super::model::{Encoding, LogFormat, Sink, TcpMethod};

/// Bytes a name or label may have: as long as a file name, and records stay small.
const LONGEST_LABEL: usize = 255;
/// No pair is probed more often, whatever is asked for: a probe must never become a load.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1);
/// The histograms of the records end there too.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);
const DAY_MS: u128 = 86_400_000;

/// A label of the records: any text that other agents take for one.
pub(super) fn label(text: &str) -> Result<String, String> {
    if text.len() > LONGEST_LABEL {
        return Err(format!("{} bytes are more than {LONGEST_LABEL}", text.len()));
    }
    match text.chars().find(|c| c.is_control() || is_layout(*c)) {
        Some(c) => Err(format!("control character {c:?}")),
        None => Ok(text.to_owned()),
    }
}

/// A label that must not be empty.
pub(super) fn name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        Err("empty".to_owned())
    } else {
        label(text)
    }
}

/// The name of a label in Kubernetes, or nothing.
pub(super) fn node_label(text: &str) -> Result<String, String> {
    // A prefix is a DNS name of at most 253 characters, what follows the slash has at most 63.
    if text.len() > 253 + 1 + 63 {
        return Err(format!("{} bytes are more than 317", text.len()));
    }
    if text.matches('/').count() > 1 {
        return Err("more than one '/'".to_owned());
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    match text.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(format!("{c:?} is not allowed")),
        None => Ok(text.to_owned()),
    }
}

/// A node's name. `|` separates the parts of a record's key in Kafka.
pub(super) fn node(text: &str) -> Result<String, String> {
    if text.contains('|') {
        Err("'|' is not allowed".to_owned())
    } else {
        name(text)
    }
}

/// A place others can reach: one host's address, and a port that isn't 0.
pub(super) fn reachable(text: &str) -> Result<HostPort, String> {
    let place = HostPort::parse(text)?;
    if place.port == 0 {
        return Err("port 0 can't be reached".to_owned());
    }
    if place.host.parse::<IpAddr>().is_ok_and(|ip| !is_one_host(ip)) {
        return Err("no single host's address (unspecified, multicast or broadcast)".to_owned());
    }
    Ok(place)
}

/// A name that a certificate can bear, or nothing.
pub(super) fn tls_name(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match tokio_rustls::rustls::pki_types::ServerName::try_from(text) {
        Ok(_) => Ok(Some(text.to_owned())),
        Err(_) => Err("no name that a certificate can bear".to_owned()),
    }
}

/// Where to answer; `off` for nowhere.
pub(super) fn listen(text: &str) -> Result<Option<HostPort>, String> {
    if text == "off" {
        Ok(None)
    } else {
        HostPort::parse(text).map(Some)
    }
}

/// Where to serve HTTP; `off` or nothing for nowhere.
pub(super) fn http(text: &str) -> Result<Option<HostPort>, String> {
    if text.is_empty() || text == "off" {
        Ok(None)
    } else {
        HostPort::parse(text).map(Some)
    }
}

/// Servers, comma-separated; a missing port becomes `default_port`. Written back with every port.
pub(super) fn servers(text: &str, default_port: u16) -> Result<String, String> {
    let mut servers = Vec::new();
    for part in text.split(',') {
        let server = HostPort::parse_or(part.trim(), default_port).map_err(|why| format!("{part:?}: {why}"))?;
        if server.port == 0 {
            return Err(format!("{part:?}: port 0 can't be reached"));
        }
        servers.push(server.to_string());
    }
    Ok(servers.join(","))
}

/// Servers of an ensemble, perhaps followed by a chroot.
pub(super) fn zookeeper_servers(text: &str) -> Result<String, String> {
    let (hosts, chroot) = text
        .split_once('/')
        .map_or((text, None), |(hosts, chroot)| (hosts, Some(chroot)));
    let hosts = servers(hosts, 2181)?;
    match chroot {
        Some(chroot) if !chroot.trim_matches('/').is_empty() => Ok(format!("{hosts}/{}", znode_path(chroot)?)),
        _ => Ok(hosts),
    }
}

/// A path in ZooKeeper, without the slashes at its ends.
pub(super) fn znode_path(text: &str) -> Result<String, String> {
    let path = text.trim_matches('/');
    for segment in path.split('/') {
        if segment.is_empty() || segment == "." || segment == ".." {
            return Err(format!("{segment:?} can't be a segment of a path"));
        }
    }
    name(path)
}

/// The members' path below the root. The kill switch lives beside it and must never look like a member.
pub(super) fn heart_beat(text: &str) -> Result<String, String> {
    let path = znode_path(text)?;
    if path == "control" || path.starts_with("control/") {
        return Err("`control` is where the kill switch lives".to_owned());
    }
    Ok(path)
}

/// A Kafka topic, by the broker's own rule.
pub(super) fn topic(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() || text.len() > 249 || text == "." || text == ".." {
        return Err("not a topic's name".to_owned());
    }
    match text.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(format!("{c:?} is not allowed")),
        None => Ok(text.to_owned()),
    }
}

/// An integer within bounds.
pub(super) fn number<T: FromStr + PartialOrd + Display>(text: &str, least: T, most: T) -> Result<T, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err("not a whole number".to_owned());
    }
    match text.parse::<T>() {
        Ok(value) if value < least => Err(format!("below {least}")),
        Ok(value) if value <= most => Ok(value),
        _ => Err(format!("above {most}")),
    }
}

/// Nothing, or what `parse` makes of it.
pub(super) fn optional<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    Some(text).filter(|text| !text.is_empty()).map(parse).transpose()
}

/// `true` or `false`.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "neither true nor false".to_owned())
}

/// A duration within bounds.
pub(super) fn between(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let value = duration::parse(text)?;
    if value < least {
        return Err(format!("below {}", duration::format(least)));
    }
    if value > most {
        return Err(format!("above {}", duration::format(most)));
    }
    Ok(value)
}

/// From one probe to the next.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    between(text, SHORTEST_INTERVAL, LONGEST_INTERVAL)
}

/// How long an answer may take.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    between(text, SHORTEST_TIMEOUT, LONGEST_TIMEOUT)
}

/// The aggregation interval. Windows start at multiples of it since the Unix epoch; a divisor of a day makes every
/// day's windows the same, so that roll-ups into minutes, hours and days never cut one in two.
pub(super) fn window(text: &str) -> Result<Duration, String> {
    let value = between(text, Duration::from_secs(1), Duration::from_secs(3600))?;
    if value.subsec_nanos() % 1_000_000 != 0 {
        return Err("not a whole number of milliseconds".to_owned());
    }
    if !DAY_MS.is_multiple_of(value.as_millis()) {
        return Err("a day is not a multiple of it".to_owned());
    }
    Ok(value)
}

/// The kinds that are on, in any order; each item may itself hold several, comma-separated.
pub(super) fn kinds(items: &[String]) -> Result<Vec<ProbeKind>, String> {
    let mut kinds = BTreeSet::new();
    for word in items.iter().flat_map(|item| item.split(',')).map(str::trim) {
        // What is accepted is said by the table of keys.
        kinds.insert(
            word.parse::<ProbeKind>()
                .map_err(|_| format!("unknown probe kind {word:?}"))?,
        );
    }
    if kinds.is_empty() {
        Err("empty".to_owned())
    } else {
        Ok(kinds.into_iter().collect())
    }
}

/// The sinks; none twice, since each would get every record.
pub(super) fn sinks(items: &[String]) -> Result<Vec<Sink>, String> {
    let mut sinks = Vec::new();
    for item in items {
        let sink = match item.trim() {
            "kafka" => Sink::Kafka,
            "stdout" => Sink::Stdout,
            other => match other.strip_prefix("file:") {
                Some("") => return Err("the path of the file is missing".to_owned()),
                Some(path) => Sink::File(PathBuf::from(path)),
                None => return Err(format!("unknown sink {item:?}")),
            },
        };
        if sinks.contains(&sink) {
            return Err(format!("{item:?} is there twice"));
        }
        sinks.push(sink);
    }
    if sinks.is_empty() {
        Err("empty".to_owned())
    } else {
        Ok(sinks)
    }
}

/// How TCP is probed.
pub(super) fn tcp_method(text: &str) -> Result<TcpMethod, String> {
    match text {
        "auto" => Ok(TcpMethod::Auto),
        "syn" => Ok(TcpMethod::Syn),
        "connect" => Ok(TcpMethod::Connect),
        _ => Err("unknown method".to_owned()),
    }
}

/// How a record's value is written.
pub(super) fn encoding(text: &str) -> Result<Encoding, String> {
    match text {
        "json" => Ok(Encoding::Json),
        "protobuf" => Ok(Encoding::Protobuf),
        _ => Err("unknown encoding".to_owned()),
    }
}

/// `FIRST-LAST`, or nothing.
pub(super) fn port_range(text: &str) -> Result<Option<(u16, u16)>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let (first, last) = text.split_once('-').ok_or("not a range")?;
    let (first, last) = (parse_port(first)?, parse_port(last)?);
    if first < 1024 {
        return Err(format!("port {first} is below 1024"));
    }
    if first > last {
        return Err("the last port is below the first".to_owned());
    }
    Ok(Some((first, last)))
}

/// Log directives: `LEVEL` or `TARGET=LEVEL`, comma-separated. A bare word that is no level would silence everything
/// else without a word, so it is refused.
pub(super) fn log_level(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for part in text.split(',') {
        let (target, level) = part.rsplit_once('=').unwrap_or(("any", part));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
        if target.is_empty() || !target.chars().all(plain) || !LEVELS.contains(&level.to_lowercase().as_str()) {
            return Err(format!("{part:?} is neither a level nor TARGET=LEVEL"));
        }
    }
    Ok(text.to_owned())
}

/// The form of a log line.
pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("unknown format".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_other_agents_would_refuse_is_none_of_ours() {
        for good in ["", "zone ä", "a|b"] {
            assert_eq!(label(good).as_deref(), Ok(good));
        }
        for bad in ["a\nb", "a\u{2028}b", "a\u{202e}b", "a\u{2066}b"] {
            assert!(label(bad).is_err_and(|why| why.is_ascii()), "{bad:?}");
        }
    }
}
