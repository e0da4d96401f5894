//! What `dt agent` tells systemd where it runs as a unit of `Type=notify` (sd_notify(3)): that it is up, that it is
//! alive, that it ends, and a line for `systemctl status`. Without `NOTIFY_SOCKET` nothing happens.
//!
//! Not by a crate: those send on a blocking socket, and a service manager that doesn't read must hold up neither a worker
//! thread nor the end within 5 s.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use dt_agent::Health;
use tokio::time::{MissedTickBehavior, interval};

/// How often systemd hears of the agent where it asks for no sooner.
const EVERY: Duration = Duration::from_secs(5);

/// A line to systemd.
#[derive(Debug)]
pub(crate) struct Systemd {
    socket: UnixDatagram,
    address: SocketAddr,
    every: Duration,
    watched: bool,
}

impl Systemd {
    /// As the process's environment says. `None` where nobody wants to be told, or where it can't be done, which is said.
    pub(crate) fn of_process() -> Option<Systemd> {
        let path = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())?;
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        // Somebody else is watched, as where a wrapper started us.
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let within = number("WATCHDOG_USEC").filter(|_| ours).map(Duration::from_micros);
        Systemd::open(&path, within)
            .inspect_err(
                |error| tracing::warn!(?path, %error, "systemd can't be told: NOTIFY_SOCKET; accepted: /PATH or @NAME"),
            )
            .ok()
    }

    /// Talks to the socket at `path`. With `within`, systemd takes the agent for dead after so long without a sign.
    fn open(path: &OsString, within: Option<Duration>) -> io::Result<Systemd> {
        let address = match path.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(path)?,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Systemd {
            socket,
            address,
            every: within.map_or(EVERY, often_enough),
            watched: within.is_some(),
        })
    }

    /// Says that the agent is up, and from then on that it is alive, for as long as it is. Never ends.
    ///
    /// Up means that all sockets are open, gRPC and HTTP answer and the probe thread turns; not that this node is
    /// registered: while ZooKeeper is down, as it may be when all machines of a site start together, systemd would wait,
    /// give up, and restart an agent that lacks nothing.
    pub(crate) async fn follow(&self, health: Health) -> Infallible {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Sent again until they are taken: whether the agent is up, and its status.
        let (mut up, mut shown) = (false, String::new());
        loop {
            ticks.tick().await;
            let mut message = String::new();
            if !up {
                message.push_str("READY=1\n");
            }
            // No sign of life of a thread that is stuck: systemd then restarts the agent.
            if self.watched && health.is_alive() {
                message.push_str("WATCHDOG=1\n");
            }
            let line = health.line();
            if line != shown {
                message.push_str(&format!("STATUS={line}\n"));
            }
            if !message.is_empty() && self.send(&message) {
                up = true;
                shown = line;
            }
        }
    }

    /// Says that the agent ends in order.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=shutting down\n");
    }

    /// Whether it was taken. What is not taken now is of no use later, but for what [`Systemd::follow`] says again.
    fn send(&self, message: &str) -> bool {
        let sent = self.socket.send_to_addr(message.as_bytes(), &self.address);
        sent.inspect_err(|error| tracing::debug!(%error, "systemd was not told"))
            .is_ok()
    }
}

/// Less than half of the time-out, as sd_watchdog_enabled(3) wants it.
fn often_enough(within: Duration) -> Duration {
    (within / 3).clamp(Duration::from_millis(1), EVERY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_come_more_than_twice_within_the_time_out() {
        for micros in [10_000, 1_000_000, 30_000_000, u64::MAX] {
            let within = Duration::from_micros(micros);
            assert!(often_enough(within) * 2 < within);
            assert!(often_enough(within) <= EVERY);
        }
        assert!(!often_enough(Duration::ZERO).is_zero(), "an interval of nothing panics");
    }

    #[test]
    fn sockets_are_paths_or_abstract() {
        let open = |path: &str| Systemd::open(&path.into(), None);
        assert!(open("/run/systemd/notify").is_ok());
        assert!(open("@/org/freedesktop/systemd1/notify").is_ok());
        for path in ["vsock:2:9999", "relative", "", &format!("/{}", "x".repeat(200))] {
            assert!(open(path).is_err(), "{path}");
        }
    }

    #[test]
    fn what_is_not_taken_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let absent = Systemd::open(&path.clone().into(), None).unwrap();
        assert!(!absent.send("READY=1\n"));
        let manager = UnixDatagram::bind(&path).unwrap();
        let systemd = Systemd::open(&path.into(), None).unwrap();
        // Nobody reads: the queue fills.
        let taken = (0..100_000).take_while(|_| systemd.send("WATCHDOG=1\n")).count();
        assert!((1..100_000).contains(&taken), "{taken}");
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"WATCHDOG=1\n");
        assert!(systemd.send("STOPPING=1\n"));
    }
}
