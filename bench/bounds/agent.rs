//! A `dt agent` with many peers on loopback, its records in a file in memory.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dt_bench::addresses::LOOPBACK;
use dt_bench::cpu;
use dt_bench::{Failure, Result, doing};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::records::{self, Totals};

/// One window.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);
/// How long an agent may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an agent is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    pub(crate) peers: u32,
    /// As for `--probe`.
    pub(crate) kinds: &'static str,
    /// As for `--interval`.
    pub(crate) interval: &'static str,
}

impl Task {
    /// Peers times kinds: the records of a window.
    pub(crate) fn pairs(self) -> u64 {
        u64::from(self.peers) * self.kinds.split(',').count() as u64
    }
}

/// A running agent. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Agent {
    child: Child,
    folder: TempDir,
}

impl Agent {
    pub(crate) fn start(dt: &Path, task: Task) -> Result<Agent> {
        Agent::start_with(dt, task, &["--window", "10s"])
    }

    /// With windows and sinks, besides the file, that `more` says.
    pub(crate) fn start_with(dt: &Path, task: Task, more: &[&str]) -> Result<Agent> {
        // Memory in place of a disk, whose writes would be on somebody else's bill one time and on ours another.
        let shm = Path::new("/dev/shm");
        let folder = if shm.is_dir() {
            TempDir::new_in(shm)
        } else {
            TempDir::new()
        };
        let folder = folder.map_err(doing("make a folder for the records"))?;
        let peers = folder.path().join("peers.toml");
        write_peers(&peers, task.peers).map_err(doing("write the peers file"))?;
        let log = File::create(folder.path().join("log")).map_err(doing("make a file for the log"))?;
        let mut command = Command::new(dt);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DT_") {
                command.env_remove(name);
            }
        }
        command
            .args(["agent", "--node", "bench", "--http", "off"])
            .args(more)
            // Its own listener answers the TCP probes of all of 127.0.0.0/8.
            .args(["--listen", "0.0.0.0:4000", "--advertise", "127.0.0.1:4000"])
            .args(["--membership", "file", "--peers"])
            .arg(&peers)
            .args(["--probe", task.kinds, "--interval", task.interval])
            .arg("--sink")
            .arg(format!("file:{}", folder.path().join("records").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = command.spawn().map_err(doing(&format!("run {}", dt.display())))?;
        Ok(Agent { child, folder })
    }

    /// Waits until so many whole windows have passed, to a moment that is nobody's window end.
    pub(crate) fn let_pass(&mut self, windows: u32) -> Result {
        let since_start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let into_window = Duration::from_nanos((since_start.as_nanos() % WINDOW.as_nanos()) as u64);
        // A window's records are written in the first half of the next one.
        let aim = WINDOW.mul_f64(0.8);
        let wait = (WINDOW + aim).saturating_sub(into_window);
        sleep(Duration::from_nanos((wait.as_nanos() % WINDOW.as_nanos()) as u64) + WINDOW * windows);
        self.must_run()
    }

    /// An error where it has ended.
    pub(crate) fn must_run(&mut self) -> Result {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            ended => Err(Failure(format!("the agent ended: {ended:?}\n{}", self.log()))),
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// CPU time of the whole process so far.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        cpu::of_process(self.child.id())
    }

    /// The most memory that was ever resident, bytes, pages of the program's file included.
    pub(crate) fn peak_rss(&self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    /// Memory of its own that is resident, bytes: without files' pages and shared ones.
    pub(crate) fn own_rss(&self) -> Result<u64> {
        self.memory("RssAnon:")
    }

    fn memory(&self, name: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(&path).map_err(doing(&format!("read {path}")))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.map(|kib| kib * 1024)
            .ok_or_else(|| Failure(format!("{path} has no line {name}")))
    }

    /// Ends it. What the newest `windows` whole windows came to.
    pub(crate) fn end(mut self, windows: u32) -> Result<Vec<Totals>> {
        kill(self.pid(), Signal::SIGTERM).map_err(doing("end the agent"))?;
        let mut waited = Duration::ZERO;
        let status = loop {
            match self.child.try_wait().map_err(doing("wait for the agent"))? {
                Some(status) => break status,
                None if waited >= PATIENCE => return Err(Failure("the agent doesn't end".to_owned())),
                None => sleep(Duration::from_millis(50)),
            }
            waited += Duration::from_millis(50);
        };
        if !status.success() {
            return Err(Failure(format!("the agent: {status}\n{}", self.log())));
        }
        records::whole_windows(&self.folder.path().join("records"), windows as usize)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn write_peers(path: &Path, peers: u32) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for number in 0..peers {
        let (address, zone, rack) = (LOOPBACK.target(number), number % 3, number / 40);
        writeln!(
            file,
            "[[peer]]\nnode = \"node-{number:06}\"\naddress = \"{address}\"\nport = 4000\n\
             zone = \"zone-{zone}\"\nrack = \"rack-{rack:04}\""
        )?;
    }
    file.flush()
}
