//! A real ZooKeeper ensemble of three: one leads, two follow, and any two of them serve.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use super::zookeeper::{READY, ZooKeeper};

/// How many servers there are.
pub const SERVERS: usize = 3;

/// Three servers on one machine, each with ports and data of its own; ended when dropped.
#[derive(Debug)]
pub struct Ensemble {
    servers: Vec<ZooKeeper>,
}

impl Ensemble {
    /// Prepares servers that don't run yet.
    ///
    /// # Errors
    /// As [`ZooKeeper::stopped`].
    pub fn stopped() -> io::Result<Ensemble> {
        // Held until all are known, so that they differ.
        let held = (0..2 * SERVERS)
            .map(|_| TcpListener::bind("127.0.0.1:0"))
            .collect::<io::Result<Vec<_>>>()?;
        let ports = held
            .iter()
            .map(|listener| Ok(listener.local_addr()?.port()))
            .collect::<io::Result<Vec<_>>>()?;
        drop(held);
        let lines: String = (0..SERVERS)
            .map(|i| format!("server.{}=127.0.0.1:{}:{}\n", i + 1, ports[2 * i], ports[2 * i + 1]))
            .collect();
        let servers = (0..SERVERS)
            .map(|i| ZooKeeper::member(&lines, i + 1))
            .collect::<io::Result<_>>()?;
        Ok(Ensemble { servers })
    }

    /// A running ensemble.
    ///
    /// # Errors
    /// As [`ZooKeeper::start`].
    pub fn start() -> io::Result<Ensemble> {
        let mut ensemble = Ensemble::stopped()?;
        ensemble.start_all()?;
        Ok(ensemble)
    }

    /// Starts those that don't run, and waits until all serve.
    ///
    /// # Errors
    /// As [`ZooKeeper::start`].
    pub fn start_all(&mut self) -> io::Result<()> {
        // Together: none of them serves before it has a majority.
        for server in self.servers.iter_mut().filter(|server| server.pid().is_none()) {
            server.spawn()?;
        }
        self.servers.iter_mut().try_for_each(ZooKeeper::wait_until_it_serves)
    }

    /// The connect string for clients: all servers.
    #[must_use]
    pub fn connect_string(&self) -> String {
        let addresses: Vec<_> = self.servers.iter().map(ZooKeeper::servers).collect();
        addresses.join(",")
    }

    /// Where each server listens for clients.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(ZooKeeper::address).collect()
    }

    /// One of them.
    ///
    /// # Panics
    /// Where there is none of that number.
    pub fn server(&mut self, index: usize) -> &mut ZooKeeper {
        &mut self.servers[index]
    }

    /// Which one leads. Waits for an election that is under way.
    ///
    /// # Errors
    /// Where nobody comes to lead.
    pub fn leader(&self) -> io::Result<usize> {
        let deadline = Instant::now() + READY;
        loop {
            let leads = |server: &ZooKeeper| server.command("srvr").is_ok_and(|said| said.contains("Mode: leader"));
            let running = self
                .servers
                .iter()
                .enumerate()
                .filter(|(_, server)| server.is_running());
            if let Some((index, _)) = running.into_iter().find(|(_, server)| leads(server)) {
                return Ok(index);
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("no ZooKeeper server of the ensemble leads"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops all of them from running at all (SIGSTOP).
    ///
    /// # Errors
    /// As [`ZooKeeper::pause`].
    pub fn pause_all(&mut self) -> io::Result<()> {
        self.servers.iter_mut().try_for_each(ZooKeeper::pause)
    }

    /// Lets all of them run on.
    ///
    /// # Errors
    /// As [`ZooKeeper::resume`].
    pub fn resume_all(&mut self) -> io::Result<()> {
        self.servers.iter_mut().try_for_each(ZooKeeper::resume)
    }
}
