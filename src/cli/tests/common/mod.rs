//! Runs the real binary with exactly the environment a test gives it.
#![allow(dead_code)] // Each test file has use for its part.

use std::path::PathBuf;
use std::process::{Command, Output};

/// The binary, with no variable of this process but the path.
pub(crate) fn dt() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dt"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Its output, as text, and its exit code.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = dt();
    command.args(arguments).envs(environment.iter().copied());
    ran(command.output().unwrap())
}

/// What came out of it.
pub(crate) fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A file with this text, in a directory that must outlive its use.
pub(crate) fn file(directory: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}
