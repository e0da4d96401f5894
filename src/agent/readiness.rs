//! Readiness as latches: each part says once that it is done, and what was done stays done.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What has to have happened before `/readyz` answers 200.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    /// The membership holds this node.
    registered: AtomicBool,
    /// Every peer known at the time has had one probe decided. A round without peers is done.
    first_round: AtomicBool,
    /// The agent is on its way out: never ready again.
    draining: AtomicBool,
}

impl Readiness {
    /// The membership holds this node.
    pub(crate) fn registered(&self) {
        self.registered.store(true, Relaxed);
    }

    /// The first probe round is done.
    pub(crate) fn first_round_done(&self) {
        self.first_round.store(true, Relaxed);
    }

    /// Whether the first round is done.
    #[must_use]
    pub(crate) fn is_first_round_done(&self) -> bool {
        self.first_round.load(Relaxed)
    }

    /// The agent has begun to shut down.
    pub(crate) fn draining(&self) {
        self.draining.store(true, Relaxed);
    }

    /// `Ok` when ready; else what is still missing.
    ///
    /// # Errors
    /// The reason, for the body of `/readyz`.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.draining.load(Relaxed) {
            Err("draining")
        } else if !self.registered.load(Relaxed) {
            Err("not registered with the membership yet")
        } else if !self.first_round.load(Relaxed) {
            Err("the first probe round is not done yet")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_registered_and_a_round_done_and_not_draining() {
        let readiness = Readiness::default();
        assert!(readiness.check().is_err());
        readiness.registered();
        assert!(readiness.check().is_err());
        readiness.first_round_done();
        assert_eq!(readiness.check(), Ok(()));
        readiness.draining();
        assert_eq!(readiness.check(), Err("draining"));
    }
}
