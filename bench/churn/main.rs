//! `cargo run --release -p distributed-trace-bench --bin churn`: what it costs a ZooKeeper server, for each agent, that a
//! thousand members come and go, beside the bounds that it is held to. A real server, the agents' real memberships in this
//! process, and members that are no more than an entry.
//!
//! The exit code is 1 where a bound is exceeded.

mod relay;
// The lab's own file: as a package the lab would bring Kafka along.
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the lab's tests use all of it; here a server that runs is enough"
)]
#[path = "../../tests/lab/zookeeper.rs"]
mod zookeeper;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use dt_bench::arguments::Arguments;
use dt_bench::verdict::{HEADING, Verdict};
use dt_bench::{Failure, Result, doing};
use dt_membership::zookeeper::{Access, ZooKeeperConfig, start, start_as_with_old_server};
use dt_membership::{Handle, Registration, State};
use zookeeper_client::{Acls, Client, CreateMode};

use relay::{Counters, Counts};
use zookeeper::ZooKeeper;

const HELP: &str = "\
churn [watches] [lists] [--members N] [--agents N] [--rate N]
  watches      agents as they are with ZooKeeper 3.6 and later: each change is told by itself
  lists        as they are with older servers, where a change means reading the list (no bounds)
  --members N  how many come and go, 10 to 20000 [default: 1000]
  --agents N   how many watch them, 1 to 100 [default: 10]
  --rate N     changes per second, 1 to 5000 [default: 200]
Without a name, both: about three minutes. Needs Debian's package zookeeper.";

const MEMBERS: &str = "/distributed_trace/heart_beat_nodes";
/// What the members do, one after the other.
const JOIN: &str = "join, nobody there";
const RETURN: &str = "leave and return, all there";
const LEAVE: &str = "leave";
/// How long the agents may take to know of the last change.
const PATIENCE: Duration = Duration::from_secs(120);

struct Bench {
    members: usize,
    agents: u16,
    rate: u32,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("churn: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all bounds hold.
fn run() -> Result<bool> {
    let Some(mut arguments) = Arguments::read(HELP, std::env::args().skip(1))? else {
        return Ok(true);
    };
    let bench = Bench {
        members: arguments.number("--members", 1_000, 10..=20_000)? as usize,
        agents: arguments.number("--agents", 10, 1..=100)?.try_into().unwrap_or(10),
        rate: arguments.number("--rate", 200, 1..=5_000)?,
    };
    let chosen = arguments.finish(&["watches", "lists"])?;
    let runtime = tokio::runtime::Runtime::new().map_err(doing("start a runtime"))?;
    let mut hold = true;
    for name in chosen {
        let server = ZooKeeper::start().map_err(doing("start ZooKeeper"))?;
        let verdicts = runtime.block_on(bench.measure(&server, name == "lists"))?;
        if !verdicts.is_empty() {
            println!("\n{HEADING}");
        }
        for verdict in verdicts {
            hold &= verdict.holds();
            println!("{verdict}");
        }
        println!();
    }
    Ok(hold)
}

const ROWS: &str = "\
| members                      | requests | lists | notifications | messages | bytes |
| ---------------------------- | -------: | ----: | ------------: | -------: | ----: |";

fn row(what: &str, counts: &Counts) -> String {
    format!(
        "| {what:28} | {:8.3} | {:5.3} | {:13.3} | {:8.3} | {:5.0} |",
        counts.requests, counts.lists, counts.notifications, counts.messages, counts.bytes
    )
}

/// What one agent's share of a phase was, for each change.
struct Phase {
    what: &'static str,
    counts: Counts,
}

impl Bench {
    async fn measure(&self, server: &ZooKeeper, old: bool) -> Result<Vec<Verdict>> {
        let counters = Arc::new(Counters::default());
        let relay = relay::start(server.address(), Arc::clone(&counters))?;
        let agents: Vec<Handle> = (0..self.agents).map(|n| agent(&relay.to_string(), n, old)).collect();
        let own = usize::from(self.agents) - 1;
        settle(&agents, own).await?;
        let crowd = Client::connect(&server.servers())
            .await
            .map_err(doing("connect to ZooKeeper"))?;
        let mut phases = Vec::new();
        let mut names = Vec::new();
        let mut looked = counters.look();
        println!(
            "Agents that watch {}: {} of them, {} members, {} changes a second. For each change and agent:\n{ROWS}",
            if old { "lists" } else { "entries" },
            self.agents,
            self.members,
            self.rate
        );
        for what in [JOIN, RETURN, LEAVE] {
            let mut changes = 0;
            let mut pace = tokio::time::interval(Duration::from_secs(1) / self.rate);
            for n in 0..self.members {
                if what != JOIN {
                    pace.tick().await;
                    let name: &String = &names[n];
                    crowd.delete(name, None).await.map_err(doing("delete an entry"))?;
                    changes += 1;
                }
                if what != LEAVE {
                    pace.tick().await;
                    let name = join(&crowd, n).await?;
                    if n < names.len() {
                        names[n] = name;
                    } else {
                        names.push(name);
                    }
                    changes += 1;
                }
            }
            let there = if what == LEAVE { 0 } else { self.members };
            settle(&agents, own + there).await?;
            let now = counters.look();
            let passed = now - looked;
            looked = now;
            let counts = passed.each(f64::from(self.agents) * f64::from(changes));
            println!("{}", row(what, &counts));
            phases.push(Phase { what, counts });
        }
        for agent in agents {
            agent.close().await;
        }
        Ok(if old { Vec::new() } else { judged(&phases) })
    }
}

/// A notification and, of who joins, one read; whatever the number of members.
fn judged(phases: &[Phase]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for Phase { what, counts } in phases {
        // A few requests of the sessions' own beside them.
        let reads = match *what {
            LEAVE => 0.05,
            RETURN => 0.55,
            _ => 1.05,
        };
        for (figure, bound, of) in [
            (counts.requests, reads, "requests a change and agent"),
            (counts.notifications, 1.05, "notifications"),
            (counts.bytes, 1_000.0, "bytes"),
        ] {
            verdicts.push(Verdict {
                what: format!("{what}: {of}"),
                figure,
                bound,
                unit: "",
            });
        }
    }
    verdicts
}

fn agent(servers: &str, n: u16, old: bool) -> Handle {
    let config = ZooKeeperConfig {
        servers: servers.to_owned(),
        root: "distributed_trace".to_owned(),
        heart_beat: "heart_beat_nodes".to_owned(),
        session_timeout: Duration::from_secs(10),
        login: None,
        access: Access::Open,
        repair: false,
        own: Registration {
            node: format!("agent-{n}"),
            address: format!("127.1.0.{n}"),
            port: 4000,
            tcp_port: 4000,
            zone: "zone-1".to_owned(),
            rack: "rack-1".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: format!("boot-{n}"),
            state: State::Serving,
            poll_timeout_ms: 5000,
            poll_interval_ms: 10_000,
            ..Registration::default()
        },
    };
    if old {
        start_as_with_old_server(config)
    } else {
        start(config)
    }
}

/// An entry as an agent makes it.
async fn join(crowd: &Client, n: usize) -> Result<String> {
    let address = format!("10.1.{}.{}", n / 250, n % 250);
    let data = format!(
        "{{\"My_address\":\"{address}\",\"My_port\":4000,\"Poll_timeout\":5000,\"Poll_interval\":10000,\"node\":\"member-{n}\",\
         \"zone\":\"zone-1\",\"rack\":\"rack-1\",\"tcp_port\":4000,\"version\":\"0.1.0\",\
         \"boot_id\":\"0b0e7c1e-8a55-4f4f-9a1e-{n:012}\",\"state\":\"serving\"}}"
    );
    let prefix = format!("{MEMBERS}/_c_{n:032x}-{address}:4000");
    let options = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
    let made = crowd.create(&prefix, data.as_bytes(), &options).await;
    let (_, sequence) = made.map_err(doing("create an entry"))?;
    Ok(format!("{prefix}{sequence}"))
}

/// Waits until all agents know `others` others, all of whom are there.
async fn settle(agents: &[Handle], others: usize) -> Result {
    let settled = async {
        for agent in agents {
            let mut view = agent.view.clone();
            if view.wait_for(|view| view.members.len() == others).await.is_err() {
                return Err(Failure("a membership ended".to_owned()));
            }
            while agent.stats().members_kept > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        // What was known before the last change may look alike: nothing more is to come.
        tokio::time::sleep(Duration::from_secs(6)).await;
        Ok(())
    };
    let settled = tokio::time::timeout(PATIENCE, settled).await;
    settled.map_err(|_| Failure(format!("the agents never knew {others} others")))?
}
