//! The signals that end a long-running command, in order.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT, and SIGHUP: the terminal or the session that a command was started from has ended, and nothing waits to
/// be read again. Under `nohup` the command goes on.
#[derive(Debug)]
pub(crate) struct Ends(Vec<Signal>);

impl Ends {
    /// Catches them from now on. Call from within a Tokio runtime.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(crate) fn catch() -> io::Result<Ends> {
        let mut kinds = vec![SignalKind::terminate(), SignalKind::interrupt()];
        if !is_hangup_ignored() {
            kinds.push(SignalKind::hangup());
        }
        Ok(Ends(kinds.into_iter().map(signal).collect::<io::Result<_>>()?))
    }

    /// Waits for the first of them.
    pub(crate) async fn come(&mut self) {
        poll_fn(|context| {
            // All are asked, so that each can wake this up.
            let come = self.0.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if come { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// As the kernel tells: the ignored signals of this process, a bit each, the lowest being SIGHUP's.
pub(crate) fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}
