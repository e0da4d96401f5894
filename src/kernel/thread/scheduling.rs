//! What the probe thread asks of the scheduler: real-time priority, and the processors it may run on. Both are refused to
//! ordinary programs or by their surroundings often enough; the thread then goes on as an ordinary one and says so.

use std::fmt;
use std::io;
use std::str::FromStr;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The highest priority that can be asked for: the kernel's interrupt threads run at 50, and a prober never goes before them.
pub const HIGHEST_PRIORITY: u8 = 49;

/// `SCHED_RESET_ON_FORK` [linux/sched.h]: what this thread starts is ordinary again.
const RESET_ON_FORK: libc::c_int = 0x4000_0000;

/// The thread the call is made from.
const THIS_THREAD: Pid = Pid::from_raw(0);

/// What is wanted of the scheduler. By default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// `SCHED_FIFO` at this priority, 1 to [`HIGHEST_PRIORITY`]; 0 for none.
    pub realtime_priority: u8,
    /// The processors to run on; empty for all that the process may use.
    pub cpus: CpuList,
}

/// What was granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// The real-time priority; 0 for none.
    pub realtime_priority: u8,
    /// How many processors the thread may run on.
    pub cpus: usize,
    /// What was asked for and refused, and why: a line each, for the log.
    pub refused: Vec<String>,
}

impl Scheduling {
    /// Asks for it, for the calling thread.
    pub(super) fn apply(&self) -> Granted {
        let mut granted = Granted::default();
        if !self.cpus.0.is_empty()
            && let Err(error) = self.cpus.pin()
        {
            granted.refused.push(format!(
                "the probe thread can't be bound to the processors {}: {error}; it runs wherever this process may",
                self.cpus
            ));
        }
        let priority = self.realtime_priority;
        if priority > 0 {
            match set_fifo(priority) {
                Ok(()) => granted.realtime_priority = priority,
                Err(error) => granted.refused.push(format!(
                    "the probe thread gets no real-time priority {priority}: {error}; it needs the capability CAP_SYS_NICE \
                     or RLIMIT_RTPRIO of {priority} or more, and where the kernel gives out real-time by control groups, \
                     some of it for this one (cpu.rt_runtime_us)"
                )),
            }
        }
        granted.cpus = sched_getaffinity(THIS_THREAD).map_or(0, |set| count(&set));
        granted
    }
}

fn count(set: &CpuSet) -> usize {
    (0..CpuSet::count())
        .filter(|cpu| set.is_set(*cpu).unwrap_or(false))
        .count()
}

fn set_fifo(priority: u8) -> io::Result<()> {
    let parameters = libc::c_int::from(priority);
    // SAFETY: the bare system call takes a thread id (0: the calling thread), a number and a pointer to
    // `struct sched_param`, which is one `int` [linux/sched/types.h]; `parameters` outlives the call, which only reads it.
    // musl's wrapper of it does nothing but fail.
    let code = unsafe {
        libc::syscall(
            libc::SYS_sched_setscheduler,
            0,
            libc::SCHED_FIFO | RESET_ON_FORK,
            &raw const parameters,
        )
    };
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Processors, written as the kernel does: `0`, `2-5`, or several of these, comma-separated. Empty for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuList(Vec<u16>);

impl CpuList {
    fn pin(&self) -> io::Result<()> {
        let mut set = CpuSet::new();
        for cpu in &self.0 {
            set.set(usize::from(*cpu))?;
        }
        Ok(sched_setaffinity(THIS_THREAD, &set)?)
    }
}

impl FromStr for CpuList {
    type Err = String;

    fn from_str(text: &str) -> Result<CpuList, String> {
        let mut cpus = Vec::new();
        for part in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("the range {part:?} ends before it begins"));
            }
            cpus.extend(first..=last);
        }
        cpus.sort_unstable();
        cpus.dedup();
        Ok(CpuList(cpus))
    }
}

fn number(text: &str) -> Result<u16, String> {
    let most = CpuSet::count() - 1;
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(number) if digits && usize::from(number) <= most => Ok(number),
        _ => Err(format!("{text:?} is no processor's number from 0 to {most}")),
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut separator = "";
        while let Some(&first) = rest.first() {
            let run = rest.iter().zip(first..).take_while(|(cpu, next)| *cpu == next).count();
            let last = rest[run - 1];
            if run == 1 {
                write!(f, "{separator}{first}")?;
            } else {
                write!(f, "{separator}{first}-{last}")?;
            }
            separator = ",";
            rest = &rest[run..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> CpuList {
        text.parse().unwrap()
    }

    #[test]
    fn lists_are_read_and_written_as_the_kernel_does() {
        for (text, cpus, written) in [
            ("", &[][..], ""),
            (" ", &[], ""),
            ("0", &[0], "0"),
            ("2-5", &[2, 3, 4, 5], "2-5"),
            ("7,0-1, 3,1", &[0, 1, 3, 7], "0-1,3,7"),
            ("1023", &[1023], "1023"),
        ] {
            assert_eq!(
                (list(text).0.as_slice(), list(text).to_string().as_str()),
                (cpus, written)
            );
        }
        for text in ["x", "1,", ",", "-1", "1-", "3-2", "+1", "1024", "99999", "0-1-2", "0x1"] {
            assert!(text.parse::<CpuList>().is_err(), "{text}");
        }
        assert_eq!(
            "1024".parse::<CpuList>().unwrap_err(),
            "\"1024\" is no processor's number from 0 to 1023"
        );
    }

    /// What `/proc` says of the calling thread.
    fn status(field: &str) -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    }

    /// The real-time priority and the policy of the calling thread, fields 40 and 41 of its `stat`.
    fn priority() -> (String, String) {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        (fields[37].to_owned(), fields[38].to_owned())
    }

    fn on_a_thread<T: Send>(test: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| scope.spawn(test).join()).unwrap()
    }

    #[test]
    fn what_is_granted_is_in_force_for_this_thread_alone() {
        let before = (priority(), status("Cpus_allowed_list"));
        on_a_thread(|| {
            let wanted = Scheduling {
                realtime_priority: 1,
                cpus: list("0"),
            };
            let granted = wanted.apply();
            assert_eq!(
                granted,
                Granted {
                    realtime_priority: 1,
                    cpus: 1,
                    refused: Vec::new()
                },
                "this test needs root (CAP_SYS_NICE)"
            );
            assert_eq!(priority(), ("1".to_owned(), libc::SCHED_FIFO.to_string()));
            assert_eq!(status("Cpus_allowed_list"), "0");
            // A thread started from here is an ordinary one again.
            assert_eq!(on_a_thread(priority), ("0".to_owned(), "0".to_owned()));
        });
        assert_eq!((priority(), status("Cpus_allowed_list")), before);
    }

    #[test]
    fn what_is_refused_is_said_and_leaves_an_ordinary_thread() {
        on_a_thread(|| {
            let all = status("Cpus_allowed_list");
            // SAFETY: the bare system call changes the calling thread alone; it takes three numbers.
            let code = unsafe { libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534) };
            assert_eq!(code, 0, "this test gives up its user id, which needs root");
            let wanted = Scheduling {
                realtime_priority: HIGHEST_PRIORITY,
                cpus: list("1023"),
            };
            let granted = wanted.apply();
            assert_eq!(granted.realtime_priority, 0);
            assert!(granted.cpus > 0);
            let text = granted.refused.join("\n");
            assert_eq!(granted.refused.len(), 2, "{text}");
            for part in ["processors 1023", "CAP_SYS_NICE", "RLIMIT_RTPRIO of 49"] {
                assert!(text.contains(part), "{part}: {text}");
            }
            assert_eq!(priority().0, "0");
            assert_eq!(status("Cpus_allowed_list"), all);
        });
    }

    #[test]
    fn by_default_nothing_is_asked_for() {
        let granted = Scheduling::default().apply();
        assert_eq!((granted.realtime_priority, granted.refused.len()), (0, 0));
        assert!(granted.cpus > 0);
    }
}
