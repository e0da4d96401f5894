//! What a running collector has found.

use std::str::FromStr;
use std::time::Duration;

use dt_agent::config::{HostPort, duration};
use dt_agent::request;
use dt_collect::diagnosis::Findings;
use dt_collect::http::Token;
use http_body_util::Empty;
use hyper::{Request, StatusCode, header};

/// Hundreds of findings with all their evidence.
const LONGEST_ANSWER: usize = 4 << 20;

const PATH: &str = "/api/v1/findings";

/// Where a collector serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    at: HostPort,
    /// What stands before [`PATH`], where a proxy serves it under a path of its own.
    prefix: String,
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
        Ok(Address {
            at: HostPort::parse_or(host, 80).map_err(|why| format!("{why}; {ACCEPTED}"))?,
            prefix: path.trim_end_matches('/').to_owned(),
        })
    }
}

/// Asks it.
pub(super) async fn ask(address: &Address, token: Option<&Token>, patience: Duration) -> Result<Findings, String> {
    let url = format!("http://{}{}{PATH}", address.at, address.prefix);
    let asking = tokio::time::timeout(patience, answer(address, token));
    let answer = asking
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {}", duration::format(patience))));
    let found = answer.and_then(|(status, body)| match status {
        StatusCode::OK => serde_json::from_slice(&body).map_err(|error| format!("no findings: {error}")),
        StatusCode::UNAUTHORIZED => Err("it asks for a token; accepted: --token TOKEN".to_owned()),
        _ => Err(format!("{status}: {}", String::from_utf8_lossy(&body).trim())),
    });
    found.map_err(|why| format!("{url}: {why}"))
}

async fn answer(address: &Address, token: Option<&Token>) -> Result<(StatusCode, Vec<u8>), String> {
    let HostPort { host, port } = &address.at;
    let stream = tokio::net::TcpStream::connect((host.as_str(), *port)).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let mut request = Request::get(format!("{}{PATH}", address.prefix)).header(header::HOST, address.at.to_string());
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, token.bearer());
    }
    let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
    let (status, body) = request::answer(stream, request, LONGEST_ANSWER).await?;
    Ok((status, body.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_collectors() {
        for (text, at, prefix) in [
            ("http://collector:8080", "collector:8080", ""),
            ("http://10.0.0.7:8080/", "10.0.0.7:8080", ""),
            ("http://[::1]:8080", "[::1]:8080", ""),
            ("http://proxy/dt/", "proxy:80", "/dt"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.at.to_string().as_str(), address.prefix.as_str()), (at, prefix));
        }
        for text in [
            "collector:8080",
            "https://collector",
            "http://",
            "http://a b",
            "http://a?x",
            "http://u@a",
            "http://a:x",
        ] {
            assert!(
                text.parse::<Address>().is_err_and(|why| why.contains("accepted")),
                "{text}"
            );
        }
    }
}
