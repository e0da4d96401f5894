//! What may stand between an agent and its peers in one process.

use dt_probe::{Event, ProbeKind};
use dt_record::Endpoint;

/// A network that an embedding program puts between an agent and its peers: what the faults of `dt demo` are made of, where no
/// right to shape real packets is needed. It sees each thing that happened before it is counted.
pub trait Between: Send + Sync {
    /// What became of it on the way to `destination`: a fate may become another one, and nothing else a fate.
    fn pass(&self, destination: &Endpoint, probe: ProbeKind, event: Event) -> Event;
}
