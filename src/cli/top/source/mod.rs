//! Where the numbers come from: records of Kafka, merged here, or the answers of a running `dt collect` or `dt demo`.

mod kafka;
mod server;
mod wire;

use std::sync::Arc;

use dt_probe::ProbeKind;

use super::model::{Look, Table, Want};
pub(super) use kafka::Kafka;
pub(super) use server::Server;

#[derive(Debug)]
pub(super) enum Source {
    Kafka(Kafka),
    Server(Server),
}

impl Source {
    /// Looks once; takes as long as it takes.
    pub(super) fn look(&mut self, want: &Want) -> Look {
        match self {
            Source::Kafka(kafka) => kafka.look(want),
            Source::Server(server) => server.look(want),
        }
    }

    /// In words.
    pub(super) fn origin(&self) -> String {
        match self {
            Source::Kafka(kafka) => kafka.origin().to_owned(),
            Source::Server(server) => server.origin(),
        }
    }
}

/// The table of the kind that is wanted; where none was chosen, of the first that has anything.
fn first_table(
    want: Option<ProbeKind>,
    mut table: impl FnMut(ProbeKind) -> Result<Table, String>,
) -> Result<Arc<Table>, String> {
    if let Some(probe) = want {
        return table(probe).map(Arc::new);
    }
    for probe in ProbeKind::ALL {
        let table = table(*probe)?;
        if !table.cells.is_empty() {
            return Ok(Arc::new(table));
        }
    }
    table(ProbeKind::Icmp).map(Arc::new)
}
