//! The unit of systemd/ under a real systemd: what it says is right, and enough for measuring.

use distributed_trace_tests::agent::{get, total};
use distributed_trace_tests::error::{Context, LabError, Result};
use distributed_trace_tests::process::{status, wait_for};
use distributed_trace_tests::systemd::{Setup, Systemd};
use serde_json::Value;

const NAME: &str = "distributed-trace.service";
const UNIT: &str = include_str!("../../systemd/distributed-trace.service");
/// Nobody reads a journal here.
const LOG: &str = "[Service]\nStandardOutput=append:/run/agent.log\nStandardError=append:/run/agent.log\n";
const RECORDS: &str = "/var/lib/distributed-trace/records";
const AGENT: &str = r#"
node = "a"
listen = "0.0.0.0:4000"
advertise = "127.0.0.1:4000"
http = "127.0.0.1:9464"
peers = "/etc/distributed-trace/peers.toml"
sink = ["file:/var/lib/distributed-trace/records"]
window = "1s"
interval = "200ms"
"#;
const PEERS: &str = "[[peer]]\nnode = \"b\"\naddress = \"127.0.0.2\"\nport = 4000\n";

fn boot(drop_ins: &[(&str, &str)], agent: &str, environment: &str) -> Result<Systemd> {
    let mut units = vec![(NAME, UNIT), ("distributed-trace.service.d/log.conf", LOG)];
    units.extend(drop_ins);
    let configuration = [("agent.toml", agent), ("agent.env", environment), ("peers.toml", PEERS)];
    Systemd::boot(&Setup {
        units: &units,
        configuration: &configuration,
    })
}

fn agents_log(systemd: &Systemd) -> Result<String> {
    Ok(systemd.run("cat", &["/run/agent.log"])?.stdout)
}

#[test]
fn the_unit_measures_with_one_capability_and_ends_in_order() -> Result {
    let systemd = boot(&[], AGENT, "DT_DRAIN_WAIT=100ms\nDT_ZONE=of-the-environment\n")?;
    let verified = systemd
        .run("systemd-analyze", &["verify", "--man=no", NAME])?
        .expect_code(0)?;
    assert_eq!((verified.stdout.as_str(), verified.stderr.as_str()), ("", ""));

    // What docs/systemd.md says of it: 10 would be a service without any of this.
    systemd
        .run(
            "systemd-analyze",
            &["security", "--offline=true", "--threshold=16", NAME],
        )?
        .expect_code(0)?;

    // Type=notify: this comes back when the agent has said that it is up.
    systemd
        .systemctl(&["start", NAME])
        .map_err(|error| error.during(agents_log(&systemd).unwrap_or_default()))?;
    let shown = systemd.show(NAME)?;
    assert_eq!(
        (shown["ActiveState"].as_str(), shown["SubState"].as_str()),
        ("active", "running")
    );
    systemd.wait_for(NAME, "the status line", |shown| {
        (shown["StatusText"] == "probing 1 peer").then_some(())
    })?;

    let of_agent = systemd
        .run("cat", &[&format!("/proc/{}/status", shown["MainPID"])])?
        .expect_code(0)?
        .stdout;
    // The one capability that the unit gives is given up once it was used.
    for set in ["CapEff", "CapPrm", "CapAmb"] {
        assert_eq!(status(&of_agent, set)?, format!("{:016x}", 0), "{set}");
    }
    assert_eq!(status(&of_agent, "CapBnd")?, format!("{:016x}", 1 << 13));
    assert_eq!(status(&of_agent, "NoNewPrivs")?, "1");
    assert_eq!(status(&of_agent, "Seccomp")?, "2", "a filter");
    let (_, page) = systemd.namespace().enter(|| get("127.0.0.1:9464", "/metrics"))??;
    let given_up: Vec<_> = page.lines().filter(|line| line.starts_with("dt_sandbox{")).collect();
    assert_eq!(given_up.len(), 3, "{page}");
    assert!(
        given_up.iter().all(|line| line.ends_with(" 1.0")),
        "{given_up:?}\n{}",
        agents_log(&systemd)?
    );
    assert!(!status(&of_agent, "Uid")?.split_whitespace().any(|user| user == "0"));

    let (livez, _) = systemd.namespace().enter(|| get("127.0.0.1:9464", "/livez"))??;
    assert_eq!(livez, 200);
    let records = wait_for("records of all kinds with answers", || {
        let read = systemd.run("cat", &[RECORDS])?.stdout;
        let whole = read.rfind('\n').map_or("", |end| &read[..end]);
        let records: Vec<Value> = whole
            .lines()
            .map(|line| serde_json::from_str(line).during(line))
            .collect::<Result<_>>()?;
        let answered = |kind: &str| total(records.iter().filter(|record| record["probe"] == kind), "received");
        for kind in ["icmp", "tcp", "grpc"] {
            if answered(kind)? == 0 {
                return Ok(None);
            }
        }
        Ok(Some(records))
    })
    .map_err(|error| error.during(agents_log(&systemd).unwrap_or_default()))?;
    for record in &records {
        assert_eq!(record["src_zone"], "of-the-environment");
        if record["probe"] != "grpc" {
            assert_eq!(
                (&record["timestamp_tx"], &record["timestamp_rx"]),
                (&"kernel".into(), &"kernel".into()),
                "{record}"
            );
        }
        if record["probe"] == "tcp" {
            assert_eq!(record["method"], "syn");
        }
    }

    systemd.systemctl(&["stop", NAME])?;
    let shown = systemd.show(NAME)?;
    let ended = ["ActiveState", "Result", "ExecMainStatus", "NRestarts"].map(|name| shown[name].as_str());
    assert_eq!(ended, ["inactive", "success", "0", "0"], "{}", systemd.log());
    let log = agents_log(&systemd)?;
    let at = |line: &str| {
        log.find(line)
            .ok_or_else(|| LabError::new(format!("no {line:?} in {log}")))
    };
    assert!(
        at("leaving the membership")? < at("shutting down")?,
        "drained before it was stopped: {log}"
    );
    Ok(())
}

#[test]
fn a_stuck_agent_is_restarted_and_a_wrong_configuration_is_not() -> Result {
    let soon = "[Service]\nWatchdogSec=10s\nRestartSec=100ms\n";
    let systemd = boot(&[("distributed-trace.service.d/soon.conf", soon)], AGENT, "")?;
    systemd.systemctl(&["start", NAME])?;
    let stuck = systemd.show(NAME)?["MainPID"].clone();
    systemd.run("kill", &["-STOP", &stuck])?.expect_code(0)?;
    systemd.wait_for(NAME, "another process", |shown| {
        (shown["SubState"] == "running" && shown["MainPID"] != stuck).then_some(())
    })?;
    assert!(systemd.log().contains("Watchdog timeout"), "{}", systemd.log());
    // The abort of a stopped process needs no end in order.
    systemd.systemctl(&["kill", "--signal=KILL", NAME])?;
    systemd.wait_for(NAME, "a restart after a crash", |shown| {
        (shown["SubState"] == "running" && shown["NRestarts"] != "1").then_some(())
    })?;

    systemd
        .run("sh", &["-c", "echo DT_WINDOW=7s >/etc/distributed-trace/agent.env"])?
        .expect_code(0)?;
    let refused = systemd.run("systemctl", &["restart", NAME])?;
    assert_ne!(refused.status.code(), Some(0));
    let shown = systemd.show(NAME)?;
    assert_eq!(
        (shown["ActiveState"].as_str(), shown["ExecMainStatus"].as_str()),
        ("failed", "2"),
        "{}",
        systemd.log()
    );
    assert!(agents_log(&systemd)?.contains("a day is not a multiple of it"));
    Ok(())
}

#[test]
fn where_the_filter_is_refused_the_agent_says_so_and_measures() -> Result {
    let refuse = "[Service]\nSystemCallFilter=~seccomp\n";
    let systemd = boot(&[("distributed-trace.service.d/refuse.conf", refuse)], AGENT, "")?;
    systemd.systemctl(&["start", NAME])?;
    let (_, page) = systemd.namespace().enter(|| get("127.0.0.1:9464", "/metrics"))??;
    for line in [
        "dt_sandbox{part=\"capabilities\"} 1.0",
        "dt_sandbox{part=\"new_privileges\"} 1.0",
        "dt_sandbox{part=\"system_calls\"} 0.0",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line}: {page}");
    }
    let log = agents_log(&systemd)?;
    let complaints: Vec<_> = log
        .lines()
        .filter(|line| line.contains("not in the whole of the sandbox"))
        .collect();
    assert_eq!(complaints.len(), 1, "{log}");
    assert!(complaints[0].contains("system calls can't be filtered"), "{log}");
    systemd.wait_for(NAME, "probing", |shown| {
        (shown["StatusText"] == "probing 1 peer").then_some(())
    })
}

#[test]
fn the_documented_drop_in_allows_real_time_priority() -> Result {
    let guide = include_str!("../../docs/systemd.md");
    let blocks = guide
        .split("```ini\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let drop_in = blocks.into_iter().find(|block| block.contains("RestrictRealtime"));
    let drop_in = drop_in.ok_or_else(|| LabError::new("docs/systemd.md has no drop-in with RestrictRealtime"))?;
    let agent = format!("{AGENT}\n[probe_thread]\nrealtime_priority = 1\ncpus = \"0\"\n");
    let granted = |drop_ins: &[(&str, &str)]| -> Result<String> {
        let systemd = boot(drop_ins, &agent, "")?;
        systemd.systemctl(&["start", NAME])?;
        let (_, page) = systemd.namespace().enter(|| get("127.0.0.1:9464", "/metrics"))??;
        let of_thread = page
            .lines()
            .filter(|line| line.starts_with("dt_probe_thread_realtime_priority"));
        Ok(format!("{}\n{}", of_thread.collect::<String>(), agents_log(&systemd)?))
    };
    let without = granted(&[])?;
    assert!(
        without.starts_with("dt_probe_thread_realtime_priority 0.0\n"),
        "{without}"
    );
    let with = granted(&[("distributed-trace.service.d/realtime.conf", drop_in)])?;
    assert!(with.starts_with("dt_probe_thread_realtime_priority 1.0\n"), "{with}");
    Ok(())
}
