//! A soak: agents in namespaces, a ZooKeeper ensemble, a Kafka broker, and faults of every kind at random from a seed. While it
//! lasts each agent's books must balance whenever one looks; at the end each window of each life is in Kafka once.

mod audit;
mod life;
mod plan;
mod table;
mod world;

use crate::error::{Context, LabError, Result};
use crate::process::wait_until;
use crate::scrape::Scrape;
use plan::Planned;
use std::time::{Duration, Instant};
use world::World;

/// What a soak is to be.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Where its chances come from.
    pub seed: u64,
    /// How long faults are made.
    pub length: Duration,
}

/// Between two looks at the agents.
const LOOK: Duration = Duration::from_secs(1);
/// Within this after the last fault all is as it should be; so long only where the machine is busy.
const WELL: Duration = Duration::from_secs(120);

/// Runs it and prints what happens as it happens, and a table at the end.
///
/// # Errors
/// Everything that was not as it has to be.
pub fn run(options: Options) -> Result {
    let Options { seed, length } = options;
    println!("soak: seed {seed}, {} s", length.as_secs());
    let planned = plan::plan(seed, length);
    let mut world = World::start()?;
    wait_until_well(&mut world).during("before the first fault")?;
    act(&mut world, &planned, length)?;
    world.settle()?;
    world.note_kafka();
    wait_until_well(&mut world).during("after the last fault")?;
    world.end_all()?;
    let (guide, topic) = (audit::guide()?, audit::Topic::read(world.bootstrap())?);
    world.past.sort_by_key(|life| (life.agent, life.number));
    let mut audits = Vec::new();
    let mut wrong = topic.strangers(&world.past);
    for life in &world.past {
        let audit = topic.audit(life, &guide).during(life.name())?;
        wrong.extend(audit.wrong.iter().map(|what| format!("{}: {what}", life.name())));
        audits.push(audit);
    }
    println!("{}", table::of(&world.past, &audits, &planned));
    if wrong.is_empty() {
        println!("soak: all is as it has to be (seed {seed})");
        Ok(())
    } else {
        Err(LabError::new(format!("seed {seed}:\n{}", wrong.join("\n"))))
    }
}

/// Makes and mends the faults, each when its time has come or as soon after as may be.
fn act(world: &mut World, planned: &[Planned], length: Duration) -> Result {
    let began = Instant::now();
    let (mut coming, mut present) = (planned.iter().peekable(), Vec::<Planned>::new());
    let mut look_at = Duration::ZERO;
    while began.elapsed() < length || !present.is_empty() {
        let now = began.elapsed();
        let (over, still): (Vec<_>, Vec<_>) = present.into_iter().partition(|fault| fault.until <= now);
        present = still;
        for Planned { fault, .. } in over {
            println!("{:>7.1} s  mended: {fault}", now.as_secs_f64());
            world.mend(fault).during(format!("mend: {fault}"))?;
        }
        while let Some(next) = coming.next_if(|next| next.at <= now) {
            println!("{:>7.1} s  {}", now.as_secs_f64(), next.fault);
            world.begin(next.fault).during(next.fault.to_string())?;
            present.push(*next);
        }
        world.note_kafka();
        if now >= look_at {
            world.look();
            look_at = now + LOOK;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Waits until each agent is ready, measures all others with nothing failing, and has nothing left that waits for Kafka.
fn wait_until_well(world: &mut World) -> Result {
    for (i, node) in world.nodes.iter().enumerate() {
        let Some(life) = &world.running[i] else {
            return Err(LabError::new(format!("n{i} has no agent")));
        };
        let mut last = String::new();
        let waited = wait_until("an agent to be well", WELL, || {
            let (Some(ready), Some(page)) = (life.page(node, "/readyz"), life.page(node, "/metrics")) else {
                return Ok(None);
            };
            let Some(peers) = life.page(node, "/peers") else {
                return Ok(None);
            };
            let scrape = Scrape::of(&page.1);
            let backlog = scrape.count("dt_sink_backlog_records{sink=\"kafka\"}")?;
            let connected = scrape.count("dt_membership_connected")?;
            let answered = answered(&peers.1)?;
            last = format!(
                "/readyz {}, {backlog} records wait, {answered} answer: {}",
                ready.0, peers.1
            );
            let all = plan::AGENTS - 1;
            // A window's own records wait until the middle of the next.
            Ok((ready.0 == 200 && connected == 1 && answered == all && backlog <= 2 * 3 * all as u64).then_some(()))
        });
        waited.map_err(|error| error.during(format!("n{i}: {last}")))?;
    }
    Ok(())
}

/// How many peers answered every kind of probe, and failed none, in the last window.
fn answered(peers: &str) -> Result<usize> {
    let peers: Vec<serde_json::Value> = serde_json::from_str(peers).during(peers)?;
    let well = |peer: &&serde_json::Value| {
        let kinds = peer["probes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let good = |kind: &serde_json::Value| kind["received"].as_u64() > Some(0) && kind["lost"] == 0;
        kinds.len() == 3 && kinds.iter().all(good)
    };
    Ok(peers.iter().filter(well).count())
}
