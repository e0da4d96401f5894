//! `dt diagnose`: over a real topic, over a running collector, and where neither answers.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Ran, dt, run};
use distributed_trace_tests::kafka::Kafka;
use distributed_trace_tests::process::wait_for;
use dt_probe::{Clock, Counts, Method, ProbeKind};
use dt_record::{Endpoint, Options, Origin, Pair, Recorder, Summary, SummaryRecord};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};

/// So long that nothing is stale before a test has ended.
const WINDOW_MS: u64 = 60_000;
const NODES: [&str; 4] = ["a", "b", "c", "d"];
/// Which dies.
const DEAD: &str = "c";

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn pair(source: &str, destination: &str, probe: ProbeKind) -> Arc<Pair> {
    let end = |node: &str| {
        Arc::new(Endpoint {
            node: node.into(),
            zone: "z".into(),
            rack: "".into(),
            region: "".into(),
        })
    };
    Arc::new(Pair {
        source: end(source),
        source_ip: None,
        destination: end(destination),
        destination_ip: [10, 0, 0, 1].into(),
        destination_port: 0,
        probe,
        method: if probe == ProbeKind::Icmp {
            Method::Echo
        } else {
            Method::Syn
        },
        payload_bytes: (probe == ProbeKind::Icmp).then_some(56),
    })
}

/// What the agents recorded in the last 18 minutes. In the last six, where `dies`, a node answers nobody and says nothing.
fn records(dies: bool) -> Vec<SummaryRecord> {
    let mut recorder = Recorder::new();
    let mut records = Vec::new();
    let last = now_ms() / WINDOW_MS * WINDOW_MS;
    for (seq, window) in (1..).zip((0..18).rev()) {
        let end_ms = last - window * WINDOW_MS;
        let dead = |node: &str| dies && window < 6 && node == DEAD;
        for source in NODES.into_iter().filter(|node| !dead(node)) {
            for destination in NODES.into_iter().filter(|node| *node != source) {
                for probe in [ProbeKind::Icmp, ProbeKind::Tcp] {
                    let lost = if dead(destination) { 10 } else { 0 };
                    let summary = Summary {
                        pair: pair(source, destination, probe),
                        window_start_ms: end_ms - WINDOW_MS,
                        window_end_ms: end_ms,
                        counts: Counts {
                            received: 10 - lost,
                            lost,
                            ..Counts::default()
                        },
                        receive_drops: 0,
                        rtt: recorder.distribution([(200_000, 10 - lost)]),
                        host_delay: recorder.distribution([(30_000, 10 - lost)]),
                        timestamp_tx: Clock::Kernel,
                        timestamp_rx: Clock::Kernel,
                        flows: Vec::new(),
                    };
                    let origin = Origin {
                        cluster: String::new(),
                        agent_version: "test".into(),
                        boot_id: format!("{source} {destination} {probe}"),
                    };
                    records.push(SummaryRecord::new(&summary, &origin, seq, Options::default()));
                }
            }
        }
    }
    records
}

async fn fill(kafka: &Kafka, topic: &str, records: &[SummaryRecord]) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap());
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let new = NewTopic::new(topic, 2, TopicReplication::Fixed(1));
    let created = admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
    created.into_iter().next().unwrap().unwrap();
    let producer: FutureProducer = config.create().unwrap();
    let sent = records.iter().map(|record| {
        let (key, payload) = (record.key(), record.to_json());
        let producer = producer.clone();
        async move {
            let message = FutureRecord::to(topic).key(&key).payload(&payload);
            producer.send(message, Duration::from_secs(60)).await.unwrap();
        }
    });
    futures::future::join_all(sent).await;
}

fn diagnose(kafka: &Kafka, topic: &str, more: &[&str]) -> Ran {
    let arguments = ["diagnose", "--bootstrap", kafka.bootstrap(), "--topic", topic];
    run(&[&arguments[..], more].concat(), &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_named_from_what_the_topic_holds() {
    let kafka = Kafka::shared();
    fill(&kafka, "one-died", &records(true)).await;
    let ran = diagnose(&kafka, "one-died", &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.starts_with("c is down: it answers nobody"), "{ran:?}");
    assert!(ran.out.contains("node_down, for 6"), "{ran:?}");
    assert!(ran.err.contains("records read"), "{ran:?}");
    // For scripts.
    assert_eq!(diagnose(&kafka, "one-died", &["--check"]).code, Some(1));
    let ran = diagnose(&kafka, "one-died", &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 1), "{ran:?}");
    assert_eq!(json["findings"].as_array().map(Vec::len), Some(1), "{json}");
    assert_eq!(json["findings"][0]["kind"], "node_down", "{json}");
    assert_eq!(
        json["findings"][0]["subject"]["nodes"],
        serde_json::json!([DEAD]),
        "{json}"
    );

    // A collector that read the same says the same.
    let collector = Collector::start(&kafka, "one-died");
    let found = wait_for("the collector's finding", || {
        let ran = run(
            &["diagnose", "--json", "--check", "--url", &collector.url],
            &[("DT_COLLECT_TOKEN", "secret")],
        );
        // Before it has read what there is, it says that it can't tell.
        let is_judged = ran.out.contains("\"judged\":true");
        Ok((ran.code == Some(1) && ran.err.is_empty() && is_judged).then_some(ran.out))
    });
    let found: serde_json::Value = serde_json::from_str(&found.unwrap()).unwrap();
    assert_eq!(found["findings"][0]["subject"], json["findings"][0]["subject"]);
    assert_eq!(found["findings"][0]["kind"], "node_down", "{found}");
    let ran = run(&["diagnose", "--url", &collector.url], &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(
        ran.err.contains("it asks for a token; accepted: --token TOKEN"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_sound_network_it_says_so_and_of_silence_too() {
    let kafka = Kafka::shared();
    fill(&kafka, "sound", &records(false)).await;
    let ran = diagnose(&kafka, "sound", &["--check"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(0), "Nothing is the matter.\n"),
        "{ran:?}"
    );

    let mut old = records(false);
    for record in &mut old {
        record.window_start_ms -= 1_200_000;
        record.window_end_ms -= 1_200_000;
    }
    fill(&kafka, "silent", &old).await;
    let ran = diagnose(&kafka, "silent", &["--check"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("collector_blind"), "{ran:?}");
}

#[test]
fn what_does_not_answer_is_named() {
    // Bound, so that nobody else answers there.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let nobody = ["diagnose", "--timeout", "500ms"];
    let ran = run(&[&nobody[..], &["--url", &format!("http://{address}")]].concat(), &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err
            .contains(&format!("http://{address}/api/v1/findings: no answer within 500ms")),
        "{ran:?}"
    );
    let ran = run(&[&nobody[..], &["--bootstrap", &address]].concat(), &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("not read to its end within 500ms"), "{ran:?}");
    for (option, value) in [
        ("--url", "ftp://a"),
        ("--since", "2h"),
        ("--window", "1ms"),
        ("--timeout", "0s"),
    ] {
        let ran = run(&["diagnose", option, value], &[]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{option}: {ran:?}");
        assert!(ran.err.contains("accepted"), "{option}: {ran:?}");
    }
}

struct Collector {
    child: Child,
    url: String,
}

impl Collector {
    fn start(kafka: &Kafka, topic: &str) -> Collector {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut command = dt();
        command.args([
            "collect",
            "--bootstrap",
            kafka.bootstrap(),
            "--topic",
            topic,
            "--http",
            &address,
        ]);
        command.args(["--rollup-topic", "off", "--token", "secret"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Collector {
            child,
            url: format!("http://{address}"),
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
