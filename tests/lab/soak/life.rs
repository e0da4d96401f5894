//! One life of an agent, from its start to its end: what was seen of it meanwhile and what it left.

use super::world::signal;
use crate::agent::Agent;
use crate::error::{LabError, Result};
use crate::namespaces::Namespace;
use crate::process::status;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was told to, and took its time.
    Ended,
    /// By SIGKILL.
    Killed,
}

#[derive(Debug)]
pub(super) struct Life {
    pub(super) agent: usize,
    pub(super) number: usize,
    process: Option<Agent>,
    began: Instant,
    /// How long it was.
    pub(super) lasted: Duration,
    /// It has answered once.
    answered: bool,
    stopped: bool,
    told: bool,
    pub(super) clock_stepped: bool,
    pub(super) ending: Option<Ending>,
    /// Since when it could hand its records to Kafka, if it can.
    pub(super) kafka_since: Option<Instant>,
    /// For how long it could at its end.
    pub(super) kafka_for: Duration,
    /// Resident memory in kilobytes, whenever it was looked at.
    pub(super) memory: Vec<u64>,
    pub(super) looks: u64,
    pub(super) records: Vec<Value>,
    pub(super) said: String,
    /// What was wrong.
    pub(super) wrong: Vec<String>,
}

impl Life {
    pub(super) fn new(agent: usize, number: usize, process: Agent) -> Life {
        Life {
            agent,
            number,
            process: Some(process),
            began: Instant::now(),
            lasted: Duration::ZERO,
            answered: false,
            stopped: false,
            told: false,
            clock_stepped: false,
            ending: None,
            kafka_since: None,
            kafka_for: Duration::ZERO,
            memory: Vec::new(),
            looks: 0,
            records: Vec::new(),
            said: String::new(),
            wrong: Vec::new(),
        }
    }

    pub(super) fn name(&self) -> String {
        format!("n{} life {}", self.agent, self.number)
    }

    fn running(&self) -> Result<&Agent> {
        let process = self.process.as_ref();
        process.ok_or_else(|| LabError::new(format!("{} is over", self.name())))
    }

    pub(super) fn stop(&mut self) -> Result {
        self.stopped = true;
        signal(self.running()?, Signal::SIGSTOP)
    }

    pub(super) fn resume(&mut self) -> Result {
        self.stopped = false;
        self.kafka_since = None;
        signal(self.running()?, Signal::SIGCONT)
    }

    pub(super) fn tell_to_end(&mut self) -> Result {
        self.told = true;
        signal(self.running()?, Signal::SIGTERM)
    }

    /// Whether Kafka can be reached by it now. Of one that was told to end, only that it can't any more is of interest.
    pub(super) fn note_kafka(&mut self, reachable: bool) {
        self.kafka_since = match self.kafka_since {
            _ if !reachable || self.stopped => None,
            None if !self.told => Some(Instant::now()),
            since => since,
        };
    }

    /// One page of its metrics; none where it can't be had at this time.
    pub(super) fn page(&self, node: &Namespace, path: &str) -> Option<(u16, String)> {
        if self.stopped || self.told {
            return None;
        }
        self.process.as_ref()?.get(node, path).ok()
    }

    /// One look: it runs, it answers once it has done so, its books balance; what memory it has.
    pub(super) fn look(&mut self, node: &Namespace) {
        if self.stopped || self.told {
            return;
        }
        let Some(process) = &mut self.process else { return };
        match process.process.ended() {
            Ok(None) => {}
            ended => {
                if !self.wrong.iter().any(|what| what.starts_with("ended by itself")) {
                    self.wrong.push(format!("ended by itself: {ended:?}"));
                }
                return;
            }
        }
        match process.get(node, "/metrics") {
            Ok((200, page)) => {
                self.answered = true;
                self.looks += 1;
                let balance = crate::scrape::Scrape::of(&page).balance();
                self.wrong.extend(balance.err().map(|error| error.to_string()));
            }
            Ok((status, _)) => self.wrong.push(format!("/metrics: status {status}")),
            Err(error) if self.answered => self.wrong.push(format!("/metrics: {error}")),
            Err(_) => {}
        }
        let path = format!("/proc/{}/status", process.process.pid());
        let resident: Option<u64> = std::fs::read_to_string(path)
            .ok()
            .and_then(|text| status(&text, "VmRSS").ok()?.split(' ').next()?.parse().ok());
        self.memory.extend(resident.filter(|_| self.answered));
    }

    /// Ends it, or takes note of its end, and keeps what it left.
    pub(super) fn end(&mut self, ending: Ending) -> Result {
        let Some(agent) = self.process.take() else {
            return Ok(());
        };
        self.lasted = self.began.elapsed();
        self.kafka_for = self.kafka_since.map(|since| since.elapsed()).unwrap_or_default();
        self.ending = Some(ending);
        match ending {
            Ending::Killed => {
                signal(&agent, Signal::SIGKILL)?;
                self.records = agent.records()?;
                self.said = agent.process.stderr()?;
            }
            Ending::Ended => {
                let (finished, records) = agent.finish()?;
                if finished.status.code() != Some(0) {
                    self.wrong.push(format!("{}", finished.status));
                }
                self.records = records;
                self.said = finished.stderr;
            }
        }
        Ok(())
    }

    pub(super) fn boot_id(&self) -> Option<&str> {
        self.records.first()?["boot_id"].as_str()
    }
}
