//! Waiting until a deadline on a host that may itself be late: it was too busy to look, stopped, or asleep.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// A host this much late for a deadline was kept from looking. Timers are exact to a millisecond, and the rest is patience
/// with a host that is merely busy.
const ON_TIME: Duration = Duration::from_millis(10);
/// What had come by then is read within this time, also by a host that has much to read.
const CATCH_UP: Duration = Duration::from_millis(100);
/// A host that is late for that too is given the time anew, but not for ever.
const CATCH_UPS: usize = 20;

/// What came of the waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited<T> {
    /// It came by the deadline.
    Done(T),
    /// It had not come when this host looked, after the deadline.
    Silent,
    /// It came while this host was kept from looking: whether by the deadline or after it can't be told.
    Untold,
}

/// Waits for `future` until `deadline`. What is silent may be waited for on.
pub(crate) async fn until<F: Future + Unpin>(deadline: Instant, future: &mut F) -> Waited<F::Output> {
    let done = timeout_at(deadline, &mut *future).await;
    let was_on_time = Instant::now() <= deadline + ON_TIME;
    match done {
        Ok(done) if was_on_time => Waited::Done(done),
        Ok(_) => Waited::Untold,
        Err(_) if was_on_time => Waited::Silent,
        // The timer is looked at before the sockets are: what waits in them is still to be read.
        Err(_) => caught_up(future).await,
    }
}

/// What comes of `future` once this host has had time to read what had come by now.
async fn caught_up<F: Future + Unpin>(future: &mut F) -> Waited<F::Output> {
    for _ in 0..CATCH_UPS {
        let end = Instant::now() + CATCH_UP;
        if timeout_at(end, &mut *future).await.is_ok() {
            return Waited::Untold;
        }
        if Instant::now() <= end + ON_TIME {
            return Waited::Silent;
        }
    }
    // It got no time to itself at all.
    Waited::Untold
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;
    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    const STALL: Duration = Duration::from_millis(300);

    /// This host stalls so many times, for longer than it has to catch up, before it comes to read what had come.
    async fn after_stalls(stalls: usize, comes: bool) -> Waited<Result<(), oneshot::error::RecvError>> {
        let (send, mut receive) = oneshot::channel();
        let reader = tokio::spawn(async move {
            for _ in 0..stalls {
                sleep(STALL);
                // Timers and sockets are looked at.
                tokio::time::sleep(Duration::from_millis(1)).await;
                yield_now().await;
            }
            if !comes {
                std::future::pending::<()>().await;
            }
            let _ = send.send(());
        });
        let waited = until(Instant::now() + Duration::from_millis(50), &mut receive).await;
        reader.abort();
        waited
    }

    #[tokio::test]
    async fn what_had_come_is_read_however_often_this_host_stalls() {
        for stalls in 1..5 {
            assert_eq!(after_stalls(stalls, true).await, Waited::Untold, "{stalls}");
        }
    }

    #[tokio::test]
    async fn silence_is_told_once_this_host_had_time_to_look() {
        for stalls in 1..5 {
            assert_eq!(after_stalls(stalls, false).await, Waited::Silent, "{stalls}");
        }
    }
}
