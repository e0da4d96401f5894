//! The data of a member's znode: one JSON object with the Go original's four keys and our own beside them. The original
//! ignores keys it doesn't know, and dies of anything that is not JSON.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::member::{Member, Registration, State, authority, check_address, check_label, unbracketed};

/// Largest data accepted of a member, bytes. Ours take about 300.
pub(crate) const MAX_DATA: usize = 16 * 1024;

/// What is written.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "My_address")]
    address: &'a str,
    #[serde(rename = "My_port")]
    port: u16,
    #[serde(rename = "Poll_timeout")]
    poll_timeout_ms: u32,
    #[serde(rename = "Poll_interval")]
    poll_interval_ms: u32,
    node: &'a str,
    zone: &'a str,
    rack: &'a str,
    region: &'a str,
    tcp_port: u16,
    version: &'a str,
    boot_id: &'a str,
    state: &'a str,
}

/// What is read. `Poll_*` are left out on purpose: they are informational, so nothing of theirs may hurt.
#[derive(Deserialize)]
struct Read {
    #[serde(rename = "My_address")]
    address: String,
    #[serde(rename = "My_port")]
    port: i64,
    node: Option<String>,
    zone: Option<String>,
    rack: Option<String>,
    region: Option<String>,
    tcp_port: Option<i64>,
    version: Option<String>,
    boot_id: Option<String>,
    state: Option<String>,
}

/// The data that registers `own` in `state`.
pub(crate) fn encode(own: &Registration, state: State) -> Result<Vec<u8>, serde_json::Error> {
    // The original joins address and port with a colon before it dials, so an IPv6 address needs its brackets there.
    let bare = unbracketed(&own.address);
    let bracketed;
    let address = if bare.contains(':') {
        bracketed = format!("[{bare}]");
        &bracketed
    } else {
        bare
    };
    serde_json::to_vec(&Written {
        address,
        port: own.port,
        poll_timeout_ms: own.poll_timeout_ms,
        poll_interval_ms: own.poll_interval_ms,
        node: &own.node,
        zone: &own.zone,
        rack: &own.rack,
        region: &own.region,
        tcp_port: own.tcp_port,
        version: &own.version,
        boot_id: &own.boot_id,
        state: state.as_str(),
    })
}

/// The member that `data` describes, or why it describes none.
pub(crate) fn decode(data: &[u8]) -> Result<Member, String> {
    if data.len() > MAX_DATA {
        return Err(format!("{} bytes; accepted: at most {MAX_DATA}", data.len()));
    }
    // Checked first: a struct would also be read from a JSON array.
    if data.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err("not a JSON object".to_owned());
    }
    let read: Read = serde_json::from_slice(data).map_err(|error| shortened(error.to_string()))?;
    check_address(&read.address).map_err(|why| format!("My_address {why}"))?;
    let port = port("My_port", read.port)?;
    let tcp_port = read.tcp_port.map_or(Ok(port), |value| self::port("tcp_port", value))?;
    let original = read.node.is_none()
        && read.zone.is_none()
        && read.rack.is_none()
        && read.region.is_none()
        && read.tcp_port.is_none()
        && read.version.is_none()
        && read.boot_id.is_none()
        && read.state.is_none();
    let address = unbracketed(&read.address).to_owned();
    let label = |name: &str, value: Option<String>| {
        let value = value.unwrap_or_default();
        check_label(&value).map_err(|why| format!("{name} {why}"))?;
        Ok::<_, String>(SmolStr::from(value))
    };
    let node = match label("node", read.node)? {
        node if node.is_empty() => authority(&address, port).into(),
        node => node,
    };
    Ok(Member {
        node,
        port,
        tcp_port,
        zone: label("zone", read.zone)?,
        rack: label("rack", read.rack)?,
        region: label("region", read.region)?,
        version: label("version", read.version)?,
        boot_id: label("boot_id", read.boot_id)?,
        // A word of a later version: it is registered, so it is probed.
        state: match read.state.as_deref() {
            Some("starting") => State::Starting,
            Some("draining") => State::Draining,
            _ => State::Serving,
        },
        original,
        address: address.into(),
    })
}

/// A reason that may quote what others wrote: it goes into a log line, which is not theirs to fill.
pub(crate) fn shortened(mut reason: String) -> String {
    const LONGEST: usize = 300;
    if reason.len() > LONGEST {
        reason.truncate(reason.floor_char_boundary(LONGEST));
        reason.push_str("...");
    }
    reason
}

fn port(key: &str, value: i64) -> Result<u16, String> {
    match u16::try_from(value) {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(format!("{key} is {value}; accepted: 1 to 65535")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Registration {
        Registration {
            node: "n1".into(),
            address: "10.0.0.1".into(),
            port: 4000,
            tcp_port: 4001,
            zone: "z".into(),
            rack: "r".into(),
            region: "g".into(),
            version: "0.1.0".into(),
            boot_id: "b".into(),
            state: State::Serving,
            poll_timeout_ms: 5000,
            poll_interval_ms: 10000,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let data = encode(&own(), State::Draining).unwrap();
        assert_eq!(
            String::from_utf8(data.clone()).unwrap(),
            r#"{"My_address":"10.0.0.1","My_port":4000,"Poll_timeout":5000,"Poll_interval":10000,"node":"n1","zone":"z","rack":"r","region":"g","tcp_port":4001,"version":"0.1.0","boot_id":"b","state":"draining"}"#
        );
        let member = decode(&data).unwrap();
        assert_eq!(
            (member.node.as_str(), member.tcp_port, member.state),
            ("n1", 4001, State::Draining)
        );
        assert!(!member.original);
    }

    #[test]
    fn ipv6_is_bracketed_for_the_original_and_bare_for_us() {
        for address in ["fd00::1", "[fd00::1]"] {
            let data = encode(
                &Registration {
                    address: address.into(),
                    ..own()
                },
                State::Serving,
            )
            .unwrap();
            assert!(
                String::from_utf8(data.clone())
                    .unwrap()
                    .contains(r#""My_address":"[fd00::1]""#)
            );
            assert_eq!(decode(&data).unwrap().address, "fd00::1");
        }
    }

    #[test]
    fn the_originals_data_makes_an_original_member() {
        let data = br#"{"My_address":"host","My_port":4000,"Poll_timeout":5000,"Poll_interval":10000}"#;
        let member = decode(data).unwrap();
        assert_eq!(
            (member.node.as_str(), member.port, member.tcp_port),
            ("host:4000", 4000, 4000)
        );
        assert!(member.original);
        assert_eq!(member.state, State::Serving);
    }

    #[test]
    fn unknown_keys_and_odd_polls_do_no_harm() {
        let data = br#"{"My_address":"h","My_port":1,"Poll_timeout":"x","Poll_interval":null,"future":[1],"state":"thinking"}"#;
        assert_eq!(decode(data).unwrap().state, State::Serving);
    }

    #[test]
    fn malformed_data_is_refused_with_a_reason() {
        let big = format!(r#"{{"My_address":"h","My_port":1,"x":"{}"}}"#, "x".repeat(MAX_DATA));
        let long = format!(r#"{{"My_address":"h","My_port":1,"node":"{}"}}"#, "x".repeat(256));
        for bad in [
            "",
            " ",
            "null",
            "[]",
            r#"["h",1]"#,
            "hello",
            "{",
            r#"{"My_address":"h"}"#,
            r#"{"My_port":1}"#,
            r#"{"My_address":"","My_port":1}"#,
            r#"{"My_address":"a b","My_port":1}"#,
            r#"{"My_address":1,"My_port":1}"#,
            r#"{"My_address":null,"My_port":1}"#,
            r#"{"My_address":"h","My_port":0}"#,
            r#"{"My_address":"h","My_port":-1}"#,
            r#"{"My_address":"h","My_port":65536}"#,
            r#"{"My_address":"h","My_port":70000}"#,
            r#"{"My_address":"h","My_port":1.5}"#,
            r#"{"My_address":"h","My_port":"1"}"#,
            &format!(r#"{{"My_address":"h","My_port":"{}"}}"#, "\\n".repeat(1_000)),
            r#"{"My_address":"h","My_port":1,"tcp_port":0}"#,
            r#"{"My_address":"h","My_port":1,"node":7}"#,
            r#"{"My_address":"h","My_port":1,"node":"a\nb"}"#,
            r#"{"My_address":"h","My_port":1} x"#,
            big.as_str(),
            long.as_str(),
        ] {
            let why = decode(bad.as_bytes()).expect_err(bad);
            assert!(!why.is_empty() && why.len() < 400, "{why}");
        }
        assert!(decode(&[0xff, 0xfe, b'{']).is_err());
    }
}
