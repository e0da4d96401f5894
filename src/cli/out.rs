//! Printing that survives a reader who has seen enough, and messages in one form.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use dt_agent::config::{Inputs, Loaded, load};

/// Wrong usage or configuration.
pub(crate) const USAGE: u8 = 2;

/// Writes `text` to standard output. A broken pipe is a quiet success: `dt plan | head` has done its job.
pub(crate) fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    finish(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// The exit code after writing to standard output.
pub(crate) fn finish(written: io::Result<()>) -> ExitCode {
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => failure(&format!("standard output: {error}")),
    }
}

/// One line on standard error. Nothing can be done where that fails.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Says what failed at run time.
pub(crate) fn failure(message: &str) -> ExitCode {
    say(&format!("error: {message}"));
    ExitCode::FAILURE
}

/// Says what is wrong with usage or configuration.
pub(crate) fn usage(message: &str) -> ExitCode {
    say(&format!("error: {message}"));
    ExitCode::from(USAGE)
}

/// Reads the configuration; warnings and errors go to standard error, one line each.
pub(crate) fn configuration(inputs: &Inputs) -> Result<Loaded, ExitCode> {
    let warn = |warnings: &[String]| warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
    match load(inputs) {
        Ok(loaded) => {
            warn(&loaded.warnings);
            Ok(loaded)
        }
        Err(wrong) => {
            warn(&wrong.warnings);
            wrong.errors.iter().for_each(|error| say(&format!("error: {error}")));
            if let Some(Err(error)) = wrong.peers.as_deref().map(dt_membership::file::check) {
                say(&format!("error: {error}"));
            }
            Err(ExitCode::from(USAGE))
        }
    }
}
