//! Every key through every layer: the highest that sets it wins, and `dt config show` says which that was.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Ran, file, run};
use dt_agent::config::{KEYS, Key};

/// Four values for the file, the original's variable, the `DT_` variable and the flag. A boolean has only two.
fn samples(key: &Key) -> [&'static str; 4] {
    match key.path {
        "node" | "cluster" | "zone" | "rack" | "region" | "kafka.client_id" => ["from file", "o", "v", "f \"\\ ü"],
        "grpc.tls" => ["off", "off", "off", "off"],
        "grpc.tls_certificate" | "grpc.tls_key" | "grpc.tls_authorities" => ["/a", "/b", "/c", "/d"],
        "grpc.tls_verify_clients" => ["false", "true", "false", "true"],
        "grpc.tls_name" => ["a.b", "10.0.0.1", "x.y", "::1"],
        "listen" | "advertise" => ["a:1", "b:2", "[::1]:3", "10.0.0.1:4"],
        "membership" => ["file", "file", "file", "zookeeper"],
        "peers" | "kafka.spool" => ["/a", "/b", "/c d", "e"],
        // It is read.
        "kafka.options_file" => ["/dev/null", "", "//dev/null", "/dev/./null"],
        "max_peers" | "source_ports" | "kafka.partitions" | "max_rate" => ["11", "12", "13", "14"],
        "hardware_timestamps" => ["off", "use", "configure", "off"],
        "probe_thread.realtime_priority" => ["1", "2", "49", "0"],
        "probe_thread.cpus" => ["0", "1-2", "0,3-5", "7"],
        "icmp.payload_bytes" => ["16", "17", "1452", "57"],
        "probe" => ["icmp", "tcp", "grpc", "tcp"],
        "sink" => ["stdout", "file:/x", "file:/y", "kafka"],
        "interval" | "icmp.interval" | "tcp.interval" | "grpc.interval" => ["10ms", "1h", "0.5s", "2m"],
        "timeout" | "icmp.timeout" | "tcp.timeout" | "grpc.timeout" => ["1ms", "60s", "0.5s", "3s"],
        "method" => ["syn", "connect", "syn", "auto"],
        "source_port_range" => ["61000-61100", "", "1024-65535", "2000-3000"],
        "window" => ["1s", "2s", "1h", "1500ms"],
        "http" => ["off", "a:1", "0.0.0.0:0", "[::]:9"],
        "sandbox" => ["off", "rights", "full", "off"],
        "zookeeper.servers" | "kafka.bootstrap" => ["a", "b:1,c", "[::1]:9", "d:2"],
        "zookeeper.root" | "zookeeper.heart_beat" => ["a", "/b/c/", "d/e", "f"],
        "zookeeper.allowed_networks" => ["own", "10.0.0.0/8", "::/0", "192.0.2.1"],
        "zookeeper.auth" => ["a:b", "b:c", "c:d:e", "d:e"],
        "zookeeper.auth_file" => ["/a", "/b", "/c", "/d"],
        "zookeeper.auth_scheme" => ["sasl", "digest", "sasl", "digest"],
        "zookeeper.acl" => ["open", "open", "open", "open"],
        "zookeeper.session_timeout" => ["2s", "7", "0.5m", "10m"],
        "kafka.topic" | "kafka.summary_topic" => ["a", "b", "c-D_1.x", "f"],
        "kafka.encoding" => ["protobuf", "json", "protobuf", "json"],
        "kafka.buckets"
        | "kafka.trace_reports"
        | "kubernetes.node_labels"
        | "metrics.peers"
        | "zookeeper.acl_repair"
        | "zookeeper.verify_members" => ["false", "true", "false", "true"],
        "kubernetes.zone_label" | "kubernetes.rack_label" | "kubernetes.region_label" => ["a/b", "o", "x.y-z/_", "c"],
        "kafka.options" => ["linger.ms=1", "", "linger.ms=3", "linger.ms=4"],
        "log.level" => ["warn", "debug", "off,dt_agent=trace", "error"],
        "log.format" => ["json", "text", "json", "text"],
        "kernel_off" => ["raw", "syn", "rx-stamps", "tx-stamps"],
        other => panic!("no sample values for the key {other}: add them"),
    }
}

/// How `show` writes a sample.
fn shown(key: &Key, layer: usize, sample: &str) -> String {
    let bare = [
        "max_peers",
        "max_rate",
        "source_ports",
        "icmp.payload_bytes",
        "probe_thread.realtime_priority",
        "kafka.partitions",
        "kafka.buckets",
        "kafka.trace_reports",
        "kubernetes.node_labels",
        "zookeeper.verify_members",
        "zookeeper.acl_repair",
        "metrics.peers",
        "grpc.tls_verify_clients",
    ];
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    match key.path {
        "probe" | "sink" | "kernel_off" | "zookeeper.allowed_networks" => format!("[\"{sample}\"]"),
        "kafka.options" => format!("\"{}\"", &sample["linger.ms=".len()..]),
        path if bare.contains(&path) => sample.to_owned(),
        "zookeeper.auth" => quoted("***"),
        // A bare number of seconds in the original's variable only.
        "zookeeper.session_timeout" if layer == 1 => format!("\"{sample}s\""),
        "node" if layer == 3 => "\"f \\\"\\\\ ü\"".to_owned(),
        _ if sample.contains(['"', '\\']) => "\"f \\\"\\\\ ü\"".to_owned(),
        _ => quoted(sample),
    }
}

fn in_toml(key: &Key, sample: &str) -> String {
    let text = match key.path {
        "kafka.options" => {
            return format!(
                "[kafka.options]\n\"linger.ms\" = \"{}\"\n",
                &sample["linger.ms=".len()..]
            );
        }
        "probe" | "sink" | "kernel_off" | "zookeeper.allowed_networks" => format!("[\"{sample}\"]"),
        "probe_thread.cpus" => toml::Value::String(sample.to_owned()).to_string(),
        _ if matches!(sample, "true" | "false") || sample.parse::<u32>().is_ok() => sample.to_owned(),
        _ => toml::Value::String(sample.to_owned()).to_string(),
    };
    format!("{} = {text}\n", key.path)
}

/// The line of `show` for this key.
fn line<'a>(ran: &'a Ran, path: &str) -> &'a str {
    let path = if path == "kafka.options" {
        "kafka.options.\"linger.ms\""
    } else {
        path
    };
    let found = ran.out.lines().find(|line| line.split(" = ").next() == Some(path));
    found.unwrap_or_else(|| panic!("no line for {path} in {ran:?}"))
}

#[test]
fn each_layer_overrides_the_ones_below_for_every_key() {
    let directory = tempfile::tempdir().unwrap();
    for key in KEYS {
        let samples = samples(key);
        let path = file(&directory, "dt.toml", &in_toml(key, samples[0]));
        let variable = key.variable();
        let flag = format!("--{}", key.flag());
        // Host and port in two variables have a test of their own.
        let original = key.originals().next().filter(|name| !name.starts_with("REGISTER_"));
        for layers in 0..16_u32 {
            let on = |layer: u32| layers & (1 << layer) != 0;
            if on(1) && original.is_none() {
                continue;
            }
            let mut arguments = vec!["config", "show"];
            let mut environment = Vec::new();
            if key.path == "membership" {
                environment.push(("DT_PEERS", "/some/peers"));
            }
            if on(0) {
                arguments.extend(["--config", path.to_str().unwrap()]);
            }
            if let (true, Some(original)) = (on(1), original) {
                environment.push((original, samples[1]));
            }
            if on(2) {
                environment.push((&variable, samples[2]));
            }
            if on(3) {
                arguments.extend([flag.as_str(), samples[3]]);
            }
            let ran = run(&arguments, &environment);
            assert_eq!(ran.code, Some(0), "{arguments:?} {environment:?}: {ran:?}");
            let Some(top) = (0..4).rev().find(|&layer| on(layer)) else {
                assert!(!ran.out.contains(&format!("{variable}\n")), "{ran:?}");
                assert!(!ran.out.contains("# flag\n"), "{ran:?}");
                continue;
            };
            let source = ["file", original.unwrap_or_default(), &variable, "flag"][top as usize];
            let value = shown(key, top as usize, samples[top as usize]);
            let name = if key.path == "kafka.options" {
                "kafka.options.\"linger.ms\""
            } else {
                key.path
            };
            assert_eq!(
                line(&ran, key.path),
                format!("{name} = {value}  # {source}"),
                "layers {layers:04b}"
            );
        }
    }
}

#[test]
fn the_general_interval_sets_every_kind_and_the_kind_wins_within_a_layer() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(
        &directory,
        "dt.toml",
        "interval = \"3s\"\ntimeout = \"2s\"\n[grpc]\ninterval = \"20s\"\n",
    );
    let path = path.to_str().unwrap();
    let ran = run(&["config", "show", "--config", path], &[]);
    for (key, expected) in [
        ("icmp.interval", "\"3s\"  # file"),
        ("tcp.interval", "\"3s\"  # file"),
        ("grpc.interval", "\"20s\"  # file"),
        ("grpc.timeout", "\"2s\"  # file"),
    ] {
        assert_eq!(line(&ran, key), format!("{key} = {expected}"));
    }
    // A higher layer's general value beats a lower layer's own.
    let ran = run(
        &["config", "show", "--config", path, "--icmp-interval", "1s"],
        &[("DT_INTERVAL", "200ms")],
    );
    assert_eq!(line(&ran, "grpc.interval"), "grpc.interval = \"200ms\"  # DT_INTERVAL");
    assert_eq!(line(&ran, "icmp.interval"), "icmp.interval = \"1s\"  # flag");
}

#[test]
fn the_originals_host_and_port_variables_set_their_half_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory, "dt.toml", "advertise = \"from.file:7\"\n");
    let show = |environment: &[(&str, &str)]| run(&["config", "show", "--config", path.to_str().unwrap()], environment);
    let ran = show(&[
        ("REGISTER_PUBLIC_PORT", "5000"),
        ("REGISTER_LISTENER_DNS", "2001:db8::1"),
    ]);
    assert_eq!(
        line(&ran, "advertise"),
        "advertise = \"from.file:5000\"  # REGISTER_PUBLIC_PORT"
    );
    assert_eq!(
        line(&ran, "listen"),
        "listen = \"[2001:db8::1]:4000\"  # REGISTER_LISTENER_DNS"
    );
    let ran = show(&[("REGISTER_PUBLIC_PORT", "5000"), ("REGISTER_PUBLIC_DNS", "me")]);
    let both = "advertise = \"me:5000\"  # REGISTER_PUBLIC_DNS,REGISTER_PUBLIC_PORT";
    assert_eq!(line(&ran, "advertise"), both);
    let ran = show(&[("REGISTER_PUBLIC_PORT", "5000"), ("DT_ADVERTISE", "you:1")]);
    assert_eq!(line(&ran, "advertise"), "advertise = \"you:1\"  # DT_ADVERTISE");
}

#[test]
fn what_follows_from_other_keys() {
    let shown = |arguments: &[&str], environment: &[(&str, &str)], path: &str| {
        let ran = run(&[&["config", "show"], arguments].concat(), environment);
        line(&ran, path).to_owned()
    };
    // Listening somewhere, an agent is reached there.
    assert_eq!(
        shown(&["--listen", "10.0.0.2:5"], &[], "advertise"),
        "advertise = \"10.0.0.2:5\"  # default"
    );
    assert_eq!(
        shown(&["--listen", "0.0.0.0:5"], &[], "advertise"),
        "advertise = \"localhost:5\"  # default"
    );
    // But the original registers localhost until told otherwise.
    let original = [("REGISTER_LISTENER_DNS", "10.0.0.2"), ("REGISTER_LISTENER_PORT", "5")];
    assert_eq!(
        shown(&[], &original, "advertise"),
        "advertise = \"localhost:4000\"  # default"
    );
    assert_eq!(
        shown(&["--peers", "/x"], &[], "membership"),
        "membership = \"file\"  # default"
    );
    let ran = run(&["config", "show", "--peers", "/x", "--membership", "zookeeper"], &[]);
    assert!(ran.err.contains("peers is ignored"), "{ran:?}");
}

#[test]
fn what_is_shown_can_be_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = [
        "config", "show", "--zone", "z\"1\\ü", "--probe", "tcp,icmp", "--sink", "stdout", "--sink", "kafka",
    ];
    let options = [
        "--kafka-options",
        "security.protocol=plaintext",
        "--grpc-interval",
        "7s",
        "--http",
        "off",
    ];
    let first = run(&[&arguments[..], &options].concat(), &[]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let path = file(&directory, "shown.toml", &first.out);
    let again = run(&["config", "show", "--config", path.to_str().unwrap()], &[]);
    let values = |ran: &Ran| -> Vec<String> {
        ran.out
            .lines()
            .map(|line| line.rsplit_once("  # ").unwrap().0.to_owned())
            .collect()
    };
    assert_eq!(values(&first), values(&again));
    assert!(again.out.lines().all(|line| line.ends_with("# file")), "{again:?}");
}

#[test]
fn options_of_the_client_add_up_and_secrets_stay_secret() {
    let directory = tempfile::tempdir().unwrap();
    let text =
        "[kafka.options]\nsecurity.protocol = \"sasl_plaintext\"\n\"sasl.username\" = \"me\"\nfetch.min.bytes = 5\n";
    let path = file(&directory, "dt.toml", text);
    let environment = [("DT_KAFKA_OPTIONS", "sasl.username=you, sasl.password=hush")];
    let ran = run(&["config", "show", "--config", path.to_str().unwrap()], &environment);
    let options: Vec<_> = ran
        .out
        .lines()
        .filter(|line| line.starts_with("kafka.options."))
        .collect();
    assert_eq!(
        options,
        [
            "kafka.options.\"fetch.min.bytes\" = \"5\"  # file",
            "kafka.options.\"sasl.password\" = \"***\"  # DT_KAFKA_OPTIONS",
            "kafka.options.\"sasl.username\" = \"you\"  # DT_KAFKA_OPTIONS",
            "kafka.options.\"security.protocol\" = \"sasl_plaintext\"  # file",
        ]
    );
    // A password with commas in it, one of them with a '=' after it.
    for text in ["hush,more hush", "hush,hush=more", "hush,More.hu2h=hush"] {
        let text = format!("sasl.password={text}");
        let ran = run(&["config", "check"], &[("DT_KAFKA_OPTIONS", &text)]);
        assert_eq!(ran.code, Some(2));
        assert!(
            ran.err.contains("kafka.options") && ran.err.contains("item 2"),
            "{ran:?}"
        );
        assert!(!ran.err.contains("hu"), "{ran:?}");
    }
}
