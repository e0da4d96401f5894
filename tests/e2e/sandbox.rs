//! What an agent gives up once it has its sockets: looked at from outside, in every way in which it gets its rights.

use distributed_trace_tests::agent::{Agent, Builder, by_pair, check_records, total};
use distributed_trace_tests::error::{LabError, Result};
use distributed_trace_tests::namespaces::Pair;
use distributed_trace_tests::ping::Unprivileged;
use distributed_trace_tests::process::{status, threads};
use serde_json::json;
use std::net::TcpListener;
use std::path::Path;

const NONE: &str = "0000000000000000";
/// What every thread of an agent shows where all is given up.
const GIVEN_UP: [(&str, &str); 6] = [
    ("CapEff", NONE),
    ("CapPrm", NONE),
    ("CapInh", NONE),
    ("CapAmb", NONE),
    ("NoNewPrivs", "1"),
    ("Seccomp", "2"),
];

/// The peers file of `a`: `b`, by a name that has to be looked up.
fn peers(folder: &Path, pair: &Pair) -> Result<std::path::PathBuf> {
    pair.a.hosts("127.0.0.1 localhost\n10.9.0.2 b.lab\n")?;
    let peers = folder.join("peers.toml");
    std::fs::write(&peers, "[[peer]]\nnode = \"b\"\naddress = \"b.lab\"\nport = 7000\n")?;
    Ok(peers)
}

/// Runs the agent until it has measured `b` by ICMP and TCP with kernel stamps; what its threads' statuses say then.
fn measure(pair: &Pair, builder: Builder) -> Result<Vec<String>> {
    let _listener = pair.b.enter(|| TcpListener::bind("10.9.0.2:7000"))??;
    let mut agent = builder
        .args("--probe icmp,tcp --window 1s --interval 50ms --timeout 500ms")
        // Nobody is there: its client has threads of its own all the same.
        .args("--sink kafka --kafka-bootstrap 127.0.0.1:9")
        .start()?;
    agent.wait_for("answers of both kinds", |records| {
        let pairs = by_pair(records)?;
        let received = |kind: &str| match pairs.get(&("b".to_owned(), kind.to_owned())) {
            Some(records) => total(records.iter().copied(), "received"),
            None => Ok(0),
        };
        Ok((received("icmp")? > 20 && received("tcp")? > 20).then_some(()))
    })?;
    let statuses = threads(agent.process.pid())?;
    let (finished, records) = agent.terminate()?;
    assert_eq!(finished.status.code(), Some(0), "{finished}");
    assert!(
        !finished.stderr.contains("not in the whole of the sandbox"),
        "{finished}"
    );
    check_records(&records, 1000)?;
    for record in records.iter().filter(|record| record["received"] != 0) {
        let stamps = (&record["timestamp_tx"], &record["timestamp_rx"]);
        assert_eq!(stamps, (&json!("kernel"), &json!("kernel")), "{record}");
    }
    Ok(statuses)
}

fn expect(statuses: &[String], wanted: &[(&str, &str)]) -> Result {
    // The probe thread was there before the rights were given up, librdkafka's came after.
    for name in ["dt", "dt-probe", "tokio-rt-worker", "rdk:main"] {
        let found = statuses
            .iter()
            .any(|text| status(text, "Name").is_ok_and(|shown| shown == name));
        assert!(found, "no thread {name} among {statuses:?}");
    }
    for text in statuses {
        for (field, value) in wanted {
            let shown = status(text, field)?;
            if shown != *value {
                return Err(LabError::new(format!("{field} is {shown}, not {value}: {text}")));
            }
        }
    }
    Ok(())
}

#[test]
fn every_thread_of_an_agent_of_roots_is_without_rights() -> Result {
    let (pair, folder) = (Pair::new()?, tempfile::tempdir()?);
    let builder = Agent::builder(&pair.a, "a", "10.9.0.1")?.peers(&peers(folder.path(), &pair)?);
    let statuses = measure(&pair, builder)?;
    expect(&statuses, &GIVEN_UP)?;
    // Root has the right to shrink the bounding set, too.
    expect(&statuses, &[("CapBnd", NONE)])
}

#[test]
fn a_file_capability_and_an_ambient_one_are_given_up_too() -> Result {
    // One that is permitted by the file, and one that a service manager gives to a file without any.
    for (of_file, setpriv) in [
        ("cap_net_raw=p", "--inh-caps=-all --bounding-set=-all,+net_raw"),
        (
            "",
            "--inh-caps=-all,+net_raw --ambient-caps=-all,+net_raw --bounding-set=-all,+net_raw",
        ),
    ] {
        let (pair, folder) = (Pair::new()?, tempfile::tempdir()?);
        let peers = peers(folder.path(), &pair)?;
        let user = Unprivileged::new(of_file)?;
        let runner: Vec<_> = ["setpriv", "--reuid=65532", "--regid=65532", "--clear-groups"]
            .into_iter()
            .chain(setpriv.split_whitespace())
            .collect();
        let builder = Agent::builder_of(&pair.a, &runner, user.binary(), "a", "10.9.0.1")?.peers(&peers);
        for path in [folder.path(), &peers, builder.directory()] {
            std::os::unix::fs::chown(path, Some(65532), Some(65532))?;
        }
        let statuses = measure(&pair, builder)?;
        expect(&statuses, &GIVEN_UP)?;
    }
    Ok(())
}

#[test]
fn as_much_is_given_up_as_is_configured() -> Result {
    for (sandbox, capabilities, no_new, filter) in [("rights", NONE, "1", "0"), ("off", "all", "0", "0")] {
        let (pair, folder) = (Pair::new()?, tempfile::tempdir()?);
        let builder = Agent::builder(&pair.a, "a", "10.9.0.1")?
            .peers(&peers(folder.path(), &pair)?)
            .args(&format!("--sandbox {sandbox}"));
        let statuses = measure(&pair, builder)?;
        expect(&statuses, &[("NoNewPrivs", no_new), ("Seccomp", filter)])?;
        match capabilities {
            NONE => expect(&statuses, &[("CapEff", NONE), ("CapPrm", NONE)])?,
            _ => assert_ne!(status(&statuses[0], "CapEff")?, NONE),
        }
    }
    Ok(())
}
