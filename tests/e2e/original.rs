//! The stand-in for the Go original, on a real ZooKeeper and a real Kafka: what it does and what it dies of.

use distributed_trace_tests::error::Result;
use distributed_trace_tests::forward::forward;
use distributed_trace_tests::kafka::Kafka;
use distributed_trace_tests::namespaces::Lan;
use distributed_trace_tests::original::{Options, Original};
use distributed_trace_tests::process::wait_for;
use distributed_trace_tests::topic;
use distributed_trace_tests::znodes::Znodes;
use distributed_trace_tests::zookeeper::ZooKeeper;
use std::time::Duration;

#[test]
fn two_of_them_ping_each_other_and_rubbish_kills_both() -> Result {
    let (zookeeper, kafka) = (ZooKeeper::start()?, Kafka::start());
    let lan = Lan::new(2)?;
    let (_, kafka_port) = kafka.bootstrap().rsplit_once(':').unwrap_or_default();
    let options = |i: usize| -> Result<Options> {
        Ok(Options {
            address: format!("{}:4000", Lan::address(i)).parse()?,
            zookeeper: zookeeper.servers(),
            kafka: kafka.bootstrap().to_owned(),
            path: "/originals/nodes".to_owned(),
            topic: "originals".to_owned(),
            poll_interval: Duration::from_millis(500),
        })
    };
    for node in &lan.nodes {
        forward(node, zookeeper.address().port())?;
        forward(node, kafka_port.parse()?)?;
    }
    let one = Original::start(&lan.nodes[0], options(0)?)?;
    let two = Original::start(&lan.nodes[1], options(1)?)?;
    let reports = wait_for("a report of every ordered pair, own ones included", || {
        assert_eq!(one.state().death, None);
        assert_eq!(two.state().death, None);
        let records = topic::read(kafka.bootstrap(), "originals")?;
        let pairs: std::collections::BTreeSet<_> = records
            .iter()
            .filter_map(|record| record.json().ok())
            .filter(|report| report["isTransmissionSuccess"] == true && report["responseTiming"].is_u64())
            .map(|report| (report["fromHostAddr"].to_string(), report["toHostAddr"].to_string()))
            .collect();
        Ok((pairs.len() == 4).then_some(records))
    })?;
    assert!(
        reports
            .iter()
            .all(|report| report.key.is_none() && report.headers.is_empty())
    );
    assert!(two.state().pings_received > 0);

    let znodes = Znodes::connect(&zookeeper.servers())?;
    znodes.create("/originals/nodes/rubbish", b"not json")?;
    wait_for("the death of both", || {
        let deaths = [one.state().death, two.state().death];
        Ok(deaths
            .iter()
            .all(|death| death.as_ref().is_some_and(|why| why.contains("not json")))
            .then_some(()))
    })?;
    Ok(())
}
