//! The agents of the demo: their configuration is the agent's own, read from the same table of keys.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dt_agent::config::{AgentConfig, Flag, Inputs, load};
use dt_agent::{Agent, Between, Hooks, Prepared};
use dt_collect::Matrix;
use dt_record::Summary;
use tokio::sync::mpsc;

use super::fault::{Switch, Wire};
use super::{DemoArgs, now_ms, shut_down};

/// How many agents there are.
pub(super) const NODES: u8 = 6;

/// Their windows.
pub(super) const WINDOW: Duration = Duration::from_secs(1);

/// All agents, and the folder of their peers file.
pub(super) struct Mesh {
    agents: Vec<Agent>,
    folder: PathBuf,
}

/// One node of the demo before its agent runs.
struct Node {
    name: String,
    zone: &'static str,
    rack: &'static str,
    listener: TcpListener,
    ip: IpAddr,
    port: u16,
}

impl Mesh {
    /// Binds the addresses, writes the peers file and starts the agents. What they publish goes to `matrix`.
    /// `fault` stands between them, where there is to be one.
    pub(super) async fn start(
        args: &DemoArgs,
        matrix: Arc<Matrix>,
        fault: Option<&Arc<Switch>>,
    ) -> Result<Mesh, String> {
        let nodes = (1..=NODES).map(bind).collect::<Result<Vec<_>, _>>()?;
        let folder = folder()?;
        let mut mesh = Mesh {
            agents: Vec::new(),
            folder,
        };
        let peers = write_peers(&mesh.folder, &nodes)?;
        let (tap, mut summaries) = mpsc::unbounded_channel();
        for node in nodes {
            let config = config(args, &node, &peers)?;
            let between =
                fault.map(|switch| Box::new(Wire::new(Arc::clone(switch), &node.name, node.zone)) as Box<dyn Between>);
            let hooks = Hooks {
                tap: Some(tap.clone()),
                between,
            };
            let failed = |error| format!("{}: {error}", node.name);
            let prepared = Prepared::open(config, vec![node.listener]).await.map_err(failed)?;
            let agent = Agent::start(prepared, hooks).await.map_err(failed)?;
            mesh.agents.push(agent);
        }
        let fault = fault.cloned();
        tokio::spawn(async move {
            while let Some(portion) = summaries.recv().await {
                let heard = |summary: &&Summary| fault.as_ref().is_none_or(|fault| fault.lets_out(summary));
                for summary in portion.iter().filter(heard) {
                    matrix.ingest(summary, now_ms());
                }
            }
        });
        Ok(mesh)
    }

    /// What can't be measured here and how to permit it; each agent says the same.
    pub(super) fn notes(&self) -> Vec<String> {
        self.agents
            .first()
            .map(|agent| agent.problems().to_vec())
            .unwrap_or_default()
    }

    /// How many series there will be: every ordered pair by every kind that can be measured.
    pub(super) fn series(&self) -> usize {
        let kinds = self.agents.first().map_or(0, |agent| agent.kinds().len());
        usize::from(NODES) * usize::from(NODES - 1) * kinds
    }

    /// Ends all agents in order.
    pub(super) async fn stop(&mut self) {
        shut_down(std::mem::take(&mut self.agents)).await;
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Node `number` listens on 127.0.0.(1 + number), three nodes to a zone.
fn bind(number: u8) -> Result<Node, String> {
    let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1 + number));
    let bound = |error| {
        format!(
            "listening on {ip}: {error}; the demo needs the loopback addresses 127.0.0.2 to 127.0.0.{}",
            1 + NODES
        )
    };
    let listener = TcpListener::bind((ip, 0)).map_err(bound)?;
    let port = listener.local_addr().map_err(bound)?.port();
    let zone = if number <= NODES / 2 { "zone-a" } else { "zone-b" };
    let rack = ["rack-1", "rack-2", "rack-3"][usize::from((number - 1) / 2) % 3];
    Ok(Node {
        name: format!("node-{number}"),
        zone,
        rack,
        listener,
        ip,
        port,
    })
}

/// A folder of our own: its name can't be guessed, and nobody else may look into it.
fn folder() -> Result<PathBuf, String> {
    use std::os::unix::fs::DirBuilderExt as _;
    let unique = format!("dt-demo-{}-{}", std::process::id(), dt_kernel::clock::wall().0);
    let path = std::env::temp_dir().join(unique);
    let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
    made.map(|()| path.clone())
        .map_err(|error| format!("making the folder {}: {error}", path.display()))
}

fn write_peers(folder: &Path, nodes: &[Node]) -> Result<PathBuf, String> {
    let path = folder.join("peers.toml");
    let mut text = String::new();
    for Node {
        name,
        zone,
        rack,
        ip,
        port,
        ..
    } in nodes
    {
        let _ = writeln!(
            text,
            "[[peer]]\nnode = {name:?}\naddress = \"{ip}\"\nport = {port}\nzone = {zone:?}\nrack = {rack:?}\n"
        );
    }
    std::fs::write(&path, text).map_err(|error| format!("writing {}: {error}", path.display()))?;
    Ok(path)
}

/// The agent's defaults, with windows of 1 s and every kind every 200 ms; the environment is not read.
fn config(args: &DemoArgs, node: &Node, peers: &Path) -> Result<AgentConfig, String> {
    let flag = |path: &'static str, value: String| Flag {
        path,
        name: path.to_owned(),
        values: vec![value],
    };
    let address = format!("{}:{}", node.ip, node.port);
    let mut flags = vec![
        flag("node", node.name.clone()),
        flag("cluster", "demo".to_owned()),
        flag("zone", node.zone.to_owned()),
        flag("rack", node.rack.to_owned()),
        flag("listen", address.clone()),
        flag("advertise", address),
        flag("window", format!("{}ms", WINDOW.as_millis())),
        flag("interval", "200ms".to_owned()),
        flag("http", "off".to_owned()),
        // One process with all that they are made of: there is no moment at which it needs its rights no more.
        flag("sandbox", "off".to_owned()),
        // Nothing here passes a network card.
        flag("hardware_timestamps", "off".to_owned()),
    ];
    if !args.kernel_off.is_empty() {
        flags.push(flag("kernel_off", args.kernel_off.clone()));
    }
    match &args.zookeeper {
        Some(servers) => {
            flags.push(flag("membership", "zookeeper".to_owned()));
            flags.push(flag("zookeeper.servers", servers.clone()));
        }
        None => {
            flags.push(flag("membership", "file".to_owned()));
            flags.push(flag("peers", peers.display().to_string()));
        }
    }
    if let Some(brokers) = &args.kafka {
        flags.push(flag("kafka.bootstrap", brokers.clone()));
    }
    let loaded = load(&Inputs {
        flags,
        ..Inputs::default()
    })
    .map_err(|errors| errors.to_string())?;
    let mut config = loaded.config;
    if args.kafka.is_none() {
        // The tap is the sink.
        config.sinks.clear();
    }
    Ok(config)
}
