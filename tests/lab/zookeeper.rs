//! A real ZooKeeper server: Debian's package, on a free port of 127.0.0.1, with its data in a temporary directory.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const CLASS_PATH: [&str; 2] = ["/usr/share/java/zookeeper.jar", "/usr/share/java/slf4j-nop.jar"];

/// How long a server may take to answer. It takes less than a second; a loaded machine may be far slower.
pub(super) const READY: Duration = Duration::from_secs(60);

/// One running server, killed by its process id when dropped.
///
/// `tickTime` is 500 ms and sessions may time out after 1 s to 60 s, so that tests of expiry need not wait long.
#[derive(Debug)]
pub struct ZooKeeper {
    directory: TempDir,
    port: u16,
    java: Vec<String>,
    child: Option<Child>,
    paused: bool,
}

impl ZooKeeper {
    /// Starts a server with no data and waits until it serves.
    ///
    /// # Errors
    /// The Debian package or Java is missing, or the server doesn't get ready; the error says what to do.
    pub fn start() -> io::Result<ZooKeeper> {
        let mut server = ZooKeeper::stopped()?;
        server.restart()?;
        Ok(server)
    }

    /// Starts a server that knows these users, as `("name", "password")`, by SASL DIGEST-MD5.
    ///
    /// # Errors
    /// As [`ZooKeeper::start`].
    pub fn with_users(users: &[(&str, &str)]) -> io::Result<ZooKeeper> {
        let mut server = ZooKeeper::prepared(
            "authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n",
            None,
        )?;
        let users: String = users
            .iter()
            .map(|(user, password)| format!(" user_{user}=\"{password}\""))
            .collect();
        let jaas = server.directory.path().join("jaas.conf");
        let module = "org.apache.zookeeper.server.auth.DigestLoginModule";
        fs::write(&jaas, format!("Server {{ {module} required{users}; }};\n"))?;
        server
            .java
            .push(format!("-Djava.security.auth.login.config={}", jaas.display()));
        server.restart()?;
        Ok(server)
    }

    /// Prepares a server that doesn't run yet: its address is known and refuses connections until
    /// [`ZooKeeper::restart`].
    ///
    /// # Errors
    /// As [`ZooKeeper::start`].
    pub fn stopped() -> io::Result<ZooKeeper> {
        ZooKeeper::prepared("", None)
    }

    /// Prepares the server `id` of the ensemble that `lines` of its configuration name.
    ///
    /// # Errors
    /// As [`ZooKeeper::start`].
    pub(super) fn member(lines: &str, id: usize) -> io::Result<ZooKeeper> {
        ZooKeeper::prepared(lines, Some(id))
    }

    fn prepared(lines: &str, id: Option<usize>) -> io::Result<ZooKeeper> {
        for jar in CLASS_PATH {
            if !Path::new(jar).exists() {
                let what = format!("{jar} is missing; install Debian's package: apt-get install zookeeper");
                return Err(io::Error::new(io::ErrorKind::NotFound, what));
            }
        }
        let directory = tempfile::Builder::new().prefix("dt-zookeeper-").tempdir()?;
        // Free at this moment; nothing else on the machine is likely to take it before the server does.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let data = directory.path().join("data");
        fs::create_dir(&data)?;
        if let Some(id) = id {
            fs::write(data.join("myid"), id.to_string())?;
        }
        fs::write(
            directory.path().join("zoo.cfg"),
            format!(
                "tickTime=500\ninitLimit=20\nsyncLimit=10\nminSessionTimeout=1000\nmaxSessionTimeout=60000\n\
                 dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n\
                 admin.enableServer=false\n4lw.commands.whitelist=*\n{lines}",
                data.display()
            ),
        )?;
        Ok(ZooKeeper {
            directory,
            port,
            java: Vec::new(),
            child: None,
            paused: false,
        })
    }

    /// The server's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The connect string for clients.
    #[must_use]
    pub fn servers(&self) -> String {
        self.address().to_string()
    }

    /// Where it logs its transactions.
    #[must_use]
    pub fn transactions_folder(&self) -> PathBuf {
        self.directory.path().join("data/version-2")
    }

    /// The server's process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it runs and isn't paused.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.child.is_some() && !self.paused
    }

    /// Ends the server in good order (SIGTERM) and waits for it. Does nothing where it doesn't run.
    ///
    /// # Errors
    /// The process can't be signalled or waited for.
    pub fn stop(&mut self) -> io::Result<()> {
        self.end(Signal::SIGTERM)
    }

    /// Ends the server by SIGKILL and waits for it. Does nothing where it doesn't run.
    ///
    /// # Errors
    /// The process can't be signalled or waited for.
    pub fn kill(&mut self) -> io::Result<()> {
        self.end(Signal::SIGKILL)
    }

    fn end(&mut self, signal: Signal) -> io::Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let paused = std::mem::take(&mut self.paused);
        signal_child(&child, signal)?;
        if paused {
            signal_child(&child, Signal::SIGCONT)?;
        }
        child.wait()?;
        Ok(())
    }

    /// Stops the server from running at all (SIGSTOP): connections stay open and nothing is answered.
    ///
    /// # Errors
    /// It doesn't run, or can't be signalled.
    pub fn pause(&mut self) -> io::Result<()> {
        signal_child(self.running()?, Signal::SIGSTOP)?;
        self.paused = true;
        Ok(())
    }

    /// Lets a paused server run on.
    ///
    /// # Errors
    /// It doesn't run, or can't be signalled.
    pub fn resume(&mut self) -> io::Result<()> {
        signal_child(self.running()?, Signal::SIGCONT)?;
        self.paused = false;
        Ok(())
    }

    fn running(&self) -> io::Result<&Child> {
        self.child
            .as_ref()
            .ok_or_else(|| io::Error::other("the ZooKeeper server doesn't run"))
    }

    /// Starts the server again on the same port with the data it had, after ending it where it still runs, and waits
    /// until it serves.
    ///
    /// # Errors
    /// As [`ZooKeeper::start`].
    pub fn restart(&mut self) -> io::Result<()> {
        self.spawn()?;
        self.wait_until_it_serves()
    }

    /// As [`ZooKeeper::restart`], without waiting.
    ///
    /// # Errors
    /// Where Java can't be run.
    pub(super) fn spawn(&mut self) -> io::Result<()> {
        self.kill()?;
        let log = File::create(self.directory.path().join("server.log"))?;
        let child = Command::new("java")
            .args(["-Xmx256m", "-XX:+UseSerialGC", "-cp", &CLASS_PATH.join(":")])
            // A slow disk is nothing that a test is about: what a killed server wrote is in the page cache.
            .arg("-Dzookeeper.forceSync=no")
            .args(&self.java)
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(self.directory.path().join("zoo.cfg"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("java can't be run ({error}); apt-get install zookeeper"),
                )
            })?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until it serves clients.
    ///
    /// # Errors
    /// Where it ends or takes too long.
    pub(super) fn wait_until_it_serves(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + READY;
        // `ruok` answers before requests are served; `srvr` names the mode only then.
        while !self.command("srvr").is_ok_and(|answer| answer.contains("Mode:")) {
            let exited = match &mut self.child {
                Some(child) => child.try_wait()?,
                None => None,
            };
            if exited.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.directory.path().join("server.log")).unwrap_or_default();
                let what = format!(
                    "ZooKeeper on {} doesn't serve ({exited:?}); its log:\n{log}",
                    self.address()
                );
                return Err(io::Error::other(what));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Sends a four-letter command and returns the answer.
    ///
    /// # Errors
    /// The server doesn't answer within 5 s.
    pub fn command(&self, command: &str) -> io::Result<String> {
        let timeout = Some(Duration::from_secs(5));
        let mut stream = TcpStream::connect_timeout(&self.address(), Duration::from_secs(5))?;
        stream.set_read_timeout(timeout)?;
        stream.set_write_timeout(timeout)?;
        stream.write_all(command.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

fn signal_child(child: &Child, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    kill(Pid::from_raw(pid), signal).map_err(io::Error::from)
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("ZooKeeper on {} could not be ended: {error}", self.address());
        }
    }
}
