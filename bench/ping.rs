//! `dt ping` as a whole process.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cpu::Usage;
use crate::exchange::Probes;
use crate::{Failure, Result, child, doing};

/// A `dt ping` to be run, as fast as it can.
#[derive(Clone, Debug)]
pub struct Ping {
    dt: PathBuf,
    probes: Probes,
    count: u32,
    by_a_shell: bool,
}

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    /// Probes sent; all of them were answered.
    pub sent: u64,
    /// CPU time of the process, its start and end included.
    pub used: Usage,
    /// The most memory that was ever resident.
    pub max_rss_bytes: u64,
}

impl Ran {
    /// CPU microseconds per probe.
    #[must_use]
    pub fn cpu_per_probe(&self) -> f64 {
        self.used.total_ns() as f64 / 1e3 / self.sent as f64
    }
}

impl Ping {
    /// `count` probes to each target.
    #[must_use]
    pub fn new(dt: &Path, probes: Probes, count: u32) -> Ping {
        Ping {
            dt: dt.to_owned(),
            probes,
            count,
            by_a_shell: false,
        }
    }

    /// Lets a shell start it. The most memory that a process had before it became another program counts as the other's
    /// (`ru_maxrss`), and so would this one's: its figure holds only where what starts it is smaller than itself.
    #[must_use]
    pub fn by_a_shell(mut self) -> Ping {
        self.by_a_shell = true;
        self
    }

    fn command(&self) -> Command {
        if !self.by_a_shell {
            return Command::new(&self.dt);
        }
        let mut command = Command::new("sh");
        // What follows keeps the shell from becoming the program in place of starting it.
        command.args(["-c", "\"$0\" \"$@\"; exit $?"]).arg(&self.dt);
        command
    }

    /// Probes the addresses in `names`, one a line.
    ///
    /// # Errors
    /// Where it fails or a probe goes unanswered: what that costs isn't what is to be shown.
    pub fn run(&self, names: &str) -> Result<Ran> {
        let mut command = self.command();
        command.args(["ping", "--json", "-i", "0", "--rate", "100000000", "-f", "-", "-c"]);
        command.arg(self.count.to_string());
        let (method, port) = match self.probes {
            Probes::Icmp => ("", 0),
            Probes::Syn(port) => ("syn", port),
            Probes::Connect(port) => ("connect", port),
        };
        if port != 0 {
            command.args(["--proto", "tcp", "--method", method, "--port", &port.to_string()]);
        }
        let (output, used) = child::run(&mut command, names)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let last: serde_json::Value =
            serde_json::from_str(text.lines().last().unwrap_or_default()).map_err(doing("read dt's summary"))?;
        let number = |name: &str| {
            let number = last["summary"][name].as_u64();
            number.ok_or_else(|| Failure(format!("dt ping: no {name} in its summary")))
        };
        let (sent, received) = (number("sent")?, number("received")?);
        let wanted = names.lines().count() as u64 * u64::from(self.count);
        if sent != wanted || received != wanted {
            return Err(Failure(format!(
                "dt ping: of {wanted} probes {sent} were sent, {received} answered"
            )));
        }
        Ok(Ran {
            sent,
            used,
            max_rss_bytes: number("max_rss_bytes")?,
        })
    }
}
