//! CPU of an agent that paces its probes: its share of a core, and what that is per probe.

use std::time::Instant;

use dt_bench::Result;

use crate::Bench;
use crate::agent::{Agent, Task, WINDOW};
use crate::records;
use dt_bench::verdict::Verdict;

/// Peers, and the share of a core that they may cost, in percent.
const BOUNDS: [(u32, f64); 2] = [(10_000, 2.0), (2_500, 0.6)];

pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Verdict)) -> Result {
    for (peers, bound) in BOUNDS {
        let task = Task {
            peers,
            kinds: "icmp",
            interval: "10s",
        };
        let mut agent = Agent::start(&bench.dt, task)?;
        // The first windows' memory is new and their caches are cold.
        agent.let_pass(1)?;
        let (began, before) = (Instant::now(), agent.cpu_time()?);
        agent.let_pass(bench.windows)?;
        let (used, passed) = (agent.cpu_time()? - before, began.elapsed());
        let per_window = records::check(&agent.end(bench.windows)?, task)?.on_time()?;
        let share = used.as_secs_f64() / passed.as_secs_f64();
        let per_probe = share * WINDOW.as_secs_f64() * 1e6 / per_window;
        show(Verdict {
            what: format!("CPU, {peers} peers x icmp/10s ({per_probe:.1} us per probe)"),
            figure: 100.0 * share,
            bound,
            unit: "%",
        });
    }
    Ok(())
}
