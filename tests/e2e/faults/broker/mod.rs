//! A broker that isn't there yet, refuses the password, loses the topic, takes no record beyond some size and runs out of disk, one
//! after the other under one agent. It probes on as if nothing were, its books balance whenever one looks, and afterwards each
//! window is in the topic once, but for those that can't be.

mod audit;
mod subject;

use audit::{Gone, audit, in_topic, probed_on};
use distributed_trace_tests::error::{Context, LabError, Result};
use distributed_trace_tests::kafka::{Kafka, Options};
use distributed_trace_tests::lock::take_turn;
use distributed_trace_tests::loopback::SUMMARIES;
use distributed_trace_tests::process::wait_for;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;
use std::time::Duration;
use subject::{LARGE, Subject, credentials};
use tokio::runtime::Runtime;

/// What the broker knows, and what the agent begins with.
const PASSWORDS: (&str, &str) = ("present", "former");
/// Bytes in a batch: more than any record of [`subject::SMALL`] takes, less than one of [`LARGE`], or a window.
const BETWEEN: &str = "1800";
/// Kafka's own limit.
const ENOUGH: &str = "1048588";

/// Where one password counts, by the mechanism that needs no TLS, and the disk is small.
fn options() -> Options {
    let (user, password) = (subject::USER, PASSWORDS.0);
    let properties = [
        (
            "listener.security.protocol.map",
            "CLIENT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
        ),
        ("sasl.enabled.mechanisms", "PLAIN".to_owned()),
        ("sasl.mechanism.inter.broker.protocol", "PLAIN".to_owned()),
        (
            "listener.name.client.plain.sasl.jaas.config",
            format!(
                "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"{user}\" \
                 password=\"{password}\" user_{user}=\"{password}\";"
            ),
        ),
    ];
    Options {
        auto_create_topics: false,
        properties: properties.map(|(name, value)| (name.to_owned(), value)).into(),
        client: credentials(Some(password)),
        disk: Some("48m".to_owned()),
        ..Options::default()
    }
}

/// An operator of the broker.
struct Operator {
    admin: AdminClient<DefaultClientContext>,
    runtime: Runtime,
}

impl Operator {
    fn of(kafka: &Kafka) -> Result<Operator> {
        Ok(Operator {
            admin: kafka.client_config().create()?,
            runtime: Runtime::new()?,
        })
    }

    /// Deletes the topic of the records and waits until the broker has carried it out: till then it still takes some.
    fn delete_topic(&self) -> Result {
        let delete = self.admin.delete_topics(&[SUMMARIES], &AdminOptions::new());
        for deleted in self.runtime.block_on(delete)? {
            deleted.map_err(|(topic, code)| LabError::new(format!("deleting {topic}: {code}")))?;
        }
        wait_for("the deletion", || {
            let patience = Duration::from_secs(5);
            let told = self.admin.inner().fetch_metadata(Some(SUMMARIES), patience)?;
            let is_gone = told.topics().iter().all(|topic| topic.error().is_some());
            Ok(is_gone.then_some(()))
        })
    }

    /// The topic takes batches of so many bytes at most.
    fn allow(&self, most: &str) -> Result {
        let change = [AlterConfig::new(ResourceSpecifier::Topic(SUMMARIES)).set("max.message.bytes", most)];
        let alter = self.admin.alter_configs(&change, &AdminOptions::new());
        for altered in self.runtime.block_on(alter)? {
            altered.map_err(|(topic, code)| LabError::new(format!("altering {topic:?}: {code}")))?;
        }
        Ok(())
    }
}

#[test]
fn what_a_broker_refuses_or_loses_costs_no_probe_and_no_other_record() -> Result {
    let _turn = take_turn()?;
    let mut kafka = Kafka::new_stopped(&options());
    let mut subject = Subject::start(&kafka, PASSWORDS.1)?;
    let mut faults = Vec::new();

    // From the start there is no broker.
    let scrape = subject.troubled("unreachable")?;
    assert!(scrape.count("dt_sink_backlog_probes{sink=\"kafka\"}")? > 0);
    let began = subject.newest()?;
    kafka.start_again();
    faults.push(("no broker", began, subject.newest()?));

    // Then there is one that knows another password.
    let scrape = subject.troubled("credentials")?;
    let began = subject.newest()?;
    let backlog = scrape.count("dt_sink_backlog_probes{sink=\"kafka\"}")?;
    let elsewhere = ["dt_sink_records_total", "dt_sink_dropped_total"].map(|name| subject::of(&scrape, name));
    assert!(backlog > 0, "they wait");
    assert!(matches!(elsewhere, [Ok(0), Ok(0)]), "{elsewhere:?}");
    subject.windows_from(began)?;
    faults.push(("credentials", began, subject.newest()?));
    subject.write_password(PASSWORDS.0)?;
    subject.delivered()?;

    let operator = Operator::of(&kafka)?;
    let before = in_topic(&kafka)?;
    operator.delete_topic()?;
    let deleted = subject.newest()?;
    let scrape = subject.troubled("topic")?;
    assert!(scrape.count("dt_sink_backlog_probes{sink=\"kafka\"}")? > 0, "they wait");
    faults.push(("no topic", deleted, subject.newest()?));
    let scrape = subject.delivered()?;
    assert_eq!(subject::of(&scrape, "dt_sink_dropped_total")?, 0);

    let began = subject.newest()?;
    let published = subject::of(&scrape, "dt_sink_records_total")?;
    operator.allow(BETWEEN)?;
    // Two windows of each kind, and those to the other peer aren't held up.
    subject.until("records given up", |scrape| {
        let arrived = subject::of(scrape, "dt_sink_records_total")? - published;
        Ok(subject::of(scrape, "dt_sink_dropped_total")? >= 6 && arrived >= 6)
    })?;
    faults.push(("too large", began, subject.newest()?));
    operator.allow(ENOUGH)?;
    wait_for("a large record", || {
        let is_large =
            |record: &Value| record["dst_node"] == LARGE && record["window_start_ms"].as_u64() >= Some(began);
        Ok(in_topic(&kafka)?.values().any(is_large).then_some(()))
    })?;
    let dropped = subject.delivered()?;

    let began = subject.newest()?;
    kafka.disk().fill()?;
    let scrape = subject.until("that the disk is full", |scrape| {
        Ok(subject::of(scrape, "dt_sink_connected")? == 0)
    })?;
    assert!(scrape.count("dt_sink_backlog_probes{sink=\"kafka\"}")? > 0, "they wait");
    // Kafka gives up its only disk, and itself with it.
    kafka.kill();
    kafka.disk().clear()?;
    kafka.start_again();
    faults.push(("disk full", began, subject.newest()?));
    let scrape = subject.delivered()?;
    for name in ["dt_sink_dropped_total", "dt_sink_probes_dropped_total"] {
        let both = [subject::of(&dropped, name)?, subject::of(&scrape, name)?];
        assert_eq!(both[0], both[1], "{name}: a full disk costs no record");
    }
    assert_eq!(
        subject::of(&scrape, "dt_sink_merged_total")?,
        0,
        "the backlog is far from full"
    );

    let (finished, records) = subject.end()?;
    assert_eq!(finished.status.code(), Some(0), "{finished}");
    assert!(!finished.stderr.contains("records not published"), "{finished}");
    probed_on(&records, &faults)?;
    let gone = Gone {
        deleted,
        dropped: subject::of(&scrape, "dt_sink_dropped_total")?,
        dropped_probes: subject::of(&scrape, "dt_sink_probes_dropped_total")?,
    };
    audit(&records, &before, &in_topic(&kafka)?, &gone).during(finished)
}
