//! Who may read: anyone, or whoever knows the token; and which other sites' pages may.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::error::ApiError;

/// The token that readers of the API must show, as `Authorization: Bearer TOKEN`.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("accepted: one or more visible ASCII characters, no spaces")]
pub struct BadToken;

impl FromStr for Token {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        // What can stand in a header as one word.
        let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_word.then(|| Self(text.into())).ok_or(BadToken)
    }
}

impl Token {
    /// The value of the header `authorization` that shows it.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Compared in a time that tells nothing of how much of it was right.
    fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }
}

/// A site whose pages may read the API: `https://host` or `https://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// Not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no origin; accepted: http://HOST[:PORT] or https://HOST[:PORT], without a path")]
pub struct BadOrigin(String);

impl FromStr for Origin {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let bad = || BadOrigin(text.to_owned());
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let is_host = |host: &str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic());
        match host {
            Some(host) if is_host(host) && !host.contains(['/', '?', '#', '@', '*', '"']) => {
                text.to_ascii_lowercase().parse().map(Self).map_err(|_| bad())
            }
            _ => Err(bad()),
        }
    }
}

/// Answers 401 to whoever doesn't show the token.
pub(super) async fn check(State(token): State<Option<Token>>, request: Request, next: Next) -> Response {
    let Some(token) = token else {
        return next.run(request).await;
    };
    let shown = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let bearer = shown.and_then(|shown| shown.split_at_checked("Bearer ".len()));
    match bearer {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case(b"Bearer ") && token.is(given.trim_ascii()) => {
            next.run(request).await
        }
        _ => ApiError::new(
            StatusCode::UNAUTHORIZED,
            "this server asks for a token: Authorization: Bearer TOKEN",
        )
        .into_response(),
    }
}

/// Lets pages of `origins` read. Without any, browsers let no other site's page read.
pub(super) fn cors(origins: &[Origin]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().map(|origin| origin.0.clone())))
        .allow_methods([Method::GET])
        .allow_headers([header::AUTHORIZATION])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_origins_say_what_is_accepted() {
        assert!("s3cret~_".parse::<Token>().is_ok());
        for bad in ["", "two words", "naïve", "line\n"] {
            assert_eq!(bad.parse::<Token>().err(), Some(BadToken), "{bad:?}");
        }
        assert_eq!(format!("{:?}", "s3cret".parse::<Token>()), "Ok(Token(..))");
        assert!("https://Grafana.example:3000".parse::<Origin>().is_ok());
        for bad in [
            "*",
            "null",
            "grafana.example",
            "https://",
            "https://a/b",
            "https://a b",
            "ftp://a",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad:?}");
        }
    }
}
