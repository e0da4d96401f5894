//! From a signal to an orderly end.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::books::{self, Ledger};
use crate::lifecycle::{Agent, Order};
use crate::mesh::Control;

/// How long the end may take in all, so that the process is gone within 5 s on a busy machine too; the parts below fit
/// into it.
const SHUTDOWN: Duration = Duration::from_millis(4300);
/// How long to wait for the membership to confirm that this node is gone.
const DEREGISTER: Duration = Duration::from_millis(600);
/// How long after the time-out of the last probe its fate is known for certain: the command to stop sending and the
/// expiry each take a turn of the probe thread.
const LAST_TURN: Duration = Duration::from_millis(250);
/// The longest wait for probes in flight.
const IN_FLIGHT: Duration = Duration::from_secs(3);
/// How long the others probe on once this node is gone: they gather news for a quarter of a second, and their probe threads
/// obey in a tenth; the rest is patience with busy hosts.
const NEWS: Duration = Duration::from_millis(1500);
/// The larger the mesh, the longer its agents spread what they ask of the service: by this for each member.
const NEWS_PER_MEMBER: Duration = Duration::from_millis(1);

impl Agent {
    /// Is gone from the membership, and no longer ready; answers and probes on. Asked again, it changes nothing.
    pub async fn leave(&self) {
        self.shared.readiness.draining();
        self.server.set_serving(false).await;
        let was_known = self.membership.status.borrow().registered;
        if !self.membership.deregister(DEREGISTER).await {
            tracing::warn!("the membership has not confirmed that this node is gone; its session's end will remove it");
        } else if was_known && self.is_announced {
            self.left.get_or_init(Instant::now);
        }
    }

    /// Runs until `shutdown`, then ends in order; does meanwhile what `orders` say. False where the agent ended of
    /// itself, which it never should: better to be restarted than to answer for a node that probes nothing.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>, mut orders: mpsc::Receiver<Order>) -> bool {
        tokio::pin!(shutdown);
        let sound = loop {
            tokio::select! {
                () = &mut shutdown => break true,
                Some(order) = orders.recv() => match order {
                    Order::Toggle => self.toggle().await,
                    Order::Leave => {
                        tracing::info!("leaving the membership; answering until the end");
                        self.leave().await;
                    }
                },
                ended = &mut self.mesh => {
                    tracing::error!(error = ?ended.err().map(|e| e.to_string()), "the mesh task has ended");
                    self.mesh = tokio::spawn(async { None });
                    break false;
                }
            }
        };
        self.shut_down().await;
        sound
    }

    /// The orderly end, within 5 s whatever is down: deregister while still answering, stop sending, wait for what is
    /// in flight up to min(time-out, 3 s), publish the last window, and stop answering once the
    /// others know.
    pub async fn shut_down(self) {
        let began = Instant::now();
        let end = began + SHUTDOWN;
        tracing::info!("shutting down");
        self.leave().await;
        let until = Instant::now() + (self.longest_timeout + LAST_TURN).min(IN_FLIGHT);
        let _ = self.control.send(Control::Drain(until)).await;
        let ledger = timeout_at(end - Duration::from_millis(600), self.mesh).await;
        let ledger = ledger.ok().and_then(Result::ok).flatten();
        if ledger.is_none() {
            tracing::error!("the mesh task did not end in order: its last window is lost");
        }
        for drained in self.publisher.drain(end - Duration::from_millis(100)).await {
            if drained.spooled > 0 {
                tracing::info!(
                    sink = drained.sink,
                    records = drained.spooled,
                    "records are left in the spool for the next start"
                );
            }
            if drained.unpublished > 0 {
                tracing::warn!(
                    sink = drained.sink,
                    records = drained.unpublished,
                    "records not published"
                );
            }
        }
        let members = u32::try_from(self.shared.totals.members.load(Relaxed)).unwrap_or(u32::MAX);
        if let Some(left) = self.left.get().filter(|_| members > 0) {
            let news = NEWS.saturating_add(NEWS_PER_MEMBER.saturating_mul(members));
            // Whoever hasn't heard yet is answered still: nobody counts this end as loss.
            sleep_until((*left + news).min(end - Duration::from_millis(100))).await;
        }
        let _ = self.stop_server.send(());
        drop(self.stop_http);
        if let Ok(membership) = Arc::try_unwrap(self.membership) {
            let _ = timeout(Duration::from_millis(50), membership.close()).await;
        }
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let abandoned = ledger.as_ref().map_or(0, Ledger::abandoned);
        tracing::info!(abandoned, took_ms, "shut down");
        if let Some(ledger) = ledger {
            let stats = self.publisher.stats();
            let sinks = stats
                .iter()
                .filter_map(|(sink, snapshot)| ledger.wrong_with(sink, snapshot));
            for what in ledger.wrong_at_the_end().into_iter().chain(sinks) {
                books::wrong(&what);
            }
        }
    }
}
