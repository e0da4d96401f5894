//! The agents, their hosts, their services, and how each fault is made and mended.

use super::life::{Ending, Life};
use super::plan::{AGENTS, CLOCKS, Fault, LINES};
use crate::agent::Agent;
use crate::clock::{Clock, Step};
use crate::delay::Line;
use crate::ensemble::Ensemble;
use crate::error::{Context, LabError, Result};
use crate::forward::forward;
use crate::kafka::{self, Kafka};
use crate::namespaces::Namespace;
use nix::sys::signal::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The shortest session that the servers of the lab are sure to notice the end of in time on a busy machine.
const SESSION: &str = "3";
const KINDS: &str =
    "--probe icmp,tcp,grpc --window 1s --interval 200ms --timeout 500ms --grpc-interval 500ms --grpc-timeout 1s";

pub(super) struct World {
    pub(super) nodes: Vec<Namespace>,
    _switch: Namespace,
    lines: BTreeMap<usize, Line>,
    clocks: BTreeMap<usize, Clock>,
    ensemble: Ensemble,
    kafka: Arc<Mutex<Kafka>>,
    bootstrap: String,
    broker_killed: bool,
    /// Brokers that are being started.
    starting: Vec<JoinHandle<()>>,
    /// Agents that are cut from it.
    cut_from_kafka: BTreeSet<usize>,
    /// The present life of each agent; none while its host has none.
    pub(super) running: Vec<Option<Life>>,
    pub(super) past: Vec<Life>,
    /// Of each agent, how many lives it has had.
    lives: Vec<usize>,
}

pub(super) fn address(i: usize) -> String {
    format!("10.6.0.{}", i + 1)
}

/// A host and its link to the switch.
fn host(switch: &Namespace, i: usize) -> Result<(Namespace, Option<Line>)> {
    let node = Namespace::new(&format!("n{i}"))?;
    let port = format!("p{i}");
    let line = if LINES.contains(&i) {
        // What passes from the switch to the host is what the line calls its answers.
        Some(Line::join(&node, "eth0", switch, &port)?)
    } else {
        node.join("eth0", switch, &port)?;
        None
    };
    switch.ip(&format!("link set {port} master br0"))?;
    node.address("eth0", &format!("{}/16", address(i)))?;
    Ok((node, line))
}

impl World {
    /// All services and agents, just started.
    pub(super) fn start() -> Result<World> {
        let ensemble = Ensemble::start()?;
        let kafka = Kafka::start_with(&kafka::Options {
            auto_create_topics: false,
            ..kafka::Options::default()
        });
        let bootstrap = kafka.bootstrap().to_owned();
        let switch = Namespace::new("switch")?;
        switch.ip("link add br0 type bridge")?;
        switch.ip("link set br0 up")?;
        let mut world = World {
            nodes: Vec::new(),
            _switch: switch,
            lines: BTreeMap::new(),
            clocks: BTreeMap::new(),
            ensemble,
            kafka: Arc::new(Mutex::new(kafka)),
            bootstrap,
            broker_killed: false,
            starting: Vec::new(),
            cut_from_kafka: BTreeSet::new(),
            running: Vec::new(),
            past: Vec::new(),
            lives: vec![0; AGENTS],
        };
        for i in 0..AGENTS {
            let (node, line) = host(&world._switch, i)?;
            for port in world.zookeeper_ports() {
                forward(&node, port)?;
            }
            forward(&node, world.kafka_port()?)?;
            world.nodes.push(node);
            world.lines.extend(line.map(|line| (i, line)));
        }
        for i in CLOCKS {
            world.clocks.insert(i, Clock::new()?);
        }
        for i in 0..AGENTS {
            let life = world.new_life(i)?;
            world.running.push(Some(life));
        }
        Ok(world)
    }

    /// Where the records are read.
    pub(super) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    fn zookeeper_ports(&self) -> Vec<u16> {
        self.ensemble
            .addresses()
            .iter()
            .map(std::net::SocketAddr::port)
            .collect()
    }

    fn kafka_port(&self) -> Result<u16> {
        let (_, port) = self.bootstrap.rsplit_once(':').unwrap_or_default();
        Ok(port.parse()?)
    }

    fn new_life(&mut self, i: usize) -> Result<Life> {
        let mut builder = Agent::builder(&self.nodes[i], &format!("n{i}"), &address(i))?
            .env("SERVERS_ZK", &self.ensemble.connect_string())
            .env("CONN_TIMEOUT", SESSION)
            .env("KAFKA_BOOTSTRAP_SERVERS", &self.bootstrap)
            .args(KINDS)
            .args("--sink kafka");
        if let Some(clock) = self.clocks.get(&i) {
            builder = clock.give_to(builder);
        }
        self.lives[i] += 1;
        Ok(Life::new(i, self.lives[i], builder.start()?))
    }

    fn life(&mut self, i: usize) -> Result<&mut Life> {
        let life = self.running[i].as_mut();
        life.ok_or_else(|| LabError::new(format!("n{i} has no agent")))
    }

    /// Keeps in mind who reaches Kafka.
    pub(super) fn note_kafka(&mut self) {
        let runs = !self.broker_killed && self.starting.iter().all(JoinHandle::is_finished);
        for (i, life) in self.running.iter_mut().enumerate() {
            if let Some(life) = life {
                life.note_kafka(runs && !self.cut_from_kafka.contains(&i));
            }
        }
    }

    /// Breaks something.
    pub(super) fn begin(&mut self, fault: Fault) -> Result {
        match fault {
            Fault::ServerKilled(i) => self.ensemble.server(i).kill()?,
            Fault::ServerStopped(i) => self.ensemble.server(i).pause()?,
            Fault::EnsembleStopped => self.ensemble.pause_all()?,
            Fault::CutFromZooKeeper(i) => {
                let ports: Vec<_> = self.zookeeper_ports().iter().map(u16::to_string).collect();
                self.nodes[i].on_output(&format!("tcp dport {{ {} }} drop", ports.join(", ")))?;
            }
            Fault::CutFromKafka(i) => {
                self.nodes[i].on_output(&format!("tcp dport {} drop", self.kafka_port()?))?;
                self.cut_from_kafka.insert(i);
            }
            Fault::Lossy(i) => self.nodes[i].on_input("iifname eth0 numgen random mod 5 0 drop")?,
            Fault::Cut(i, from) => self.nodes[i].on_input(&format!("ip saddr {} drop", address(from)))?,
            Fault::SynsLost(i) => self.nodes[i].on_input("iifname eth0 tcp flags & (syn | ack) == syn drop")?,
            Fault::EchoesLimited(i) => {
                self.nodes[i].on_input("iifname eth0 icmp type echo-request limit rate over 5/second drop")?;
            }
            Fault::PathDead(i) => self.nodes[i].on_input("iifname eth0 tcp sport & 7 == 3 drop")?,
            Fault::BrokerKilled => {
                self.broker_killed = true;
                self.kafka.lock().unwrap_or_else(PoisonError::into_inner).kill();
            }
            Fault::Down(i) => drop(self.nodes[i].ip("link set eth0 down")?),
            Fault::Slow(i, ms) => self.lines[&i].set_delay(Duration::from_millis(ms)),
            Fault::Repeated(i) => self.lines[&i].repeat_answers(1),
            Fault::Reordered(i) => self.lines[&i].swap_answers(true),
            Fault::Stopped(i) => self.life(i)?.stop()?,
            Fault::Killed(i) => {
                let mut life = self.running[i].take().ok_or_else(|| LabError::new("no agent"))?;
                life.end(Ending::Killed)?;
                self.past.push(life);
            }
            Fault::Ended(i) => self.life(i)?.tell_to_end()?,
            Fault::Clock(i, seconds) => {
                let by = Duration::from_secs(seconds.unsigned_abs());
                let step = if seconds < 0 { Step::Behind(by) } else { Step::Ahead(by) };
                self.clocks[&i].step(step)?;
                self.life_if_any(i, |life| life.clock_stepped = true);
            }
        }
        Ok(())
    }

    /// Mends it.
    pub(super) fn mend(&mut self, fault: Fault) -> Result {
        match fault {
            Fault::ServerKilled(i) => self.ensemble.server(i).spawn()?,
            Fault::ServerStopped(i) => self.ensemble.server(i).resume()?,
            Fault::EnsembleStopped => self.ensemble.resume_all()?,
            Fault::CutFromZooKeeper(i)
            | Fault::CutFromKafka(i)
            | Fault::Lossy(i)
            | Fault::Cut(i, _)
            | Fault::SynsLost(i)
            | Fault::EchoesLimited(i)
            | Fault::PathDead(i) => {
                self.nodes[i].nft("flush ruleset")?;
                self.cut_from_kafka.remove(&i);
            }
            Fault::BrokerKilled => {
                self.broker_killed = false;
                let kafka = Arc::clone(&self.kafka);
                let start = move || kafka.lock().unwrap_or_else(PoisonError::into_inner).start_again();
                self.starting.push(std::thread::spawn(start));
            }
            Fault::Down(i) => drop(self.nodes[i].ip("link set eth0 up")?),
            Fault::Slow(i, _) => self.lines[&i].set_delay(Duration::ZERO),
            Fault::Repeated(i) => self.lines[&i].repeat_answers(0),
            Fault::Reordered(i) => self.lines[&i].swap_answers(false),
            Fault::Stopped(i) => self.life(i)?.resume()?,
            Fault::Killed(i) => self.running[i] = Some(self.new_life(i)?),
            Fault::Ended(i) => {
                let mut life = self.running[i].take().ok_or_else(|| LabError::new("no agent"))?;
                life.end(Ending::Ended)?;
                self.past.push(life);
                self.running[i] = Some(self.new_life(i)?);
            }
            Fault::Clock(i, _) => {
                self.clocks[&i].step(Step::Ahead(Duration::ZERO))?;
                self.life_if_any(i, |life| life.clock_stepped = true);
            }
        }
        Ok(())
    }

    fn life_if_any(&mut self, i: usize, what: impl FnOnce(&mut Life)) {
        if let Some(life) = &mut self.running[i] {
            what(life);
        }
    }

    /// Waits until the broker runs that was being started.
    pub(super) fn settle(&mut self) -> Result {
        for starting in self.starting.drain(..) {
            starting.join().map_err(|_| LabError::new("Kafka didn't start again"))?;
        }
        Ok(self.ensemble.start_all()?)
    }

    /// Looks at each agent that can answer.
    pub(super) fn look(&mut self) {
        for (life, node) in self.running.iter_mut().zip(&self.nodes) {
            if let Some(life) = life {
                life.look(node);
            }
        }
    }

    /// Ends all agents.
    pub(super) fn end_all(&mut self) -> Result {
        for i in 0..AGENTS {
            if let Some(life) = &mut self.running[i] {
                life.tell_to_end()?;
            }
        }
        for running in &mut self.running {
            if let Some(mut life) = running.take() {
                let said = life.name();
                life.end(Ending::Ended).during(said)?;
                self.past.push(life);
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// The signal that an agent is sent.
pub(super) fn signal(agent: &Agent, signal: Signal) -> Result {
    agent.process.signal(signal)
}
