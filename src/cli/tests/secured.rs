//! Every command that reads or writes Kafka, with a broker that lets in who knows the password, by TLS alone. The password is in
//! a file; it is wrong at first. Wherever it goes, it is seen nowhere.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::TcpListener;
use std::process::Command;

use common::{dt, run};
use distributed_trace_tests::agent::get;
use distributed_trace_tests::loopback::free_port;
use distributed_trace_tests::process::{Process, wait_for};
use distributed_trace_tests::secured::{PASSWORD, Secured};

/// The wrong one.
const FORMER: &str = "former-and-secret";

/// What a command needs to reach the broker, but for the password.
fn reach(secured: &Secured, file: &std::path::Path) -> Vec<String> {
    let mut arguments = vec!["--kafka-options-file".to_owned(), file.to_str().unwrap().to_owned()];
    for (name, value) in secured.client("") {
        if name != "sasl.password" {
            arguments.extend(["--kafka-options".to_owned(), format!("{name}={value}")]);
        }
    }
    arguments
}

fn write_password(file: &std::path::Path, password: &str) {
    let new = file.with_extension("new");
    std::fs::write(
        &new,
        format!("# as a Secret of Kubernetes is mounted\nsasl.password={password}\n"),
    )
    .unwrap();
    std::fs::rename(new, file).unwrap();
}

fn is_hidden(text: &str) -> bool {
    !text.contains(PASSWORD) && !text.contains(FORMER)
}

/// The agent's page, and that it holds no secret.
fn page(http: &str, path: &str) -> Option<String> {
    let (status, page) = get(http, path).ok()?;
    assert!(is_hidden(&page), "{page}");
    (status == 200).then_some(page)
}

fn reading(command: &str, secured: &Secured, reach: &[String], more: &[&str]) -> Command {
    let mut command_line = dt();
    command_line
        .args([command, "--bootstrap", secured.kafka.bootstrap()])
        .args(reach)
        .args(more);
    command_line
}

#[test]
fn all_commands_come_in_with_the_password_of_a_file_and_none_with_another() {
    let secured = Secured::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("options");
    write_password(&file, FORMER);
    let reach = reach(&secured, &file);

    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let peers = common::file(
        &folder,
        "peers.toml",
        &format!(
            "[[peer]]\nnode = \"b\"\naddress = \"127.0.0.2\"\nport = {}\nzone = \"z2\"\n",
            listener.local_addr().unwrap().port()
        ),
    );
    let http = format!("127.0.0.1:{}", free_port("127.0.0.1").unwrap());
    let bootstrap = secured.kafka.bootstrap();
    let mut arguments = vec![
        "--node",
        "a",
        "--zone",
        "z1",
        "--listen",
        "127.0.0.1:0",
        "--http",
        &http,
    ];
    arguments.extend([
        "--peers",
        peers.to_str().unwrap(),
        "--probe",
        "tcp",
        "--method",
        "connect",
    ]);
    arguments.extend(["--window", "1s", "--interval", "100ms", "--kafka-bootstrap", bootstrap]);
    arguments.extend(reach.iter().map(String::as_str));
    let shown = run(&[&["config", "show"], &arguments[..]].concat(), &[]);
    let password = "kafka.options.\"sasl.password\" = \"***\"  # kafka.options_file";
    assert!(shown.out.contains(password) && is_hidden(&shown.out), "{shown:?}");

    let mut agent = Process::spawn("dt agent", dt().arg("agent").args(&arguments)).unwrap();
    let trouble = "dt_sink_trouble{sink=\"kafka\",reason=\"credentials\"}";
    agent
        .wait_for("the refusal", |_| {
            let page = page(&http, "/metrics").unwrap_or_default();
            Ok(page.contains(&format!("{trouble} 1")).then_some(()))
        })
        .unwrap();
    page(&http, "/peers").unwrap();
    for (command, more) in [("diagnose", &["--timeout", "15s"][..]), ("top", &["--once"])] {
        let ran = common::ran(reading(command, &secured, &reach, more).output().unwrap());
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
        assert!(
            ran.err.contains("invalid credentials") && is_hidden(&ran.err),
            "{ran:?}"
        );
    }

    write_password(&file, PASSWORD);
    agent
        .wait_for("the right password", |_| {
            let page = page(&http, "/metrics").unwrap_or_default();
            let is_well =
                page.contains("dt_sink_connected{sink=\"kafka\"} 1") && page.contains(&format!("{trouble} 0"));
            Ok(is_well.then_some(()))
        })
        .unwrap();

    let mut records = Process::spawn(
        "dt records",
        &mut reading("records", &secured, &reach, &["--from-beginning"]),
    )
    .unwrap();
    records
        .wait_for("a record", |process| {
            Ok(process.stdout()?.contains("\"src_node\":\"a\"").then_some(()))
        })
        .unwrap();
    let once = common::ran(
        reading("top", &secured, &reach, &["--once", "--window", "1s"])
            .output()
            .unwrap(),
    );
    assert_eq!(once.code, Some(0), "{once:?}");
    assert!(once.out.contains("a -> b"), "{once:?}");
    let diagnosis = common::ran(
        reading("diagnose", &secured, &reach, &["--window", "1s"])
            .output()
            .unwrap(),
    );
    assert_eq!(diagnosis.code, Some(0), "{diagnosis:?}");
    let site = format!("127.0.0.1:{}", free_port("127.0.0.1").unwrap());
    // With the topic that collectors share, which it makes and writes.
    let more = ["--http", site.as_str(), "--window", "1s"];
    let collector = Process::spawn("dt collect", &mut reading("collect", &secured, &reach, &more)).unwrap();
    wait_for("the pair on the collector's page", || {
        let pairs = page(&site, "/api/v1/pairs").unwrap_or_default();
        let written = page(&site, "/metrics").unwrap_or_default();
        let written = written
            .lines()
            .find_map(|line| line.strip_prefix("dt_collect_rollup_written_total "));
        let is_shared = written.is_some_and(|count| count != "0");
        Ok((pairs.contains("\"src_node\":\"a\"") && is_shared).then_some(()))
    })
    .unwrap();
    for process in [collector, records, agent] {
        let ended = process.terminate().unwrap().expect_code(0).unwrap();
        assert!(is_hidden(&ended.stderr) && is_hidden(&ended.stdout), "{ended}");
        if ended.stderr.contains("shut down") {
            assert!(
                ended
                    .stderr
                    .contains("Kafka refuses the user or the password; records wait"),
                "{ended}"
            );
            assert!(ended.stderr.contains("a new client takes over"), "{ended}");
        }
    }
}

#[test]
fn a_file_of_options_is_checked_as_the_others_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = common::file(&folder, "options", "linger.ms=1\nacks=hush\n");
    for (path, wanted) in [
        (file.to_str().unwrap(), "line 2: option \"acks\" can't be changed"),
        ("/no/such/file", "/no/such/file: No such file"),
    ] {
        for command in [&["config", "check"][..], &["records"]] {
            let ran = run(&[command, &["--kafka-options-file", path]].concat(), &[]);
            assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
            let is_said = ran.err.contains("kafka.options_file") && ran.err.contains(wanted);
            assert!(
                is_said && ran.err.contains("accepted: the path") && !ran.err.contains("hush"),
                "{ran:?}"
            );
        }
    }
}
