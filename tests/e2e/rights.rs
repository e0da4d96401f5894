//! The file capability of the image, `cap_net_raw=p`: `dt` raises it itself, and starts and measures without it where the
//! process may not have it.

use distributed_trace_tests::error::Result;
use distributed_trace_tests::namespaces::Pair;
use distributed_trace_tests::ping::{Ping, Unprivileged, expect_counts};
use serde_json::json;
use std::net::TcpListener;

#[test]
fn a_user_measures_by_a_permitted_file_capability() -> Result {
    let pair = Pair::new()?;
    let _listener = pair.b.enter(|| TcpListener::bind("10.9.0.2:7000"))??;
    let user = Unprivileged::new("cap_net_raw=p")?;
    for arguments in [
        "-c 5 -i 20ms 10.9.0.2 fd09::2",
        "--proto tcp --method syn -c 5 -i 20ms 10.9.0.2:7000",
    ] {
        let report = user
            .ping(&pair.a, &["--bounding-set=-all,+net_raw"])
            .args(arguments)
            .report()?;
        for target in &report.targets {
            expect_counts(target, &[("received", 5)])?;
            assert_eq!(
                target["timestamps"],
                json!({ "tx": "kernel", "rx": "kernel", "fallbacks": 0 })
            );
        }
        assert_eq!((report.code, report.stderr.as_str()), (0, ""));
    }
    Ok(())
}

/// As in a container without NET_RAW, and in one that forbids new privileges.
#[test]
fn without_it_the_binary_starts_and_connects() -> Result {
    let pair = Pair::new()?;
    let _listener = pair.b.enter(|| TcpListener::bind("10.9.0.2:7000"))??;
    let user = Unprivileged::new("cap_net_raw=p")?;
    // A setpriv of its own, since the one before keeps its capabilities until it becomes another program.
    for limits in [&["--bounding-set=-all"][..], &["setpriv", "--no-new-privs"]] {
        let ping = |arguments: &str| -> Ping { user.ping(&pair.a, limits).args(arguments) };
        let report = ping("--proto tcp -c 5 -i 20ms 10.9.0.2:7000").report()?;
        expect_counts(&report.targets[0], &[("received", 5)])?;
        // That was connect(): a SYN is refused, as is ICMP.
        for arguments in ["--proto tcp --method syn 10.9.0.2:7000", "10.9.0.2"] {
            let refused = ping(arguments).finish()?.expect_code(1)?;
            assert!(refused.stderr.contains("CAP_NET_RAW"), "{refused}");
        }
    }
    Ok(())
}

/// Why the image has no `+ep`.
#[test]
fn an_effective_file_capability_would_not_start() -> Result {
    let pair = Pair::new()?;
    let user = Unprivileged::new("cap_net_raw=ep")?;
    let finished = user.ping(&pair.a, &["--bounding-set=-all"]).args("--help").finish()?;
    assert!(finished.stderr.contains("Operation not permitted"), "{finished}");
    Ok(())
}
