//! Resident memory of an agent.

use dt_bench::Result;

use crate::Bench;
use crate::agent::{Agent, Task};
use crate::records;
use dt_bench::verdict::Verdict;

const MEGABYTE: f64 = 1e6;
/// Peers of an agent with two kinds of probes, and the most that may be resident, in megabytes.
const AGENTS: [(u32, f64); 2] = [(10_000, 30.0), (100_000, 120.0)];

pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Verdict)) -> Result {
    for (peers, bound) in AGENTS {
        let task = Task {
            peers,
            kinds: "icmp,tcp",
            interval: "1s",
        };
        let mut agent = Agent::start(&bench.dt, task)?;
        // The first ones are those in which 100,000 peers are still being added; later nothing grows.
        agent.let_pass(4)?;
        let peak = agent.peak_rss()?;
        records::check(&agent.end(2)?, task)?;
        show(Verdict {
            what: format!("RSS, {peers} peers x icmp,tcp"),
            figure: peak as f64 / MEGABYTE,
            bound,
            unit: "MB",
        });
    }
    Ok(())
}
