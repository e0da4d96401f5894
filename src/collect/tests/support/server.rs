//! The real server on a port of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use dt_collect::Matrix;
use dt_collect::http::{self, Site};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub struct Server {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(matrix: Arc<Matrix>) -> Self {
        Self::of(Site::new(matrix))
    }

    pub fn of(site: Site) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (ready, bound) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                ready.send(listener.local_addr().unwrap()).unwrap();
                http::serve(
                    listener,
                    http::door(1024),
                    |stopping| http::router(site, stopping),
                    async { drop(stopped.await) },
                )
                .await;
            })
        });
        Self {
            address: bound.recv().unwrap(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Asks the server to stop and returns once it has.
    pub fn stop(&mut self) {
        if let (Some(stop), Some(thread)) = (self.stop.take(), self.thread.take()) {
            let _ = stop.send(());
            thread.join().unwrap();
        }
    }

    /// One GET over a fresh connection: status line and headers, body.
    pub fn get(&self, path: &str) -> (String, String) {
        let (head, body) = self.ask("GET", path, &[]);
        (head, String::from_utf8(body).unwrap())
    }

    /// The same with a method and further headers; the body as it came.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> (String, Vec<u8>) {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(self.address).unwrap();
        let headers: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n",
            self.address
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        (head.to_ascii_lowercase(), answer.split_off(end + 4))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
