//! Signals that must not leave the terminal as it is while we draw: they are blocked everywhere and waited for by a thread.

use std::io;
use std::sync::mpsc::SyncSender;
use std::thread;

use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::unistd::Pid;

use super::live::Event;
use crate::ending;
use crate::ends::is_hangup_ignored;

/// Blocks them in this thread and all that it starts from now on.
pub(super) fn block() -> io::Result<SigSet> {
    let mut signals: SigSet = [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGTSTP,
        // After a stop that nobody can refuse the terminal is not as it was.
        Signal::SIGCONT,
    ]
    .into_iter()
    .collect();
    // What is ignored would be seen all the same, once it is blocked.
    if !is_hangup_ignored() {
        signals.add(Signal::SIGHUP);
    }
    signals.thread_block()?;
    Ok(signals)
}

/// Makes events of them.
pub(super) fn watch(signals: SigSet, events: SyncSender<Event>) -> io::Result<()> {
    let wait = move || {
        while let Ok(signal) = signals.wait() {
            if is_end(signal) {
                // Whoever draws may hang: a terminal can be kept from taking anything.
                ending::within_time();
            }
            if events.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop)
}

/// Whether it asks for the end.
pub(super) fn is_end(signal: Signal) -> bool {
    matches!(signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP)
}

/// Does what the terminal does on Ctrl-Z where it isn't raw: asks all processes of the job to stop, this one among them.
pub(super) fn ask_job_to_stop() {
    // There is always a process group of our own.
    let _ = kill(Pid::from_raw(0), Signal::SIGTSTP);
}

/// Stops the process, until it is continued. Not where nobody could continue it: there the kernel refuses.
pub(super) fn stop() -> io::Result<()> {
    let mut only = SigSet::empty();
    only.add(Signal::SIGTSTP);
    raise(Signal::SIGTSTP)?;
    // It was held back until here.
    only.thread_unblock()?;
    only.thread_block()?;
    Ok(())
}
