//! How evenly an agent's probes leave: the fullest 100 ms of all, beside the 100 ms of an even stream.

use std::time::Duration;

use dt_bench::{Failure, Result};

use crate::Bench;
use crate::agent::{Agent, Task, WINDOW};
use crate::records;
use crate::sniffer::Sniffer;
use dt_bench::verdict::Verdict;

/// Peers of an agent that probes each once in a second; 2,000 are its cap.
const PEERS: [u32; 3] = [100, 500, 1_900];
const SPAN: Duration = Duration::from_millis(100);
/// The fullest span may hold so many times its share.
const BOUND: f64 = 3.0;

pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Verdict)) -> Result {
    for peers in PEERS {
        let task = Task {
            peers,
            kinds: "icmp",
            interval: "1s",
        };
        let mut agent = Agent::start(&bench.dt, task)?;
        agent.let_pass(1)?;
        let sniffer = Sniffer::start()?;
        agent.let_pass(bench.windows)?;
        let arrivals = sniffer.stop()?;
        let per_window = records::check(&agent.end(bench.windows)?, task)?.on_time()?;
        let expected = per_window * f64::from(bench.windows);
        if (arrivals.len() as f64) < 0.98 * expected {
            return Err(Failure(format!(
                "{} of about {expected} requests were seen: this host is too busy",
                arrivals.len()
            )));
        }
        let share = per_window * SPAN.as_secs_f64() / WINDOW.as_secs_f64();
        show(Verdict {
            what: format!("fullest 100 ms over its share, {peers} probes/s"),
            figure: fullest(&arrivals, SPAN) as f64 / share,
            bound: BOUND,
            unit: "",
        });
    }
    Ok(())
}

/// The most arrivals in any stretch of time shorter than `span`. They are in order.
fn fullest(arrivals: &[Duration], span: Duration) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (place, arrival) in arrivals.iter().enumerate() {
        while *arrival - arrivals[first] >= span {
            first += 1;
        }
        most = most.max(place + 1 - first);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_span_begins_anywhere() {
        let at = |millis: &[u64]| {
            millis
                .iter()
                .map(|millis| Duration::from_millis(*millis))
                .collect::<Vec<_>>()
        };
        assert_eq!(fullest(&[], SPAN), 0);
        assert_eq!(fullest(&at(&[0, 100, 200, 300]), SPAN), 1);
        assert_eq!(fullest(&at(&[0, 90, 100, 110, 189, 190, 400]), SPAN), 4);
    }
}
