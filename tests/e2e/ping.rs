//! `dt ping` in namespaces: every fate, with counts that are known exactly, by either method and over both IP versions.

use distributed_trace_tests::delay::DelayedPair;
use distributed_trace_tests::error::{LabError, Result};
use distributed_trace_tests::fail;
use distributed_trace_tests::lock::take_turn;
use distributed_trace_tests::namespaces::{Namespace, Pair};
use distributed_trace_tests::ping::{Ping, Report, Rights, expect_counts, number};
use distributed_trace_tests::process::Process;
use distributed_trace_tests::python;
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

fn ping(namespace: &Namespace, arguments: &str) -> Result<Report> {
    Ping::new(namespace, Rights::All)?.args(arguments).report()
}

/// Kernel clocks both ways and no probe that had to do without.
fn expect_kernel_stamps(object: &Value) -> Result {
    if object["timestamps"] == json!({ "tx": "kernel", "rx": "kernel", "fallbacks": 0 }) {
        return Ok(());
    }
    Err(LabError::new(format!("kernel stamps expected: {object}")))
}

#[test]
fn every_tenth_echo_lost_is_every_tenth_counted() -> Result {
    let pair = Pair::new()?;
    pair.b
        .on_input("icmp type echo-request numgen inc mod 10 0 counter drop")?;
    pair.b
        .on_input("icmpv6 type echo-request numgen inc mod 5 0 counter drop")?;
    let report = ping(&pair.a, "-c 50 -i 10ms -t 2s 10.9.0.2 fd09::2")?;
    expect_counts(&report.targets[0], &[("received", 45), ("lost", 5)])?;
    expect_counts(&report.targets[1], &[("received", 40), ("lost", 10)])?;
    assert_eq!(pair.b.counters()?, [5, 10]);
    for target in &report.targets {
        expect_kernel_stamps(target)?;
    }
    assert_eq!((report.code, number(&report.summary, "lost")?), (0, 15));
    Ok(())
}

/// The ports of `b`: 7000 listens, 7001 is closed, 7002 reset, 7003 silent, 7004 answered by an ICMP error.
fn tcp_targets(pair: &Pair) -> Result<Vec<TcpListener>> {
    for rule in [
        "7002 reject with tcp reset",
        "7003 drop",
        "7004 reject with icmpx type admin-prohibited",
    ] {
        pair.b.on_input(&format!("tcp dport {rule}"))?;
    }
    ["10.9.0.2:7000", "[fd09::2]:7000"]
        .iter()
        .map(|address| Ok(pair.b.enter(|| TcpListener::bind(address))??))
        .collect()
}

fn every_tcp_fate(method: &str) -> Result {
    let pair = Pair::new()?;
    let _listeners = tcp_targets(&pair)?;
    for host in ["10.9.0.2", "[fd09::2]"] {
        let ports = (7000..=7004)
            .map(|port| format!("{host}:{port}"))
            .collect::<Vec<_>>()
            .join(" ");
        let report = ping(
            &pair.a,
            &format!("--proto tcp --method {method} -c 6 -i 20ms -t 1500ms {ports}"),
        )?;
        let fates = ["received", "refused", "refused", "lost", "unreachable"];
        for (target, fate) in report.targets.iter().zip(fates) {
            expect_counts(target, &[(fate, 6)])?;
            assert_eq!(target["rtt_ns"].is_null(), fate != "received", "{target}");
        }
        expect_kernel_stamps(&report.targets[0])?;
        assert_eq!((report.targets.len(), report.code), (5, 1));
        assert_eq!(report.targets[1]["address"], json!(host.trim_matches(['[', ']'])));
    }
    Ok(())
}

#[test]
fn every_fate_of_a_syn() -> Result {
    every_tcp_fate("syn")
}

#[test]
fn every_fate_of_a_connect() -> Result {
    every_tcp_fate("connect")
}

#[test]
fn no_route_and_icmp_errors_are_unreachable() -> Result {
    let pair = Pair::new()?;
    pair.b
        .on_input("ip daddr 10.9.0.2 icmp type echo-request reject with icmpx type admin-prohibited")?;
    pair.b
        .on_input("ip6 daddr fd09::2 icmpv6 type echo-request reject with icmpx type admin-prohibited")?;
    pair.b.address("eth0", "10.9.0.3/24")?;
    // 192.0.2.1 and 2001:db8::1 have no route; the healthy target between them must not suffer.
    let report = ping(
        &pair.a,
        "-c 5 -i 20ms -t 1500ms 10.9.0.2 192.0.2.1 10.9.0.3 2001:db8::1 fd09::2",
    )?;
    for (target, healthy) in report.targets.iter().zip([false, false, true, false, false]) {
        expect_counts(target, &[(if healthy { "received" } else { "unreachable" }, 5)])?;
    }
    assert_eq!(report.code, 1);
    for method in ["syn", "connect"] {
        let report = ping(
            &pair.a,
            &format!("--proto tcp --method {method} -c 3 -i 20ms 192.0.2.1:80 [2001:db8::1]:80"),
        )?;
        for target in &report.targets {
            expect_counts(target, &[("unreachable", 3)])?;
        }
    }
    Ok(())
}

#[test]
fn a_reply_after_the_timeout_is_late_and_stays_lost() -> Result {
    let line = DelayedPair::new(Duration::from_millis(100))?;
    // The first packet waits for the neighbour's address, which crosses the line as well; it is known from here on.
    ping(&line.ends.a, "-c 1 -t 10s 10.9.0.2")?;
    let report = ping(&line.ends.a, "-c 4 -i 50ms -t 150ms 10.9.0.2")?;
    expect_counts(&report.targets[0], &[("lost", 4), ("late", 4)])?;
    assert_eq!((&report.targets[0]["rtt_ns"], report.code), (&Value::Null, 1));

    let report = ping(&line.ends.a, "-c 4 -i 50ms -t 5s 10.9.0.2 fd09::2")?;
    for target in &report.targets {
        expect_counts(target, &[("received", 4)])?;
        assert!(
            number(target, "rtt_ns.min")? >= 200_000_000 * 99 / 100,
            "two ways of 100 ms: {target}"
        );
    }
    Ok(())
}

#[test]
fn a_repeated_reply_is_a_duplicate_and_never_received() -> Result {
    let line = DelayedPair::new(Duration::from_millis(1))?;
    line.repeat_answers(2);
    // The last probe's repeated replies are only sure to be seen where the run lasts longer: a target that is lost
    // keeps it waiting.
    let report = ping(&line.ends.a, "-c 10 -i 20ms -t 1s 10.9.0.2 10.9.0.77")?;
    expect_counts(&report.targets[0], &[("received", 10), ("duplicate", 20)])?;

    let listener = line.ends.b.enter(|| TcpListener::bind("10.9.0.2:7000"))??;
    line.ends.b.on_input("tcp dport 7003 drop")?;
    let report = ping(
        &line.ends.a,
        "--proto tcp --method syn -c 10 -i 20ms -t 1s 10.9.0.2:7000 10.9.0.2:7003",
    )?;
    let counted = &report.targets[0];
    assert_eq!(
        (number(counted, "received")?, number(counted, "sent")?),
        (10, 10),
        "{counted}"
    );
    assert!(number(counted, "duplicate")? >= 10, "{counted}");
    drop(listener);
    Ok(())
}

#[test]
fn a_name_without_an_address_is_named_and_the_others_are_probed() -> Result {
    let lonely = Namespace::new("lonely")?;
    let report = ping(&lonely, "-c 2 -i 10ms 127.0.0.1 no-such-host.invalid ::1")?;
    let [first, unknown, last] = &report.targets[..] else {
        fail!("three targets expected: {report:?}")
    };
    expect_counts(first, &[("received", 2)])?;
    expect_counts(last, &[("received", 2)])?;
    expect_counts(unknown, &[])?;
    assert_eq!(unknown["target"], "no-such-host.invalid");
    assert!(unknown["address"].is_null() && unknown["rtt_ns"].is_null(), "{unknown}");
    assert!(report.stderr.contains("no-such-host.invalid"), "{}", report.stderr);
    assert_eq!(report.code, 1);
    Ok(())
}

#[test]
fn without_the_privilege_it_says_what_to_do() -> Result {
    let lonely = Namespace::new("lonely")?;
    lonely.sysctl("net.ipv4.ping_group_range", "1 0")?;
    let finished = Ping::new(&lonely, Rights::None)?
        .args("127.0.0.1")
        .finish()?
        .expect_code(1)?;
    for word in ["CAP_NET_RAW", "ping_group_range"] {
        assert!(finished.stderr.contains(word), "{word} is missing: {}", finished.stderr);
    }
    assert_eq!(finished.stdout, "");
    // A raw SYN was asked for by name, so connect() is no substitute for it.
    let syn = Ping::new(&lonely, Rights::None)?
        .args("--proto tcp --method syn 127.0.0.1:9")
        .finish()?
        .expect_code(1)?;
    assert!(syn.stderr.contains("CAP_NET_RAW"), "{}", syn.stderr);
    Ok(())
}

#[test]
fn without_the_privilege_ping_sockets_and_connect_do() -> Result {
    let pair = Pair::new()?;
    pair.a.sysctl("net.ipv4.ping_group_range", "0 2147483647")?;
    pair.b.on_input("icmp type echo-request numgen inc mod 10 0 drop")?;
    let report = Ping::new(&pair.a, Rights::None)?
        .args("-c 20 -i 10ms 10.9.0.2 fd09::2")
        .report()?;
    expect_counts(&report.targets[0], &[("received", 18), ("lost", 2)])?;
    expect_counts(&report.targets[1], &[("received", 20)])?;
    for target in &report.targets {
        expect_kernel_stamps(target)?;
    }
    let _listeners = tcp_targets(&pair)?;
    let report = Ping::new(&pair.a, Rights::None)?
        .args("--proto tcp -c 5 -i 20ms -t 1500ms 10.9.0.2:7000 10.9.0.2:7001 10.9.0.2:7003")
        .report()?;
    for (target, fate) in report.targets.iter().zip(["received", "refused", "lost"]) {
        expect_counts(target, &[(fate, 5)])?;
    }
    Ok(())
}

#[test]
fn net_raw_alone_is_enough() -> Result {
    let pair = Pair::new()?;
    pair.b.on_input("icmp type echo-request numgen inc mod 10 0 drop")?;
    let listeners = tcp_targets(&pair)?;
    let report = Ping::new(&pair.a, Rights::NetRaw)?
        .args("-c 20 -i 10ms 10.9.0.2 fd09::2")
        .report()?;
    expect_counts(&report.targets[0], &[("received", 18), ("lost", 2)])?;
    expect_counts(&report.targets[1], &[("received", 20)])?;
    expect_kernel_stamps(&report.targets[0])?;
    let report = Ping::new(&pair.a, Rights::NetRaw)?
        .args("--proto tcp --method syn -c 5 -i 20ms 10.9.0.2:7000 [fd09::2]:7000 10.9.0.2:7004")
        .report()?;
    for (target, fate) in report.targets.iter().zip(["received", "received", "unreachable"]) {
        expect_counts(target, &[(fate, 5)])?;
    }
    expect_kernel_stamps(&report.targets[0])?;
    drop(listeners);
    Ok(())
}

/// The same loss, whichever kernel feature is missing, and a record that says which clock was used.
#[test]
fn every_fallback_counts_the_same() -> Result {
    let pair = Pair::new()?;
    // For the ping sockets that stand in for raw ones.
    pair.a.sysctl("net.ipv4.ping_group_range", "0 2147483647")?;
    pair.b.on_input("icmp type echo-request numgen inc mod 10 0 drop")?;
    let _listeners = tcp_targets(&pair)?;
    for (off, tx, rx) in [
        ("ts-opt-id", "kernel", "kernel"),
        ("tx-stamps", "user", "kernel"),
        ("rx-stamps", "kernel", "user"),
        ("tx-stamps,rx-stamps", "user", "user"),
        ("rcvbufforce", "kernel", "kernel"),
        ("rxq-ovfl", "kernel", "kernel"),
        ("errqueue", "kernel", "kernel"),
        ("raw", "kernel", "kernel"),
        ("raw,ts-opt-id,rcvbufforce", "kernel", "kernel"),
    ] {
        let clocks = json!({ "tx": tx, "rx": rx });
        let run = |arguments: &str| Ping::new(&pair.a, Rights::All)?.without(off).args(arguments).report();
        let check = |target: &Value, expected: &[(&str, u64)]| -> Result {
            expect_counts(target, expected).map_err(|error| error.during(format!("without {off}")))?;
            let used = json!({ "tx": target["timestamps"]["tx"], "rx": target["timestamps"]["rx"] });
            if used != clocks {
                fail!("without {off}: clocks {clocks} expected: {target}");
            }
            Ok(())
        };
        let echo = run("-c 20 -i 10ms 10.9.0.2 fd09::2")?;
        check(&echo.targets[0], &[("received", 18), ("lost", 2)])?;
        check(&echo.targets[1], &[("received", 20)])?;
        if !off.contains("raw") {
            let tcp = run("--proto tcp --method syn -c 5 -i 20ms 10.9.0.2:7000 10.9.0.2:7001 [fd09::2]:7000")?;
            check(&tcp.targets[0], &[("received", 5)])?;
            expect_counts(&tcp.targets[1], &[("refused", 5)])?;
            check(&tcp.targets[2], &[("received", 5)])?;
        }
    }
    // Without raw SYNs the method that was not named becomes connect(); a named one is refused.
    let ping = || Ping::new(&pair.a, Rights::All).map(|ping| ping.without("syn"));
    let report = ping()?.args("--proto tcp -c 5 -i 20ms 10.9.0.2:7000").report()?;
    expect_counts(&report.targets[0], &[("received", 5)])?;
    ping()?
        .args("--proto tcp --method syn 10.9.0.2:7000")
        .finish()?
        .expect_code(1)?;
    Ok(())
}

#[test]
fn a_file_of_targets_keeps_its_order() -> Result {
    let lonely = Namespace::new("lonely")?;
    let mut file = tempfile::NamedTempFile::new()?;
    write!(
        file,
        "# the first two\n127.0.0.9\n  127.0.0.3  # in this order\n\n::1\n"
    )?;
    let path = file.path().display().to_string();
    let report = ping(&lonely, &format!("-c 1 -f {path} 127.0.0.4"))?;
    let names: Vec<_> = report
        .targets
        .iter()
        .map(|target| target["target"].as_str().unwrap_or(""))
        .collect();
    assert_eq!(names, ["127.0.0.4", "127.0.0.9", "127.0.0.3", "::1"]);
    assert_eq!(report.code, 0);
    Ok(())
}

#[test]
fn the_json_has_the_fields_of_the_contract_and_python_reads_the_histogram() -> Result {
    let lonely = Namespace::new("lonely")?;
    let report = ping(&lonely, "-c 40 -i 10ms 127.0.0.1")?;
    let keys = |object: &Value| -> Vec<String> {
        let mut keys: Vec<_> = object
            .as_object()
            .into_iter()
            .flat_map(|object| object.keys().cloned())
            .collect();
        keys.sort();
        keys
    };
    let sorted = |names: &str| {
        let mut names: Vec<_> = names.split_whitespace().map(str::to_owned).collect();
        names.sort();
        names
    };
    let target = &report.targets[0];
    let wanted = "target address proto sent received lost duplicate late refused unreachable send_error rtt_ns \
                  host_delay_ns timestamps hdr";
    assert_eq!(keys(target), sorted(wanted));
    assert_eq!(keys(&target["rtt_ns"]), sorted("min mean p50 p90 p99 p999 max"));
    assert_eq!(keys(&target["host_delay_ns"]), sorted("p50 p99 max"));
    let wanted = "targets sent received lost wall_s cpu_user_s cpu_sys_s max_rss_bytes receive_drops";
    assert_eq!(keys(&report.summary), sorted(wanted));
    assert!(number(&report.summary, "max_rss_bytes")? > 1 << 20);

    let decoded = python::decode(&[target["hdr"].as_str().unwrap_or("")])?;
    assert_eq!(decoded[0].count, 40);
    for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
        assert_eq!(
            decoded[0].nearest_rank(q),
            Some(number(target, &format!("rtt_ns.{name}"))?),
            "{name}: {target}"
        );
    }
    Ok(())
}

#[test]
fn a_thousand_targets_without_loss_or_fallback() -> Result {
    let _turn = take_turn()?;
    let lonely = Namespace::new("lonely")?;
    let mut file = tempfile::NamedTempFile::new()?;
    for n in 0..1000 {
        writeln!(file, "127.1.{}.{}", n / 250, n % 250 + 1)?;
    }
    let report = ping(&lonely, &format!("-c 10 -i 0 -t 5s -f {}", file.path().display()))?;
    assert_eq!(report.targets.len(), 1000);
    for target in &report.targets {
        expect_counts(target, &[("received", 10)])?;
        expect_kernel_stamps(target)?;
    }
    assert_eq!((number(&report.summary, "receive_drops")?, report.code), (0, 0));
    Ok(())
}

#[test]
fn wrong_usage_exits_2_and_prints_nothing_on_stdout() -> Result {
    let lonely = Namespace::new("lonely")?;
    for arguments in [
        "",
        "-c 0 127.0.0.1",
        "-t 61s 127.0.0.1",
        "-t 5 127.0.0.1",
        "-i -1s 127.0.0.1",
        "--proto udp 127.0.0.1",
        "--proto tcp 127.0.0.1",
        "--proto tcp 127.0.0.1:70000",
        "--no-such-flag",
        "-f /nonexistent/targets",
    ] {
        let finished = Ping::new(&lonely, Rights::All)?
            .args(arguments)
            .finish()?
            .expect_code(2)?;
        assert_eq!(finished.stdout, "", "{arguments}");
        assert!(!finished.stderr.is_empty(), "{arguments}");
    }
    Ok(())
}

#[test]
fn an_interrupted_run_still_reports() -> Result {
    let lonely = Namespace::new("lonely")?;
    let run: Process = Ping::new(&lonely, Rights::All)?
        .args("-c 100000 -i 20ms 127.0.0.1")
        .spawn()?;
    // Signals are caught before the first packet leaves, so packets that come back show that it is ready.
    distributed_trace_tests::process::wait_for("probes under way", || {
        let statistics = lonely.run("cat", &["/proc/net/snmp"])?;
        let replies = statistics.lines().filter(|line| line.starts_with("Icmp:")).nth(1);
        let received = replies.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        Ok((received > Some(40)).then_some(()))
    })?;
    let report = Report::parse(run.terminate()?)?;
    assert_eq!(report.code, 0, "{}", report.stderr);
    let target = &report.targets[0];
    assert!(number(target, "received")? > 0);
    assert_eq!(number(target, "sent")?, number(target, "received")?, "{target}");
    Ok(())
}
