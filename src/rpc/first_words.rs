//! What a caller speaks. TCP probes of other nodes hit the port hundreds of times a second and reset at once: such a connection
//! costs its accept and one read, and nothing of TLS or HTTP/2 is allocated before its first bytes have come.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

/// The client's connection preface (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A record of the handshake, of any version (RFC 8446, 5.1).
const HANDSHAKE: [u8; 2] = [22, 3];
/// How often what comes in pieces is looked at again.
const RECHECK: Duration = Duration::from_millis(50);

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// HTTP/2 in cleartext.
    Http2,
    /// TLS.
    Tls,
}

/// Listens until that is known; `None` for anything else. Nothing is consumed.
pub(crate) async fn hear(stream: &TcpStream) -> Option<Spoken> {
    let mut seen = [0; PREFACE.len()];
    loop {
        let heard = stream.peek(&mut seen).await.ok()?;
        let heard = &seen[..heard];
        if heard.is_empty() {
            return None;
        } else if heard.starts_with(&HANDSHAKE) {
            return Some(Spoken::Tls);
        } else if heard == PREFACE {
            return Some(Spoken::Http2);
        } else if !PREFACE.starts_with(heard) && !HANDSHAKE.starts_with(heard) {
            return None;
        }
        // Peeked bytes keep the socket readable, so readiness can't tell when more have come.
        sleep(RECHECK).await;
    }
}
