//! A program that reads its targets from standard input, run alone, and what it used.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::cpu::Usage;
use crate::{Failure, Result, doing};

/// Runs `command` to its end with `input` on its standard input.
///
/// # Errors
/// Where it can't be run or fails, with what it said.
pub fn run(command: &mut Command, input: &str) -> Result<(Output, Usage)> {
    let name = command.get_program().to_string_lossy().into_owned();
    let before = Usage::of_children();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(doing(&format!("run {name}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // All of it is read before anything is printed, so neither side can be waiting for the other.
        stdin
            .write_all(input.as_bytes())
            .map_err(doing(&format!("hand the targets to {name}")))?;
    }
    let output = child.wait_with_output().map_err(doing(&format!("wait for {name}")))?;
    let used = Usage::of_children().since(before);
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(Failure(format!("{name}: {}\n{errors}", output.status)));
    }
    Ok((output, used))
}
