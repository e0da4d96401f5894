//! What the records say of a target: what it has in common with all of its kind, and what is its own.

use std::net::IpAddr;
use std::sync::Arc;

use dt_probe::{Clock, Method, ProbeKind};
use dt_record::{Endpoint, Pair};

/// What the records of all targets of one kind have in common.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) source: Arc<Endpoint>,
    pub(crate) probe: ProbeKind,
    /// Whether there are records of them: none of pings that only ask whether somebody is there.
    pub(crate) recorded: bool,
    pub(crate) method: Method,
    pub(crate) payload_bytes: Option<u32>,
    /// The clocks in use, for windows in which nothing was received.
    pub(crate) clocks: (Clock, Clock),
}

/// The rest of a target's pair. There is one of these for each target; the pair itself is made for each summary, and goes
/// with it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) destination: Arc<Endpoint>,
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
    pub(crate) source_ip: Option<IpAddr>,
}

impl Place {
    /// Its pair.
    pub(crate) fn pair(&self, manner: &Manner) -> Arc<Pair> {
        Arc::new(Pair {
            source: Arc::clone(&manner.source),
            source_ip: self.source_ip,
            destination: Arc::clone(&self.destination),
            destination_ip: self.ip,
            destination_port: self.port,
            probe: manner.probe,
            method: manner.method,
            payload_bytes: manner.payload_bytes,
        })
    }
}
