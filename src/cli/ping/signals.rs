//! SIGINT and SIGTERM end a run early and in order: what was measured until then is printed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

/// The program ends within this time of the signal, whatever it is waiting for.
const LONGEST_END: Duration = Duration::from_secs(4);

/// A flag that becomes true with the first SIGINT or SIGTERM. Call before any other thread starts: they inherit the
/// mask by which only the thread that waits here gets these signals.
///
/// # Errors
/// Where the mask can't be set or there is no thread.
pub(super) fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    let told = Arc::clone(&flag);
    std::thread::Builder::new()
        .name("signals".into())
        .stack_size(64 * 1024)
        .spawn(move || {
            while signals.wait().is_err() {}
            told.store(true, Relaxed);
            // What is blocked in a look-up or in reading targets must not hold up the end.
            std::thread::sleep(LONGEST_END);
            std::process::exit(0);
        })?;
    Ok(flag)
}
