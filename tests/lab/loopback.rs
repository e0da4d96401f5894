//! Agents on loopback addresses of this machine that write to a real Kafka: records for consumers to read.

use crate::error::Result;
use crate::kafka::Kafka;
use crate::ping::number;
use crate::process::{Process, dt, wait_for};
use crate::topic::{self, Record};
use nix::sys::socket::{Backlog, listen};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::Command;

/// Where agents write their summary records.
pub const SUMMARIES: &str = "distributedTrace.summaries";

/// Agents that measure one another in windows of one second: `n0` at 127.0.0.1, `n1` at 127.0.0.2 and so on.
#[derive(Debug)]
pub struct Mesh {
    agents: Vec<Process>,
    _peers: tempfile::TempDir,
}

impl Mesh {
    /// Starts one agent in each of `zones`. They probe one another and those that `others` names, entries of a peers file.
    ///
    /// # Errors
    /// Where one can't be started.
    pub fn start(kafka: &Kafka, zones: &[&str], others: &str) -> Result<Mesh> {
        let directory = tempfile::tempdir()?;
        let mut entries = others.to_owned();
        let mut listen = Vec::new();
        for (i, zone) in zones.iter().enumerate() {
            let address = format!("127.0.0.{}", i + 1);
            let port = free_port(&address)?;
            let _ = writeln!(
                entries,
                "[[peer]]\nnode = \"n{i}\"\naddress = \"{address}\"\nport = {port}\nzone = \"{zone}\""
            );
            listen.push(format!("{address}:{port}"));
        }
        let peers = directory.path().join("peers.toml");
        std::fs::write(&peers, entries)?;
        let mut agents = Vec::new();
        for (i, (zone, listen)) in zones.iter().zip(&listen).enumerate() {
            let node = format!("n{i}");
            let mut command = Command::new(dt()?);
            command
                .args(["agent", "--node", &node, "--zone", zone, "--listen", listen])
                .args([
                    "--http",
                    "off",
                    "--window",
                    "1s",
                    "--interval",
                    "50ms",
                    "--timeout",
                    "500ms",
                ])
                .args(["--kafka-bootstrap", kafka.bootstrap(), "--peers"])
                .arg(&peers);
            agents.push(Process::spawn(&node, &mut command)?);
        }
        Ok(Mesh {
            agents,
            _peers: directory,
        })
    }

    /// Waits until each of `series` pairs and kinds has three records in which `field` is not 0.
    ///
    /// # Errors
    /// Where they never come.
    pub fn wait_for(&self, kafka: &Kafka, series: usize, field: &str) -> Result {
        wait_for("three windows of each pair and kind", || {
            let mut windows: BTreeMap<String, usize> = BTreeMap::new();
            for record in topic::read(kafka.bootstrap(), SUMMARIES)? {
                if number(&record.json()?, field)? > 0 {
                    *windows.entry(record.key.unwrap_or_default()).or_default() += 1;
                }
            }
            Ok((windows.len() == series && windows.values().all(|count| *count >= 3)).then_some(()))
        })
    }

    /// Ends the agents in order; they publish their last windows.
    ///
    /// # Errors
    /// Where one doesn't end, or not in order.
    pub fn end(self) -> Result {
        for agent in self.agents {
            agent.terminate()?.expect_code(0)?;
        }
        Ok(())
    }
}

/// A port that nobody listens at.
///
/// # Errors
/// Where there is none.
pub fn free_port(address: &str) -> Result<u16> {
    Ok(TcpListener::bind((address, 0))?.local_addr()?.port())
}

/// A peer whose queue of connections is full: it answers echoes, since its address is this machine's, and neither SYNs nor
/// gRPC.
struct Mute {
    listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Mute {
    fn new(address: &str) -> Result<Mute> {
        let listener = TcpListener::bind((address, 0))?;
        listen(&listener, Backlog::new(0)?)?;
        let queued = vec![TcpStream::connect(listener.local_addr()?)?];
        Ok(Mute {
            listener,
            _queued: queued,
        })
    }
}

/// Records of all fates: three agents in two zones, and two peers that are no agents: one that is mute, one that refuses.
///
/// # Errors
/// Where the agents don't write them.
pub fn measure(kafka: &Kafka) -> Result<Vec<Record>> {
    let mute = Mute::new("127.0.0.4")?;
    let entry = |node: &str, address: &str, port: u16, zone: &str| {
        format!("[[peer]]\nnode = \"{node}\"\naddress = \"{address}\"\nport = {port}\nzone = \"{zone}\"\n")
    };
    let others = entry("mute", "127.0.0.4", mute.listener.local_addr()?.port(), "z1")
        + &entry("closed", "127.0.0.5", free_port("127.0.0.5")?, "z0");
    let mesh = Mesh::start(kafka, &["z0", "z1", "z0"], &others)?;
    // From three, to four, by three kinds.
    mesh.wait_for(kafka, 36, "sent")?;
    mesh.end()?;
    topic::read(kafka.bootstrap(), SUMMARIES)
}
