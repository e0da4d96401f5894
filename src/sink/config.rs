//! What a sink is configured by.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::backlog::DEFAULT_BOUND_BYTES;

/// One place where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkConfig {
    /// The Kafka topics.
    Kafka(KafkaConfig),
    /// One JSON record a line on standard output.
    Stdout,
    /// One JSON record a line, appended to this file.
    File(PathBuf),
}

/// How the value of a summary record is written to Kafka.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// One JSON object.
    #[default]
    Json,
    /// The message of `proto/summary.proto`.
    Protobuf,
}

/// What the Kafka sink needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaConfig {
    /// Brokers, `host:port`, comma-separated.
    pub bootstrap: String,
    /// Topic of the summary records.
    pub summary_topic: String,
    /// Topic of the TraceReports, the original's `KAFKA_TOPIC`.
    pub trace_topic: String,
    /// Whether TraceReports are produced.
    pub trace_reports: bool,
    /// The `client.id`.
    pub client_id: String,
    /// How the value of a summary record is written.
    pub encoding: Encoding,
    /// Partitions of the summary topic where the agent creates it, 1 or more.
    pub partitions: u32,
    /// Bytes of summaries that may wait; beyond, they merge.
    pub backlog_bytes: usize,
    /// Further options of the client by librdkafka's names, `security.*` among them. They win over the agent's own.
    pub options: BTreeMap<String, String>,
    /// A file with more of them, `NAME=VALUE` lines; they win over `options`. What changes there, or in files that options
    /// name, is taken over.
    pub options_file: Option<PathBuf>,
    /// The folder in which the sink leaves what was not delivered when it ends, and looks for that when it starts.
    pub spool: Option<PathBuf>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        KafkaConfig {
            bootstrap: "localhost:9092".to_owned(),
            summary_topic: "distributedTrace.summaries".to_owned(),
            trace_topic: "distributedTrace".to_owned(),
            trace_reports: true,
            client_id: "distributed_trace_grp".to_owned(),
            encoding: Encoding::Json,
            partitions: 12,
            backlog_bytes: DEFAULT_BOUND_BYTES,
            options: BTreeMap::new(),
            options_file: None,
            spool: None,
        }
    }
}
