//! The HTTP port against callers that mean harm, on real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use dt_serve::{Door, Stay};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long a test waits before it calls something absent.
const PATIENCE: Duration = Duration::from_secs(60);
/// Far more than fits between two sockets.
const LARGE: usize = 16 << 20;

struct Running {
    address: SocketAddr,
    door: Arc<Door>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Answers `ok` to `/`, and much to `/large`.
async fn start() -> Running {
    start_with(dt_serve::door(), Stay::Short).await
}

async fn start_with(door: Arc<Door>, stay: Stay) -> Running {
    let listener = dt_serve::bind("127.0.0.1:0").await.unwrap().remove(0);
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let app = tower::service_fn(|request: Request<Incoming>| async move {
        let body = match request.uri().path() {
            "/large" => Bytes::from(vec![b'x'; LARGE]),
            _ => Bytes::from_static(b"ok"),
        };
        Ok::<_, Infallible>(Response::new(Full::new(body)))
    });
    let serving = Arc::clone(&door);
    let task = tokio::spawn(async move {
        dt_serve::http1("test", listener, serving, stay, app, async { drop(stopped.await) }).await;
    });
    Running {
        address,
        door,
        stop,
        task,
    }
}

impl Running {
    async fn send(&self, text: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text).await.unwrap();
        stream
    }

    async fn get(&self, path: &str) -> Vec<u8> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let mut stream = self.send(request.as_bytes()).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
        read.await.expect("an answer").unwrap();
        answer
    }

    fn pushed_out(&self) -> u64 {
        self.door.stats().pushed_out.load(SeqCst)
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("never came true: {what}"));
}

fn is_ok(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"ok")
}

#[tokio::test]
async fn a_connection_is_kept_for_further_requests() {
    let running = start().await;
    let mut stream = running.send(b"").await;
    for _ in 0..3 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !is_ok(&answer) {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{answer:?}");
        }
    }
    assert_eq!(running.door.stats().accepted.load(SeqCst), 1);
}

#[tokio::test]
async fn slow_silent_and_greedy_callers_keep_nobody_out() {
    let running = start().await;
    let mut crowd = Vec::new();
    for n in 0..200 {
        // Nothing; a head without an end; an answer that nobody reads.
        let said: &[u8] = match n % 3 {
            0 => b"",
            1 => b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
            _ => b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
        };
        crowd.push(running.send(said).await);
        assert!(n % 20 > 0 || is_ok(&running.get("/").await));
    }
    eventually("the oldest made room", || running.pushed_out() >= 200 - 64).await;
    assert!(is_ok(&running.get("/").await));
    // Who reads gets the whole of a large answer, in the midst of them.
    assert!(running.get("/large").await.len() > LARGE);
}

/// A long stay for an hour at most; one address may have 4 of 8 places.
async fn start_long() -> Running {
    start_with(dt_serve::long_door(8, 1024), Stay::Long(Duration::from_secs(3600))).await
}

#[tokio::test]
async fn who_has_asked_for_something_stays_while_a_crowd_comes() {
    let running = start_long().await;
    let mut listener = running
        .send(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    eventually("it is in", || running.door.stats().open.load(SeqCst) == 1).await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(running.send(b"GET / HTTP/1.1\r\nX-Slow: ").await);
    }
    eventually("the oldest made room", || running.pushed_out() >= 200 - 64).await;
    assert!(is_ok(&running.get("/").await));
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, listener.read_to_end(&mut answer));
    assert!(read.await.expect("an answer").unwrap() > LARGE);
}

#[tokio::test]
async fn those_of_one_address_leave_places_to_others() {
    let running = start_long().await;
    let mut greedy = Vec::new();
    for _ in 0..20 {
        greedy.push(running.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await);
    }
    eventually("as many as may are in", || running.door.stats().open.load(SeqCst) == 4).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(running.address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    other.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, other.read_to_end(&mut answer));
    read.await.expect("an answer").unwrap();
    assert!(is_ok(&answer), "{answer:?}");
}

#[tokio::test]
async fn garbage_and_heads_too_large_are_refused() {
    let running = start().await;
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(100));
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(40_000));
    for bad in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01".as_slice(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n\r\n\r\n nonsense \0\r\n\r\n",
        many.as_bytes(),
        long.as_bytes(),
    ] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        // It may be closed before all of it was written.
        let _ = stream.write_all(bad).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
        let _ = read.await.expect("the end");
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    }
    assert!(is_ok(&running.get("/").await));
}

#[tokio::test]
async fn the_end_does_not_wait_for_who_does_not_read() {
    let running = start().await;
    let _silent = running.send(b"").await;
    let _greedy = running.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("both are in", || running.door.stats().accepted.load(SeqCst) == 2).await;
    running.stop.send(()).unwrap();
    tokio::time::timeout(PATIENCE, running.task)
        .await
        .expect("the end")
        .unwrap();
    assert!(
        TcpStream::connect(running.address).await.is_err(),
        "no longer listening"
    );
}
