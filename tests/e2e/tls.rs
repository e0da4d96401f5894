//! Agents that ping each other by TLS, with certificates that openssl made, and openssl as a caller that isn't ours.

use distributed_trace_tests::agent::{Agent, by_pair, total};
use distributed_trace_tests::certificates::{authority, certificate};
use distributed_trace_tests::error::{LabError, Result};
use distributed_trace_tests::namespaces::Pair;
use distributed_trace_tests::original::ping_once;
use distributed_trace_tests::process::{Finished, Process, wait_for};
use std::path::Path;
use std::process::Command;

/// What openssl says of a handshake with `a`, with or without a certificate of its own.
fn handshake(pair: &Pair, folder: &Path, with: &str) -> Result<Finished> {
    let mut command = pair.b.command("openssl");
    command
        .current_dir(folder)
        .args("s_client -connect 10.9.0.1:4000 -alpn h2 -CAfile ca.crt -verify_return_error -brief".split_whitespace())
        .args(with.split_whitespace());
    Process::run("openssl s_client", &mut command)
}

#[test]
fn agents_ping_by_tls_with_certificates_that_are_renewed() -> Result {
    let pair = Pair::new()?;
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    authority(folders[0].path(), "lab")?;
    for file in ["ca.crt", "ca.key"] {
        std::fs::copy(folders[0].path().join(file), folders[1].path().join(file))?;
    }
    let mut agents = Vec::new();
    for (i, node) in [&pair.a, &pair.b].into_iter().enumerate() {
        let (own, other) = (format!("10.9.0.{}", i + 1), format!("10.9.0.{}", 2 - i));
        let folder = folders[i].path();
        certificate(folder, &format!("IP:{own}"))?;
        let peers = folder.join("peers.toml");
        std::fs::write(
            &peers,
            format!("[[peer]]\nnode = \"n{}\"\naddress = \"{other}\"\nport = 4000\n", 1 - i),
        )?;
        let at = folder.display();
        let agent = Agent::builder(node, &format!("n{i}"), &own)?
            .peers(&peers)
            .args("--window 1s --interval 100ms --probe grpc --grpc-tls require")
            .args(&format!(
                "--grpc-tls-certificate {at}/tls.crt --grpc-tls-key {at}/tls.key --grpc-tls-authorities {at}/ca.crt"
            ))
            .start()?;
        agents.push(agent);
    }
    for (i, agent) in agents.iter_mut().enumerate() {
        agent.wait_for("answers by TLS", |records| {
            let pairs = by_pair(records)?;
            let pings = pairs.get(&(format!("n{}", 1 - i), "grpc".to_owned()));
            let received = pings.map_or(Ok(0), |records| total(records.iter().copied(), "received"))?;
            Ok((received > 10).then_some(()))
        })?;
    }
    // Neither cleartext nor a stranger without a certificate is let in.
    assert!(ping_once(&pair.b, "10.9.0.1:4000")?.is_err());
    let good = "-cert tls.crt -key tls.key";
    let of_b = folders[1].path();
    let seen = handshake(&pair, of_b, good)?;
    assert!(seen.stderr.contains("Verification: OK"), "{seen}");
    assert!(seen.stderr.contains("Protocol version: TLSv1.3"), "{seen}");
    let counted = |name: &str| -> Result<u64> {
        let (_, metrics) = agents[0].get(&pair.a, "/metrics")?;
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.ok_or_else(|| LabError::new(format!("no {name} in {metrics}")))
    };
    assert_eq!(counted("dt_grpc_certificates_refused_total")?, 0);

    // Another authority takes over at `a` alone: `b` isn't believed any more, and openssl believes `a` by the new one only.
    authority(folders[0].path(), "other")?;
    certificate(folders[0].path(), "IP:10.9.0.1")?;
    wait_for("the new certificate", || {
        let seen = handshake(&pair, folders[0].path(), good)?;
        Ok(seen.stderr.contains("Verification: OK").then_some(()))
    })?;
    let seen = handshake(&pair, of_b, good)?;
    assert!(!seen.stderr.contains("Verification: OK"), "{seen}");
    assert_eq!(counted("dt_grpc_certificates_refused_total")?, 0);
    let (finished, _) = agents.remove(0).terminate()?;
    assert_eq!(finished.status.code(), Some(0), "{finished}");

    // A wrong file is an error of the configuration.
    let mut check = Command::new(distributed_trace_tests::process::dt()?);
    let at = of_b.display();
    check.args(["config", "check", "--grpc-tls", "use"]).args(
        format!("--grpc-tls-certificate {at}/tls.crt --grpc-tls-key {at}/ca.key --grpc-tls-authorities {at}/ca.crt")
            .split_whitespace(),
    );
    let refused = Process::run("dt config check", &mut check)?.expect_code(2)?;
    assert!(refused.stderr.contains("ca.key"), "{refused}");
    Ok(())
}
