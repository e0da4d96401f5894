//! The thread that a sink does its work on, and waiting for its end.

use std::time::Instant;

use tokio::sync::watch;
use tokio::time::timeout_at;

use crate::publisher::StartError;

#[derive(Debug)]
pub(crate) struct SinkThread {
    /// Turns true when the work is done.
    done: watch::Receiver<bool>,
}

impl SinkThread {
    /// Begins `work` on a thread of this name, for the sink `sink`.
    pub(crate) fn start(
        name: &str,
        sink: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<SinkThread, StartError> {
        let (end, done) = watch::channel(false);
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            work();
            // Nobody may be waiting any more.
            let _ = end.send(true);
        });
        match started {
            Ok(_) => Ok(SinkThread { done }),
            Err(error) => Err(StartError::Thread {
                sink: sink.to_owned(),
                error,
            }),
        }
    }

    /// Waits until its work is done, it has ended without saying so, or `deadline`.
    pub(crate) async fn done(&self, deadline: Instant) {
        let mut done = self.done.clone();
        let _ = timeout_at(deadline.into(), done.wait_for(|&done| done)).await;
    }
}
