//! TLS both ways, with certificates of authorities made here: who is believed, who is refused, and files that change.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use common::{PATIENCE, Probe, Running, config, eventually, target};
use dt_probe::{Fate, TargetId};
use dt_rpc::{GrpcTarget, ProberConfig, ServerOptions, Tls, TlsConfig, TlsMode};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Whoever signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes the three files of a node with this name.
    fn write(&self, folder: &Path, name: &str) {
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new([name.to_owned()]).unwrap();
        let own = own.signed_by(&key, &self.0).unwrap();
        for (file, text) in [
            ("tls.crt", own.pem()),
            ("tls.key", key.serialize_pem()),
            ("ca.crt", self.0.pem()),
        ] {
            // As it is replaced in practice: never half there.
            std::fs::write(folder.join("new"), text).unwrap();
            std::fs::rename(folder.join("new"), folder.join(file)).unwrap();
        }
    }

    fn node(&self, name: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path(), name);
        folder
    }
}

fn of(folder: &TempDir, mode: TlsMode) -> TlsConfig {
    TlsConfig {
        mode,
        certificate: folder.path().join("tls.crt"),
        key: folder.path().join("tls.key"),
        authorities: folder.path().join("ca.crt"),
        verify_clients: true,
        name: None,
    }
}

fn load(folder: &TempDir, mode: TlsMode) -> Tls {
    Tls::load(of(folder, mode)).unwrap()
}

async fn server(tls: Tls) -> Running {
    let options = ServerOptions {
        tls: Some(tls),
        ..ServerOptions::default()
    };
    Running::with("127.0.0.1:0", options).await
}

/// A prober with these files that pings `address`, which has to prove to be `name`.
fn probe(tls: Option<Tls>, address: SocketAddr, name: Option<&str>) -> Probe {
    let probe = Probe::start(ProberConfig {
        tls,
        ..config(30_000, 20)
    });
    let target = GrpcTarget {
        tls: name.map(str::to_owned),
        ..target(address)
    };
    assert!(probe.prober.add(TargetId(0), target));
    probe
}

#[tokio::test]
async fn nodes_of_one_authority_believe_each_other() {
    let authority = Authority::new();
    let (here, there) = (authority.node("a.lab"), authority.node("127.0.0.1"));
    let running = server(load(&there, TlsMode::Require)).await;
    let tls = load(&here, TlsMode::Use);
    let mut probe = probe(Some(tls), running.address, Some("127.0.0.1"));
    for _ in 0..10 {
        probe.received().await;
    }
    assert_eq!(
        running.server.door().stats().accepted.load(SeqCst),
        1,
        "over one connection"
    );
}

#[tokio::test]
async fn who_is_not_believed_is_refused_on_both_sides() {
    let (authority, other) = (Authority::new(), Authority::new());
    let there = authority.node("b.lab");
    let running = server(load(&there, TlsMode::Require)).await;
    let (good, foreign) = (authority.node("a.lab"), other.node("a.lab"));
    for (who, tls, name) in [
        ("another name than it has", load(&good, TlsMode::Use), Some("c.lab")),
        (
            "an authority that neither knows",
            load(&foreign, TlsMode::Use),
            Some("b.lab"),
        ),
        ("cleartext", load(&good, TlsMode::Use), None),
        ("a name that can be none", load(&good, TlsMode::Use), Some("no name")),
    ] {
        let mut refused = probe(Some(tls), running.address, name);
        assert_eq!(refused.fate().await, Fate::Refused, "{who}");
    }
    assert_eq!(running.server.stats().pings.load(SeqCst), 0);
    // A caller without a certificate believes the server, and isn't let in.
    let mut half = of(&foreign, TlsMode::Use);
    half.authorities = there.path().join("ca.crt");
    let mut refused = probe(Some(Tls::load(half).unwrap()), running.address, Some("b.lab"));
    assert_eq!(refused.fate().await, Fate::Refused);
    assert_eq!(running.server.stats().pings.load(SeqCst), 0);
    let mut believed = probe(Some(load(&good, TlsMode::Use)), running.address, Some("b.lab"));
    believed.received().await;
}

#[tokio::test]
async fn callers_need_no_certificate_where_none_is_asked_for() {
    let (authority, other) = (Authority::new(), Authority::new());
    let there = authority.node("b.lab");
    let anybody = TlsConfig {
        verify_clients: false,
        ..of(&there, TlsMode::Require)
    };
    let running = server(Tls::load(anybody).unwrap()).await;
    let foreign = other.node("a.lab");
    let mut half = of(&foreign, TlsMode::Use);
    half.authorities = there.path().join("ca.crt");
    let mut let_in = probe(Some(Tls::load(half).unwrap()), running.address, Some("b.lab"));
    let_in.received().await;
}

#[tokio::test]
async fn on_the_way_to_tls_one_port_answers_both() {
    let authority = Authority::new();
    let (here, there) = (authority.node("a.lab"), authority.node("b.lab"));
    for mode in [TlsMode::Accept, TlsMode::Use] {
        let running = server(load(&there, mode)).await;
        probe(None, running.address, None).received().await;
        let tls = load(&here, TlsMode::Use);
        probe(Some(tls), running.address, Some("b.lab")).received().await;
    }
    // Without TLS a handshake is garbage.
    let running = Running::start().await;
    let tls = load(&here, TlsMode::Use);
    let mut refused = probe(Some(tls), running.address, Some("b.lab"));
    assert_eq!(refused.fate().await, Fate::Refused);
}

#[tokio::test]
async fn files_are_read_again_when_they_change_and_bad_ones_are_not_believed() {
    let (before, after) = (Authority::new(), Authority::new());
    let there = before.node("b.lab");
    let tls = load(&there, TlsMode::Require);
    tokio::spawn(tls.clone().follow());
    let running = server(tls.clone()).await;
    let (old, new) = (before.node("a.lab"), after.node("a.lab"));
    let fate = async |folder: &TempDir| {
        let tls = load(folder, TlsMode::Use);
        probe(Some(tls), running.address, Some("b.lab")).fate().await
    };
    assert_eq!(fate(&old).await, Fate::Received);
    assert_eq!(fate(&new).await, Fate::Refused);
    let becomes = async |folder: &TempDir, wanted: Fate| {
        let wait = async {
            while fate(folder).await != wanted {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it becomes so");
    };
    after.write(there.path(), "b.lab");
    becomes(&new, Fate::Received).await;
    assert_eq!(fate(&old).await, Fate::Refused);
    // A key that is another's, and then none at all.
    let others = std::fs::read_to_string(old.path().join("tls.key")).unwrap();
    for (refused, bad) in [(1, "not a key"), (2, &others)] {
        std::fs::write(there.path().join("tls.key"), bad).unwrap();
        eventually("they were looked at", || tls.refused() == refused).await;
        assert_eq!(fate(&new).await, Fate::Received);
    }
    before.write(there.path(), "b.lab");
    becomes(&old, Fate::Received).await;
    // A new certificate whose key comes later, of the same length and with its time set back.
    after.write(there.path(), "b.lab");
    let key = there.path().join("tls.key");
    let good = std::fs::read(&key).unwrap();
    let modified = std::fs::metadata(&key).unwrap().modified().unwrap();
    let write = |text: &[u8]| {
        std::fs::write(&key, text).unwrap();
        let file = std::fs::File::options().write(true).open(&key).unwrap();
        file.set_modified(modified).unwrap();
    };
    write(&vec![b'x'; good.len()]);
    eventually("the key that is none was looked at", || tls.refused() == 3).await;
    assert_eq!(fate(&old).await, Fate::Received);
    write(&good);
    becomes(&new, Fate::Received).await;
    assert_eq!(tls.refused(), 3);
}

#[tokio::test]
async fn garbage_and_halves_of_handshakes_disturb_nobody() {
    let authority = Authority::new();
    let (here, there) = (authority.node("a.lab"), authority.node("b.lab"));
    let running = server(load(&there, TlsMode::Require)).await;
    let mut probe = probe(Some(load(&here, TlsMode::Use)), running.address, Some("b.lab"));
    probe.received().await;
    let mut slow = Vec::new();
    for bytes in [
        &b"\x16"[..],
        b"\x16\x03",
        // A record of 16 KiB that never comes.
        b"\x16\x03\x01\x40\x00\x01",
    ] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        slow.push(stream);
    }
    for garbage in [
        &b"\x16\x03\x03\xff\xff\x01\x02\x03"[..],
        b"\x16\x03\x01\x00\x05hello",
        b"\x17\x03\x03\x00\x05hello",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        // An alert, or nothing; then the end.
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
        let _ = read.await.expect("the end");
        assert!(answer.len() < 100, "{answer:?}");
    }
    for _ in 0..20 {
        probe.received().await;
    }
    eventually("only the prober is in", || {
        while probe.events.try_recv().is_ok() {}
        running.server.door().stats().open.load(SeqCst) == 1
    })
    .await;
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name() {
    let authority = Authority::new();
    let (one, two) = (authority.node("a.lab"), authority.node("b.lab"));
    let empty = one.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let good = of(&one, TlsMode::Use);
    for (bad, file, why) in [
        (
            TlsConfig {
                certificate: empty.clone(),
                ..good.clone()
            },
            "empty",
            "no certificate",
        ),
        (
            TlsConfig {
                key: empty.clone(),
                ..good.clone()
            },
            "empty",
            "no private key",
        ),
        (
            TlsConfig {
                key: good.certificate.clone(),
                ..good.clone()
            },
            "tls.crt",
            "no private key",
        ),
        (
            TlsConfig {
                authorities: one.path().join("nowhere"),
                ..good.clone()
            },
            "nowhere",
            "No such file",
        ),
        (
            TlsConfig {
                key: two.path().join("tls.key"),
                ..good.clone()
            },
            "tls.key",
            "key",
        ),
    ] {
        let error = Tls::load(bad).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains(why), "{error}");
    }
    for word in TlsMode::WORDS {
        assert_eq!(word.parse::<TlsMode>().unwrap().to_string(), word);
    }
}
