//! What the configuration says to each part, in that part's own words.

use std::time::Duration;

use dt_membership::{Registration, State};
use dt_record::Origin;
use dt_sink::{KafkaConfig, SinkConfig};

use crate::config::{AgentConfig, Encoding, Sink};

pub(crate) fn origin(config: &AgentConfig, boot_id: &str) -> Origin {
    Origin {
        cluster: config.cluster.clone(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: boot_id.to_owned(),
    }
}

pub(crate) fn sinks(config: &AgentConfig) -> Vec<SinkConfig> {
    let one = |sink: &Sink| match sink {
        Sink::Stdout => SinkConfig::Stdout,
        Sink::File(path) => SinkConfig::File(path.clone()),
        Sink::Kafka => SinkConfig::Kafka(kafka(config)),
    };
    config.sinks.iter().map(one).collect()
}

fn kafka(config: &AgentConfig) -> KafkaConfig {
    let kafka = &config.kafka;
    KafkaConfig {
        bootstrap: kafka.bootstrap.clone(),
        summary_topic: kafka.summary_topic.clone(),
        trace_topic: kafka.topic.clone(),
        trace_reports: kafka.trace_reports,
        client_id: kafka.client_id.clone(),
        encoding: match kafka.encoding {
            Encoding::Json => dt_sink::Encoding::Json,
            Encoding::Protobuf => dt_sink::Encoding::Protobuf,
        },
        partitions: kafka.partitions,
        options: kafka.options.clone(),
        options_file: kafka.options_file.clone(),
        spool: kafka.spool.clone(),
        ..KafkaConfig::default()
    }
}

/// What this node registers of itself. Nobody needs a boot id to look at a membership without joining it.
#[must_use]
pub fn registration(config: &AgentConfig, boot_id: &str) -> Registration {
    // What the original would call its own: its only probe is the gRPC ping.
    let pings = config.grpc;
    let ms = |duration: Option<Duration>, default| {
        duration.map_or(default, |d| u32::try_from(d.as_millis()).unwrap_or(u32::MAX))
    };
    Registration {
        node: config.node.clone(),
        address: config.advertise.host.clone(),
        port: config.advertise.port,
        tcp_port: config.advertise.port,
        zone: config.zone.clone(),
        rack: config.rack.clone(),
        region: config.region.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: boot_id.to_owned(),
        state: State::Starting,
        poll_timeout_ms: ms(pings.map(|t| t.timeout), 5_000),
        poll_interval_ms: ms(pings.map(|t| t.interval), 10_000),
    }
}
