//! Waiting until a deadline on a host that may itself be late: it was too busy to look, stopped, or asleep.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

/// A host this much late for a deadline was kept from looking. Timers are exact to a millisecond, and the rest is patience
/// with a host that is merely busy.
const ON_TIME: Duration = Duration::from_millis(10);
/// What had come by then is read within this time, also by a host that has much to read.
const CATCH_UP: Duration = Duration::from_millis(100);

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
        Err(_) => match timeout(CATCH_UP, future).await {
            Ok(_) => Waited::Untold,
            Err(_) => Waited::Silent,
        },
    }
}
