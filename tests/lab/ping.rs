//! `dt ping --json` run to its end, and what it said.

use crate::error::{Context, LabError, Result};
use crate::namespaces::Namespace;
use crate::process::{Finished, Process, dt};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One run to be made.
#[derive(Debug)]
pub struct Ping {
    command: Command,
}

/// What a run printed, taken apart.
#[derive(Debug)]
pub struct Report {
    /// One object for each target, in order.
    pub targets: Vec<Value>,
    /// What stands under `summary`.
    pub summary: Value,
    /// The exit code.
    pub code: i32,
    /// The messages.
    pub stderr: String,
}

/// Which rights a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Those of the test: root's.
    All,
    /// CAP_NET_RAW and nothing else.
    NetRaw,
    /// None at all.
    None,
}

impl Rights {
    /// Puts a program that drops what these rights don't contain before `program`.
    pub fn limit(self, command: &mut Command, program: impl AsRef<std::ffi::OsStr>) {
        let kept = match self {
            Rights::All => {
                command.arg(program);
                return;
            }
            Rights::NetRaw => "-all,+net_raw",
            Rights::None => "-all",
        };
        // Root keeps over exec what the bounding set has.
        command
            .args(["setpriv", "--inh-caps=-all", "--bounding-set", kept])
            .arg(program);
    }
}

/// An ordinary user (65532, as in the image) with a copy of the binary that has file capabilities.
#[derive(Debug)]
pub struct Unprivileged {
    _folder: tempfile::TempDir,
    binary: PathBuf,
}

impl Unprivileged {
    /// `capabilities` as setcap(8) takes them; of none the file has not even an empty set, with which it would be given no
    /// ambient ones.
    ///
    /// # Errors
    /// Where there is no binary, or it can't be given them.
    pub fn new(capabilities: &str) -> Result<Unprivileged> {
        let folder = tempfile::tempdir()?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        let binary = folder.path().join("dt");
        // By a process of its own: what this one has open for writing, a child of another test holds for a moment, and what
        // is open for writing can't be run.
        Process::run("cp", Command::new("cp").arg(dt()?).arg(&binary))?.expect_code(0)?;
        if !capabilities.is_empty() {
            let mut setcap = Command::new("setcap");
            Process::run("setcap", setcap.arg(capabilities).arg(&binary))?.expect_code(0)?;
        }
        Ok(Unprivileged {
            _folder: folder,
            binary,
        })
    }

    /// The binary.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// `dt ping --json` by that user, with more options of setpriv(1) that limit it, or another such program after them.
    #[must_use]
    pub fn ping(&self, namespace: &Namespace, limits: &[&str]) -> Ping {
        let mut command = namespace.command("setpriv");
        command
            .args(["--reuid=65532", "--regid=65532", "--clear-groups", "--inh-caps=-all"])
            .args(limits)
            .arg(&self.binary)
            .args(["ping", "--json"])
            .env_remove("DT_KERNEL_OFF");
        Ping { command }
    }
}

impl Ping {
    /// `dt ping --json` inside `namespace`.
    ///
    /// # Errors
    /// Where there is no binary.
    pub fn new(namespace: &Namespace, rights: Rights) -> Result<Ping> {
        // `env` is only there to have a first program whatever the rights.
        let mut command = namespace.command("env");
        rights.limit(&mut command, dt()?);
        command.args(["ping", "--json"]).env_remove("DT_KERNEL_OFF");
        Ok(Ping { command })
    }

    /// Adds arguments, separated by blanks.
    #[must_use]
    pub fn args(mut self, arguments: &str) -> Ping {
        self.command.args(arguments.split_whitespace());
        self
    }

    /// Turns kernel features off by the hidden switch.
    #[must_use]
    pub fn without(mut self, features: &str) -> Ping {
        self.command.env("DT_KERNEL_OFF", features);
        self
    }

    /// Runs it to its end, whatever that is.
    ///
    /// # Errors
    /// Where it doesn't start or doesn't end.
    pub fn finish(mut self) -> Result<Finished> {
        Process::run("dt ping", &mut self.command)
    }

    /// Starts it.
    ///
    /// # Errors
    /// Where it doesn't start.
    pub fn spawn(mut self) -> Result<Process> {
        Process::spawn("dt ping", &mut self.command)
    }

    /// Runs it and takes what it printed apart.
    ///
    /// # Errors
    /// Where that is not JSON lines with a summary at the end.
    pub fn report(self) -> Result<Report> {
        Report::parse(self.finish()?)
    }
}

impl Report {
    /// Takes the output of a finished run apart.
    ///
    /// # Errors
    /// Where that is not JSON lines with a summary at the end.
    pub fn parse(finished: Finished) -> Result<Report> {
        let context = finished.to_string();
        let mut targets = Vec::new();
        for line in finished.stdout.lines() {
            targets.push(serde_json::from_str::<Value>(line).during(format!("{line:?} in {context}"))?);
        }
        let last = targets
            .pop()
            .ok_or_else(|| LabError::new(format!("nothing printed: {context}")))?;
        let summary = match last {
            Value::Object(mut object) if object.len() == 1 => object.remove("summary"),
            _ => None,
        };
        let summary = summary.ok_or_else(|| LabError::new(format!("no summary at the end: {context}")))?;
        let code = finished.status.code().unwrap_or(-1);
        Ok(Report {
            targets,
            summary,
            code,
            stderr: finished.stderr,
        })
    }
}

/// The number under `name`.
///
/// # Errors
/// Where there is none.
pub fn number(object: &Value, name: &str) -> Result<u64> {
    object
        .pointer(&format!("/{}", name.replace('.', "/")))
        .and_then(Value::as_u64)
        .ok_or_else(|| LabError::new(format!("no whole number {name} in {object}")))
}

/// Checks the counts of an object: every one that is not named is zero, save `sent`, which is the sum of the fates.
///
/// # Errors
/// Where one differs.
pub fn expect_counts(object: &Value, expected: &[(&str, u64)]) -> Result {
    const FATES: [&str; 5] = ["received", "lost", "refused", "unreachable", "send_error"];
    let want = |name: &str| {
        expected
            .iter()
            .find(|(named, _)| *named == name)
            .map_or(0, |(_, count)| *count)
    };
    let sum = FATES.iter().map(|fate| want(fate)).sum::<u64>();
    for name in FATES.into_iter().chain(["late", "duplicate", "sent"]) {
        let wanted = if name == "sent" { sum } else { want(name) };
        let found = number(object, name)?;
        if found != wanted {
            return Err(LabError::new(format!("{name} is {found}, not {wanted}: {object}")));
        }
    }
    Ok(())
}
