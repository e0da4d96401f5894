//! Log lines while the screen is ours: kept for the last line of it, since standard error is the same terminal.

use std::io::{self, Write};
use std::sync::mpsc::SyncSender;

use dt_agent::config::Loaded;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::live::Event;

/// Starts logging to the screen: only warnings, unless told otherwise.
pub(super) fn start(loaded: &Loaded, events: SyncSender<Event>) {
    let level = if loaded.is_set("log.level") {
        &loaded.config.log.level
    } else {
        "warn"
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse_lossy(level))
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_writer(Lines(events))
        .init();
}

/// Makes an event of each line.
#[derive(Debug)]
struct Lines(SyncSender<Event>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            text: Vec::new(),
            events: self.0.clone(),
        }
    }
}

/// One line on its way.
#[derive(Debug)]
struct Line {
    text: Vec<u8>,
    events: SyncSender<Event>,
}

impl Write for Line {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text).trim().to_owned();
        // Nobody listens any more where the end has come; nobody can read so fast where the queue is full.
        let _ = self.events.try_send(Event::Log(text));
    }
}
