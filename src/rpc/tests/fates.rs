//! Every fate of the contract, from real sockets; the peers that misbehave are written on h2 and plain TCP.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Probe, Running, config, eventually, listener};
use dt_probe::{Clock, Fate, TargetId, What};
use dt_rpc::Trace;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// A peer on h2 that answers every call with `status` headers, `body` and `trailers`, each after a permit of `gate`.
async fn h2_peer(body: &'static [u8], grpc_status: &'static str, gate: Arc<Semaphore>) -> SocketAddr {
    listener(move |stream| {
        let gate = Arc::clone(&gate);
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move {
                    let mut asked = request.into_body();
                    while let Some(Ok(chunk)) = asked.data().await {
                        let _ = asked.flow_control().release_capacity(chunk.len());
                    }
                    gate.acquire().await.unwrap().forget();
                    let head = http::Response::builder()
                        .header("content-type", "application/grpc")
                        .body(())
                        .unwrap();
                    let Ok(mut stream) = respond.send_response(head, false) else {
                        return;
                    };
                    let _ = stream.send_data(Bytes::from_static(body), false);
                    let mut trailers = http::HeaderMap::new();
                    trailers.insert("grpc-status", http::HeaderValue::from_static(grpc_status));
                    let _ = stream.send_trailers(trailers);
                });
            }
        }
    })
    .await
}

const TRUE: &[u8] = b"\0\0\0\0\x02\x08\x01";
const FALSE: &[u8] = b"\0\0\0\0\0";

fn open_gate() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(Semaphore::MAX_PERMITS))
}

#[tokio::test]
async fn answered_is_received_with_a_user_clock_sample_and_a_trace() {
    let running = Running::start().await;
    let mut probe = Probe::of(running.address, config(30_000, 20));
    let event = probe.next().await;
    let What::Received(sample) = event.event.what else {
        panic!("{event:?}")
    };
    assert!(sample.rtt_ns > 0);
    assert_eq!(
        (sample.tx, sample.rx, sample.host_delay_ns, sample.fallback),
        (Clock::User, Clock::User, None, false)
    );
    let response_ns = u32::try_from(sample.rtt_ns).unwrap_or(u32::MAX);
    assert_eq!(
        event.trace,
        Some(Trace {
            target: TargetId(0),
            response_ns,
            success: true
        })
    );
}

/// A peer on h2 that gives up when the time is up that it was told, by a clock that is a little fast.
async fn punctual_peer() -> SocketAddr {
    listener(|stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let told = request.headers()["grpc-timeout"].to_str().unwrap();
            let told = Duration::from_millis(told.strip_suffix('m').unwrap().parse().unwrap());
            tokio::spawn(async move {
                tokio::time::sleep(told - Duration::from_millis(10)).await;
                let head = http::Response::builder()
                    .header("content-type", "application/grpc")
                    .header("grpc-status", "4")
                    .body(())
                    .unwrap();
                let _ = respond.send_response(head, true);
            });
        }
    })
    .await
}

#[tokio::test]
async fn a_peer_that_gives_up_at_the_deadline_does_not_make_the_ping_refused() {
    let mut probe = Probe::of(punctual_peer().await, config(100, 20));
    for _ in 0..10 {
        assert_eq!(probe.fate().await, Fate::Lost);
    }
}

/// The end closes connections, and that is the fate of no ping: neither refused nor told to the original's consumers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_end_gives_up_has_no_fate() {
    for _ in 0..20 {
        let once = Arc::new(Semaphore::new(1));
        let mut probe = Probe::of(h2_peer(TRUE, "0", once).await, config(60_000, 10));
        assert_eq!(probe.fate().await, Fate::Received);
        eventually("unanswered pings are in flight", || probe.prober.in_flight() == 4).await;
        let abandoned = probe.prober.drain(tokio::time::Instant::now()).await;
        while let Ok(event) = probe.events.try_recv() {
            assert!(matches!(event.event.what, What::Skipped(_)), "{event:?}");
        }
        assert_eq!(abandoned, 4);
    }
}

#[tokio::test]
async fn the_originals_answer_is_received() {
    let mut probe = Probe::of(h2_peer(TRUE, "0", open_gate()).await, config(30_000, 20));
    assert_eq!(probe.fate().await, Fate::Received);
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut probe = Probe::of(address, config(30_000, 20));
    let event = probe.next().await;
    assert_eq!(event.event.what, What::Failed(Fate::Refused));
    assert_eq!(
        event.trace,
        Some(Trace {
            target: TargetId(0),
            response_ns: 0,
            success: false
        })
    );
}

#[tokio::test]
async fn a_reset_after_accept_is_refused() {
    let address = listener(|stream| async move { stream.set_zero_linger().unwrap() }).await;
    assert_eq!(Probe::of(address, config(30_000, 20)).fate().await, Fate::Refused);
}

#[tokio::test]
async fn an_orderly_close_after_accept_is_refused() {
    let address = listener(|stream| async move { drop(stream) }).await;
    assert_eq!(Probe::of(address, config(30_000, 20)).fate().await, Fate::Refused);
}

#[tokio::test]
async fn a_peer_that_speaks_something_else_is_refused() {
    let address = listener(|stream| async move {
        stream.writable().await.unwrap();
        let _ = stream.try_write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(Probe::of(address, config(30_000, 20)).fate().await, Fate::Refused);
}

#[tokio::test]
async fn an_error_status_a_false_and_a_broken_message_are_refused() {
    for (body, status) in [
        (TRUE, "13"),
        (&b""[..], "14"),
        (FALSE, "0"),
        (&b"\0\0\0\0\x09\x08\x01"[..], "0"),
        (&[0; 4096][..], "0"),
    ] {
        let mut probe = Probe::of(h2_peer(body, status, open_gate()).await, config(30_000, 20));
        assert_eq!(probe.fate().await, Fate::Refused, "{body:?} {status}");
    }
}

#[tokio::test]
async fn a_stream_reset_is_refused() {
    let address = listener(|stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        }
    })
    .await;
    assert_eq!(Probe::of(address, config(30_000, 20)).fate().await, Fate::Refused);
}

#[tokio::test]
async fn a_listener_that_says_nothing_is_lost() {
    let address = listener(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(Probe::of(address, config(200, 20)).fate().await, Fate::Lost);
}

#[tokio::test]
async fn an_answer_after_the_time_out_is_lost_and_then_late() {
    let gate = Arc::new(Semaphore::new(0));
    let mut probe = Probe::of(h2_peer(TRUE, "0", Arc::clone(&gate)).await, config(300, 60_000));
    probe.prober.set_period(Duration::from_millis(10));
    assert_eq!(probe.fate().await, Fate::Lost);
    // One call only is to be watched for.
    probe.prober.set_enabled(false);
    while probe.prober.in_flight() > 0 {
        probe.next().await;
    }
    gate.add_permits(1);
    probe.until(What::Late).await;
}

/// The peer of a test that stops its own runtime: it runs on a thread of its own.
fn elsewhere(gate: &Arc<Semaphore>) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    let gate = Arc::clone(gate);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            tell.send(h2_peer(TRUE, "0", gate).await).unwrap();
            std::future::pending::<()>().await;
        });
    });
    told.recv().unwrap()
}

/// What became of four pings that were in flight when this program got no processor for far longer than their time-out.
async fn after_a_stall(is_answered: bool) -> Vec<What> {
    let gate = Arc::new(Semaphore::new(0));
    let mut probe = Probe::of(elsewhere(&gate), config(3_000, 10));
    eventually("four pings are in flight", || probe.prober.in_flight() == 4).await;
    // They were written before the fifth fell due and was skipped.
    while !matches!(probe.next().await.event.what, What::Skipped(_)) {}
    probe.prober.set_enabled(false);
    if is_answered {
        gate.add_permits(4);
    }
    // The runtime's one thread: neither timers nor sockets are looked at meanwhile.
    std::thread::sleep(Duration::from_millis(4_500));
    eventually("nothing is in flight", || probe.prober.in_flight() == 0).await;
    let mut all = Vec::new();
    while let Ok(event) = probe.events.try_recv() {
        all.push(event.event.what);
    }
    all
}

#[tokio::test]
async fn what_was_answered_while_this_host_was_stalled_is_skipped() {
    let all = after_a_stall(true).await;
    let skipped: u32 = all
        .iter()
        .map(|what| match what {
            What::Skipped(count) => *count,
            other => panic!("neither in time nor lost, nor by a clock that stood for it: {other:?}"),
        })
        .sum();
    assert!(skipped >= 4, "{all:?}");
}

#[tokio::test]
async fn what_was_silent_while_this_host_was_stalled_is_lost() {
    let all = after_a_stall(false).await;
    let lost = all.iter().filter(|what| **what == What::Failed(Fate::Lost)).count();
    assert_eq!(lost, 4, "{all:?}");
}

#[tokio::test]
async fn what_this_host_slept_through_is_skipped() {
    let gate = Arc::new(Semaphore::new(0));
    let peer = h2_peer(TRUE, "0", Arc::clone(&gate)).await;
    let config = config(30_000, 10);
    let suspends = Arc::clone(&config.suspends);
    let mut probe = Probe::of(peer, config);
    eventually("a ping is in flight", || probe.prober.in_flight() == 4).await;
    probe.prober.set_enabled(false);
    while probe.events.try_recv().is_ok() {}
    suspends.fetch_add(1, SeqCst);
    gate.add_permits(4);
    for _ in 0..4 {
        let event = probe.next().await;
        assert_eq!((event.event.what, event.trace), (What::Skipped(1), None));
    }
    gate.add_permits(Semaphore::MAX_PERMITS / 2);
    probe.prober.set_enabled(true);
    probe.received().await;
}

#[tokio::test]
async fn the_dial_is_not_in_the_time() {
    // The kernel accepts at once, the peer starts HTTP/2 only when the gate opens.
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let address = listener(move |stream| {
        let gate = Arc::clone(&closed);
        async move {
            gate.acquire().await.unwrap().forget();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_, respond))) = connection.accept().await {
                answer_true(respond);
            }
        }
    })
    .await;
    let mut probe = Probe::of(address, config(30_000, 60_000));
    probe.prober.set_period(Duration::from_millis(10));
    eventually("the dial is under way", || probe.prober.in_flight() > 0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let opened = Instant::now();
    gate.add_permits(1);
    // An order of events, not a speed: a call that began before the gate opened would have taken longer than this.
    let rtt = Duration::from_nanos(probe.received().await.rtt_ns);
    assert!(rtt <= opened.elapsed(), "{rtt:?}");
}

fn answer_true(mut respond: h2::server::SendResponse<Bytes>) {
    let mut stream = respond.send_response(http::Response::new(()), false).unwrap();
    stream.send_data(Bytes::from_static(TRUE), false).unwrap();
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    stream.send_trailers(trailers).unwrap();
}

#[tokio::test]
async fn a_peer_that_shuts_down_in_order_is_dialled_anew_within_the_same_ping() {
    // Each connection takes one call, and says GOAWAY with its answer.
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&connections);
    let address = listener(move |stream| {
        seen.fetch_add(1, SeqCst);
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_, respond))) = connection.accept().await {
                connection.graceful_shutdown();
                answer_true(respond);
            }
        }
    })
    .await;
    let mut probe = Probe::of(address, config(30_000, 50));
    for _ in 0..5 {
        assert_eq!(probe.fate().await, Fate::Received);
    }
    assert!(connections.load(SeqCst) >= 5);
}

/// Frame types and flags of RFC 9113, 6.
const HEADERS: u8 = 1;
const PING: u8 = 6;

/// Starts HTTP/2, answers the PING, and refuses to look at the first call: GOAWAY with last stream 0, then closes.
async fn goes_away(mut stream: TcpStream) {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.unwrap();
    stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; usize::from(head[1]) * 256 + usize::from(head[2])];
        stream.read_exact(&mut payload).await.unwrap();
        match head[3] {
            PING => {
                stream.write_all(b"\0\0\x08\x06\x01\0\0\0\0").await.unwrap();
                stream.write_all(&payload).await.unwrap();
            }
            HEADERS => {
                stream
                    .write_all(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0")
                    .await
                    .unwrap();
                // The caller closes once it has no more use for the connection.
                let _ = stream.read_to_end(&mut Vec::new()).await;
                return;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_call_that_the_peer_did_not_look_at_before_going_away_is_made_again_once() {
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&connections);
    let address = listener(move |stream| {
        let first = seen.fetch_add(1, SeqCst) == 0;
        async move {
            if first {
                return goes_away(stream).await;
            }
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_, respond))) = connection.accept().await {
                answer_true(respond);
            }
        }
    })
    .await;
    assert_eq!(Probe::of(address, config(30_000, 20)).fate().await, Fate::Received);
    assert_eq!(connections.load(SeqCst), 2);

    // And one that always does so is refused, after two dials.
    let address = listener(goes_away).await;
    assert_eq!(Probe::of(address, config(30_000, 20)).fate().await, Fate::Refused);
}
