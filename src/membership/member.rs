//! One member of the mesh, as it is known to the others.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use smol_str::SmolStr;

/// What a member says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// Answers probes. Also what an agent of the Go original counts as.
    #[default]
    Serving,
    /// Registered, not ready yet.
    Starting,
    /// About to leave.
    Draining,
}

impl State {
    /// The word that stands in the member's data.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Serving => "serving",
            State::Starting => "starting",
            State::Draining => "draining",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Member {
    /// The node's name; `address:port` for an agent of the Go original.
    pub node: SmolStr,
    /// The address as registered: a name or an IP address, IPv6 without brackets.
    pub address: SmolStr,
    /// The port that answers gRPC, 1..=65535.
    pub port: u16,
    /// The port that TCP probes go to, 1..=65535; the same as `port` unless the member says otherwise.
    pub tcp_port: u16,
    /// Zone label, or empty.
    pub zone: SmolStr,
    /// Rack label, or empty.
    pub rack: SmolStr,
    /// Region label, or empty.
    pub region: SmolStr,
    /// The agent's version, or empty.
    pub version: SmolStr,
    /// Identifies one life of the agent's process, or empty.
    pub boot_id: SmolStr,
    /// What the member says of itself.
    pub state: State,
    /// Whether it carries none of our extra keys: an agent of the Go original.
    pub original: bool,
}

impl Member {
    /// The identity by which two views are compared: the node's name.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.node
    }

    /// `address:port`, IPv6 in brackets: what a gRPC client dials and what `PingMsg.hostAddr` carries.
    #[must_use]
    pub fn authority(&self) -> String {
        authority(&self.address, self.port)
    }

    /// Where it answers, in one spelling: two entries of one place are one node.
    pub(crate) fn place(&self) -> (String, u16) {
        (canonical(&self.address), self.port)
    }
}

/// `address:port`, IPv6 in brackets.
pub(crate) fn authority(address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

/// All other members, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Sorted by [`Member::key`], which is unique. One's own entries are left out, twins merged.
    pub members: Vec<Arc<Member>>,
    /// Grows by one with each change. 0 until the first complete list is there, which may be an empty one.
    pub generation: u64,
}

/// Where a node stands. Absent labels are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Labels {
    /// Zone label.
    pub zone: SmolStr,
    /// Rack label.
    pub rack: SmolStr,
    /// Region label.
    pub region: SmolStr,
}

/// What an agent registers of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// The node's name.
    pub node: String,
    /// The address others reach it by: a name or an IP address, IPv6 with or without brackets.
    pub address: String,
    /// The port that answers gRPC.
    pub port: u16,
    /// The port that TCP probes go to.
    pub tcp_port: u16,
    /// Zone label, or empty.
    pub zone: String,
    /// Rack label, or empty.
    pub rack: String,
    /// Region label, or empty.
    pub region: String,
    /// The agent's version.
    pub version: String,
    /// Identifies this life of the process.
    pub boot_id: String,
    /// The state to register with.
    pub state: State,
    /// The original's `Poll_timeout`, milliseconds. Informational to others.
    pub poll_timeout_ms: u32,
    /// The original's `Poll_interval`, milliseconds. Informational to others.
    pub poll_interval_ms: u32,
}

impl Registration {
    /// The labels it begins with.
    #[must_use]
    pub fn labels(&self) -> Labels {
        Labels {
            zone: self.zone.as_str().into(),
            rack: self.rack.as_str().into(),
            region: self.region.as_str().into(),
        }
    }

    /// The same agent elsewhere.
    pub(crate) fn at(&self, labels: &Labels) -> Registration {
        Registration {
            zone: labels.zone.to_string(),
            rack: labels.rack.to_string(),
            region: labels.region.to_string(),
            ..self.clone()
        }
    }
}

/// Whether `member` is the registered agent itself, or a former life of it: the same boot id, the same node name, or
/// the same address and port.
#[must_use]
pub fn own_entry(own: &Registration, member: &Member) -> bool {
    (!own.boot_id.is_empty() && own.boot_id == member.boot_id)
        || own.node == member.node
        || (own.port == member.port && same_address(&own.address, &member.address))
}

/// Whether two addresses are written differently at most: letter case, brackets, a closing dot, or another spelling
/// of the same IP address. Names are not resolved.
#[must_use]
pub fn same_address(a: &str, b: &str) -> bool {
    canonical(a) == canonical(b)
}

/// One spelling per address.
pub(crate) fn canonical(address: &str) -> String {
    let bare = unbracketed(address);
    match IpAddr::from_str(bare) {
        Ok(ip) => ip.to_canonical().to_string(),
        Err(_) => bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase(),
    }
}

/// `address` without the brackets of an IPv6 literal.
pub(crate) fn unbracketed(address: &str) -> &str {
    address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(address)
}

/// Longest address accepted: a DNS name has at most 253 characters (RFC 1035).
const MAX_ADDRESS: usize = 253;
/// Longest node name or label accepted, in bytes.
const MAX_LABEL: usize = 255;

/// Refuses what can be no address of a host, so that no member can smuggle white space or control characters into a
/// log, a record's key or a request. Whether a name resolves is another matter.
pub(crate) fn check_address(address: &str) -> Result<(), String> {
    if address.is_empty() {
        return Err("is empty; accepted: a host name or an IP address".to_owned());
    }
    if address.len() > MAX_ADDRESS {
        return Err(format!("has {} bytes; accepted: at most {MAX_ADDRESS}", address.len()));
    }
    let bare = unbracketed(address);
    if bare.contains(':') && IpAddr::from_str(bare.split('%').next().unwrap_or(bare)).is_err() {
        return Err(format!(
            "{address:?} contains a colon but is no IPv6 address; accepted: a host name or an IP address"
        ));
    }
    if !bare.chars().all(|c| c.is_alphanumeric() || "-_.:%".contains(c)) || bare.is_empty() {
        return Err(format!("{address:?} is neither a host name nor an IP address"));
    }
    Ok(())
}

/// Refuses control characters, what ends a line or turns the direction of writing, and oversized labels: names of others
/// stand in logs and on terminals, and must not make them read otherwise.
pub(crate) fn check_label(label: &str) -> Result<(), String> {
    if label.len() > MAX_LABEL {
        return Err(format!("has {} bytes; accepted: at most {MAX_LABEL}", label.len()));
    }
    if label.chars().any(char::is_control) {
        return Err(format!("{label:?} contains a control character"));
    }
    if let Some(c) = label.chars().find(|c| is_layout(*c)) {
        return Err(format!(
            "{label:?} contains U+{:04X}, which ends a line or turns the direction of writing",
            u32::from(c)
        ));
    }
    Ok(())
}

/// Separators of lines and paragraphs, and Unicode's bidirectional controls (Bidi_Control of UAX #44): none is a control
/// character by its category.
#[must_use]
pub fn is_layout(c: char) -> bool {
    matches!(
        c,
        '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_rearrange_a_line_are_refused() {
        for good in ["", "node-1", "knoten ä", "עברית", "a\u{200d}b", &"x".repeat(255)] {
            assert_eq!(check_label(good), Ok(()), "{good}");
        }
        for c in "\n\r\t\u{1b}\u{7f}\u{85}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{61c}\u{200e}\u{200f}".chars() {
            let why = check_label(&format!("node{c}1")).unwrap_err();
            // The reason is logged.
            assert!(why.is_ascii() && why.chars().all(|c| !c.is_control()), "{why:?}");
        }
        assert!(check_label("a\u{202e}b").unwrap_err().contains("U+202E"));
        assert!(check_label(&"x".repeat(256)).is_err());
    }

    #[test]
    fn spellings_of_one_address_are_the_same() {
        for (a, b) in [
            ("Host.Example.", "host.example"),
            ("[::1]", "::1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("0:0::1", "::1"),
        ] {
            assert!(same_address(a, b), "{a} {b}");
        }
        assert!(!same_address("10.0.0.1", "10.0.0.2"));
        assert!(!same_address("a", "b"));
    }

    #[test]
    fn hostile_addresses_are_refused() {
        for good in [
            "a",
            "10.0.0.1",
            "::1",
            "[fe80::1%eth0]",
            "node-1.rack_2.example.",
            "knoten-ä",
        ] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            " ",
            "a b",
            "a\nb",
            "http://a",
            "a:80",
            "[]",
            "a/b",
            "a|b",
            &"x".repeat(254),
        ] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ipv6_authorities_have_brackets() {
        assert_eq!(authority("::1", 4000), "[::1]:4000");
        assert_eq!(authority("host", 4000), "host:4000");
    }
}
