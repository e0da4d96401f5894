//! `HOST:PORT` as operators write it: a name, an IPv4 address, or an IPv6 address in brackets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest host name DNS allows (RFC 1035, 2.3.4), in characters of its usual form.
const LONGEST_NAME: usize = 253;

/// A host and a port. The host is a name or an address, an IPv6 address stands without its brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Name or address; not empty, no brackets.
    pub host: String,
    /// The port; 0 only where the place it is used in allows it.
    pub port: u16,
}

impl HostPort {
    /// Joins a host that is known to be good with a port.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> HostPort {
        HostPort {
            host: host.into(),
            port,
        }
    }

    /// Reads `HOST:PORT` or `[V6]:PORT`.
    ///
    /// # Errors
    /// Says which half is wrong and why.
    pub fn parse(text: &str) -> Result<HostPort, String> {
        let (host, port) = split(text)?;
        let Some(port) = port else {
            return Err("the port is missing".to_owned());
        };
        Ok(HostPort {
            host: parse_host(host)?,
            port: parse_port(port)?,
        })
    }

    /// Reads `HOST`, `HOST:PORT` or `[V6]:PORT`; a missing port becomes `default_port`.
    ///
    /// # Errors
    /// Says which half is wrong and why.
    pub fn parse_or(text: &str, default_port: u16) -> Result<HostPort, String> {
        let (host, port) = split(text)?;
        let port = port.map_or(Ok(default_port), parse_port)?;
        Ok(HostPort {
            host: parse_host(host)?,
            port,
        })
    }
}

/// Whether a reply could come from this very address.
#[must_use]
pub fn is_one_host(ip: IpAddr) -> bool {
    !(ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST))
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Splits at the colon before the port. A bare IPv6 address is refused rather than guessed at: `::1:80` is an
/// address in its own right.
fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((host, after)) = rest.split_once(']') else {
            return Err("the bracket of the IPv6 address is not closed".to_owned());
        };
        if host.parse::<Ipv6Addr>().is_err() {
            return Err(format!("{host:?} in brackets is not an IPv6 address"));
        }
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(format!("{after:?} after the bracket is not a port")),
        };
    }
    match text.split_once(':') {
        None => Ok((text, None)),
        Some((_, rest)) if rest.contains(':') => {
            Err("an IPv6 address must stand in brackets, as in [::1]:4000".to_owned())
        }
        Some((host, port)) => Ok((host, Some(port))),
    }
}

/// Reads a host: a name or an address; brackets around an IPv6 address are taken off.
///
/// # Errors
/// Says what in the name is not allowed.
pub fn parse_host(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<Ipv6Addr>().is_ok() {
        return Ok(bare.to_owned());
    }
    if text.is_empty() {
        return Err("the host is missing".to_owned());
    }
    if text.len() > LONGEST_NAME {
        return Err(format!("the host has more than {LONGEST_NAME} characters"));
    }
    // Underscores are no part of host names, but container networks hand them out.
    match text
        .chars()
        .find(|c| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_')))
    {
        Some(c) => Err(format!("{c:?} is not allowed in a host")),
        None => Ok(text.to_owned()),
    }
}

/// Reads a port, 0..=65535; whether 0 is allowed is for the caller to say.
///
/// # Errors
/// Says that the text is no port.
pub fn parse_port(text: &str) -> Result<u16, String> {
    // `u16::from_str` takes a leading plus sign.
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{text:?} is not a port"));
    }
    text.parse().map_err(|_| format!("port {text} is above 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_read_and_written_alike() {
        for text in [
            "localhost:4000",
            "10.0.0.1:1",
            "[::1]:65535",
            "[2001:db8::7]:0",
            "a_b-c.d:80",
        ] {
            assert_eq!(HostPort::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(HostPort::parse("[::1]:5").unwrap().host, "::1");
    }

    #[test]
    fn what_is_not_a_host_and_a_port_is_refused() {
        for text in [
            "",
            "localhost",
            ":4000",
            "a:",
            "a:-1",
            "a:+1",
            "a:65536",
            "a:b",
            "::1:4000",
            "[::1]",
            "[::1]4",
            "[::1:4",
            "[a]:4",
            "a b:4",
            "a/b:4",
            "a\n:4",
            "http://a:4",
        ] {
            assert!(HostPort::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_port_may_be_left_out_where_there_is_a_usual_one() {
        assert_eq!(HostPort::parse_or("zk", 2181).unwrap(), HostPort::new("zk", 2181));
        assert_eq!(HostPort::parse_or("[::1]", 2181).unwrap(), HostPort::new("::1", 2181));
        assert_eq!(HostPort::parse_or("zk:1", 2181).unwrap(), HostPort::new("zk", 1));
        assert!(HostPort::parse_or("zk:", 2181).is_err());
    }

    #[test]
    fn a_bare_host_may_be_an_ipv6_address() {
        assert_eq!(parse_host("2001:db8::1").unwrap(), "2001:db8::1");
        assert_eq!(parse_host("[2001:db8::1]").unwrap(), "2001:db8::1");
        assert!(parse_host("a:b").is_err());
    }
}
