//! Others on the host (`reference/others.c`): who answers probes, raw sockets that aren't ours, and a program that has
//! nothing to do with probes.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::compiled::Compiled;
use crate::cpu::Usage;
use crate::{Failure, Result, doing};

const SOURCE: &str = include_str!("reference/others.c");

/// What a foreign raw socket lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// All ICMP, and nobody reads it.
    Icmp,
    /// All ICMP, and it is read as it comes.
    IcmpRead,
    /// ICMP, but no echo reply by `ICMP_FILTER`.
    IcmpFilter,
    /// ICMP, but nothing by BPF.
    IcmpBpf,
    /// All TCP, and nobody reads it.
    Tcp,
    /// All TCP, and it is read as it comes.
    TcpRead,
    /// TCP, but nothing by BPF.
    TcpBpf,
}

impl Held {
    fn word(self) -> &'static str {
        match self {
            Held::Icmp => "icmp",
            Held::IcmpRead => "icmp-read",
            Held::IcmpFilter => "icmp-filter",
            Held::IcmpBpf => "icmp-bpf",
            Held::Tcp => "tcp",
            Held::TcpRead => "tcp-read",
            Held::TcpBpf => "tcp-bpf",
        }
    }
}

/// The compiled program.
#[derive(Debug)]
pub struct Others {
    program: Compiled,
}

impl Others {
    /// Compiles it.
    ///
    /// # Errors
    /// Where that fails.
    pub fn compile() -> Result<Others> {
        let program = Compiled::new("others", SOURCE)?;
        Ok(Others { program })
    }

    /// Ports on all addresses of the calling thread's network namespace.
    ///
    /// # Errors
    /// Where they can't be had.
    pub fn listen(&self) -> Result<Listener> {
        Listener::start(Command::new(self.program.path()).arg("listen"))
    }

    /// The same in a namespace of its own.
    ///
    /// # Errors
    /// Where they can't be had, or the command `unshare` (util-linux) is missing.
    pub fn listen_in_a_namespace(&self) -> Result<Listener> {
        // `unshare` becomes the listener, so their process is one.
        let mut command = Command::new("unshare");
        Listener::start(command.arg("--net").arg(self.program.path()).arg("listen"))
    }

    /// Opens `count` (at most 64) raw sockets in the calling thread's network namespace, until what it gives is dropped.
    ///
    /// # Errors
    /// Where they aren't permitted.
    pub fn hold(&self, held: Held, count: u32) -> Result<Running> {
        let mut command = Command::new(self.program.path());
        let (running, line) = Running::start(command.args(["hold", held.word(), &count.to_string()]))?;
        match line.as_str() {
            "held" => Ok(running),
            _ => Err(Failure(format!("{count} raw sockets ({held:?}) could not be opened"))),
        }
    }

    /// CPU time of `count` exchanges of a byte each way over a TCP connection of loopback.
    ///
    /// # Errors
    /// Where it fails.
    pub fn chat(&self, count: u64) -> Result<Usage> {
        let output = Command::new(self.program.path())
            .args(["chat", &count.to_string()])
            .stderr(Stdio::inherit())
            .output()
            .map_err(doing("run a TCP connection"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [done, user_ns, system_ns] if done == count => Ok(Usage { user_ns, system_ns }),
            _ => Err(Failure(format!("a TCP connection printed {text:?}: {}", output.status))),
        }
    }
}

/// Runs until it is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts it; with its first line.
    fn start(command: &mut Command) -> Result<(Running, String)> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(doing(&format!("run {command:?}")))?;
        let output = child.stdout.take();
        // From here on the child is ended by the drop, also where it says nothing.
        let running = Running { child };
        let mut line = String::new();
        if let Some(output) = output {
            let read = BufReader::new(output).read_line(&mut line);
            read.map_err(doing(&format!("read the first line of {command:?}")))?;
        }
        Ok((running, line.trim().to_owned()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Listener {
    /// Answers SYNs. Half-open probes and those that are reset cost the listener nothing (`TCP_DEFER_ACCEPT`).
    pub port: u16,
    /// Accepts connections and closes them at once.
    pub accepting: u16,
    running: Running,
}

impl Listener {
    fn start(command: &mut Command) -> Result<Listener> {
        let (running, line) = Running::start(command)?;
        let ports: Vec<u16> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match ports[..] {
            [port, accepting] => Ok(Listener {
                port,
                accepting,
                running,
            }),
            _ => Err(Failure(format!("the listener printed {line:?} in place of its ports"))),
        }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.child.id()
    }
}
