//! `dt plan` on a peers file and on a live membership.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use common::{Ran, file, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Six nodes in two zones, one of them IPv6.
const PEERS: &str = r#"
[[peer]]
node = "a"
address = "10.0.0.1"
port = 4000
zone = "z1"
rack = "r1"
[[peer]]
node = "b"
address = "10.0.0.2"
port = 4000
zone = "z1"
rack = "r2"
[[peer]]
node = "c"
address = "10.0.0.3"
port = 4000
zone = "z1"
[[peer]]
node = "d"
address = "10.0.1.1"
port = 4000
zone = "z2"
rack = "r9"
[[peer]]
node = "e"
address = "fd00::5"
port = 4001
zone = "z2"
[[peer]]
node = "node-f"
address = "f.example"
port = 4000
"#;

fn plan(peers: &str, arguments: &[&str]) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory, "peers.toml", peers);
    let ran = run(&[&["plan", "--peers", path.to_str().unwrap()], arguments].concat(), &[]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    ran
}

#[test]
fn of_a_peers_file_every_other_node_is_probed() {
    let expected = "\
a probes 5 of 5 others
NODE    ADDRESS         ZONE  RACK  WHY
b       10.0.0.2:4000   z1    r2    all
c       10.0.0.3:4000   z1          all
d       10.0.1.1:4000   z2    r9    all
e       [fd00::5]:4001  z2          all
node-f  f.example:4000              all
5 peers x (icmp every 1s, tcp every 1s, grpc every 10s) = 10.5 probes/s
within max_rate = 2000: intervals stay as they are
";
    assert_eq!(plan(PEERS, &["--node", "a"]).out, expected);
}

#[test]
fn with_a_limit_the_ring_says_whom_and_why() {
    let expected = "\
a probes 2 of 5 others
NODE    ADDRESS         ZONE  RACK  WHY
node-f  f.example:4000              successor 1
e       [fd00::5]:4001  z2          predecessor 1
2 peers x (tcp every 1s) = 2.0 probes/s
within max_rate = 2000: intervals stay as they are
";
    assert_eq!(
        plan(PEERS, &["--node", "a", "--max-peers", "2", "--probe", "tcp"]).out,
        expected
    );
}

#[test]
fn where_the_cap_bites_the_intervals_stretch() {
    let out = plan(PEERS, &["--node", "a", "--interval", "10ms", "--max-rate", "100"]).out;
    assert!(out.contains("= 1500.0 probes/s\n"), "{out}");
    assert!(
        out.contains("intervals stretch by 15.00, to icmp every 150ms, tcp every 150ms, grpc every 150ms\n"),
        "{out}"
    );
}

#[test]
fn the_json_holds_the_same() {
    let out = plan(PEERS, &["--node", "e", "--json", "--max-rate", "1"]).out;
    let plan: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out.lines().count(), 1);
    assert_eq!((plan["node"].as_str(), plan["others"].as_u64()), (Some("e"), Some(5)));
    let peers = plan["peers"].as_array().unwrap();
    assert_eq!(peers.len(), 5);
    assert_eq!(
        peers[0],
        serde_json::json!({
            "node": "a", "address": "10.0.0.1", "port": 4000, "tcp_port": 4000, "zone": "z1", "rack": "r1", "region": "",
            "original": false, "why": "all", "refused": null,
        })
    );
    assert_eq!(plan["rate"]["wanted_per_s"], 10.5);
    assert_eq!(plan["rate"]["stretch"], 10.5);
    assert_eq!(plan["rate"]["per_s"], 1.0);
    assert_eq!(plan["probes"][2]["stretched_interval_s"], 105.0);
}

#[test]
fn on_the_ring_everybody_is_probed_by_whom_they_probe() {
    let names: Vec<String> = (0..12).map(|n| format!("node-{n}")).collect();
    let peers: String = names
        .iter()
        .enumerate()
        .map(|(n, name)| format!("[[peer]]\nnode = \"{name}\"\naddress = \"10.0.0.{n}\"\nport = 4000\n"))
        .collect();
    let probed: BTreeMap<&str, BTreeSet<String>> = names
        .iter()
        .map(|name| {
            let ran = plan(&peers, &["--node", name, "--max-peers", "4", "--json"]);
            let plan: Value = serde_json::from_str(&ran.out).unwrap();
            let peers = plan["peers"].as_array().unwrap();
            (
                name.as_str(),
                peers
                    .iter()
                    .map(|peer| peer["node"].as_str().unwrap().to_owned())
                    .collect(),
            )
        })
        .collect();
    for (name, peers) in &probed {
        assert_eq!(peers.len(), 4, "{probed:?}");
        assert!(!peers.contains(*name));
        assert!(
            peers.iter().all(|peer| probed[peer.as_str()].contains(*name)),
            "{name} in {probed:?}"
        );
    }
}

#[test]
fn a_peers_file_that_is_wrong_or_missing_is_a_usage_error() {
    let directory = tempfile::tempdir().unwrap();
    let broken = file(&directory, "broken.toml", "[[peer]]\nnode = 5\n");
    for path in [broken, directory.path().join("none.toml")] {
        let ran = run(&["plan", "--peers", path.to_str().unwrap()], &[]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.err.contains(path.to_str().unwrap()), "{ran:?}");
    }
}

#[test]
fn of_a_live_membership_without_joining_it() {
    use distributed_trace_tests::zookeeper::ZooKeeper;
    let server = ZooKeeper::start().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        use zookeeper_client::{Acls, Client, CreateMode};
        let client = Client::connect(&server.servers()).await.unwrap();
        let parents = CreateMode::Persistent.with_acls(Acls::anyone_all());
        client.mkdir("/a/b/c", &parents).await.unwrap();
        for (host, port) in [("one", 4000), ("two", 4001), ("169.254.169.254", 80)] {
            let data =
                format!(r#"{{"My_address":"{host}","My_port":{port},"Poll_timeout":5000,"Poll_interval":10000}}"#);
            let mode = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
            client.create("/a/b/c/_c_x-", data.as_bytes(), &mode).await.unwrap();
        }
        let arguments = ["plan", "--json", "--node", "me"];
        let servers = server.servers();
        let environment = [
            ("SERVERS_ZK", servers.as_str()),
            ("ROOT_PATH_ZK", "a/b"),
            ("HEART_BEAT_NODE_PATH", "c"),
        ];
        let ran = run(&arguments, &environment);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
        let plan: Value = serde_json::from_str(&ran.out).unwrap();
        let peers: Vec<_> = plan["peers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|peer| &peer["node"])
            .collect();
        assert_eq!(peers, ["169.254.169.254:80", "one:4000", "two:4001"]);
        let why = plan["peers"][0]["refused"].as_str().unwrap();
        assert!(why.contains("link-local"), "{why}");
        assert_eq!(plan["peers"][1]["refused"], Value::Null);
        assert_eq!(plan["peers"][1]["original"], true);
        let ran = run(&arguments[..1], &environment);
        assert!(
            ran.out.contains("but not probed: 169.254.169.254 is link-local"),
            "{ran:?}"
        );
        // Every creation among the children counts as a change of theirs: there were the three of this test.
        let (_, stat) = client.get_data("/a/b/c").await.unwrap();
        assert_eq!((stat.cversion, stat.num_children), (3, 3));
    });
}

#[test]
fn while_it_waits_for_zookeeper_it_still_ends_when_told() {
    use std::io::{BufRead, BufReader};
    // Port 1 of the loopback refuses.
    let mut command = common::dt();
    command.args(["plan", "--zookeeper-servers", "127.0.0.1:1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Its first complaint shows that it is at work.
    let mut complaint = String::new();
    BufReader::new(child.stderr.as_mut().unwrap())
        .read_line(&mut complaint)
        .unwrap();
    assert!(complaint.contains("127.0.0.1:1"), "{complaint}");
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(0), &b""[..]),
        "{output:?}"
    );
}
