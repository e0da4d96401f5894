//! From an error to a fate: which of the contract's five a failed ping is.

use std::error::Error;
use std::io;

use dt_probe::Fate;
use nix::errno::Errno;

/// The fate of a ping whose connection could not be made.
///
/// A port-unreachable ICMP error can't be told from RST: Linux gives both to a TCP socket as `ECONNREFUSED`.
pub(crate) fn of_dial(error: &io::Error) -> Fate {
    of_network(error).unwrap_or(Fate::SendError)
}

/// The fate of a ping whose connection stood, but not its TLS: a peer that isn't believed, or doesn't believe us, has refused.
pub(crate) fn of_handshake(error: &io::Error) -> Fate {
    of_network(error).unwrap_or(Fate::Refused)
}

/// The fate of a ping that was on its way when its connection failed. Whatever the peer did wrong is `refused`:
/// reset, end of stream, GOAWAY, RST_STREAM, a broken frame.
pub(crate) fn of_connection(error: &h2::Error) -> Fate {
    let cause = error.get_io().or_else(|| error.source()?.downcast_ref());
    cause.and_then(of_network).unwrap_or(Fate::Refused)
}

/// What the network or the peer said; `None` where the trouble is none of theirs.
fn of_network(error: &io::Error) -> Option<Fate> {
    use io::ErrorKind as Kind;
    // The ICMP and ICMPv6 errors that have no kind of their own (icmp(7); ICMPv6 "administratively prohibited" and a
    // prohibiting route are EACCES, which a local firewall's refusal, EPERM, is not: both are PermissionDenied).
    if let Some(code) = error.raw_os_error() {
        match Errno::from_raw(code) {
            Errno::EACCES | Errno::EHOSTDOWN | Errno::ENONET | Errno::ENOPROTOOPT => return Some(Fate::Unreachable),
            Errno::EPERM => return Some(Fate::SendError),
            _ => {}
        }
    }
    match error.kind() {
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => Some(Fate::Unreachable),
        // On a connection that stood, h2 keeps the kind only; nothing but ICMPv6 gives this there.
        Kind::PermissionDenied => Some(Fate::Unreachable),
        // The kernel's own time-out, by retransmissions or TCP_USER_TIMEOUT.
        Kind::TimedOut => Some(Fate::Lost),
        Kind::ConnectionRefused
        | Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe
        | Kind::UnexpectedEof => Some(Fate::Refused),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_of_a_dial_has_the_contracts_fate() {
        for (errno, fate) in [
            (Errno::ECONNREFUSED, Fate::Refused),
            (Errno::ECONNRESET, Fate::Refused),
            (Errno::EHOSTUNREACH, Fate::Unreachable),
            (Errno::ENETUNREACH, Fate::Unreachable),
            (Errno::EACCES, Fate::Unreachable),
            (Errno::ENOPROTOOPT, Fate::Unreachable),
            (Errno::EHOSTDOWN, Fate::Unreachable),
            (Errno::ETIMEDOUT, Fate::Lost),
            (Errno::EPERM, Fate::SendError),
            (Errno::EMFILE, Fate::SendError),
            (Errno::EADDRNOTAVAIL, Fate::SendError),
            (Errno::EINVAL, Fate::SendError),
        ] {
            assert_eq!(of_dial(&io::Error::from_raw_os_error(errno as i32)), fate, "{errno}");
        }
    }
}
