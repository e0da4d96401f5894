//! Where somebody has answered PingNode a moment ago, whatever he is called.
//!
//! A member that has another name, or comes back, is another peer. Were it asked anew each time, whoever writes into the
//! membership could have every agent dial one host as often as he changes a name there.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// So long an answer proves that there is an agent at an address and port: as long as one that doesn't answer is left in
/// peace. It is short, since addresses pass from host to host.
const LASTS: Duration = Duration::from_secs(10);

/// Answers of the last ten seconds, by where they came from. As many as first pings are sent in twice that time, which
/// [`dt_rpc`] bounds.
#[derive(Debug, Default)]
pub(crate) struct Proofs {
    answered: HashMap<(IpAddr, u16), Instant>,
    swept: Option<Instant>,
}

impl Proofs {
    /// Somebody has answered at `place` at `now`.
    pub(crate) fn add(&mut self, place: (IpAddr, u16), now: Instant) {
        if self.swept.is_none_or(|at| now.duration_since(at) >= LASTS) {
            self.answered.retain(|_, at| now.duration_since(*at) < LASTS);
            self.swept = Some(now);
        }
        self.answered.insert(place, now);
    }

    /// Whether somebody has answered at `place` shortly before `now`.
    pub(crate) fn hold(&self, place: (IpAddr, u16), now: Instant) -> bool {
        let answered = self.answered.get(&place);
        answered.is_some_and(|at| now.duration_since(*at) < LASTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_at_its_address_and_port_for_ten_seconds() {
        let (began, ip) = (Instant::now(), IpAddr::from([10, 0, 0, 1]));
        let after = |seconds| began + Duration::from_secs(seconds);
        let mut proofs = Proofs::default();
        proofs.add((ip, 4000), began);
        assert!(proofs.hold((ip, 4000), after(9)));
        assert!(!proofs.hold((ip, 4000), after(10)));
        assert!(!proofs.hold((ip, 4001), after(9)));
        assert!(!proofs.hold(([10, 0, 0, 2].into(), 4000), after(9)));
        // Old ones take no room.
        (1..100).for_each(|second| proofs.add((ip, second), after(u64::from(second))));
        assert!(proofs.answered.len() <= 20, "{}", proofs.answered.len());
        assert!(proofs.hold((ip, 99), after(100)));
    }
}
