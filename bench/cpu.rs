//! CPU time, as the kernel accounts it. Softirqs run on it too, so a loopback probe's way to its target and back,
//! which the kernel goes inside the sender's system call, is in the sender's bill.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::{Result, doing};

/// CPU time of the calling thread so far, to the nanosecond.
#[must_use]
pub fn thread_time() -> Duration {
    // The clock of the calling thread can't be refused; a constant would show as a cost of 0.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// CPU time of a running process so far, all its threads together, to the nanosecond.
///
/// # Errors
/// Where there is no such process.
pub fn of_process(pid: u32) -> Result<Duration> {
    let time = clock_getcpuclockid(Pid::from_raw(pid.cast_signed())).and_then(clock_gettime);
    time.map(Duration::from)
        .map_err(doing(&format!("read the CPU clock of process {pid}")))
}

/// CPU time in user and in kernel space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Nanoseconds in user space.
    pub user_ns: u64,
    /// Nanoseconds in the kernel.
    pub system_ns: u64,
}

impl Usage {
    /// What all children that have ended and were waited for have used.
    #[must_use]
    pub fn of_children() -> Usage {
        let nanos = |time: TimeVal| u64::try_from(time.num_microseconds()).unwrap_or(0) * 1_000;
        getrusage(UsageWho::RUSAGE_CHILDREN).map_or_else(
            |_| Usage::default(),
            |usage| Usage {
                user_ns: nanos(usage.user_time()),
                system_ns: nanos(usage.system_time()),
            },
        )
    }

    /// What was used since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Usage) -> Usage {
        Usage {
            user_ns: self.user_ns.saturating_sub(earlier.user_ns),
            system_ns: self.system_ns.saturating_sub(earlier.system_ns),
        }
    }

    /// Both together, nanoseconds.
    #[must_use]
    pub fn total_ns(self) -> u64 {
        self.user_ns + self.system_ns
    }
}
