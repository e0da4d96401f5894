//! `dt records` on a real broker, and without one.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::dt;
use distributed_trace_tests::kafka::Kafka;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

/// Far more than anything here takes: it only ends a test that hangs.
const DEADLINE: Duration = Duration::from_secs(120);

struct Records {
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

impl Records {
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Records {
        let mut command = dt();
        command.arg("records").args(arguments).envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = lines_of(child.stdout.take().unwrap());
        let errors = lines_of(child.stderr.take().unwrap());
        Records { child, lines, errors }
    }

    fn line(&mut self) -> String {
        self.lines.recv_timeout(DEADLINE).unwrap()
    }

    /// Ends it and gives what was left on standard output and what stands on standard error.
    fn end(mut self, signal: Signal) -> (ExitStatus, Vec<String>, String) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
        let status = self.wait();
        (
            status,
            self.lines.iter().collect(),
            self.errors.iter().collect::<Vec<_>>().join("\n"),
        )
    }

    fn wait(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(since.elapsed() < DEADLINE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The lines of a pipe, as they come.
fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        BufReader::new(pipe)
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(line))
    });
    lines
}

impl Drop for Records {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn record(seq: u64) -> String {
    format!(
        r#"{{ "schema_version": 1, "boot_id": "b", "seq": {seq}, "src_node": "a", "dst_node": "b", "probe": "tcp",
  "window_start_ms": 10000, "window_end_ms": 20000, "sent": 0, "received": 0, "of_tomorrow": [1.50, {{"x": " y "}}] }}"#
    )
}

fn expected(seq: u64) -> String {
    format!(
        concat!(
            r#"{{"schema_version":1,"boot_id":"b","seq":{},"src_node":"a","dst_node":"b","probe":"tcp","#,
            r#""window_start_ms":10000,"window_end_ms":20000,"sent":0,"received":0,"of_tomorrow":[1.50,{{"x":" y "}}]}}"#
        ),
        seq
    )
}

struct Topic<'a> {
    producer: FutureProducer,
    name: &'a str,
}

impl<'a> Topic<'a> {
    async fn create(kafka: &Kafka, name: &'a str) -> Topic<'a> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", kafka.bootstrap());
        let admin: AdminClient<_> = config.create().unwrap();
        let topic = NewTopic::new(name, 3, TopicReplication::Fixed(1));
        admin
            .create_topics([&topic], &AdminOptions::new())
            .await
            .unwrap()
            .pop()
            .unwrap()
            .unwrap();
        Topic {
            producer: config.create().unwrap(),
            name,
        }
    }

    async fn send(&self, partition: i32, content_type: Option<&str>, payload: Option<&[u8]>) {
        let mut message = FutureRecord::<str, [u8]>::to(self.name)
            .partition(partition)
            .key("a|b|tcp");
        if let Some(content_type) = content_type {
            let header = Header {
                key: "content-type",
                value: Some(content_type),
            };
            message = message.headers(OwnedHeaders::new().insert(header));
        }
        if let Some(payload) = payload {
            message = message.payload(payload);
        }
        self.producer.send(message, DEADLINE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_either_encoding_come_out_as_json_and_all_else_is_counted() {
    let kafka = Kafka::shared();
    let topic = Topic::create(&kafka, "mixed").await;
    topic
        .send(0, Some("application/json"), Some(record(1).as_bytes()))
        .await;
    topic.send(0, None, Some(b"garbage")).await;
    topic
        .send(0, None, Some(br#"{"fromHostAddr":"a:4000","toHostAddr":"b:4000"}"#))
        .await;
    topic.send(0, None, None).await;
    // Field 1 (schema_version) and those that a record must have, written by the crate's own encoder.
    let parsed: dt_record::SummaryRecord = serde_json::from_str(&record(2)).unwrap();
    topic
        .send(0, Some("application/protobuf"), Some(&parsed.to_protobuf()))
        .await;
    topic.send(0, None, Some(record(1).as_bytes())).await;

    let mut records = Records::start(
        &["--from-beginning", "--topic", "mixed"],
        &[("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())],
    );
    assert_eq!(records.line(), expected(1));
    let of_protobuf: dt_record::SummaryRecord = serde_json::from_str(&records.line()).unwrap();
    assert_eq!(of_protobuf, parsed);
    // A repeat is printed too.
    assert_eq!(records.line(), expected(1));
    let (status, rest, err) = records.end(Signal::SIGTERM);
    assert_eq!((status.code(), rest.len()), (Some(0), 0), "{err}");
    assert!(
        err.contains("3 records printed, 3 messages skipped (1 tombstones, 2 no summary records)"),
        "{err}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_begins_at_the_end_and_prints_each_record_as_it_comes() {
    let kafka = Kafka::shared();
    let topic = Topic::create(&kafka, "live").await;
    topic.send(0, None, Some(record(1).as_bytes())).await;
    let mut records = Records::start(&["--bootstrap", kafka.bootstrap(), "--topic", "live"], &[]);
    // Nobody says when it has found the end: what was written before that is not printed, all after it is.
    let mut seq = 2;
    let first = loop {
        topic
            .send(seq % 3, None, Some(record(u64::try_from(seq).unwrap()).as_bytes()))
            .await;
        match records.lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => break line,
            Err(_) => assert!(seq < 600, "nothing was printed"),
        }
        seq += 1;
    };
    assert_ne!(first, expected(1));
    for seq in 1000..1003 {
        topic
            .send(seq % 3, None, Some(record(u64::try_from(seq).unwrap()).as_bytes()))
            .await;
        // It may still have some of the ones before to print.
        while records.line() != expected(u64::try_from(seq).unwrap()) {}
    }
    let (status, _, err) = records.end(Signal::SIGINT);
    assert_eq!(status.code(), Some(0), "{err}");
}

#[test]
fn without_a_broker_it_waits_and_still_ends_when_told() {
    // Port 1 of the loopback refuses.
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let records = Records::start(&[], &[("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")]);
        // A complaint on standard error shows that it is at work.
        while !records.errors.recv_timeout(DEADLINE).unwrap().contains("127.0.0.1:1") {}
        let (status, lines, errors) = records.end(signal);
        assert_eq!((status.code(), lines.len()), (Some(0), 0), "{errors}");
        assert!(errors.contains("0 records printed, 0 messages skipped"), "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_missing_is_named_and_waited_for() {
    let kafka = Kafka::shared();
    let mut records = Records::start(&["--topic", "later", "--bootstrap", kafka.bootstrap()], &[]);
    while !records.errors.recv_timeout(DEADLINE).unwrap().contains("later") {}
    let topic = Topic::create(&kafka, "later").await;
    topic.send(0, None, Some(record(1).as_bytes())).await;
    assert_eq!(records.line(), expected(1));
    let (status, _, err) = records.end(Signal::SIGTERM);
    assert_eq!(status.code(), Some(0), "{err}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let kafka = Kafka::shared();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let topic = runtime.block_on(Topic::create(&kafka, "pipe"));
    let mut records = Records::start(
        &["--from-beginning", "--topic", "pipe", "--bootstrap", kafka.bootstrap()],
        &[],
    );
    // Its thread ends, and closes the pipe, when nobody takes the first line.
    drop(std::mem::replace(&mut records.lines, channel().1));
    let mut seq = 0;
    let status = loop {
        runtime.block_on(topic.send(0, None, Some(record(seq).as_bytes())));
        if let Some(status) = records.child.try_wait().unwrap() {
            break status;
        }
        assert!(seq < 1200, "it did not notice");
        seq += 1;
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn what_it_does_not_need_is_not_looked_at_and_what_it_needs_is() {
    let ran = common::run(
        &["records", "--bootstrap", "a:x", "--topic", "a b"],
        &[("DT_WINDOW", "7s")],
    );
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    assert!(
        ran.err.contains("(flag --bootstrap)") && ran.err.contains("(flag --topic)"),
        "{ran:?}"
    );
    assert!(!ran.err.contains("window"), "{ran:?}");
    let ran = common::run(&["records", "--kafka-options", "no.such.option=1"], &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    assert!(ran.err.contains("no.such.option"), "{ran:?}");
}
