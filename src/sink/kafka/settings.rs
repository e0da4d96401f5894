//! How the Kafka client is set up: the agent's own choices, then the operator's options, which win.

use std::collections::BTreeMap;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use crate::config::KafkaConfig;

/// What producers and readers share.
pub(crate) fn common(bootstrap: &str, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("client.id", client_id)
        // Records must be visible within 10 s of a broker's return.
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "2000")
        // A connection attempt to a host that drops packets must not outlive the host's return by 30 s.
        .set("socket.connection.setup.timeout.ms", "5000")
        .set("socket.keepalive.enable", "true")
        // The topics are created by us, with the partitions that were asked for, or not at all.
        .set("allow.auto.create.topics", "false")
        .set_log_level(RDKafkaLogLevel::Notice);
    // Our OpenSSL looks for certificates below the folder it was built for, where there are none, and the variables that
    // say otherwise it ignores in a program with file capabilities.
    #[cfg(feature = "tls")]
    config.set("ssl.ca.location", "probe");
    config
}

/// What is not for others to set, and why.
const OURS: [(&str, &str); 10] = [
    ("bootstrap.servers", "set kafka.bootstrap instead"),
    ("metadata.broker.list", "set kafka.bootstrap instead"),
    ("client.id", "set kafka.client_id instead"),
    ("acks", "a record counts as published when all replicas have it"),
    (
        "request.required.acks",
        "a record counts as published when all replicas have it",
    ),
    ("enable.idempotence", "retries must not repeat records"),
    ("partitioner", "keys must land where Java clients put them"),
    ("message.timeout.ms", "the agent sends again what was not delivered"),
    ("delivery.timeout.ms", "the agent sends again what was not delivered"),
    ("group.id", "readers assign partitions without a group"),
];

/// Whether the client, as it was built, knows the option and takes the value. Those that the agent's promises rest on are
/// refused: it sets them itself.
///
/// # Errors
/// What is wrong. The value itself may be a secret, and is not repeated beside what the client says.
pub fn check_option(name: &str, value: &str) -> Result<(), String> {
    if let Some((_, why)) = OURS.iter().find(|(ours, _)| *ours == name) {
        return Err(format!("option {name:?} can't be changed: {why}"));
    }
    if name.is_empty()
        || !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    {
        return Err(format!("{name:?} is not an option's name"));
    }
    // Certificates are given as PEM text, so line ends are fine; a NUL would end the string in the C client.
    if value.contains('\0') {
        return Err(format!("option {name:?} has a NUL in its value"));
    }
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(_, why, ..)) => Err(format!("option {name:?}: {why}")),
        Err(error) => Err(format!("option {name:?}: {error}")),
    }
}

/// Whether this can be meant as an option's name, and so be repeated where it is wrong. What is written beside other options
/// may be a part of a secret: of a password that was cut at its comma, or a line of a key.
#[must_use]
pub fn looks_like_option(name: &str) -> bool {
    let is_spelt_so = name.chars().all(|c| c.is_ascii_lowercase() || c == '.');
    // Most names are of several words.
    let is_of_words = name.contains('.') && name.split('.').all(|word| !word.is_empty());
    is_spelt_so && (is_of_words || is_known(name))
}

fn is_known(name: &str) -> bool {
    let unknown = RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN;
    let tried = ClientConfig::new().set(name, "").create_native_config();
    !matches!(tried, Err(KafkaError::ClientConfig(result, ..)) if result == unknown)
}

/// The operator's options on top.
pub(crate) fn with_options(mut config: ClientConfig, options: &BTreeMap<String, String>) -> ClientConfig {
    for (name, value) in options {
        config.set(name, value);
    }
    config
}

/// The producer of the sink.
pub(crate) fn producer(sink: &KafkaConfig, options: &BTreeMap<String, String>) -> ClientConfig {
    let mut config = common(&sink.bootstrap, &sink.client_id);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        // Java's default partitioner, so that consumers find a key where they expect it.
        .set("partitioner", "murmur2_random")
        // Never: a message that librdkafka gave up on could only be handed over again, perhaps twice.
        .set("message.timeout.ms", "0")
        // A broker that hangs is left for another after 10 s; the default is a minute.
        .set("request.timeout.ms", "8000")
        .set("socket.timeout.ms", "10000")
        // A window's records come at once: this long they gather into batches.
        .set("linger.ms", "50")
        // How long a topic that was just created, or deleted, may seem to be missing; the default is 30 s.
        .set("topic.metadata.propagation.max.ms", "5000");
    with_options(config, options)
}
