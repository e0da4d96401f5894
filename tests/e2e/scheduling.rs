//! Real-time priority and processors of the probe thread: in force where permitted, done without where not.

use distributed_trace_tests::agent::{Agent, total};
use distributed_trace_tests::error::{LabError, Result};
use distributed_trace_tests::namespaces::Pair;
use distributed_trace_tests::ping::{Ping, Rights, expect_counts};
use std::path::Path;

/// The real-time priority, the policy and the processors of a process's probe thread, as the kernel tells.
fn probe_thread(pid: u32) -> Result<(String, String, String)> {
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        let read = |name: &str| std::fs::read_to_string(task.join(name));
        // One that has just ended has no name.
        if read("comm").is_ok_and(|name| name.trim() == "dt-probe") {
            let (stat, status) = (read("stat")?, read("status")?);
            let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
            let cpus = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
            // Fields 40 and 41 of stat, the first two being before the bracket.
            return Ok((
                fields[37].to_owned(),
                fields[38].to_owned(),
                cpus.unwrap_or_default().trim().to_owned(),
            ));
        }
    }
    Err(LabError::new("no probe thread"))
}

fn gauge(metrics: &str, name: &str) -> Option<f64> {
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn peers(directory: &Path) -> Result<std::path::PathBuf> {
    let path = directory.join("peers.toml");
    std::fs::write(&path, "[[peer]]\nnode = \"b\"\naddress = \"10.9.0.2\"\nport = 4000\n")?;
    Ok(path)
}

#[test]
fn an_agent_has_what_it_is_granted_and_goes_on_without_what_is_refused() -> Result {
    let pair = Pair::new()?;
    let directory = tempfile::tempdir()?;
    let file = peers(directory.path())?;
    // 0 is the first processor of every host; nobody has number 1023.
    for (cpus, priority, expected, refused) in [
        ("0", "7", ("7", "1", Some("0")), None),
        (
            "1023",
            "0",
            ("0", "0", None),
            Some("the probe thread can't be bound to the processors 1023"),
        ),
    ] {
        let mut agent = Agent::builder(&pair.a, "a", "10.9.0.1")?
            .peers(&file)
            .args("--probe icmp --window 1s --interval 100ms")
            .env("DT_PROBE_THREAD_CPUS", cpus)
            .args(&format!("--probe-thread-realtime-priority {priority}"))
            .start()?;
        agent.wait_for("answers", |records| Ok((total(records, "received")? > 5).then_some(())))?;
        let (real_time, policy, allowed) = probe_thread(agent.process.pid())?;
        assert_eq!((real_time.as_str(), policy.as_str()), (expected.0, expected.1));
        let (_, metrics) = agent.get(&pair.a, "/metrics")?;
        assert_eq!(
            gauge(&metrics, "dt_probe_thread_realtime_priority"),
            priority.parse().ok()
        );
        if let Some(only) = expected.2 {
            assert_eq!(allowed, only);
            assert_eq!(gauge(&metrics, "dt_probe_thread_cpus"), Some(1.0));
        }
        let (finished, _) = agent.terminate()?;
        assert_eq!(finished.status.code(), Some(0), "{finished}");
        let warnings = finished
            .stderr
            .lines()
            .filter(|line| line.contains("WARN") && line.contains("probe thread"));
        let warnings: Vec<_> = warnings.collect();
        assert_eq!(warnings.len(), usize::from(refused.is_some()), "{finished}");
        assert!(
            warnings
                .iter()
                .all(|line| refused.is_some_and(|refused| line.contains(refused))),
            "{finished}"
        );
    }
    Ok(())
}

#[test]
fn without_the_right_a_run_says_so_and_measures() -> Result {
    let pair = Pair::new()?;
    let report = Ping::new(&pair.a, Rights::NetRaw)?
        .args("-c 5 -i 10ms --realtime-priority 1 10.9.0.2")
        .report()?;
    assert_eq!(report.code, 0, "{}", report.stderr);
    expect_counts(&report.targets[0], &[("received", 5)])?;
    assert!(
        report.stderr.contains("CAP_SYS_NICE") && report.stderr.lines().count() == 1,
        "{}",
        report.stderr
    );
    let report = Ping::new(&pair.a, Rights::All)?
        .args("-c 5 -i 10ms --realtime-priority 1 --cpus 0 10.9.0.2")
        .report()?;
    assert_eq!((report.code, report.stderr.as_str()), (0, ""));
    Ok(())
}
