//! One ping from its due time to its fate: find or make the connection, call, time out, watch for a late answer.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use dt_probe::{Clock, Fate, Sample, What};
use tokio::time::{Instant, timeout};

use crate::call::{CallError, ping_node};
use crate::connection::{Connection, Dial, DialError, dial};
use crate::peer::Peer;
use crate::prober::Shared;
use crate::wait::{Waited, until};

/// A call that was not answered in time; it resolves when an answer comes after all.
type LateCall = Pin<Box<dyn Future<Output = Result<u64, CallError>> + Send>>;

/// Runs one ping to its end. The caller has counted it as in flight and holds the peer for it.
pub(crate) async fn run(shared: Arc<Shared>, peer: Arc<Peer>) {
    let decided = tokio::select! {
        biased;
        decided = decide_and_tell(&shared, &peer) => decided,
        () = shared.cancel.cancelled() => None,
    };
    peer.in_flight.fetch_sub(1, Relaxed);
    shared.one_decided();
    match decided {
        Some(late) => {
            if let Some(call) = late {
                watch_for_late(&shared, &peer, call).await;
            }
            shared.release(&peer).await;
        }
        None => {
            shared.counters.abandoned.fetch_add(1, Relaxed);
        }
    }
}

/// `None` where the ping was given up: the connections end with the prober, and a call may learn of that first.
async fn decide_and_tell(shared: &Arc<Shared>, peer: &Arc<Peer>) -> Option<Option<LateCall>> {
    let suspends = || shared.config.suspends.load(Relaxed);
    let before = suspends();
    let (what, late) = decide(shared, peer).await;
    if matches!(what, What::Failed(_)) && shared.cancel.is_cancelled() {
        return None;
    }
    // What came of a ping that this host slept through says nothing: the clock stood still, the connection timed out.
    let (what, late) = if suspends() == before {
        (what, late)
    } else {
        (What::Skipped(1), None)
    };
    shared.asked(peer, matches!(what, What::Received(_)));
    shared.tell(peer.id, what).await;
    if matches!(what, What::Skipped(_)) {
        shared.counters.voided.fetch_add(1, Relaxed);
    }
    Some(late)
}

async fn decide(shared: &Arc<Shared>, peer: &Arc<Peer>) -> (What, Option<LateCall>) {
    let deadline = Instant::now() + shared.config.timeout;
    // A connection may turn out to be gone just as it is used; the ping hasn't left then, and one fresh dial is due. Not to
    // one who has never answered.
    let dials = if peer.is_proven() { 2 } else { 1 };
    for _ in 0..dials {
        let queued = AtomicBool::new(false);
        let connection = match until(deadline, &mut pin!(connect(shared, peer, &queued))).await {
            Waited::Done(Ok(connection)) => connection,
            Waited::Done(Err(fate)) => return (What::Failed(fate), None),
            Waited::Untold => return (What::Skipped(1), None),
            // Whoever waited to dial the whole time has not probed anything, and that is this host's doing.
            Waited::Silent if queued.load(Relaxed) => return (What::Skipped(1), None),
            Waited::Silent => return (What::Failed(Fate::Lost), None),
        };
        let mut call: LateCall = Box::pin({
            // A peer that is told our own time-out gives up in the same moment, and now and then its error is the first to
            // be read. It may take as long as its answer is waited for as a late one.
            let patience = shared.config.timeout + shared.config.late_memory();
            let peer = Arc::clone(peer);
            async move { ping_node(connection, &peer.outgoing, patience).await }
        });
        match until(deadline, &mut call).await {
            Waited::Done(Ok(rtt_ns)) => return (What::Received(sample(rtt_ns)), None),
            Waited::Done(Err(CallError::Failed(fate))) => return (What::Failed(fate), None),
            // The next round finds the connection ended and dials.
            Waited::Done(Err(CallError::NotSent)) => {}
            Waited::Untold => return (What::Skipped(1), None),
            Waited::Silent => return (What::Failed(Fate::Lost), Some(call)),
        }
    }
    // The peer closes each connection as soon as it stands.
    (What::Failed(Fate::Refused), None)
}

fn sample(rtt_ns: u64) -> Sample {
    Sample {
        rtt_ns,
        host_delay_ns: None,
        tx: Clock::User,
        rx: Clock::User,
        fallback: false,
    }
}

/// The peer's connection; dialled if there is none or it has ended. `queued` is true while that waits for its turn.
async fn connect(shared: &Shared, peer: &Peer, queued: &AtomicBool) -> Result<Connection, Fate> {
    let mut kept = peer.connection.lock().await;
    if let Some(connection) = kept.as_ref() {
        if connection.is_up() {
            return Ok(connection.clone());
        }
        *kept = None;
    }
    // Dials wait for their turn, so that 10,000 dead peers don't take all descriptors.
    queued.store(true, Relaxed);
    let turn = shared.dials.acquire().await;
    queued.store(false, Relaxed);
    let place = Arc::clone(&shared.places).try_acquire_owned().ok();
    let keep = place.is_some();
    let tls = shared.config.tls.as_ref().zip(peer.tls.clone());
    let dialled = dial(Dial {
        address: peer.address,
        source: peer.source,
        user_timeout: shared.config.timeout,
        stranger: !peer.is_proven(),
        tls: tls.map(|(tls, name)| (tls.connector(), name)),
        place,
        cancel: &shared.cancel,
    })
    .await;
    drop(turn);
    if let Err(DialError::Tls(error)) = &dialled {
        shared.complain(peer, error);
    }
    let connection = dialled.map_err(|error| error.fate())?;
    if keep {
        *kept = Some(connection.clone());
    }
    Ok(connection)
}

async fn watch_for_late(shared: &Shared, peer: &Peer, call: LateCall) {
    // As many as may be in flight; what comes beyond is not watched for.
    let Ok(_watcher) = peer.watchers.try_acquire() else {
        return;
    };
    let watch = async {
        if let Ok(Ok(_)) = timeout(shared.config.late_memory(), call).await {
            shared.asked(peer, true);
            shared.tell(peer.id, What::Late).await;
        }
    };
    tokio::select! {
        () = watch => {}
        () = peer.removed.cancelled() => {}
        () = shared.cancel.cancelled() => {}
    }
}
