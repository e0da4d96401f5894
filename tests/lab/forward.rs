//! A service of the test's own namespace made reachable on 127.0.0.1 of another: ZooKeeper and Kafka run once, with their
//! usual loopback addresses, for nodes in any number of namespaces.

use crate::error::{Context, Result};
use crate::namespaces::Namespace;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};

/// Listens on 127.0.0.1:`port` inside `namespace` and passes every connection to the same port of this one. Works until
/// the test's process ends. While the service is down, connections are accepted and closed at once.
///
/// # Errors
/// Where the port is taken inside.
pub fn forward(namespace: &Namespace, port: u16) -> Result {
    let listener = namespace.enter(|| TcpListener::bind((Ipv4Addr::LOCALHOST, port)))?;
    let listener = listener.during(format!("listen on 127.0.0.1:{port} of {}", namespace.name()))?;
    std::thread::spawn(move || {
        for inside in listener.incoming() {
            let Ok(inside) = inside else { return };
            if let Ok(outside) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                pump(inside, outside);
            }
        }
    });
    Ok(())
}

fn pump(a: TcpStream, b: TcpStream) {
    let _ = a.set_nodelay(true);
    let _ = b.set_nodelay(true);
    let (Ok(a2), Ok(b2)) = (a.try_clone(), b.try_clone()) else {
        return;
    };
    for (mut from, mut to) in [(a, b), (b2, a2)] {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        });
    }
}
