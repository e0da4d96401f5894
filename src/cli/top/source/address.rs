//! `--url`: where a server of heat maps is.

use std::fmt;
use std::str::FromStr;

use dt_agent::config::HostPort;

/// `http://HOST[:PORT][/PREFIX]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) server: HostPort,
    /// What stands before the paths of the API; empty, or begins with a slash and ends without.
    prefix: String,
}

const ACCEPTED: &str = "accepted: http://HOST:PORT of a running dt collect or dt demo, perhaps with a path";

impl Address {
    /// The path of a request for `path`, which begins with a slash.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.server, self.prefix)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => return Err(format!("https isn't spoken here; {ACCEPTED}")),
            _ => return Err(format!("not an address of HTTP; {ACCEPTED}")),
        };
        let (server, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let server = HostPort::parse_or(server, 80).map_err(|why| format!("{why}; {ACCEPTED}"))?;
        if server.port == 0 {
            return Err(format!("port 0 is any port; {ACCEPTED}"));
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) || path.contains(['?', '#']) {
            return Err(format!("not a path alone: {path:?}; {ACCEPTED}"));
        }
        Ok(Address {
            server,
            prefix: path.trim_end_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, written, path) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080", "/x"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080", "/x"),
            ("http://collector", "http://collector:80", "/x"),
            ("http://[::1]:8080/a/b/", "http://[::1]:8080/a/b", "/a/b/x"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(
                (address.to_string().as_str(), address.path("/x").as_str()),
                (written, path),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_told_what_is() {
        for text in [
            "",
            "localhost:8080",
            "127.0.0.1",
            "/x",
            "ftp://a",
            "https://a:1",
            "http://",
            "http://u:p@a:1",
            "http://a:1/?x=1",
            "http://a:",
            "http://a:0",
            "http://a:99999",
            "http://a b",
            "http://a/b c",
        ] {
            let error = text.parse::<Address>();
            assert!(
                error
                    .as_ref()
                    .is_err_and(|why| why.contains("accepted: http://HOST:PORT")),
                "{text:?}: {error:?}"
            );
        }
    }
}
