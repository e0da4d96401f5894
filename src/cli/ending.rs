//! The end comes in time, whatever hangs.

use std::thread;
use std::time::Duration;

/// All parts of the end have less than this. What goes beyond hangs: in the kernel, as a probe thread may, or for want
/// of processor time.
const LONGEST: Duration = Duration::from_millis(4800);

/// Called once a signal asked for the end: ends the process with success in time, unless it has ended by then.
pub(crate) fn within_time() {
    let end = || {
        thread::sleep(LONGEST);
        tracing::error!("the end took too long; what was not published by now is lost");
        std::process::exit(0)
    };
    // Without a thread the end comes in order or not at all.
    let _ = thread::Builder::new()
        .name("end".into())
        .stack_size(128 * 1024)
        .spawn(end);
}
