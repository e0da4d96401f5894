//! The data of a member node, written and read as Go's `encoding/json` does for the original's struct.

use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

/// What the original takes from a member's data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) address: String,
    pub(super) port: i64,
}

impl Member {
    /// The bytes that the original writes, its keys in its order.
    pub(super) fn json(own: SocketAddr, poll_interval: Duration) -> String {
        format!(
            r#"{{"My_address":"{}","My_port":{},"Poll_timeout":5000,"Poll_interval":{}}}"#,
            own.ip(),
            own.port(),
            poll_interval.as_millis()
        )
    }

    /// Unknown keys are ignored, missing ones and `null` are zero, names match without regard to case; anything else
    /// than an object, and a known key of the wrong type, is the error that the original dies of.
    pub(super) fn parse(data: &[u8]) -> Result<Member, String> {
        let value: Value = serde_json::from_slice(data).map_err(|error| error.to_string())?;
        let mut member = Member::default();
        let object = match value {
            Value::Null => return Ok(member),
            Value::Object(object) => object,
            other => return Err(format!("cannot unmarshal {other} into a struct")),
        };
        for (key, value) in object {
            let wrong = || format!("cannot unmarshal {value} into {key}");
            match (key.to_ascii_lowercase().as_str(), &value) {
                (_, Value::Null) => {}
                ("my_address", _) => member.address = value.as_str().ok_or_else(wrong)?.to_owned(),
                ("my_port", _) => member.port = value.as_i64().ok_or_else(wrong)?,
                ("poll_timeout" | "poll_interval", _) => {
                    value
                        .as_i64()
                        .and_then(|number| i32::try_from(number).ok())
                        .ok_or_else(wrong)?;
                }
                _ => {}
            }
        }
        Ok(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_writes_is_what_the_original_writes() {
        let own = "10.0.0.1:4000".parse().unwrap();
        assert_eq!(
            Member::json(own, Duration::from_secs(10)),
            r#"{"My_address":"10.0.0.1","My_port":4000,"Poll_timeout":5000,"Poll_interval":10000}"#
        );
        let parsed = Member::parse(Member::json(own, Duration::from_secs(10)).as_bytes());
        assert_eq!(
            parsed,
            Ok(Member {
                address: "10.0.0.1".to_owned(),
                port: 4000
            })
        );
    }

    #[test]
    fn extra_keys_are_ignored_and_rubbish_kills() {
        assert!(Member::parse(br#"{"My_address":"a","My_port":1,"node":{"x":[1]},"state":"serving"}"#).is_ok());
        for rubbish in [
            &b""[..],
            b"x",
            b"[]",
            b"7",
            b"\"a\"",
            br#"{"My_port":"4000"}"#,
            br#"{"my_PORT":1.5}"#,
            br#"{"Poll_timeout":3000000000}"#,
        ] {
            assert!(Member::parse(rubbish).is_err(), "{rubbish:?}");
        }
    }
}
