//! The bare loop in C (`reference/reference.c`): compiled when it is needed, run as a child.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Failure, Result, doing};

const SOURCE: &str = include_str!("reference/reference.c");

/// How many this process has compiled: each has a file of its own, which its drop removes.
static COMPILED: AtomicU32 = AtomicU32::new(0);

/// What the reference can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// ICMP echo by a raw socket, both kernel stamps.
    Icmp,
    /// Half-open SYN by a raw socket, both kernel stamps.
    Syn,
    /// `connect()` on descriptors used again and again, `TCP_INFO`.
    ConnectReused,
    /// `connect()` on a new descriptor each, epoll, `TCP_INFO`.
    ConnectFresh,
}

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Mode::Icmp => "icmp",
            Mode::Syn => "syn",
            Mode::ConnectReused => "connect",
            Mode::ConnectFresh => "connect-fresh",
        }
    }
}

/// What a run of the reference came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Probes sent.
    pub probes: u64,
    /// Of those, answered with a round trip by the kernel's clock.
    pub measured: u64,
    /// CPU time in user space, nanoseconds, without start and warm-up.
    pub user_ns: u64,
    /// CPU time in the kernel, nanoseconds, without start and warm-up.
    pub system_ns: u64,
    /// Mean round trip, nanoseconds.
    pub mean_rtt_ns: u64,
}

/// The compiled reference; the file is removed with this.
#[derive(Debug)]
pub struct Reference {
    program: PathBuf,
}

impl Reference {
    /// Compiles it by `cc -O2`, beside the running program.
    ///
    /// # Errors
    /// Where there is no C compiler, or it complains.
    pub fn compile() -> Result<Reference> {
        let here = std::env::current_exe().map_err(doing("find this program's folder"))?;
        let number = COMPILED.fetch_add(1, Ordering::Relaxed);
        let program = here.with_file_name(format!("dt-bench-reference-{}-{number}", std::process::id()));
        let mut compiler = Command::new("cc")
            .args(["-O2", "-std=gnu11", "-x", "c", "-", "-o"])
            .arg(&program)
            .stdin(Stdio::piped())
            .spawn()
            .map_err(doing("run the C compiler `cc`, which the reference needs"))?;
        if let Some(mut input) = compiler.stdin.take() {
            input
                .write_all(SOURCE.as_bytes())
                .map_err(doing("hand reference.c to `cc`"))?;
        }
        let status = compiler.wait().map_err(doing("wait for `cc`"))?;
        if !status.success() {
            return Err(Failure(format!("`cc` failed on reference.c: {status}")));
        }
        Ok(Reference { program })
    }

    /// Sends `rounds` probes to each of `targets` addresses, `batch` (1 to 64) at a time. `port` isn't used by ICMP.
    ///
    /// # Errors
    /// Where it fails, or any probe went without an answer and both kernel stamps: then its cost isn't that of a
    /// measured probe.
    pub fn run(&self, mode: Mode, batch: usize, rounds: u32, targets: u32, port: u16) -> Result<Measured> {
        let word = mode.word();
        let output = Command::new(&self.program)
            .arg(word)
            .args([
                batch.to_string(),
                rounds.to_string(),
                targets.to_string(),
                port.to_string(),
            ])
            .stderr(Stdio::inherit())
            .output()
            .map_err(doing("run the reference"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            return Err(Failure(format!("the reference ({word}) failed: {}", output.status)));
        }
        let measured = parse(&text).ok_or_else(|| Failure(format!("the reference ({word}) printed {text:?}")))?;
        if measured.measured < measured.probes {
            return Err(Failure(format!(
                "the reference ({word}) sent {} probes, of which only {} were measured",
                measured.probes, measured.measured
            )));
        }
        Ok(measured)
    }

    /// A port on all addresses of this network namespace that answers SYNs.
    ///
    /// # Errors
    /// Where it can't be had.
    pub fn listen(&self) -> Result<Listener> {
        let mut child = Command::new(&self.program)
            .arg("listen")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(doing("run the reference as a listener"))?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output)
                .read_line(&mut line)
                .map_err(doing("read the listener's port"))?;
        }
        // From here on the child is ended by the drop, also where it said nothing.
        let listener = Listener {
            port: line.trim().parse().unwrap_or(0),
            child,
        };
        if listener.port == 0 {
            return Err(Failure(format!("the listener printed {line:?} in place of its port")));
        }
        Ok(listener)
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // What is left behind is a small file in the build folder.
        let _ = std::fs::remove_file(&self.program);
    }
}

/// Listens until it is dropped. Half-open probes and those that are reset cost it nothing (`TCP_DEFER_ACCEPT`).
#[derive(Debug)]
pub struct Listener {
    port: u16,
    child: Child,
}

impl Listener {
    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn parse(line: &str) -> Option<Measured> {
    let mut numbers = line.split_whitespace().map_while(|word| word.parse::<u64>().ok());
    let (probes, measured, user_ns, system_ns) = (numbers.next()?, numbers.next()?, numbers.next()?, numbers.next()?);
    let mean_rtt_ns = numbers.next()? / measured.max(1);
    Some(Measured {
        probes,
        measured,
        user_ns,
        system_ns,
        mean_rtt_ns,
    })
}
