//! Agents in a small data centre, and a collector that reads what they write.

use distributed_trace_tests::agent::Agent;
use distributed_trace_tests::error::{Context, Result};
use distributed_trace_tests::fabric::{Fabric, Link};
use distributed_trace_tests::ping::number;
use distributed_trace_tests::process::{now_ms, wait_for};
use dt_collect::diagnosis::{Diagnosis, DiagnosisConfig, Finding, FindingKind, Findings};
use dt_collect::intake::{Intake, Message, Outcome};
use dt_collect::{Ingest, Matrix, MatrixConfig, View};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Three zones, five racks, ten nodes.
const ZONES: [&[usize]; 3] = [&[2, 2], &[2, 2], &[2]];
/// Nodes from this one on send large echoes.
pub(crate) const FIRST_LARGE: usize = 8;
pub(crate) const FIRST_PORT: u16 = 61_000;
/// The rack and the node whose links can be made slow.
pub(crate) const SLOW_RACK: Link = Link::Rack(3);
pub(crate) const SLOW_NODE: Link = Link::Node(9);

/// One agent and how far its records have been read.
struct Running {
    agent: Agent,
    offset: u64,
    /// Its records are not read, as if they didn't arrive.
    unheard: bool,
}

/// The data centre under observation.
pub(crate) struct Lab<'f> {
    pub(crate) fabric: &'f Fabric,
    agents: Vec<Option<Running>>,
    directory: tempfile::TempDir,
    matrix: Arc<Matrix>,
    intake: Intake,
    diagnosis: Diagnosis,
    looked_at_ms: u64,
    /// Turns that were due and those skipped, by the end of a window and the node.
    turns: BTreeMap<(u64, String), (u64, u64)>,
    /// No records are read at all.
    pub(crate) blind: bool,
}

pub(crate) fn fabric() -> Result<Fabric> {
    Fabric::new(&ZONES, &[SLOW_RACK, SLOW_NODE])
}

impl<'f> Lab<'f> {
    /// All agents started.
    pub(crate) fn start(fabric: &'f Fabric) -> Result<Lab<'f>> {
        let matrix = Arc::new(Matrix::new(MatrixConfig {
            window: Duration::from_secs(1),
            ..MatrixConfig::default()
        }));
        let mut lab = Lab {
            fabric,
            agents: Vec::new(),
            directory: tempfile::tempdir()?,
            intake: Intake::new(Arc::clone(&matrix)),
            matrix,
            diagnosis: Diagnosis::new(DiagnosisConfig::default()),
            looked_at_ms: 0,
            turns: BTreeMap::new(),
            blind: false,
        };
        lab.write_peers(&[])?;
        for node in 0..fabric.nodes.len() {
            lab.agents.push(None);
            lab.start_agent(node)?;
        }
        Ok(lab)
    }

    fn peers(&self) -> PathBuf {
        self.directory.path().join("peers.toml")
    }

    /// Everybody but `without` is a member.
    pub(crate) fn write_peers(&self, without: &[usize]) -> Result {
        let mut text = String::new();
        for (n, node) in self.fabric.nodes.iter().enumerate() {
            if !without.contains(&n) {
                text += &format!(
                    "[[peer]]\nnode = \"{}\"\naddress = \"{}\"\nport = 4000\nzone = \"{}\"\nrack = \"{}\"\n",
                    node.name, node.address, node.zone, node.rack
                );
            }
        }
        std::fs::write(self.peers(), text)?;
        Ok(())
    }

    pub(crate) fn start_agent(&mut self, n: usize) -> Result {
        let node = &self.fabric.nodes[n];
        let payload = if n >= FIRST_LARGE { 1_400 } else { 56 };
        let agent = Agent::builder(&node.namespace, &node.name, &node.address)?
            .peers(&self.peers())
            .args(&format!("--zone {} --rack {}", node.zone, node.rack))
            .args("--probe icmp,tcp,grpc --method syn --window 1s --interval 100ms --timeout 500ms")
            .args("--grpc-interval 500ms --grpc-timeout 1s")
            .args(&format!("--source-ports 8 --source-port-range {FIRST_PORT}-61015"))
            .args(&format!("--icmp-payload-bytes {payload}"))
            .start()?;
        self.agents[n] = Some(Running {
            agent,
            offset: 0,
            unheard: false,
        });
        Ok(())
    }

    /// The agent of a node, while it runs.
    pub(crate) fn pid(&self, n: usize) -> Option<u32> {
        self.agents[n].as_ref().map(|running| running.agent.process.pid())
    }

    /// Ends at once, as a machine does that loses its power.
    pub(crate) fn kill_agent(&mut self, n: usize) {
        self.agents[n] = None;
    }

    /// Ends in good order.
    pub(crate) fn stop_agent(&mut self, n: usize) -> Result {
        if let Some(running) = self.agents[n].take() {
            running.agent.process.terminate()?.expect_code(0)?;
        }
        Ok(())
    }

    pub(crate) fn set_unheard(&mut self, n: usize, unheard: bool) {
        if let Some(running) = &mut self.agents[n] {
            running.unheard = unheard;
        }
    }

    /// Waits for the next window, reads what has come, and looks.
    pub(crate) fn look(&mut self) -> Result<Arc<Findings>> {
        let before = self.looked_at_ms;
        // A window is written at its end; a third of the next is time enough for all agents.
        wait_for("the next window", || {
            Ok((now_ms()? % 1_000 >= 400 && now_ms()? / 1_000 > before / 1_000).then_some(()))
        })?;
        self.looked_at_ms = now_ms()?;
        if !self.blind {
            self.read()?;
        }
        let now_ms = self.looked_at_ms;
        let view = |view| self.matrix.snapshot(view, now_ms);
        let views = [view(View::Recent), view(View::Minute), view(View::Hour)];
        Ok(self.diagnosis.update(&views[0], &views[1], &views[2]))
    }

    fn read(&mut self) -> Result {
        for running in self.agents.iter_mut().flatten().filter(|running| !running.unheard) {
            let path = running.agent.records_path();
            let Ok(mut file) = std::fs::File::open(path) else {
                continue;
            };
            file.seek(SeekFrom::Start(running.offset))?;
            let mut text = String::new();
            file.read_to_string(&mut text)
                .during(format!("read {}", path.display()))?;
            let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
            running.offset += whole.len() as u64;
            for line in whole.lines() {
                let message = Message {
                    payload: Some(line.as_bytes()),
                    content_type: None,
                    ce_id: None,
                    partition: 0,
                };
                let outcome = self.intake.take(&message, now_ms()?);
                assert_eq!(outcome, Outcome::Record(Ingest::Merged), "{line}");
                let record: Value = serde_json::from_str(line)?;
                let node = record["src_node"].as_str().unwrap_or_default().to_owned();
                let (due, skipped) = self.turns.entry((number(&record, "window_end_ms")?, node)).or_default();
                *due += number(&record, "sent")? + number(&record, "skipped")?;
                *skipped += number(&record, "skipped")?;
            }
        }
        self.intake.turn();
        Ok(())
    }

    /// Whether it is the truth about the machine that all this runs on: for a moment it left an agent no processor, and that
    /// is found and said, as it should be.
    pub(crate) fn is_of_this_machine(&self, finding: &Finding) -> bool {
        let recent = (self.looked_at_ms.saturating_sub(4_000), String::new())..;
        let stalled = |node: &String| {
            let mut windows = self.turns.range(recent.clone()).filter(|((_, of), _)| of == node);
            windows.any(|(_, (due, skipped))| skipped * 5 >= *due)
        };
        finding.kind == FindingKind::ProberAtFault && finding.subject.nodes.iter().all(stalled)
    }

    /// How many records were read.
    pub(crate) fn records(&self) -> u64 {
        self.intake.stats().merged.load(Ordering::Relaxed)
    }
}
