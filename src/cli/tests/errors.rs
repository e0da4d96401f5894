//! What is wrong is all reported at once; what is merely odd is a warning.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Ran, file, run};

/// Fails with nothing on standard output and one `error:` line for each of `expected`, which it must contain in full.
#[track_caller]
fn refuses(ran: &Ran, expected: &[&[&str]]) {
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    let errors: Vec<&str> = ran.err.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for words in expected {
        let matches = |line: &&&str| words.iter().all(|word| line.contains(word));
        assert_eq!(errors.iter().filter(matches).count(), 1, "{words:?} in {errors:#?}");
    }
}

#[test]
fn every_error_of_every_layer_at_once_with_key_value_origin_and_what_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let text = "
        node = \"a|b\"
        windw = \"5s\"
        max-peers = 0
        [icmp]
        interval = 5
        [kafka]
        buckets = \"maybe\"
        options = { acks = \"0\" }
        [nonsense]
        x = 1
    ";
    let path = file(&directory, "dt.toml", text);
    let path = path.to_str().unwrap();
    let environment = [
        ("CONN_TIMEOUT", "soon"),
        ("REGISTER_PUBLIC_PORT", "70000"),
        ("DT_TIMEOUT", "61s"),
        ("DT_ZONE", "a\nb"),
    ];
    let flags = [
        "--config",
        path,
        "--zookeeper-allowed-networks",
        "own,169.254.0.0/16",
        "--window",
        "7s",
        "--listen",
        "::1:4000",
        "--sink",
        "kafka",
        "--sink",
        "disk",
    ];
    let expected: &[&[&str]] = &[
        &["node = \"a|b\"", path, "'|'", "accepted: 1 to 255 bytes"],
        &["windw", path, "unknown key", "perhaps window"],
        &["max_peers = \"0\"", path, "below 1", "accepted: 1 to 100000"],
        &["icmp.interval = \"5\"", path, "unit", "accepted: 10ms to 1h"],
        &["kafka.buckets = \"maybe\"", path, "accepted: true or false"],
        &["kafka.options", path, "\"acks\""],
        &["nonsense", path, "unknown key", "one of node, "],
        &[
            "zookeeper.session_timeout = \"soon\"",
            "variable CONN_TIMEOUT",
            "accepted: 1s to 10m",
        ],
        &["advertise = \"70000\"", "variable REGISTER_PUBLIC_PORT", "65535"],
        &[
            "timeout = \"61s\"",
            "variable DT_TIMEOUT",
            "above 1m",
            "accepted: 1ms to 60s",
        ],
        &[
            "zone = \"a\\nb\"",
            "variable DT_ZONE",
            "control character",
            "accepted: at most 255 bytes",
        ],
        &[
            "zookeeper.allowed_networks = \"own,169.254.0.0/16\"",
            "flag --zookeeper-allowed-networks",
            "\"169.254.0.0/16\" is link-local",
            "accepted: one or more of NETWORK/PREFIX",
        ],
        &["window = \"7s\"", "flag --window", "a day", "accepted: 1s to 1h"],
        &[
            "listen = \"::1:4000\"",
            "flag --listen",
            "brackets",
            "accepted: HOST:PORT",
        ],
        &[
            "sink = \"kafka,disk\"",
            "flag --sink",
            "unknown sink \"disk\"",
            "accepted: one or more of kafka",
        ],
    ];
    for command in ["check", "show"] {
        refuses(
            &run(&[&["config", command], &flags[..]].concat(), &environment),
            expected,
        );
    }
}

#[test]
fn values_that_are_refused() {
    for (key, values) in [
        ("node", &["", "a|b", "a\tb"][..]),
        ("listen", &["", "off", "localhost", ":4000", "a:b", "a:65536"]),
        (
            "advertise",
            &[
                "a:0",
                "0.0.0.0:4000",
                "[::]:4000",
                "224.0.0.1:4000",
                "255.255.255.255:4000",
            ],
        ),
        ("membership", &["", "consul"]),
        ("max-peers", &["0", "x", "1.5", "100001", "99999999999999999999999"]),
        ("probe", &["", "icmp,,tcp", "udp", "icmp,"]),
        ("interval", &["0", "9ms", "1", "61m", "1 s"]),
        ("timeout", &["0", "999us", "60001ms", "inf"]),
        ("grpc-timeout", &["", "61s"]),
        ("icmp-payload-bytes", &["15", "1453"]),
        ("method", &["", "udp"]),
        ("grpc-tls", &["", "on", "use"]),
        ("grpc-tls-name", &["a b", "*"]),
        ("sandbox", &["", "on"]),
        (
            "zookeeper-allowed-networks",
            &["", "10.0.0.0/33", "10.1.0.0/8", "all", "own,"],
        ),
        ("source-ports", &["0", "1025"]),
        ("source-port-range", &["61000", "61100-61000", "80-1080", "61000-61010"]),
        ("window", &["999ms", "7s", "61m", "1000.5ms", "10"]),
        ("max-rate", &["0", "1000001"]),
        ("sink", &["", "disk", "file:", "stdout,stdout"]),
        ("http", &["9464", ":9464", "on"]),
        ("zookeeper-servers", &["", "a,,b", "a:0", "a,b:x", "a/../b"]),
        ("zookeeper-root", &["", "/", "a//b", "a/../b", "a\n"]),
        ("zookeeper-heart-beat", &["", "control", "/control/x"]),
        ("zookeeper-auth-scheme", &["", "kerberos"]),
        ("zookeeper-acl", &["", "closed", "read", "private"]),
        ("zookeeper-acl-repair", &["", "yes"]),
        ("zookeeper-session-timeout", &["0", "10", "999ms", "11m"]),
        ("kafka-bootstrap", &["", "a:x", "http://a"]),
        ("kafka-topic", &["", ".", "..", "a b", "ü"]),
        ("kafka-summary-topic", &["distributedTrace"]),
        ("kafka-client-id", &[""]),
        ("kafka-encoding", &["xml"]),
        ("kafka-buckets", &["", "yes", "1"]),
        ("kafka-partitions", &["0", "10001"]),
        (
            "kafka-options",
            &[
                "x",
                "=x",
                "a b=c",
                "bootstrap.servers=a",
                "enable.idempotence=false",
                "no.such.option=1",
                "linger.ms=soon",
            ],
        ),
        ("kernel-off", &["nonsense"]),
        ("log-level", &["", "inof", "dt_agent=loud", "=info"]),
        ("log-format", &["xml"]),
    ] {
        for value in values {
            let ran = run(&["config", "check", &format!("--{key}"), value], &[]);
            assert_eq!(
                (ran.code, ran.out.as_str()),
                (Some(2), ""),
                "--{key} {value:?}: {ran:?}"
            );
            assert!(ran.err.contains("accepted: "), "--{key} {value:?}: {ran:?}");
            assert!(
                ran.err.contains(&format!("--{key}")) || ran.err.contains("(default"),
                "{ran:?}"
            );
        }
    }
}

#[test]
fn a_configuration_without_faults_is_silent() {
    let ran = run(&["config", "check"], &[]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""));
}

#[test]
fn unknown_variables_warn_and_never_fail() {
    // What Kubernetes sets for a service called `dt`, and a slip.
    let environment = [
        ("DT_SERVICE_HOST", "10.0.0.1"),
        ("DT_PORT", "tcp://10.0.0.1:80"),
        ("DT_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("DT_WINDOWS", "5s"),
        ("SINK_PATH", "/tmp"),
        ("RUST_LOG", "hyper"),
        ("DT_CONFIG", ""),
        ("DT_KERNEL_OFF", ""),
        ("DT_PLAN_JSON", "true"),
    ];
    let ran = run(&["config", "check"], &environment);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{ran:?}");
    let warnings: Vec<&str> = ran.err.lines().collect();
    assert_eq!(warnings.len(), 6, "{warnings:#?}");
    assert!(
        warnings.iter().all(|line| line.starts_with("warning: ")),
        "{warnings:#?}"
    );
    for word in [
        "DT_SERVICE_HOST",
        "DT_PORT is",
        "DT_PORT_80_TCP_ADDR",
        "DT_WINDOWS is ignored; perhaps DT_WINDOW",
        "SINK_PATH is ignored",
        "RUST_LOG = \"hyper\" is ignored",
    ] {
        assert_eq!(ran.err.matches(word).count(), 1, "{word}: {ran:?}");
    }
}

#[test]
fn an_empty_variable_is_not_set() {
    let environment = [
        ("DT_WINDOW", ""),
        ("SERVERS_ZK", ""),
        ("DT_NODE", ""),
        ("SINK_PATH", ""),
    ];
    let ran = run(&["config", "check"], &environment);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}

#[test]
fn the_file_itself_may_be_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let check = |path: &str| run(&["config", "check", "--config", path, "--window", "7s"], &[]);
    let missing = directory.path().join("none.toml");
    let window: &[&str] = &["window"];
    refuses(
        &check(missing.to_str().unwrap()),
        &[&["config", "none.toml", "No such file"], window],
    );
    refuses(
        &check(directory.path().to_str().unwrap()),
        &[&["config", "can't be read"], window],
    );
    let broken = file(&directory, "broken.toml", "zone = \"a\"\nrack = \n");
    refuses(
        &check(broken.to_str().unwrap()),
        &[&["config", "broken.toml", "line 2", "accepted: TOML"], window],
    );
    let twice = file(
        &directory,
        "twice.toml",
        "max-peers = 1\nmax_peers = 2\n[kafka]\ntopic = [1]\noptions = 5\n",
    );
    refuses(
        &check(twice.to_str().unwrap()),
        &[
            &["max", "set twice"],
            &["kafka.topic = \"[1]\"", "single value"],
            &["kafka.options", "table"],
            window,
        ],
    );
    refuses(&check("/dev/zero"), &[&["config", "/dev/zero", "bytes"], window]);
    let ran = run(&["config", "check"], &[("DT_CONFIG", missing.to_str().unwrap())]);
    refuses(&ran, &[&["none.toml"]]);
}

#[test]
fn file_membership_needs_a_good_peers_file() {
    let directory = tempfile::tempdir().unwrap();
    refuses(
        &run(&["config", "check", "--membership", "file"], &[]),
        &[&["peers", "membership is file"]],
    );
    let good = file(
        &directory,
        "peers.toml",
        "[[peer]]\nnode = \"b\"\naddress = \"10.0.0.2\"\nport = 4000\n",
    );
    let ran = run(&["config", "check", "--peers", good.to_str().unwrap()], &[]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let bad = file(
        &directory,
        "bad.toml",
        "[[peer]]\nnode = \"b\"\naddress = \"10.0.0.2\"\nport = 0\n",
    );
    let ran = run(&["config", "check", "--peers", bad.to_str().unwrap()], &[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert!(ran.err.contains("bad.toml"), "{ran:?}");
    // With everything else that is wrong, by every command that needs the configuration.
    for command in [&["config", "check"][..], &["config", "show"], &["agent"]] {
        let ran = run(
            &[command, &["--peers", bad.to_str().unwrap(), "--window", "7s"]].concat(),
            &[],
        );
        refuses(&ran, &[&["window = \"7s\""], &["bad.toml"]]);
    }
    let ignored = ["--peers", bad.to_str().unwrap(), "--membership", "zookeeper"];
    let ran = run(&[&["config", "check", "--window", "7s"][..], &ignored].concat(), &[]);
    refuses(&ran, &[&["window"]]);
}

#[test]
fn a_variable_that_is_not_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let mut command = common::dt();
    command
        .args(["config", "check"])
        .env("DT_ZONE", std::ffi::OsStr::from_bytes(b"\xff"));
    refuses(
        &common::ran(command.output().unwrap()),
        &[&["zone", "variable DT_ZONE", "not UTF-8"]],
    );
}

#[test]
fn a_collector_writes_into_no_topic_that_holds_something_else() {
    for (arguments, key) in [
        (
            &["--rollup-topic", "distributedTrace.summaries"][..],
            "kafka.summary_topic",
        ),
        (&["--rollup-topic", "x", "--topic", "x"], "kafka.summary_topic"),
        (&["--rollup-topic", "distributedTrace"], "kafka.topic"),
    ] {
        let ran = run(&[&["collect"], arguments].concat(), &[]);
        refuses(&ran, &[&["--rollup-topic = \"", "the same as ", key, "accepted: "]]);
    }
}
