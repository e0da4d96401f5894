//! Asking a running `dt collect` or `dt demo`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use dt_agent::config::{HostPort, duration};
use dt_agent::request;
use dt_collect::http::Token;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};

/// Where it serves: `http://HOST[:PORT][/PREFIX]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    at: HostPort,
    /// What stands before the paths of its API, where a proxy serves it under a path of its own. Ends without a slash.
    prefix: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.at, self.prefix)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        const ACCEPTED: &str = "accepted: http://HOST[:PORT], with nothing but a path behind it";
        let rest = text.strip_prefix("http://").ok_or(ACCEPTED)?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains(['?', '#', '@']);
        if !is_plain(rest) {
            return Err(ACCEPTED.to_owned());
        }
        let at = HostPort::parse_or(host, 80).map_err(|why| format!("{why}; {ACCEPTED}"))?;
        if at.port == 0 {
            return Err(format!("port 0 is any port; {ACCEPTED}"));
        }
        Ok(Address {
            at,
            prefix: path.trim_end_matches('/').to_owned(),
        })
    }
}

/// What it says to `path`, which begins with a slash and may end with a query: up to `longest` bytes, within `patience`.
///
/// # Errors
/// What went wrong, in words.
pub(crate) async fn get(
    address: &Address,
    token: Option<&Token>,
    path: &str,
    longest: usize,
    patience: Duration,
) -> Result<(StatusCode, Bytes), String> {
    let asking = async {
        let HostPort { host, port } = &address.at;
        let stream = tokio::net::TcpStream::connect((host.as_str(), *port)).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let whole = format!("{}{path}", address.prefix);
        let mut request = Request::get(whole).header(header::HOST, address.at.to_string());
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, token.bearer());
        }
        let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
        request::answer(stream, request, longest).await
    };
    tokio::time::timeout(patience, asking)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {}", duration::format(patience))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, written) in [
            ("http://collector:8080", "http://collector:8080"),
            ("http://10.0.0.7:8080/", "http://10.0.0.7:8080"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://proxy/dt/", "http://proxy:80/dt"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), written);
        }
        for text in [
            "",
            "collector:8080",
            "/x",
            "https://collector",
            "http://",
            "http://a b",
            "http://a/b c",
            "http://a?x",
            "http://u@a",
            "http://u:p@a:1",
            "http://a:",
            "http://a:x",
            "http://a:0",
            "http://a:99999",
        ] {
            assert!(
                text.parse::<Address>().is_err_and(|why| why.contains("accepted")),
                "{text}"
            );
        }
    }
}
