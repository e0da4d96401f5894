//! What a process gives up once its sockets are open: capabilities, the gain of new ones, and the system calls that it
//! doesn't use. Whoever takes it over through a fault in it finds little to go on with.
//!
//! [`enter`] is called by the main thread before it starts others, which then begin without what it gave up; the probe
//! thread, which needs its rights until it has its real-time priority, gives up its own (see [`crate::thread::spawn`]) and is
//! brought under the filter by the kernel.

mod calls;
mod program;

use std::fmt;
use std::io;
use std::str::FromStr;

use caps::CapSet;
use nix::sys::prctl::set_no_new_privs;

pub use calls::ALLOWED;

/// How much is given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sandbox {
    /// Nothing.
    Off,
    /// Capabilities, and the gain of new ones.
    Rights,
    /// These, and every system call that isn't in use.
    #[default]
    Full,
}

impl Sandbox {
    /// Every value's word.
    pub const WORDS: [&'static str; 3] = ["off", "rights", "full"];
}

impl FromStr for Sandbox {
    type Err = String;

    fn from_str(text: &str) -> Result<Sandbox, String> {
        match text {
            "off" => Ok(Sandbox::Off),
            "rights" => Ok(Sandbox::Rights),
            "full" => Ok(Sandbox::Full),
            _ => Err(format!("{text:?} is none of {}", Sandbox::WORDS.join(", "))),
        }
    }
}

impl fmt::Display for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Sandbox::WORDS[*self as usize])
    }
}

/// What is done with files later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Files {
    /// They are read, made and written to.
    #[default]
    Written,
    /// They are renamed and removed as well.
    Exchanged,
}

/// What was given up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entered {
    /// All capabilities of all threads.
    pub capabilities: bool,
    /// The gain of new ones by executing a file.
    pub new_privileges: bool,
    /// The system calls that aren't in use.
    pub system_calls: bool,
    /// What the kernel refused: a line each, for the log.
    pub refused: Vec<String>,
}

/// Gives up what `sandbox` says, for good: for the calling thread and all that it starts from now on, the filter for all
/// threads there are. What is refused is said, and gone without.
#[must_use]
pub fn enter(sandbox: Sandbox, files: Files) -> Entered {
    let mut entered = Entered::default();
    if sandbox == Sandbox::Off {
        return entered;
    }
    let mut done = |what: Result<(), String>| {
        let done = what.is_ok();
        entered.refused.extend(what.err());
        done
    };
    let capabilities = done(give_up_capabilities().and_then(|()| none_left()));
    let new_privileges = done(forbid_new_privileges());
    let system_calls = sandbox == Sandbox::Full && done(forbid_other_calls(Threads::All, files));
    Entered {
        capabilities,
        new_privileges,
        system_calls,
        ..entered
    }
}

/// What [`enter`] does but for the filter, for the calling thread alone.
pub(crate) fn give_up_rights() -> Result<(), String> {
    give_up_capabilities()?;
    forbid_new_privileges()
}

fn give_up_capabilities() -> Result<(), String> {
    // The bounding set is for what is executed later, which is nothing: it takes a right to shrink it, and without that it
    // stays as it is.
    let _ = caps::clear(None, CapSet::Bounding);
    let _ = caps::clear(None, CapSet::Ambient);
    [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable]
        .into_iter()
        .try_for_each(|set| caps::clear(None, set))
        .map_err(|error| format!("capabilities can't be given up: {error}"))
}

fn forbid_new_privileges() -> Result<(), String> {
    set_no_new_privs().map_err(|error| format!("new privileges can't be given up: {error}"))
}

/// Capabilities are each thread's own: looks whether one was started too early.
fn none_left() -> Result<(), String> {
    let unknown = |error: io::Error| format!("the threads' capabilities can't be looked at: {error}");
    for task in std::fs::read_dir("/proc/self/task").map_err(unknown)? {
        let path = task.map_err(unknown)?.path().join("status");
        // A thread may end meanwhile.
        let Ok(status) = std::fs::read_to_string(path) else {
            continue;
        };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let some = ["CapPrm:", "CapEff:", "CapAmb:"]
            .into_iter()
            .filter_map(field)
            .any(|mask| mask.trim().bytes().any(|digit| digit != b'0'));
        if some {
            let name = field("Name:").unwrap_or_default().trim().to_owned();
            return Err(format!("the thread {name} keeps its capabilities"));
        }
    }
    Ok(())
}

/// Whom a filter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling one, and those that it starts.
    #[cfg_attr(not(test), expect(dead_code, reason = "threads of tests"))]
    This,
    /// Every thread of the process.
    All,
}

/// Installs the filter. New privileges must be forbidden before.
pub(crate) fn forbid_other_calls(threads: Threads, files: Files) -> Result<(), String> {
    let wanted = |error: io::Error| format!("system calls can't be filtered: {error}");
    let program = program::build(files).ok_or_else(|| wanted(io::ErrorKind::Unsupported.into()))?;
    crate::sys::filter_calls(&program, threads == Threads::All).map_err(wanted)
}

#[cfg(test)]
mod tests;
