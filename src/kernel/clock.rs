//! The clocks: the monotonic and the wall clock read together, steps of the wall clock noticed, sleep to an absolute time.

use dt_probe::{Mono, Wall};
use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeSpec, TimeVal, TimeValLike};
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

/// Two monotonic readings around a wall reading further apart than this are taken again: the thread was interrupted between them.
const TIGHT_NS: u64 = 2_000;
/// How often a reading is taken before the tightest one is kept.
const ATTEMPTS: usize = 5;
/// A wall clock that moved against the monotonic one by more than this, beyond what the readings leave open, was stepped.
/// NTP's slewing doesn't show here: the kernel applies it to both clocks alike.
const STEP_NS: i64 = 10_000;
/// `CLOCK_BOOTTIME` runs on while the host is suspended, `CLOCK_MONOTONIC` doesn't. Further apart than before by more than
/// this, beyond what the readings leave open, they tell of a suspend.
const SUSPEND_NS: i64 = 1_000_000;

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// `CLOCK_MONOTONIC`, in the middle of the two readings around `wall`.
    pub mono: Mono,
    /// `CLOCK_REALTIME`.
    pub wall: Wall,
    /// Counts the wall clock's steps, modulo 256. Two wall readings may be subtracted only where this is the same for both.
    pub epoch: u8,
    /// The best estimate of wall minus monotonic in nanoseconds, constant to a few nanoseconds within one epoch.
    pub wall_minus_mono: i64,
}

/// Reads both clocks together, counts the wall clock's steps and the host's suspends. One per thread.
#[derive(Clone, Debug, Default)]
pub struct Clocks {
    steps: u64,
    /// Bounds of wall minus monotonic. Within an epoch the difference is a constant, so each reading can only narrow them.
    bounds: Option<(i64, i64)>,
    suspends: u64,
    /// At most so long has the host been suspended since it was booted, in nanoseconds.
    slept: Option<i64>,
}

impl Clocks {
    /// A new pair at epoch 0.
    #[must_use]
    pub fn new() -> Clocks {
        Clocks::default()
    }

    /// Reads both clocks. About 75 ns where the kernel's vDSO serves them.
    pub fn read(&mut self) -> Reading {
        let mut best = sandwich();
        for _ in 1..ATTEMPTS {
            if best.2.since(best.0) <= TIGHT_NS {
                break;
            }
            let next = sandwich();
            if next.2.since(next.0) < best.2.since(best.0) {
                best = next;
            }
        }
        let (steps, first) = (self.steps, self.bounds.is_none());
        let reading = self.observe(best.0, best.1, best.2);
        // The wall clock shows a suspend as a step, so that nothing else needs to be looked at between two steps.
        if first || steps != self.steps {
            let (before, boot, after) = (mono(), boot(), mono());
            self.observe_boot(before, boot, after);
        }
        reading
    }

    /// How often the wall clock was seen to have been stepped, suspends included.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// How often the host was seen to have been suspended.
    #[must_use]
    pub fn suspends(&self) -> u64 {
        self.suspends
    }

    /// What a reading of `CLOCK_BOOTTIME` between two of the monotonic clock says.
    fn observe_boot(&mut self, before: Mono, boot: u64, after: Mono) {
        let (least, most) = (nanos_between(after.0, boot), nanos_between(before.0, boot));
        match self.slept {
            Some(slept) if least.saturating_sub(slept) > SUSPEND_NS => self.suspends += 1,
            // The tightest is kept: an interrupted reading must not hide a suspend after it.
            Some(slept) if most >= slept => return,
            _ => {}
        }
        self.slept = Some(most);
    }

    /// What one reading says, the monotonic clock having been read before and after the wall clock.
    fn observe(&mut self, before: Mono, wall: Wall, after: Mono) -> Reading {
        let (low, high) = (difference(wall, after), difference(wall, before));
        let bounds = match self.bounds {
            None => (low, high),
            Some((known_low, known_high)) => {
                let gap = (low.saturating_sub(known_high)).max(known_low.saturating_sub(high));
                if gap > STEP_NS {
                    self.steps += 1;
                }
                if gap > 0 {
                    (low, high)
                } else {
                    (low.max(known_low), high.min(known_high))
                }
            }
        };
        self.bounds = Some(bounds);
        Reading {
            mono: before.plus(after.since(before) / 2),
            wall,
            // The lowest bits: it wraps.
            epoch: self.steps as u8,
            wall_minus_mono: bounds.0 + (bounds.1 - bounds.0) / 2,
        }
    }
}

fn sandwich() -> (Mono, Wall, Mono) {
    (mono(), wall(), mono())
}

/// `wall - mono`.
fn difference(wall: Wall, mono: Mono) -> i64 {
    nanos_between(mono.0, wall.0)
}

/// Clocks lie within a few centuries of 0, so the difference fits.
fn nanos_between(from: u64, until: u64) -> i64 {
    let nanos = i128::from(until) - i128::from(from);
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// `CLOCK_MONOTONIC` now.
#[must_use]
pub fn mono() -> Mono {
    Mono(read(ClockId::CLOCK_MONOTONIC))
}

/// `CLOCK_REALTIME` now. A clock set before 1970 reads as 0.
#[must_use]
pub fn wall() -> Wall {
    Wall(read(ClockId::CLOCK_REALTIME))
}

/// `CLOCK_BOOTTIME` now: the monotonic clock and the time the host was suspended.
fn boot() -> u64 {
    read(ClockId::CLOCK_BOOTTIME)
}

fn read(clock: ClockId) -> u64 {
    // No such clock can be refused by a Linux kernel; 0 stands for "unknown" rather than a panic in a probe thread.
    clock_gettime(clock).map_or(0, |time| u64::try_from(time.num_nanoseconds()).unwrap_or(0))
}

/// Sleeps until `CLOCK_MONOTONIC` shows `when`; returns at once where it has passed. Signals don't end the sleep.
pub fn sleep_until(when: Mono) {
    let time = TimeSpec::nanoseconds(i64::try_from(when.0).unwrap_or(i64::MAX));
    while let Err(Errno::EINTR) = clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &time) {
    }
}

/// Asks the kernel to wake the calling thread from its sleeps without the usual 50 us of slack.
///
/// # Errors
/// The errno of `prctl(PR_SET_TIMERSLACK)`; the sleeps then end a little later, nothing else.
pub fn sharpen_sleep() -> std::io::Result<()> {
    // 0 would restore the default; 1 ns is the least.
    Ok(nix::sys::prctl::set_timerslack(1)?)
}

/// What this process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in user space, in nanoseconds, all threads.
    pub user_ns: u64,
    /// CPU time in the kernel, in nanoseconds, all threads.
    pub system_ns: u64,
    /// The largest resident set so far, in bytes.
    pub max_rss_bytes: u64,
}

/// `VmHWM` of `/proc/self/status` in kilobytes: this program's own peak.
fn peak_resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// CPU time (by `getrusage`) and largest resident set of this process. Zeros where the kernel refuses.
#[must_use]
pub fn usage() -> Usage {
    let nanos = |time: TimeVal| {
        u64::try_from(time.num_microseconds())
            .unwrap_or(0)
            .saturating_mul(1_000)
    };
    getrusage(UsageWho::RUSAGE_SELF).map_or_else(
        |_| Usage::default(),
        |usage| Usage {
            user_ns: nanos(usage.user_time()),
            system_ns: nanos(usage.system_time()),
            // Linux gives kilobytes, and carries over what the parent had used before `exec`.
            max_rss_bytes: peak_resident()
                .or_else(|| u64::try_from(usage.max_rss()).ok())
                .unwrap_or(0)
                .saturating_mul(1024),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use dt_probe::time::{MILLISECOND, SECOND};

    const START: u64 = 1_700_000_000 * SECOND;

    /// A reading at `mono`, with the wall clock `offset` ahead and `width` between the monotonic readings.
    fn at(clocks: &mut Clocks, mono: u64, offset: u64, width: u64) -> Reading {
        clocks.observe(Mono(mono), Wall(mono + width / 2 + offset), Mono(mono + width))
    }

    #[test]
    fn the_offset_narrows_and_no_step_is_seen_while_the_clocks_agree() {
        let mut clocks = Clocks::new();
        at(&mut clocks, 1_000, START, 900_000);
        for round in 1..100 {
            let reading = at(
                &mut clocks,
                round * MILLISECOND,
                START,
                if round % 7 == 0 { 50_000 } else { 60 },
            );
            assert_eq!(reading.epoch, 0);
            assert!(reading.wall_minus_mono.abs_diff(START as i64) <= 30, "{reading:?}");
        }
    }

    #[test]
    fn a_step_either_way_opens_an_epoch_and_a_wide_reading_does_not() {
        let mut clocks = Clocks::new();
        assert_eq!(at(&mut clocks, 0, START, 60).epoch, 0);
        assert_eq!(at(&mut clocks, 1_000, START + 11_000, 60).epoch, 1);
        assert_eq!(at(&mut clocks, 2_000, START + 11_000, 60).epoch, 1);
        assert_eq!(at(&mut clocks, 3_000, START - SECOND, 60).epoch, 2);
        assert_eq!(
            at(&mut clocks, 4_000, START - SECOND + 400_000, 1_000_000).epoch,
            2,
            "the reading leaves it open"
        );
        assert_eq!(
            at(&mut clocks, 5_000, START - SECOND + 9_000, 60).epoch,
            2,
            "less than a step"
        );
    }

    #[test]
    fn epochs_wrap() {
        let mut clocks = Clocks::new();
        at(&mut clocks, 0, START, 60);
        for step in 1..=300u64 {
            assert_eq!(
                at(&mut clocks, step, START + step * SECOND, 60).epoch,
                (step % 256) as u8
            );
        }
    }

    #[test]
    fn a_suspend_shows_in_the_clock_that_runs_on() {
        let (mut clocks, slept) = (Clocks::new(), 7 * SECOND);
        let mut observe = |mono: u64, slept: u64, width: u64| {
            clocks.observe_boot(Mono(mono), mono + width / 2 + slept, Mono(mono + width));
            clocks.suspends()
        };
        assert_eq!(observe(SECOND, slept, 3 * MILLISECOND), 0, "an interrupted reading");
        assert_eq!(observe(2 * SECOND, slept, 60), 0);
        assert_eq!(observe(3 * SECOND, slept, 5 * MILLISECOND), 0);
        assert_eq!(observe(4 * SECOND, slept + 2 * MILLISECOND, 60), 1, "asleep for 2 ms");
        assert_eq!(observe(5 * SECOND, slept + 2 * MILLISECOND, 60), 1);
        assert_eq!(observe(6 * SECOND, slept + 3600 * SECOND, 60), 2);
    }

    #[test]
    fn the_real_clocks_agree_with_each_other() {
        let mut clocks = Clocks::new();
        let first = clocks.read();
        let second = clocks.read();
        assert!(clocks.slept.is_some(), "the clock that runs on was read");
        assert_eq!(clocks.suspends(), 0);
        assert!(second.mono >= first.mono);
        assert!(first.wall.0 > START);
        assert!(first.wall_minus_mono > 0);
    }

    #[test]
    fn sleeping_ends_after_the_time_and_a_past_time_returns() {
        let until = mono().plus(MILLISECOND);
        sleep_until(until);
        assert!(mono() >= until);
        sleep_until(Mono(0));
    }

    #[test]
    fn usage_is_counted() {
        assert!(usage().max_rss_bytes > 100_000);
    }
}
