//! The agent under a broker that fails: it probes two addresses of its own host, where it answers itself.

use distributed_trace_tests::agent::Agent;
use distributed_trace_tests::error::Result;
use distributed_trace_tests::forward::forward;
use distributed_trace_tests::kafka::Kafka;
use distributed_trace_tests::namespaces::Namespace;
use distributed_trace_tests::ping::number;
use distributed_trace_tests::process::{Finished, wait_for};
use distributed_trace_tests::scrape::Scrape;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Whose records are as short as they come.
pub(crate) const SMALL: &str = "small";
/// Whose labels make each record half as long again as those of the other.
pub(crate) const LARGE: &str = "large";
pub(crate) const USER: &str = "agents";

/// What a client has to set, here with the password or where that comes from elsewhere.
pub(crate) fn credentials(password: Option<&str>) -> Vec<(String, String)> {
    let mut options = vec![
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", USER),
    ];
    options.extend(password.map(|password| ("sasl.password", password)));
    let owned = options.into_iter();
    owned.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A figure of the Kafka sink.
pub(crate) fn of(scrape: &Scrape, name: &str) -> Result<u64> {
    scrape.count(&format!("{name}{{sink=\"kafka\"}}"))
}

/// When the newest of the windows ended.
fn newest(records: &[Value]) -> Result<u64> {
    let ends = records.iter().map(|record| number(record, "window_end_ms"));
    Ok(ends.collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or(0))
}

pub(crate) struct Subject {
    agent: Agent,
    node: Namespace,
    password: PathBuf,
}

impl Subject {
    pub(crate) fn start(kafka: &Kafka, password: &str) -> Result<Subject> {
        let node = Namespace::new("n0")?;
        let (_, port) = kafka.bootstrap().rsplit_once(':').unwrap_or_default();
        forward(&node, port.parse()?)?;
        let mut builder = Agent::builder(&node, "n0", "127.0.0.1")?;
        let (peers, file) = (
            builder.directory().join("peers.toml"),
            builder.directory().join("options"),
        );
        let peer = |node, address| format!("[[peer]]\nnode = \"{node}\"\naddress = \"{address}\"\nport = 4000\n");
        let label = "x".repeat(255);
        let long = format!("zone = \"{label}\"\nrack = \"{label}\"\nregion = \"{label}\"\n");
        std::fs::write(&peers, peer(SMALL, "127.0.0.2") + &peer(LARGE, "127.0.0.3") + &long)?;
        write_password(&file, password)?;
        for (name, value) in credentials(None) {
            builder = builder.args(&format!("--kafka-options {name}={value}"));
        }
        let mut agent = builder
            .peers(&peers)
            .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
            .args("--sink kafka --probe icmp,tcp,grpc --window 1s --interval 100ms --timeout 2s")
            .args(&format!("--kafka-options-file {}", file.display()))
            // In one partition records stand as they were acknowledged, so those that a deletion takes are the ones before.
            .args("--kafka-partitions 1 --kafka-trace-reports false")
            // Or the long labels would take no room.
            .args("--kafka-options compression.type=none")
            .start()?;
        agent.wait_for("a window", |records| Ok((!records.is_empty()).then_some(())))?;
        Ok(Subject {
            agent,
            node,
            password: file,
        })
    }

    pub(crate) fn write_password(&self, password: &str) -> Result {
        write_password(&self.password, password)
    }

    pub(crate) fn newest(&self) -> Result<u64> {
        newest(&self.agent.records()?)
    }

    /// Waits for two windows that began at `from` or later.
    pub(crate) fn windows_from(&mut self, from: u64) -> Result {
        self.agent.wait_for("two windows", |records| {
            Ok((newest(records)? >= from + 2_000).then_some(()))
        })
    }

    /// Looks at the metrics until they are as wanted; the books must balance at each look.
    pub(crate) fn until(&self, what: &str, wanted: impl Fn(&Scrape) -> Result<bool>) -> Result<Scrape> {
        wait_for(what, || {
            let scrape = self.agent.scrape(&self.node)?;
            Ok(wanted(&scrape)?.then_some(scrape))
        })
    }

    /// The metrics once they say that this is the matter.
    pub(crate) fn troubled(&self, reason: &str) -> Result<Scrape> {
        let series = format!("dt_sink_trouble{{sink=\"kafka\",reason=\"{reason}\"}}");
        self.until(&series, |scrape| Ok(scrape.count(&series)? == 1))
    }

    /// The metrics once all is well and nothing waits.
    pub(crate) fn delivered(&self) -> Result<Scrape> {
        self.until("that nothing waits", |scrape| {
            Ok(of(scrape, "dt_sink_connected")? == 1 && of(scrape, "dt_sink_backlog_records")? == 0)
        })
    }

    pub(crate) fn end(self) -> Result<(Finished, Vec<Value>)> {
        self.agent.terminate()
    }
}

fn write_password(file: &Path, password: &str) -> Result {
    let new = file.with_extension("new");
    std::fs::write(&new, format!("sasl.password={password}\n"))?;
    Ok(std::fs::rename(new, file)?)
}
