//! The server: the original's bytes, health, reflection, and callers that mean harm.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::atomic::Ordering::SeqCst;

use bytes::{Bytes, BytesMut};
use common::{Probe, Running, config, eventually, target};
use dt_probe::{Fate, TargetId};
use dt_rpc::message::PingMsg;
use dt_rpc::message::worker_service_client::WorkerServiceClient;
use dt_rpc::{GrpcTarget, ServerOptions};
use dt_serve::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// What every HTTP/2 client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The same and no settings: a connection that is up.
const BEGUN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn channel(running: &Running) -> Channel {
    Channel::from_shared(format!("http://{}", running.address))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

#[tokio::test]
async fn the_originals_request_gets_the_originals_answer_byte_for_byte() {
    let running = Running::start().await;
    let stream = TcpStream::connect(running.address).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post("http://b:4000/message.WorkerService/PingNode")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "grpc-go/1.19.0")
        .body(())
        .unwrap();
    let (response, mut stream) = send.send_request(request, false).unwrap();
    stream
        .send_data(Bytes::from_static(b"\0\0\0\0\x08\x0a\x06b:4000"), true)
        .unwrap();
    let (head, mut body) = response.await.unwrap().into_parts();
    assert_eq!(head.status, 200);
    assert_eq!(head.headers["content-type"], "application/grpc");
    let mut answer = BytesMut::new();
    while let Some(chunk) = body.data().await {
        answer.extend_from_slice(&chunk.unwrap());
    }
    assert_eq!(answer, &b"\0\0\0\0\x02\x08\x01"[..]);
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn draining_is_seen_in_health_and_pings_are_answered_still() {
    let running = Running::start().await;
    let channel = channel(&running).await;
    let mut health = HealthClient::new(channel.clone());
    let mut worker = WorkerServiceClient::new(channel);
    for (serving, status) in [(true, 1), (false, 2), (true, 1)] {
        running.server.set_serving(serving).await;
        for service in ["", "message.WorkerService"] {
            let answer = health
                .check(HealthCheckRequest {
                    service: service.to_owned(),
                })
                .await
                .unwrap();
            assert_eq!(answer.get_ref().status, status, "{service:?}");
        }
        let ping = worker
            .ping_node(PingMsg {
                host_addr: "b:4000".to_owned(),
            })
            .await
            .unwrap();
        assert!(ping.get_ref().is_success);
    }
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let running = Running::start().await;
    let mut reflection = ServerReflectionClient::new(channel(&running).await);
    let list = MessageRequest::ListServices(String::new());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(list),
    };
    let mut answers = reflection
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for service in [
        "message.WorkerService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ] {
        assert!(names.contains(&service), "{service} not in {names:?}");
    }
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_an_error_of_that_call_alone() {
    let running = Running::start().await;
    let mut worker = WorkerServiceClient::new(channel(&running).await);
    let long = worker
        .ping_node(PingMsg {
            host_addr: "x".repeat(5 * 1024),
        })
        .await;
    assert!(long.is_err(), "{long:?}");
    assert!(
        worker
            .ping_node(PingMsg {
                host_addr: "x".repeat(4000)
            })
            .await
            .is_ok()
    );
    assert_eq!(running.server.stats().pings.load(SeqCst), 1);
}

#[tokio::test]
async fn garbage_resets_and_slow_callers_disturb_nobody() {
    let running = Running::start().await;
    let mut probe = Probe::of(running.address, config(30_000, 10));
    assert_eq!(probe.fate().await, Fate::Received);

    let mut slow = Vec::new();
    for bytes in [
        &b""[..],
        b"P",
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        slow.push(stream);
    }
    let mut garbage = TcpStream::connect(running.address).await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\nHost: b\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // Closed without an answer; unread bytes make that a reset.
    let _ = garbage.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
    // A frame that no peer may send: one of 16 MiB, right after the preface.
    let mut frame = TcpStream::connect(running.address).await.unwrap();
    frame
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x04\0\0\0\0\0")
        .await
        .unwrap();
    let _ = frame.read_to_end(&mut answer).await;
    for _ in 0..500 {
        TcpStream::connect(running.address)
            .await
            .unwrap()
            .set_zero_linger()
            .unwrap();
    }
    // All of them have been through the accept loop, and it goes on.
    eventually("all were accepted or gone", || {
        let stats = running.server.door().stats();
        stats.accepted.load(SeqCst) + stats.accept_errors.load(SeqCst) >= 507
    })
    .await;
    for _ in 0..20 {
        assert_eq!(probe.fate().await, Fate::Received);
    }
    eventually("only those who began HTTP/2 are open", || {
        while probe.events.try_recv().is_ok() {}
        running.server.door().stats().open.load(SeqCst) == 2
    })
    .await;
}

fn options(limits: Limits) -> ServerOptions {
    ServerOptions {
        limits,
        ..ServerOptions::default()
    }
}

/// A prober at 127.0.0.3, whoever else calls.
fn from_elsewhere(running: &Running) -> Probe {
    let probe = Probe::start(config(30_000, 10));
    let target = GrpcTarget {
        source: Some([127, 0, 0, 3].into()),
        ..target(running.address)
    };
    assert!(probe.prober.add(TargetId(0), target));
    probe
}

/// One of many that call from 127.0.0.2, and says `words`.
async fn one_of_a_crowd(running: &Running, words: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let mut stream = socket.connect(running.address).await.unwrap();
    stream.write_all(words).await.unwrap();
    stream
}

/// Reads to the end. The server's last word is GOAWAY where it has ended the connection in order.
async fn was_told_to_go(mut stream: TcpStream) -> bool {
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    let mut frames = &said[..];
    let mut kinds = Vec::new();
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = frames {
        kinds.push(*kind);
        frames = &rest[u32::from_be_bytes([0, *a, *b, *c]) as usize..];
    }
    kinds.contains(&7)
}

#[tokio::test]
async fn beyond_the_cap_the_oldest_is_told_to_go_and_the_newcomer_stays() {
    for (open, per_source) in [(1, 9), (9, 1)] {
        let limits = Limits {
            arriving: 9,
            open,
            per_source,
        };
        let running = Running::with("127.0.0.1:0", options(limits)).await;
        let stats = running.server.door().stats();
        let mut first = TcpStream::connect(running.address).await.unwrap();
        first.write_all(BEGUN).await.unwrap();
        eventually("the first is in", || stats.open.load(SeqCst) == 1).await;
        let mut probe = Probe::of(running.address, config(30_000, 20));
        probe.received().await;
        assert_eq!(stats.turned_away.load(SeqCst), 1);
        assert!(was_told_to_go(first).await);
        for _ in 0..10 {
            probe.received().await;
        }
        assert_eq!(stats.accepted.load(SeqCst), 2, "the newcomer keeps its connection");
        eventually("there is one", || stats.open.load(SeqCst) == 1).await;
    }
}

#[tokio::test]
async fn one_address_that_holds_all_places_keeps_no_other_out() {
    let limits = Limits {
        arriving: 64,
        open: 8,
        per_source: 8,
    };
    let running = Running::with("127.0.0.1:0", options(limits)).await;
    let stats = running.server.door().stats();
    let mut crowd = Vec::new();
    for _ in 0..limits.open {
        crowd.push(one_of_a_crowd(&running, BEGUN).await);
    }
    eventually("all places are taken", || stats.open.load(SeqCst) == 8).await;
    let mut probe = from_elsewhere(&running);
    for _ in 0..20 {
        probe.received().await;
        // It goes on coming, and pushes out its own.
        crowd.push(one_of_a_crowd(&running, BEGUN).await);
    }
    // The prober has dialled once, and keeps its connection.
    let dialled_once = crowd.len() as u64 + 1;
    eventually("all of them were accepted", || {
        stats.accepted.load(SeqCst) >= dialled_once
    })
    .await;
    assert_eq!(stats.accepted.load(SeqCst), dialled_once);
}

#[tokio::test]
async fn agents_that_push_one_another_out_lose_no_ping() {
    // Each dial pushes out the other of the two at one address, in whatever it is doing.
    let limits = Limits {
        arriving: 9,
        open: 1,
        per_source: 1,
    };
    let running = Running::with("127.0.0.1:0", options(limits)).await;
    let mut probes = [(); 2].map(|()| Probe::of(running.address, config(30_000, 10)));
    for _ in 0..100 {
        for probe in &mut probes {
            probe.received().await;
        }
    }
    assert!(running.server.door().stats().turned_away.load(SeqCst) > 50);
}

#[tokio::test]
async fn a_connection_that_has_brought_enough_is_ended_in_order_and_no_ping_is_lost() {
    let running = Running::start().await;
    let mut probe = Probe::of(running.address, config(30_000, 10));
    let stats = running.server.door().stats();
    while stats.accepted.load(SeqCst) < 3 {
        probe.received().await;
    }
    assert!(running.server.stats().pings.load(SeqCst) > 300, "it serves for long");
    // One that goes on all the same is closed.
    let mut greedy = TcpStream::connect(running.address).await.unwrap();
    greedy.write_all(BEGUN).await.unwrap();
    let ping = [&b"\0\0\x08\x06\0\0\0\0\0"[..], &[7; 8]].concat();
    let (mut read, mut write) = greedy.into_split();
    tokio::spawn(async move { while let Ok(1..) = read.read(&mut [0; 1024]).await {} });
    let mut brought = 0;
    while write.write_all(&ping.repeat(64)).await.is_ok() {
        brought += ping.len() * 64;
        // What lies in the kernel's buffers on the way is no megabyte.
        assert!(brought < 8 << 20, "{brought}");
    }
}

/// A call with one header of so many letters more than it needs, and its status: 431 where that is too much.
async fn status_with_header(running: &Running, letters: usize) -> http::StatusCode {
    let stream = TcpStream::connect(running.address).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post("http://b:4000/message.WorkerService/PingNode")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "grpc-go/1.19.0")
        .header("x-more", "m".repeat(letters))
        .body(())
        .unwrap();
    let (response, mut stream) = send.send_request(request, false).unwrap();
    // The call may be refused before its message is sent.
    let _ = stream.send_data(Bytes::from_static(b"\0\0\0\0\x08\x0a\x06b:4000"), true);
    response.await.unwrap().status()
}

#[tokio::test]
async fn headers_beyond_the_limit_are_refused_and_what_a_mesh_adds_is_not() {
    let running = Running::start().await;
    assert_eq!(status_with_header(&running, 0).await, 200);
    // 500 are the call's own.
    assert_eq!(status_with_header(&running, 1_400).await, 200);
    assert_eq!(status_with_header(&running, 2_048).await, 431);
    assert_eq!(running.server.stats().pings.load(SeqCst), 2);
}

#[tokio::test]
async fn calls_that_nobody_ends_make_room_for_those_of_others() {
    const CALLS: usize = 4;
    let options = ServerOptions {
        max_calls: CALLS,
        ..ServerOptions::default()
    };
    let running = Running::with("127.0.0.1:0", options).await;
    // Calls whose messages never come.
    let mut crowd = Vec::new();
    for _ in 0..CALLS {
        let stream = one_of_a_crowd(&running, b"").await;
        let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = http::Request::post("http://b:4000/message.WorkerService/PingNode").body(());
        let call = send.send_request(request.unwrap(), false).unwrap();
        crowd.push((connection, call, send));
    }
    let mut probe = from_elsewhere(&running);
    for _ in 0..20 {
        probe.received().await;
    }
    let stats = running.server.door().stats();
    let ended = || crowd.iter().filter(|(connection, ..)| connection.is_finished()).count();
    eventually("one had to go", || {
        while probe.events.try_recv().is_ok() {}
        stats.open.load(SeqCst) == CALLS as u64
    })
    .await;
    eventually("its caller sees it", || ended() == 1).await;
    assert_eq!(stats.accepted.load(SeqCst), CALLS as u64 + 1);
}

#[tokio::test]
async fn a_crowd_that_says_nothing_keeps_nobody_out() {
    const CROWD: usize = 50;
    let limits = Limits {
        arriving: 4,
        open: 2,
        per_source: 2,
    };
    let running = Running::with("127.0.0.1:0", options(limits)).await;
    let mut crowd = Vec::new();
    for n in 0..CROWD {
        let mut silent = TcpStream::connect(running.address).await.unwrap();
        silent.write_all(&PREFACE[..n % PREFACE.len()]).await.unwrap();
        crowd.push(silent);
    }
    let stats = running.server.door().stats();
    eventually("most of them had to go", || {
        stats.pushed_out.load(SeqCst) == (CROWD - limits.arriving) as u64
    })
    .await;
    // Whose connection is dialled into the midst of them, and who keeps his.
    let mut probe = Probe::of(running.address, config(30_000, 10));
    for _ in 0..10 {
        probe.received().await;
        crowd.push(TcpStream::connect(running.address).await.unwrap());
    }
    assert_eq!((stats.open.load(SeqCst), stats.turned_away.load(SeqCst)), (1, 0));
}

#[tokio::test]
async fn shutdown_ends_though_callers_hold_on() {
    let running = Running::start().await;
    let address = running.address;
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut begun = TcpStream::connect(address).await.unwrap();
    begun
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let mut probe = Probe::of(address, config(30_000, 20));
    assert_eq!(probe.fate().await, Fate::Received);
    let server = running.server.clone();
    running.stop().await;
    assert!(TcpStream::connect(address).await.is_err(), "no longer listening");
    eventually("all connections are closed", || {
        server.door().stats().open.load(SeqCst) == 0
    })
    .await;
}

#[tokio::test]
async fn localhost_listens_on_each_of_its_addresses() {
    let listeners = dt_serve::bind("localhost:0").await.unwrap();
    let addresses: Vec<_> = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap())
        .collect();
    assert!(
        addresses.iter().any(|address| address.ip().to_string() == "127.0.0.1"),
        "{addresses:?}"
    );
    assert!(
        addresses
            .iter()
            .all(|address| address.ip().is_loopback() && address.port() == addresses[0].port())
    );
}

#[tokio::test]
async fn the_v6_wildcard_takes_v4_callers_too() {
    let running = Running::with("[::]:0", ServerOptions::default()).await;
    let v4 = std::net::SocketAddr::from(([127, 0, 0, 1], running.address.port()));
    let v6 = std::net::SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, running.address.port()));
    for address in [v4, v6] {
        assert_eq!(
            Probe::of(address, config(30_000, 20)).fate().await,
            Fate::Received,
            "{address}"
        );
    }
}

#[tokio::test]
async fn errors_of_bind_name_the_address_and_what_is_accepted() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = dt_serve::bind(&address).await.unwrap_err().to_string();
    assert!(error.contains(&address) && error.contains("in use"), "{error}");
    for nonsense in ["4000", "127.0.0.1", "127.0.0.1:70000", ""] {
        let error = dt_serve::bind(nonsense).await.unwrap_err().to_string();
        assert!(
            error.contains(&format!("{nonsense:?}")) && error.contains("host:port"),
            "{error}"
        );
    }
    // An address of the documentation net, which this host doesn't have.
    let error = dt_serve::bind("192.0.2.1:0").await.unwrap_err().to_string();
    assert!(error.contains("192.0.2.1:0"), "{error}");
}
