//! A relay between agents and a ZooKeeper server that counts what passes: frames are told apart by their length, which
//! every message of the protocol begins with, and by the first words after it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use dt_bench::{Failure, Result, doing};

/// Of replies: a notification of a watch. Of both: a ping, by which a quiet session is kept.
const NOTIFICATION: i32 = -1;
const PING: i32 = -2;
/// Requests for a list of children, without and with the node's own state.
const LISTS: [i32; 2] = [8, 12];

/// What passed so far, pings left out.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: AtomicU64,
    lists: AtomicU64,
    notifications: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// What passed at some moment, or between two.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Requests to the server, lists among them.
    pub(crate) requests: f64,
    pub(crate) lists: f64,
    /// What the server told without being asked.
    pub(crate) notifications: f64,
    /// Requests, their answers, and notifications.
    pub(crate) messages: f64,
    /// Both ways, without the headers of TCP and below.
    pub(crate) bytes: f64,
}

impl Counters {
    pub(crate) fn look(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Relaxed) as f64;
        Counts {
            requests: get(&self.requests),
            lists: get(&self.lists),
            notifications: get(&self.notifications),
            messages: get(&self.messages),
            bytes: get(&self.bytes),
        }
    }

    /// `head`: the first two numbers of a message.
    fn count(&self, upwards: bool, head: [i32; 2], bytes: u64) {
        let [xid, operation] = head;
        if xid == PING {
            return;
        }
        self.messages.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        if upwards {
            self.requests.fetch_add(1, Relaxed);
            self.lists.fetch_add(u64::from(LISTS.contains(&operation)), Relaxed);
        } else {
            self.notifications.fetch_add(u64::from(xid == NOTIFICATION), Relaxed);
        }
    }
}

impl std::ops::Sub for Counts {
    type Output = Counts;

    fn sub(self, before: Counts) -> Counts {
        Counts {
            requests: self.requests - before.requests,
            lists: self.lists - before.lists,
            notifications: self.notifications - before.notifications,
            messages: self.messages - before.messages,
            bytes: self.bytes - before.bytes,
        }
    }
}

impl Counts {
    /// The share of one of `n`.
    pub(crate) fn each(self, n: f64) -> Counts {
        Counts {
            requests: self.requests / n,
            lists: self.lists / n,
            notifications: self.notifications / n,
            messages: self.messages / n,
            bytes: self.bytes / n,
        }
    }
}

/// Starts a relay to `server` and returns where it listens. It lives as long as the program.
pub(crate) fn start(server: SocketAddr, counters: Arc<Counters>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(doing("listen for agents"))?;
    let address = listener.local_addr().map_err(doing("find the relay's address"))?;
    thread::spawn(move || {
        for agent in listener.incoming().flatten() {
            // A connection that can't be relayed is closed, and the agent tries again.
            let _ = connect(agent, server, &counters);
        }
    });
    Ok(address)
}

fn connect(agent: TcpStream, server: SocketAddr, counters: &Arc<Counters>) -> std::io::Result<()> {
    let server = TcpStream::connect(server)?;
    for stream in [&agent, &server] {
        stream.set_nodelay(true)?;
    }
    for (from, to, upwards) in [(agent.try_clone()?, server.try_clone()?, true), (server, agent, false)] {
        let counters = Arc::clone(counters);
        thread::spawn(move || {
            let ended = pass(&from, &to, upwards, &counters);
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
            ended
        });
    }
    Ok(())
}

/// Until one side closes.
fn pass(mut from: &TcpStream, mut to: &TcpStream, upwards: bool, counters: &Counters) -> Result {
    let mut message = Vec::new();
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length).map_err(doing("read"))?;
        let size = usize::try_from(i32::from_be_bytes(length)).map_err(|_| Failure("a negative length".to_owned()))?;
        message.clear();
        message.extend(length);
        message.resize(4 + size, 0);
        from.read_exact(&mut message[4..]).map_err(doing("read"))?;
        let word = |at: usize| {
            let bytes = message.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, i32::from_be_bytes)
        };
        counters.count(upwards, [word(4), word(8)], message.len() as u64);
        to.write_all(&message).map_err(doing("write"))?;
    }
}
