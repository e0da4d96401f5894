//! How an agent is, for whoever supervises it: `/livez`, and the service manager that started the process.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use dt_probe::Mono;

use crate::status::Shared;

/// The probe thread turns around at least ten times a second; when it hasn't for this long, it is dead or stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// What is said of a thread that is.
pub(crate) const STUCK: &str = "the probe thread has missed its ticks for 10 s";

/// How an agent is. Can be asked at any time and for as long as one likes.
#[derive(Clone, Debug)]
pub struct Health(Arc<Shared>);

impl Health {
    pub(crate) fn new(shared: Arc<Shared>) -> Health {
        Health(shared)
    }

    /// False only where the probe thread is stuck: never for ZooKeeper or Kafka, which a restart would not mend.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let thread = self.0.thread.get();
        thread.is_none_or(|stats| !is_stuck(Mono(stats.last_turn.load(Relaxed)), dt_kernel::clock::mono()))
    }

    /// What the agent does and what it still lacks, in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let totals = &self.0.totals;
        let mut line = if !self.is_alive() {
            STUCK.to_owned()
        } else if totals.probing.load(Relaxed) == 0 {
            "probing is switched off".to_owned()
        } else {
            match totals.peers.load(Relaxed) {
                1 => "probing 1 peer".to_owned(),
                peers => format!("probing {peers} peers"),
            }
        };
        if let Err(lacking) = self.0.readiness.check() {
            line.push_str("; ");
            line.push_str(lacking);
        }
        line
    }
}

fn is_stuck(last_turn: Mono, now: Mono) -> bool {
    now.since(last_turn) > dt_probe::time::nanos(STUCK_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dt_probe::time::SECOND;

    #[test]
    fn a_thread_is_stuck_after_ten_seconds_without_a_turn() {
        assert!(!is_stuck(Mono(SECOND), Mono(11 * SECOND)));
        assert!(is_stuck(Mono(SECOND), Mono(11 * SECOND + 1)));
        // Another thread's reading may be the newer one.
        assert!(!is_stuck(Mono(2 * SECOND), Mono(SECOND)));
    }

    #[test]
    fn the_line_says_what_is_done_and_what_lacks() {
        let shared = Arc::new(Shared::default());
        let health = Health::new(Arc::clone(&shared));
        assert!(health.is_alive());
        assert_eq!(
            health.line(),
            "probing is switched off; not registered with the membership yet"
        );
        shared.totals.probing.store(1, Relaxed);
        shared.readiness.registered();
        assert_eq!(health.line(), "probing 0 peers; the first probe round is not done yet");
        shared.readiness.first_round_done();
        shared.totals.peers.store(1, Relaxed);
        assert_eq!(health.line(), "probing 1 peer");
        shared.readiness.draining();
        assert_eq!(health.line(), "probing 1 peer; draining");
    }
}
