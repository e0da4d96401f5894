//! What an agent of a configuration registers, for the commands that look at its membership without joining it.

use dt_agent::config::AgentConfig;
use dt_membership::{Registration, State};

/// The entry whose twin in a membership is one's own.
pub(crate) fn registration(config: &AgentConfig) -> Registration {
    Registration {
        node: config.node.clone(),
        address: config.advertise.host.clone(),
        port: config.advertise.port,
        tcp_port: config.advertise.port,
        zone: config.zone.clone(),
        rack: config.rack.clone(),
        region: config.region.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: String::new(),
        state: State::Starting,
        poll_timeout_ms: 0,
        poll_interval_ms: 0,
    }
}
