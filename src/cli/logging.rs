//! Logs, to standard error.

use std::io::{self, IsTerminal};

use dt_agent::config::{Loaded, Log, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging as configured. To be called once.
pub(crate) fn start(log: &Log) {
    // Its directives were checked with the configuration; whatever of them the filter doesn't know it leaves out.
    let filter = EnvFilter::builder().parse_lossy(&log.level);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match log.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

/// For the commands that print and end: only warnings, unless told otherwise.
pub(crate) fn start_quiet(loaded: &Loaded) {
    let mut log = loaded.config.log.clone();
    if !loaded.is_set("log.level") {
        "warn".clone_into(&mut log.level);
    }
    start(&log);
}
