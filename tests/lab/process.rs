//! Child processes whose output is kept, that are waited for by condition and that never outlive the test.

use crate::error::{Context, LabError, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Far beyond what anything here takes: a deadline only ends a test that has hung.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Where the binary `dt` is: `$DT_BIN`, or beside the running test in the target directory.
///
/// # Errors
/// Where there is none, saying how to build it.
pub fn dt() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("DT_BIN") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let beside = test.ancestors().nth(2).unwrap_or(Path::new("/")).join("dt");
    if beside.is_file() {
        return Ok(beside);
    }
    Err(LabError::new(format!(
        "no binary at {}: build it by `cargo build --bin dt`, or name one in DT_BIN",
        beside.display()
    )))
}

/// Asks `condition` again and again until it gives a value, for [`DEADLINE`].
///
/// # Errors
/// Its own error at once, or that `what` never came.
pub fn wait_for<T>(what: &str, condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    wait_until(what, DEADLINE, condition)
}

/// As [`wait_for`], with its own deadline.
///
/// # Errors
/// As [`wait_for`].
pub fn wait_until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            return Err(LabError::new(format!(
                "waited {} s in vain for {what}",
                limit.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What `/proc` says of each thread of a process: its status, see proc(5).
///
/// # Errors
/// Where there is no such process.
pub fn threads(pid: u32) -> Result<Vec<String>> {
    let folder = format!("/proc/{pid}/task");
    let mut statuses = Vec::new();
    for thread in std::fs::read_dir(&folder).during(format!("list {folder}"))? {
        // One that has just ended has none.
        statuses.extend(std::fs::read_to_string(thread?.path().join("status")).ok());
    }
    Ok(statuses)
}

/// The wall clock, milliseconds since the epoch.
///
/// # Errors
/// Where it stands before that.
pub fn now_ms() -> Result<u64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(u64::try_from(now.as_millis())?)
}

/// The value of a line of such a status.
///
/// # Errors
/// Where it has none of that name.
pub fn status<'a>(text: &'a str, name: &str) -> Result<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let line = line.ok_or_else(|| LabError::new(format!("no {name} in {text}")))?;
    Ok(line.trim())
}

/// What a process left when it ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// Checks the exit code.
    ///
    /// # Errors
    /// Any other code, with all that the process said.
    pub fn expect_code(self, code: i32) -> Result<Finished> {
        if self.status.code() == Some(code) {
            return Ok(self);
        }
        Err(LabError::new(format!("exit code {code} expected, {self}")))
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\n--- stdout\n{}\n--- stderr\n{}",
            self.status, self.stdout, self.stderr
        )
    }
}

/// A running child; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    label: String,
    output: tempfile::TempDir,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` with both outputs kept in files and nothing on standard input. `label` names it in messages.
    ///
    /// # Errors
    /// Where it can't be started.
    pub fn spawn(label: &str, command: &mut Command) -> Result<Process> {
        let output = tempfile::tempdir()?;
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(output.path().join("stdout"))?)
            .stderr(File::create(output.path().join("stderr"))?)
            .spawn()
            .during(format!("start {label} ({command:?})"))?;
        Ok(Process {
            child,
            label: label.to_owned(),
            output,
            status: None,
        })
    }

    /// Starts `command`, waits for its end and returns what it said.
    ///
    /// # Errors
    /// Where it can't be started or doesn't end within [`DEADLINE`].
    pub fn run(label: &str, command: &mut Command) -> Result<Finished> {
        Process::spawn(label, command)?.finish()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output by now.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn stdout(&self) -> Result<String> {
        self.read("stdout")
    }

    /// What it has written to standard error by now.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn stderr(&self) -> Result<String> {
        self.read("stderr")
    }

    fn read(&self, name: &str) -> Result<String> {
        let bytes = std::fs::read(self.output.path().join(name)).during(format!("read {name} of {}", self.label))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether it has ended, and how.
    ///
    /// # Errors
    /// Where the kernel can't say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// As [`wait_for`], but fails at once, with its standard error, when the process ends before.
    ///
    /// # Errors
    /// The process ended, or `what` never came.
    pub fn wait_for<T>(&mut self, what: &str, mut condition: impl FnMut(&Process) -> Result<Option<T>>) -> Result<T> {
        let label = self.label.clone();
        let waited = wait_for(what, || {
            let ended = self.ended()?;
            let value = condition(self)?;
            if value.is_none()
                && let Some(status) = ended
            {
                return Err(LabError::new(format!("{label} ended ({status}) before {what}")));
            }
            Ok(value)
        });
        waited.map_err(|error| error.during(format!("{label}\n{}", self.stderr().unwrap_or_default())))
    }

    /// Sends a signal, by pid.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn signal(&self, signal: Signal) -> Result {
        let pid = i32::try_from(self.pid())?;
        kill(Pid::from_raw(pid), signal).during(format!("send {signal} to {}", self.label))
    }

    /// SIGTERM, then waits for the end.
    ///
    /// # Errors
    /// Where it doesn't end within [`DEADLINE`].
    pub fn terminate(self) -> Result<Finished> {
        self.signal(Signal::SIGTERM)?;
        self.finish()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Where it doesn't end within [`DEADLINE`].
    pub fn finish(self) -> Result<Finished> {
        self.finish_within(DEADLINE)
    }

    /// As [`Process::finish`], with its own deadline.
    ///
    /// # Errors
    /// Where it doesn't end within it.
    pub fn finish_within(mut self, limit: Duration) -> Result<Finished> {
        let label = self.label.clone();
        let status = wait_until("its end", limit, || self.ended())
            .map_err(|error| error.during(format!("{label}\n{}", self.stderr().unwrap_or_default())))?;
        Ok(Finished {
            status,
            stdout: self.stdout()?,
            stderr: self.stderr()?,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.ended() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- stderr of {}\n{}", self.label, self.stderr().unwrap_or_default());
        }
    }
}
