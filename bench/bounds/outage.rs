//! What an agent takes more while Kafka is away: records wait in memory, and merge.

use std::thread::sleep;
use std::time::Duration;

use dt_bench::Result;
use dt_bench::verdict::Verdict;

use crate::Bench;
use crate::agent::{Agent, Task};
use crate::records;

const MEGABYTE: f64 = 1e6;
/// Nobody listens there: the namespace is our own.
const NOBODY: &str = "127.0.0.1:9092";
/// So many windows of a second are a quarter of an hour of the usual ones of ten, most of it in merged records.
const WINDOWS: u32 = 90;

pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Verdict)) -> Result {
    let task = Task {
        peers: 1_000,
        kinds: "icmp,tcp",
        interval: "1s",
    };
    let more = ["--window", "1s", "--sink", "kafka", "--kafka-bootstrap", NOBODY];
    let mut agent = Agent::start_with(&bench.dt, task, &more)?;
    // One or two windows wait now, as they do where Kafka answers.
    sleep(Duration::from_secs(3));
    let before = agent.own_rss()?;
    let mut most = before;
    for _ in 0..WINDOWS {
        sleep(Duration::from_secs(1));
        agent.must_run()?;
        most = most.max(agent.own_rss()?);
    }
    records::check(&agent.end(10)?, task)?;
    show(Verdict {
        what: format!("more RSS, {} peers x icmp,tcp, no Kafka", task.peers),
        figure: (most - before) as f64 / MEGABYTE,
        bound: 10.0,
        unit: "MB",
    });
    Ok(())
}
