//! A real, single-node Kafka broker (KRaft) for one test: free ports, its own directory, gone when dropped.
//!
//! The jars come from `scripts/fetch-kafka`; where they are missing, starting fails and says so. The broker's log goes
//! to a file that is kept, and named, when the test fails.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::disk::Disk;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

const VERSION: &str = "4.1.2";
/// Long enough for a machine shared with other builds; a start takes 4 s on an idle one.
const START_DEADLINE: Duration = Duration::from_secs(120);
const STOP_DEADLINE: Duration = Duration::from_secs(60);
const CLUSTER_ID: &str = "MkU3OEVBNTcwNTJENDM2Qg";

/// What may differ from the plain broker of [`Kafka::start`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the broker listens, and what it tells clients to connect to.
    pub address: IpAddr,
    /// Whether producing to a missing topic makes the broker create it (Kafka's own default).
    pub auto_create_topics: bool,
    /// Further lines of `server.properties`; they win over ours.
    pub properties: Vec<(String, String)>,
    /// What a client must set to be let in.
    pub client: Vec<(String, String)>,
    /// Users that there are from the beginning, as Kafka's `--add-scram` takes them.
    pub scram: Vec<String>,
    /// The size of the disk that the data lies on, as `64m`; by default it is the machine's.
    pub disk: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            address: Ipv4Addr::LOCALHOST.into(),
            auto_create_topics: true,
            properties: Vec::new(),
            client: Vec::new(),
            scram: Vec::new(),
            disk: None,
        }
    }
}

/// A broker and its data. It can be stopped, killed and started again on the same port with the same data.
#[derive(Debug)]
pub struct Kafka {
    dir: Option<TempDir>,
    bootstrap: String,
    lib: PathBuf,
    /// What a client must set to be let in.
    pub client: Vec<(String, String)>,
    disk: Option<Disk>,
    child: Option<Child>,
}

impl Kafka {
    /// A running broker on 127.0.0.1.
    ///
    /// # Panics
    /// Where the jars or Java are missing, or the broker doesn't answer in time.
    #[must_use]
    pub fn start() -> Kafka {
        Kafka::start_with(&Options::default())
    }

    /// A running broker.
    ///
    /// # Panics
    /// As [`Kafka::start`].
    #[must_use]
    pub fn start_with(options: &Options) -> Kafka {
        let mut kafka = Kafka::new_stopped(options);
        kafka.start_again();
        kafka
    }

    /// A broker that is yet to be started: its address is fixed and nothing listens there.
    ///
    /// # Panics
    /// Where the jars or Java are missing.
    #[must_use]
    pub fn new_stopped(options: &Options) -> Kafka {
        let dir = tempfile::Builder::new()
            .prefix("dt-kafka-")
            .tempdir()
            .unwrap_or_else(|e| fail("temp directory", &e));
        let (broker, controller) = free_ports(options.address);
        let bootstrap = format!("{}:{broker}", bracketed(options.address));
        let kafka = Kafka {
            bootstrap,
            lib: jars(),
            client: options.client.clone(),
            disk: options.disk.as_ref().map(|size| disk(dir.path(), size)),
            child: None,
            dir: Some(dir),
        };
        let properties = properties(options, broker, controller, kafka.path());
        write(&kafka.path().join("server.properties"), &properties);
        write(&kafka.path().join("log4j2.properties"), LOGGING);
        let mut format = kafka.java(&["-Xmx128m", "-XX:TieredStopAtLevel=1"]);
        format
            .arg("kafka.tools.StorageTool")
            .args(["format", "--standalone", "--ignore-formatted", "-t", CLUSTER_ID]);
        for user in &options.scram {
            format.args(["--add-scram", user]);
        }
        let status = format.arg("-c").arg(kafka.path().join("server.properties")).status();
        let status = status.unwrap_or_else(|e| fail("running java (Debian: openjdk-17-jre-headless)", &e));
        assert!(
            status.success(),
            "formatting Kafka's storage: {status}; log:\n{}",
            kafka.log()
        );
        kafka
    }

    /// One broker shared by the tests that run at the same time in this process, for tests that disturb nothing. It
    /// ends with the last of them.
    #[must_use]
    pub fn shared() -> Arc<Kafka> {
        static SHARED: Mutex<Weak<Kafka>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(kafka) = shared.upgrade() {
            return kafka;
        }
        let kafka = Arc::new(Kafka::start_with(&Options {
            auto_create_topics: false,
            ..Options::default()
        }));
        *shared = Arc::downgrade(&kafka);
        kafka
    }

    /// `host:port` for clients.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The directory of the jars, for tools like the console consumer.
    #[must_use]
    pub fn lib(&self) -> &Path {
        &self.lib
    }

    /// A command that runs one of Kafka's own tools: add the class and its arguments.
    #[must_use]
    pub fn java(&self, options: &[&str]) -> Command {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path().join("broker.log"));
        let log = log.unwrap_or_else(|e| fail("broker.log", &e));
        let log_too = log.try_clone().unwrap_or_else(|e| fail("broker.log", &e));
        let mut java = match &self.disk {
            Some(disk) => disk.command("java"),
            None => Command::new("java"),
        };
        java.args(options).arg("-XX:+UseSerialGC");
        java.arg(format!(
            "-Dlog4j2.configurationFile={}",
            self.path().join("log4j2.properties").display()
        ));
        java.arg("-cp").arg(format!("{}/*", self.lib.display()));
        java.stdin(Stdio::null()).stdout(log).stderr(log_too);
        java
    }

    /// What clients begin with.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        for (key, value) in &self.client {
            config.set(key, value);
        }
        config
    }

    /// The disk that the data lies on, where it has one of its own.
    ///
    /// # Panics
    /// Where it has none.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        self.disk
            .as_ref()
            .unwrap_or_else(|| panic!("this broker has no disk of its own"))
    }

    /// Sets a property of the broker, in force from its next start.
    pub fn set(&self, key: &str, value: &str) {
        let path = self.path().join("server.properties");
        let before = fs::read_to_string(&path).unwrap_or_else(|e| fail("server.properties", &e));
        // The last line of a key counts.
        write(&path, &format!("{before}{key}={value}\n"));
    }

    /// Starts the broker where it isn't running and waits until it serves clients.
    ///
    /// # Panics
    /// Where it exits or doesn't answer in time.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "the broker runs already");
        let mut java = self.java(&["-Xmx256m", "-XX:TieredStopAtLevel=1"]);
        let child = java
            .arg("kafka.Kafka")
            .arg(self.path().join("server.properties"))
            .spawn();
        self.child = Some(child.unwrap_or_else(|e| fail("running java", &e)));
        let started = Instant::now();
        while !self.answers() {
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                panic!("the broker ended with {status}; log:\n{}", self.log());
            }
            assert!(
                started.elapsed() < START_DEADLINE,
                "the broker doesn't answer; log:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends the broker by SIGKILL: clients see a broken connection, the disk what was written by then.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // An error means that it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends the broker in an orderly way.
    ///
    /// # Panics
    /// Where it doesn't end in time.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
        let asked = Instant::now();
        while matches!(child.try_wait(), Ok(None)) {
            if asked.elapsed() > STOP_DEADLINE {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the broker did not end on SIGTERM; log:\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether the broker has registered itself and serves metadata.
    fn answers(&self) -> bool {
        let mut config = self.client_config();
        config.set("log_level", "0");
        let consumer: Result<BaseConsumer<Quiet>, _> = config.create_with_context(Quiet);
        let metadata = consumer.and_then(|consumer| consumer.fetch_metadata(None, Duration::from_secs(2)));
        metadata.is_ok_and(|metadata| !metadata.brokers().is_empty())
    }

    fn path(&self) -> &Path {
        self.dir.as_ref().map_or(Path::new("."), TempDir::path)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path().join("broker.log")).unwrap_or_else(|e| format!("(unreadable: {e})"))
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking()
            && let Some(dir) = self.dir.take()
        {
            eprintln!("the Kafka broker's log and data are kept in {}", dir.keep().display());
        }
    }
}

/// While a broker is being waited for, that nobody answers is no news.
struct Quiet;

impl rdkafka::ClientContext for Quiet {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: rdkafka::error::KafkaError, _: &str) {}
}

impl rdkafka::consumer::ConsumerContext for Quiet {}

fn fail<T>(what: &str, error: &io::Error) -> T {
    panic!("test Kafka: {what}: {error}")
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|e| fail(&path.display().to_string(), &e));
}

fn disk(dir: &Path, size: &str) -> Disk {
    let data = dir.join("data");
    fs::create_dir(&data).unwrap_or_else(|e| fail("the data's directory", &e));
    Disk::over(&data, size).unwrap_or_else(|e| panic!("test Kafka: {e}"))
}

fn jars() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let home = cache
        .unwrap_or_default()
        .join(format!("distributed-trace/kafka-{VERSION}"));
    assert!(
        home.join("complete").exists(),
        "no Kafka {VERSION} in {}: run scripts/fetch-kafka (or scripts/test, which does)",
        home.display()
    );
    home.join("lib")
}

fn free_ports(address: IpAddr) -> (u16, u16) {
    let bind = || TcpListener::bind((address, 0)).and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
    // Both are held until both are known, so that they differ.
    let (broker, controller) = (bind(), bind());
    let port = |bound: io::Result<(u16, TcpListener)>| bound.unwrap_or_else(|e| fail("free port", &e));
    let (broker, controller) = (port(broker), port(controller));
    (broker.0, controller.0)
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn properties(options: &Options, broker: u16, controller: u16, dir: &Path) -> String {
    let host = bracketed(options.address);
    let mut text = format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={host}:{controller}
listeners=CLIENT://{host}:{broker},CONTROLLER://{host}:{controller}
advertised.listeners=CLIENT://{host}:{broker}
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={}
auto.create.topics.enable={}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
",
        dir.join("data").display(),
        options.auto_create_topics
    );
    for (key, value) in &options.properties {
        text.push_str(&format!("{key}={value}\n"));
    }
    text
}

const LOGGING: &str = "status=error
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c %m%n
";
