//! What an agent tells the service manager that started it.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use common::{dt, file, run};
use distributed_trace_tests::process::{DEADLINE, Process};

/// A service manager's end of the socket.
struct Manager(UnixDatagram);

impl Manager {
    fn new(socket: UnixDatagram) -> Manager {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Manager(socket)
    }

    /// The next message, as name and value of each line.
    fn next(&self) -> BTreeMap<String, String> {
        let mut buffer = [0; 4096];
        let length = self.0.recv(&mut buffer).unwrap();
        let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
        let pair = |line: &str| {
            line.split_once('=')
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        text.lines().map(|line| pair(line).unwrap()).collect()
    }
}

/// An agent with one peer, itself under another address, and the settings of systemd.
fn agent(directory: &tempfile::TempDir, settings: &[(&str, &str)]) -> Process {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = free.local_addr().unwrap();
    drop(free);
    let peer = format!(
        "[[peer]]\nnode = \"b\"\naddress = \"127.0.0.2\"\nport = {}\n",
        listen.port()
    );
    let peers = file(directory, "peers.toml", &peer);
    let mut command = dt();
    command
        .args(["agent", "--node", "a", "--http", "off", "--probe", "grpc", "--peers"])
        .arg(peers)
        .args(["--listen", &listen.to_string(), "--interval", "200ms"])
        .arg("--sink")
        .arg(format!("file:{}", directory.path().join("records").display()))
        .envs(settings.iter().copied());
    Process::spawn("dt agent", &mut command).unwrap()
}

#[test]
fn ready_alive_and_stopping() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let manager = Manager::new(UnixDatagram::bind(&path).unwrap());
    let settings = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let agent = agent(&directory, &settings);

    let first = manager.next();
    assert_eq!(first.get("READY").map(String::as_str), Some("1"), "{first:?}");
    let mut status = first["STATUS"].clone();
    let mut alive = usize::from(first.contains_key("WATCHDOG"));
    while alive < 5 || status != "probing 1 peer" {
        let message = manager.next();
        assert!(!message.contains_key("READY"), "once is enough: {message:?}");
        alive += usize::from(message.contains_key("WATCHDOG"));
        if let Some(line) = message.get("STATUS") {
            assert_ne!(*line, status, "told again only where it has changed");
            status.clone_from(line);
        }
    }

    agent.signal(nix::sys::signal::Signal::SIGTERM).unwrap();
    let stopping = std::iter::repeat_with(|| manager.next()).find(|message| message.contains_key("STOPPING"));
    assert_eq!(stopping.unwrap()["STATUS"], "shutting down");
    let finished = agent.finish().unwrap();
    assert_eq!(finished.status.code(), Some(0), "{finished}");
}

#[test]
fn an_abstract_socket_and_somebody_elses_watchdog() {
    let directory = tempfile::tempdir().unwrap();
    let name = format!("dt-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager::new(UnixDatagram::bind_addr(&address).unwrap());
    let socket = format!("@{name}");
    let settings = [
        ("NOTIFY_SOCKET", socket.as_str()),
        ("WATCHDOG_USEC", "200000"),
        ("WATCHDOG_PID", "1"),
    ];
    let agent = agent(&directory, &settings);
    assert!(manager.next().contains_key("READY"));
    agent.signal(nix::sys::signal::Signal::SIGTERM).unwrap();
    loop {
        let message = manager.next();
        assert!(!message.contains_key("WATCHDOG"), "not asked for: {message:?}");
        if message.contains_key("STOPPING") {
            break;
        }
    }
    assert_eq!(agent.finish().unwrap().status.code(), Some(0));
}

#[test]
fn a_socket_that_is_none_is_named_and_stops_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut agent = agent(&directory, &[("NOTIFY_SOCKET", "vsock:2:1234")]);
    agent
        .wait_for("the warning", |agent| {
            Ok(agent.stderr()?.contains("accepted: /PATH or @NAME").then_some(()))
        })
        .unwrap();
    let finished = agent.terminate().unwrap();
    assert_eq!(finished.status.code(), Some(0), "{finished}");
    assert!(finished.stderr.contains("vsock:2:1234"), "{finished}");
}

#[test]
fn the_configuration_to_begin_with_is_accepted() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../systemd/agent.toml");
    let checked = run(&["config", "check", "--config", example], &[]);
    assert_eq!(
        (checked.code, checked.out.as_str(), checked.err.as_str()),
        (Some(0), "", ""),
        "{checked:?}"
    );
}
