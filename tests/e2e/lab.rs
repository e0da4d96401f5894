//! The laboratory itself: what the other tests rely on has to be true first.

use distributed_trace_tests::capture::Capture;
use distributed_trace_tests::delay::DelayedPair;
use distributed_trace_tests::error::Result;
use distributed_trace_tests::fail;
use distributed_trace_tests::forward::forward;
use distributed_trace_tests::namespaces::{Lan, Namespace, Pair};
use distributed_trace_tests::wire::Seen;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

/// The round trips that Debian's `ping` reports, in nanoseconds.
fn ping_times(output: &str) -> Vec<f64> {
    output
        .lines()
        .filter_map(|line| {
            line.split_once("time=")?
                .1
                .split_whitespace()
                .next()?
                .parse::<f64>()
                .ok()
        })
        .map(|milliseconds| milliseconds * 1e6)
        .collect()
}

#[test]
fn every_tenth_echo_is_lost_exactly() -> Result {
    let pair = Pair::new()?;
    pair.b
        .on_input("icmp type echo-request numgen inc mod 10 0 counter drop")?;
    let output = pair.a.run("ping", &["-c", "40", "-i", "0.01", "-W", "1", "10.9.0.2"])?;
    assert!(output.contains("40 packets transmitted, 36 received"), "{output}");
    assert_eq!(pair.b.counters()?, [4]);
    Ok(())
}

#[test]
fn the_delay_line_delays_both_ways_and_repeats_answers() -> Result {
    let line = DelayedPair::new(Duration::from_millis(15))?;
    let output = line.ends.a.run("ping", &["-c", "3", "-i", "0.2", "10.9.0.2"])?;
    let times = ping_times(&output);
    assert_eq!(times.len(), 3, "{output}");
    assert!(
        times.iter().all(|time| *time >= 30e6),
        "each way takes 15 ms at least: {output}"
    );

    line.repeat_answers(1);
    let output = line.ends.a.run("ping", &["-6", "-c", "3", "-i", "0.2", "fd09::2"])?;
    assert!(output.contains("DUP!"), "{output}");
    Ok(())
}

#[test]
fn tcp_crosses_the_delay_line() -> Result {
    let line = DelayedPair::new(Duration::from_millis(1))?;
    let listener = line.ends.b.enter(|| TcpListener::bind("10.9.0.2:7000"))??;
    let answering = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.write_all(b"hello")
    });
    let mut heard = String::new();
    let mut stream = line.ends.a.enter(|| std::net::TcpStream::connect("10.9.0.2:7000"))??;
    stream.read_to_string(&mut heard)?;
    assert_eq!(heard, "hello");
    if answering.join().is_err() {
        fail!("the listener panicked");
    }
    Ok(())
}

#[test]
fn a_capture_pairs_requests_with_replies() -> Result {
    let line = DelayedPair::new(Duration::from_millis(5))?;
    let capture = Capture::start(&line.ends.a, "eth0")?;
    let output = line.ends.a.run("ping", &["-c", "4", "-i", "0.1", "10.9.0.2"])?;
    // A closed port answers a SYN by RST.
    let refused = line.ends.a.enter(|| std::net::TcpStream::connect("10.9.0.2:7001"))?;
    assert_eq!(
        refused.err().map(|error| error.kind()),
        Some(std::io::ErrorKind::ConnectionRefused)
    );
    let frames = capture.stop()?;
    let trips = frames.echo_round_trips();
    assert_eq!(trips.len(), 4, "{output}");
    for ((_, wire), reported) in trips.iter().zip(ping_times(&output)) {
        assert!(*wire >= 10_000_000, "two ways of 5 ms took {wire} ns");
        // `ping` prints three digits of the milliseconds; what it saw contains what the wire saw.
        assert!(
            *wire as f64 <= reported * 1.01,
            "the wire took {wire} ns, ping saw {reported}"
        );
    }
    assert_eq!(frames.count(|seen| matches!(seen, Seen::Syn(_))), 1);
    assert_eq!(frames.count(|seen| matches!(seen, Seen::Rst(_))), 1);
    Ok(())
}

#[test]
fn all_nodes_of_a_lan_reach_each_other() -> Result {
    let lan = Lan::new(3)?;
    for node in &lan.nodes {
        for i in 0..3 {
            node.run("ping", &["-c", "1", &Lan::address(i)])?;
        }
    }
    Ok(())
}

#[test]
fn a_service_outside_is_reached_from_inside() -> Result {
    let namespace = Namespace::new("inside")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    forward(&namespace, port)?;
    let inside = std::thread::spawn(move || -> std::io::Result<String> {
        let (mut stream, _) = listener.accept()?;
        stream.write_all(b"from outside")?;
        let mut heard = String::new();
        stream.shutdown(std::net::Shutdown::Write)?;
        stream.read_to_string(&mut heard)?;
        Ok(heard)
    });
    let mut stream = namespace.enter(|| std::net::TcpStream::connect(("127.0.0.1", port)))??;
    let mut heard = [0; 12];
    stream.read_exact(&mut heard)?;
    assert_eq!(&heard, b"from outside");
    drop(stream);
    let Ok(result) = inside.join() else {
        fail!("the service panicked")
    };
    assert_eq!(result?, "");
    Ok(())
}

#[test]
fn namespaces_vanish_with_their_values() -> Result {
    let namespace = Namespace::new("short")?;
    let path = format!("/run/netns/{}", namespace.name());
    assert!(std::path::Path::new(&path).exists());
    drop(namespace);
    assert!(!std::path::Path::new(&path).exists());
    Ok(())
}
