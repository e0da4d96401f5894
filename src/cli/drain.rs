//! `dt drain`: takes a running agent out of the mesh while it still answers, so that its end counts as nobody's loss.
//! What Kubernetes runs before it stops the agent's container.

use std::process::ExitCode;
use std::time::Duration;

use dt_agent::config::duration;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::out;

/// The options of `dt drain`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Sends SIGUSR2, on which an agent leaves the membership, then waits until all others know. Stop the \
    agent with SIGTERM then. Others take up news within 5 s, whatever the size of the mesh."
)]
pub(crate) struct Drain {
    /// The agent's process; in a container it is the first
    #[arg(long, value_name = "PID", default_value_t = 1, env = "DT_DRAIN_PID", hide_env_values = true,
        value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
    /// How long to wait for the others, at most 5m
    #[arg(long, value_name = "DURATION", default_value = "6s", env = "DT_DRAIN_WAIT", hide_env_values = true, value_parser = wait)]
    wait: Duration,
}

fn wait(text: &str) -> Result<Duration, String> {
    const MOST: Duration = Duration::from_secs(300);
    match duration::parse(text) {
        Ok(wait) if wait <= MOST => Ok(wait),
        Ok(_) => Err("too long; accepted: 0 to 5m".into()),
        Err(why) => Err(format!("{why}; accepted: {}", duration::ACCEPTED)),
    }
}

/// Runs `dt drain`.
pub(crate) fn run(drain: &Drain) -> ExitCode {
    let pid = drain.pid;
    let status = match std::fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(status) => status,
        Err(error) => {
            return out::failure(&format!(
                "process {pid}: {error}; accepted: that of a running `dt agent`"
            ));
        }
    };
    // Whom the signal finds unprepared it would kill.
    if !catches(&status, Signal::SIGUSR2) {
        return out::failure(&format!(
            "process {pid} doesn't wait for SIGUSR2; accepted: that of a running `dt agent`"
        ));
    }
    if let Err(error) = kill(Pid::from_raw(pid), Signal::SIGUSR2) {
        return out::failure(&format!("sending SIGUSR2 to process {pid}: {error}"));
    }
    std::thread::sleep(drain.wait);
    ExitCode::SUCCESS
}

/// Whether a process with this `/proc/.../status` has a handler for the signal (proc(5), `SigCgt`).
fn catches(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal as i32 - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handler_of_a_signal_is_a_bit_of_the_mask() {
        assert!(catches("Name:\tdt\nSigCgt:\t0000000000000800\n", Signal::SIGUSR2));
        assert!(!catches("SigCgt:\t0000000000000200\n", Signal::SIGUSR2));
        assert!(!catches("SigCgt:\tgarbage\n", Signal::SIGUSR2));
        assert!(!catches("", Signal::SIGUSR2));
    }

    #[test]
    fn a_wait_has_an_end() {
        assert_eq!(wait("0"), Ok(Duration::ZERO));
        assert_eq!(wait("5m"), Ok(Duration::from_secs(300)));
        assert!(wait("301s").is_err_and(|why| why.contains("accepted: 0 to 5m")));
        assert!(wait("6").is_err());
    }
}
