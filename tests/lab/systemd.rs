//! A real systemd that runs units of the project: in PID, mount, network and control group namespaces of its own, with
//! no unit but those given, and with nothing on the host that outlives it.

use crate::error::{Context, LabError, Result};
use crate::namespaces::Namespace;
use crate::process::{Finished, Process, dt, wait_for};
use nix::pty::openpty;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

/// A running systemd. It ends, with all it has started, when dropped.
#[derive(Debug)]
pub struct Systemd {
    process: Process,
    /// The process that is number 1 inside.
    first: u32,
    namespace: Namespace,
    log: Arc<Mutex<String>>,
    _files: tempfile::TempDir,
    _group: Group,
}

/// What it finds when it boots.
#[derive(Debug, Default)]
pub struct Setup<'a> {
    /// Units, and drop-ins as `NAME.service.d/NAME.conf`, by name.
    pub units: &'a [(&'a str, &'a str)],
    /// The files of /etc/distributed-trace, by name.
    pub configuration: &'a [(&'a str, &'a str)],
}

const TARGETS: [&str; 7] = [
    "lab.target",
    "sysinit.target",
    "basic.target",
    "multi-user.target",
    "network-online.target",
    "time-sync.target",
    "shutdown.target",
];

impl Systemd {
    /// Boots it; the binary `dt` is /usr/local/bin/dt inside. Nothing is started yet.
    ///
    /// # Errors
    /// Where a privilege or the package systemd is missing, or where it doesn't come up, with its log.
    pub fn boot(setup: &Setup<'_>) -> Result<Systemd> {
        let namespace = Namespace::new("systemd")?;
        let files = tempfile::tempdir()?;
        // A unit of a system may name these; here nothing belongs to them.
        let targets = TARGETS.map(|name| (name, "[Unit]\nDefaultDependencies=no\n"));
        let units = folder(files.path(), "units", setup.units.iter().chain(&targets))?;
        let configuration = folder(files.path(), "configuration", setup.configuration.iter())?;
        let script = files.path().join("systemd.sh");
        std::fs::write(&script, include_str!("systemd.sh"))?;

        let terminal = openpty(None, None).during("open a terminal")?;
        let console = nix::unistd::ttyname(terminal.slave.as_fd())?;
        let log = read_all(File::from(terminal.master));
        let group = Group::new(namespace.name())?;
        let mut command = Command::new("sh");
        // Joins the group, enters the network namespace and becomes `unshare`, whose child is the first process.
        command
            .arg("-c")
            .arg("echo $$ >\"$0\" && exec \"$@\"")
            .arg(group.0.join("cgroup.procs"))
            .arg("nsenter")
            .arg(format!("--net=/run/netns/{}", namespace.name()))
            .args(["unshare", "--kill-child", "--fork", "--pid", "--mount-proc", "--mount"])
            .args(["--uts", "--ipc", "--cgroup", "sh"])
            .arg(&script)
            .args([&console, &units, &dt()?, &configuration]);
        let mut process = Process::spawn("systemd", &mut command)?;
        let first = process.wait_for("the first process", |unshare| {
            let children = format!("/proc/{0}/task/{0}/children", unshare.pid());
            let children = std::fs::read_to_string(children).unwrap_or_default();
            Ok(children.split_whitespace().next().and_then(|pid| pid.parse().ok()))
        })?;
        let mut systemd = Systemd {
            process,
            first,
            namespace,
            log,
            _files: files,
            _group: group,
        };
        // The slave's last descriptor here: from now on the terminal ends with systemd.
        drop(terminal.slave);
        let inside = systemd.command("systemctl", &["is-active", "lab.target"]);
        let mut inside = [inside];
        let log = Arc::clone(&systemd.log);
        systemd
            .process
            .wait_for("systemd to be up", |_| {
                let asked = inside[0].output().during("is the package systemd installed?")?;
                Ok(asked.status.success().then_some(()))
            })
            .map_err(|error| error.during(text(&log)))?;
        Ok(systemd)
    }

    /// Where its units have their network.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// What it has logged so far, and what its units have written.
    #[must_use]
    pub fn log(&self) -> String {
        text(&self.log)
    }

    /// A command that runs inside.
    #[must_use]
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--mount", "--pid", "--net", "--target", &self.first.to_string(), "--"])
            .arg(program)
            .args(arguments)
            .env("SYSTEMD_UNIT_PATH", "/run/units");
        command
    }

    /// Runs a program inside to its end.
    ///
    /// # Errors
    /// Where it can't be started or doesn't end.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Finished> {
        Process::run(program, &mut self.command(program, arguments))
    }

    /// `systemctl ARGUMENTS`, which has to succeed.
    ///
    /// # Errors
    /// Where it fails, with systemd's log.
    pub fn systemctl(&self, arguments: &[&str]) -> Result<Finished> {
        self.run("systemctl", arguments)?
            .expect_code(0)
            .map_err(|error| error.during(self.log()))
    }

    /// The properties of a unit, by name.
    ///
    /// # Errors
    /// Where `systemctl show` fails.
    pub fn show(&self, unit: &str) -> Result<BTreeMap<String, String>> {
        let shown = self.systemctl(&["show", unit])?;
        let pairs = shown.stdout.lines().filter_map(|line| line.split_once('='));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Waits until the properties of a unit are as wanted.
    ///
    /// # Errors
    /// They never are; systemd's log is in the error.
    pub fn wait_for<T>(
        &self,
        unit: &str,
        what: &str,
        mut condition: impl FnMut(&BTreeMap<String, String>) -> Option<T>,
    ) -> Result<T> {
        wait_for(what, || Ok(condition(&self.show(unit)?))).map_err(|error| error.during(self.log()))
    }
}

/// A control group, removed when dropped.
#[derive(Debug)]
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Result<Group> {
        let mounts = std::fs::read_to_string("/proc/mounts")?;
        let unified = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (path, kind) = (words.next()?, words.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(path))
        });
        let unified =
            unified.ok_or_else(|| LabError::new("systemd needs control groups of version 2, none is mounted"))?;
        let group = unified.join(name);
        std::fs::create_dir(&group).during(format!("make the control group {}", group.display()))?;
        Ok(Group(group))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes are being killed; those of a debugger's patience may take a moment longer.
        let _ = std::fs::write(self.0.join("cgroup.kill"), "1");
        let _ = wait_for("the control group to be empty", || {
            remove(&self.0);
            Ok((!self.0.exists()).then_some(()))
        });
    }
}

/// Removes a control group and those inside it, as far as they are empty.
fn remove(group: &Path) {
    for inner in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if inner.path().is_dir() {
            remove(&inner.path());
        }
    }
    let _ = std::fs::remove_dir(group);
}

/// Writes files of these names and texts; a name may have a folder in it.
fn folder<'a>(parent: &Path, name: &str, files: impl Iterator<Item = &'a (&'a str, &'a str)>) -> Result<PathBuf> {
    let folder = parent.join(name);
    std::fs::create_dir(&folder)?;
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(&folder))?;
        std::fs::write(path, text)?;
    }
    Ok(folder)
}

/// Reads a terminal until it ends, on a thread of its own.
fn read_all(mut terminal: File) -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&log);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        // A terminal without a writer is an error to read.
        while let Ok(length @ 1..) = terminal.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
        }
    });
    log
}

fn text(log: &Arc<Mutex<String>>) -> String {
    log.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
